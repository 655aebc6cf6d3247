"""A synthetic recording session: files as the recorder of a dual-arm Piper writes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from piperline.demo.motion import TASKS, Motion, plan_motion
from piperline.demo.scene import CAMERAS, Scene
from piperline.recordings.write import NewEpisode, write_recording
from piperline.video.images import encode_jpeg

FPS = 30


def write_recordings(
    folder: Path,
    *,
    files: int = 3,
    episodes: int = 3,
    frames: int | Sequence[int] = (60, 75, 66),
    seed: int = 0,
    size: tuple[int, int] = (480, 640),
) -> list[Path]:
    """Write a session of the built-in layout `piper`; the same arguments give the same bytes.

    Args:
        folder: where; it is made.
        files: how many files, `session_1.hdf5` and so on; files of these names are replaced.
        episodes: episodes in each file, `episode_0` and so on; the tasks take turns.
        frames: of each episode, at 30 a second; several numbers take turns.
        seed: decides table, noise, and where things lie.
        size: height and width of the images, about 55 kB of JPEG each at the size given.

    Returns:
        The files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lengths = (frames,) if isinstance(frames, int) else frames
    scene = Scene(np.random.default_rng(seed), size)
    paths = [
        folder / f"session_{number}.hdf5" for number in range(1, files + 1)
    ]
    for number, path in enumerate(paths):
        seeds = [(seed, number, index) for index in range(episodes)]
        write_recording(
            path, (_episode(scene, each, lengths) for each in seeds)
        )
    return paths


def _episode(
    scene: Scene, seed: tuple[int, int, int], lengths: Sequence[int]
) -> NewEpisode:
    _, _, index = seed
    rng = np.random.default_rng(seed)
    length = lengths[index % len(lengths)]
    motion = plan_motion(
        rng,
        frames=length,
        fps=FPS,
        task=index % len(TASKS),
    )
    return NewEpisode(
        name=f"episode_{index}",
        attributes={"instruction": motion.task, "length": length},
        vectors={
            "state": motion.state.astype(np.float32),
            "action": motion.action.astype(np.float32),
        },
        cameras=CAMERAS,
        frames=_images(scene, motion, rng),
    )


def _images(
    scene: Scene, motion: Motion, rng: np.random.Generator
) -> Iterator[dict[str, bytes]]:
    for time in range(len(motion.state)):
        yield {
            name: encode_jpeg(view)
            for name, view in scene.frame(motion, time, rng).items()
        }

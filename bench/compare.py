"""Is a dataset what was recorded? Asked before anything is timed."""

from pathlib import Path

import h5py
import numpy as np

from bench.quality import libjpeg, psnr
from bench.recordings import CAMERAS, episodes_of, jpegs
from piperline.episode import EncodedEpisode
from piperline.lerobot.dataset import open_dataset
from piperline.video.decoder import decode

COMPARED = (
    17  # every 17th frame: not only key frames; all are decoded and counted
)


def check(root: Path, recordings: list[Path]) -> float:
    """Compare a LeRobot dataset, v2.1 or v3.0, with the recordings it was made of.

    Returns:
        PSNR in dB of its frames against the recorded JPEG as libjpeg decodes it, the mean over
        cameras and episodes.

    Raises:
        ValueError: rows, tasks or the number of frames differ.
    """
    recorded = list(episodes_of(recordings))
    episodes = list(open_dataset(root))
    if len(episodes) != len(recorded):
        raise ValueError(f"{root}: {len(episodes)} episodes of {len(recorded)}")
    for episode, (path, name) in zip(episodes, recorded, strict=True):
        _check_rows(episode, path, name)
    decibels = [
        _compare_frames(episode, path, name, camera)
        for episode, (path, name) in zip(episodes, recorded, strict=True)
        for camera in CAMERAS
    ]
    return float(np.mean(decibels))


def _check_rows(episode: EncodedEpisode, path: Path, name: str) -> None:
    with h5py.File(path) as file:
        group = file[name]
        expected = {
            "observation.state": group["state"][()],
            "action": group["action"][()],
        }
        task = group.attrs["instruction"]
    if episode.tasks != (task,):
        raise ValueError(
            f"{path.name} {name}: task {episode.tasks}, not {task}"
        )
    for key, rows in expected.items():
        if not np.array_equal(np.stack(episode.table[key].to_numpy()), rows):
            raise ValueError(f"{path.name} {name}: {key} differs")


def _compare_frames(
    episode: EncodedEpisode, path: Path, name: str, camera: str
) -> float:
    clip = episode.clips[CAMERAS[camera]]
    images = jpegs(path, name, camera)
    frames = [
        frame if number % COMPARED == 0 else None
        for number, frame in enumerate(
            decode(clip.path, clip.first, clip.count)
        )
    ]
    if len(frames) != len(images):
        raise ValueError(
            f"{path.name} {name} {camera}: {len(frames)} frames of {len(images)}"
        )
    found = [frame for frame in frames if frame is not None]
    return psnr(map(libjpeg, images[::COMPARED]), found)

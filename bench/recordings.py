"""The recordings that are converted: written once by `piperline.demo`, kept in .cache/bench."""

from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.demo import write_recordings
from piperline.recordings.write import NewEpisode, write_recording

CAMERAS = {
    "image_left": "observation.images.left_wrist",
    "image_mid": "observation.images.mid",
    "image_right": "observation.images.right_wrist",
}
"""HDF5 dataset to feature."""

FRAMES = 200


def short(cache: Path) -> list[Path]:
    """12 episodes of 200 frames in 4 files: 7,200 images of 480x640, about 55 kB each."""
    folder = cache / "short"
    paths = [folder / f"session_{number}.hdf5" for number in (1, 2, 3, 4)]
    if not all(path.exists() for path in paths):
        write_recordings(folder, files=4, episodes=3, frames=FRAMES)
    return paths


def long(cache: Path, *, episodes: int, frames: int) -> Path:
    """A file of longer episodes: each repeats one of `short`, forward and backward."""
    path = cache / f"long_{episodes}x{frames}.hdf5"
    source = short(cache)[0]
    if not path.exists():
        with h5py.File(source) as file:
            write_recording(
                path,
                (
                    _stretched(file[f"episode_{number}"], number, frames)
                    for number in range(episodes)
                ),
            )
    return path


def _stretched(group: h5py.Group, number: int, frames: int) -> NewEpisode:
    order = list(
        islice(cycle([*range(FRAMES), *reversed(range(FRAMES))]), frames)
    )
    return NewEpisode(
        name=f"episode_{number}",
        attributes={
            "instruction": group.attrs["instruction"],
            "length": frames,
        },
        vectors={name: group[name][()][order] for name in ("state", "action")},
        cameras=tuple(CAMERAS),
        frames=_images({name: group[name][()] for name in CAMERAS}, order),
    )


def _images(
    columns: Mapping[str, NDArray[np.object_]], order: list[int]
) -> Iterator[dict[str, bytes]]:
    for index in order:
        yield {
            name: column[index].tobytes() for name, column in columns.items()
        }


def episodes_of(recordings: list[Path]) -> Iterator[tuple[Path, str]]:
    """The episodes in the order in which they are converted."""
    for path in recordings:
        with h5py.File(path) as file:
            for number in range(len(file)):
                yield path, f"episode_{number}"


def jpegs(path: Path, episode: str, camera: str) -> list[bytes]:
    """The recorded images of one camera of one episode."""
    with h5py.File(path) as file:
        return [image.tobytes() for image in file[episode][camera][()]]

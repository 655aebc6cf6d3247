"""Write recordings: episodes whose frames come one by one. The file is absent or complete."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NewEpisode:
    """An episode to write as a top-level group.

    Attributes:
        name: of the group.
        attributes: of the group.
        vectors: datasets by name, T rows each.
        cameras: the names of the image datasets.
        frames: T times the encoded image of each camera, by name.
    """

    name: str
    attributes: Mapping[str, str | int]
    vectors: Mapping[str, NDArray[Any]]
    cameras: tuple[str, ...]
    frames: Iterable[Mapping[str, bytes]]


def write_recording(path: Path, episodes: Iterable[NewEpisode]) -> None:
    """Write a recording, one frame in memory at a time.

    A file of that name is replaced when the new one is whole.

    Images lie as variable-length uint8, one in a row.

    Args:
        path: the file; its folder must be there.
        episodes: in the order in which they are recorded.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with h5py.File(partial, "w") as file:
            for episode in episodes:
                _write_episode(file.create_group(episode.name), episode)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_episode(group: h5py.Group, episode: NewEpisode) -> None:
    group.attrs.update(episode.attributes)
    for name, values in episode.vectors.items():
        group[name] = values
    length = len(next(iter(episode.vectors.values())))
    images = h5py.vlen_dtype(np.uint8)
    rows = {
        name: group.create_dataset(name, shape=(length,), dtype=images)
        for name in episode.cameras
    }
    for place, frame in enumerate(episode.frames):
        for name, data in rows.items():
            data[place] = np.frombuffer(frame[name], dtype=np.uint8)

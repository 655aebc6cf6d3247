"""Write recordings: episodes whose frames come one by one. The file is absent or complete."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import Buffer


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

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _output(partial) as output, h5py.File(output, "w") as file:
            for episode in episodes:
                group = file.create_group(episode.name)
                for _ in _write_episode(group, episode):
                    output.check()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Output(io.FileIO):
    """A file of which HDF5 never hears that a write failed: it would crash. The failure is kept."""

    failure: OSError | None = None

    def write(self, data: "Buffer") -> int:
        """Write all of `data`, as far as that is possible."""
        left = memoryview(data)
        size = len(left)
        with self._keeping():
            while left and not self.failure:
                left = left[super().write(left) :]
        return size

    def truncate(self, size: int | None = None) -> int:
        """Give it another size, if that is possible."""
        with self._keeping():
            return super().truncate(size)
        return size or 0

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error

    def check(self) -> None:
        """Raise what failed."""
        if self.failure:
            raise self.failure


@contextmanager
def _output(path: Path) -> Iterator[_Output]:
    """A file for HDF5, on the disk when this ends.

    Raises:
        OSError: it is not.
    """
    with _Output(path, "w+") as output:
        try:
            yield output
        finally:
            output.check()
        os.fsync(output.fileno())


def _write_episode(group: h5py.Group, episode: NewEpisode) -> Iterator[None]:
    """Write an episode frame by frame; gives a turn to the caller behind each."""
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
        yield

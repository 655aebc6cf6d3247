"""A dataset's contents as they lie on disk: raw rows, spans of videos, statistics, and files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from piperline.lerobot.dataset import DatasetReader, open_dataset
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.info import EpisodeRow, Info
from piperline.lerobot.parquet import ParquetRows


@dataclass(frozen=True)
class Contents:
    """A dataset of any version, nothing put right.

    Attributes:
        root: its folder.
        info: its info.json.
    """

    root: Path
    info: Info
    _reader: DatasetReader

    @classmethod
    def open(cls, root: Path) -> "Contents":
        """Open the dataset at `root`.

        Raises:
            DatasetError: its tables cannot be read.
            UnsupportedVersion: it is of a version that is not known.
        """
        dataset = open_dataset(root)
        return cls(root, dataset.info, dataset.reader)

    @property
    def episodes(self) -> Sequence[EpisodeRow]:
        """Number, tasks and length of each episode."""
        return self._reader.episodes

    @property
    def tasks(self) -> Sequence[str | None]:
        """The instructions; the index of each is its task_index. None for numbers without one."""
        return self._reader.tasks

    @property
    def cameras(self) -> tuple[str, ...]:
        """The keys of the cameras that info.json declares."""
        return self.info.schema.cameras

    def rows(self, episode: int) -> pa.Table:
        """All rows of an episode as they are.

        Raises:
            DatasetError: they cannot be read.
        """
        if self.info.version == "v3.0":
            return self._reader.table(episode)
        # the reader takes as many rows as are announced
        name = self._reader.data_path(episode)
        return ParquetRows(DatasetFolder(self.root).path(name)).all()

    def place(self, episode: int, camera: str) -> tuple[str, int]:
        """The video file of an episode below the dataset, and the number of its first frame there.

        Raises:
            DatasetError: it would lie outside of the dataset.
        """
        return self._reader.span(episode, camera)

    def span(self, episode: int, camera: str) -> tuple[Path, int]:
        """The video file of an episode, and the number of its first frame there.

        Raises:
            DatasetError: it would lie outside of the dataset.
        """
        name, first = self.place(episode, camera)
        return self.root / name, first

    def data_path(self, episode: int) -> Path:
        """The file in which the rows of an episode lie.

        Raises:
            DatasetError: it would lie outside of the dataset.
        """
        return self.root / self._reader.data_path(episode)

    def stats(self, episode: int) -> Mapping[str, Any]:
        """The statistics of an episode as LeRobot's JSON has them; empty if there are none.

        Raises:
            DatasetError: they cannot be read.
        """
        return self._reader.stats(episode)


def files_below(root: Path) -> Iterator[str]:
    """Every file and every link below `root`, relative to it, in order; links are not followed."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else f"{below}/"
        for name in sorted((*names, *linked)):
            yield prefix + name


def is_special(root: Path, path: str) -> bool:
    """Whether `path`, relative to `root`, is neither file nor folder: a pipe would never end."""
    found = root / path
    return found.exists() and not found.is_file() and not found.is_dir()

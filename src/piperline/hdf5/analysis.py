"""How many episodes there are in files, and what repacking would make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from piperline.errors import RecordingError
from piperline.hdf5.episode_table import EpisodeCount, count_episodes
from piperline.hdf5.plan import NewFile, TopGroup
from piperline.hdf5.split_repack import find_files, repack_plan
from piperline.hdf5.top_level import episodes
from piperline.recordings.layout import Layout
from piperline.recordings.reader import Read, here, over_parts
from piperline.text import printable


@dataclass(frozen=True)
class FileSummary:
    """One file.

    Attributes:
        path: where it is.
        size: in bytes.
        count: its episodes; None if it cannot be read.
        groups: those that repacking would take.
        problem: why it cannot be read, or not be repacked.
    """

    path: Path
    size: int
    count: EpisodeCount | None = None
    groups: Sequence[TopGroup] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Analysis:
    """Some files.

    Attributes:
        files: in natural order.
        plan: what repacking those that have a group for each episode would make.
    """

    files: Sequence[FileSummary]
    plan: Sequence[NewFile]

    @property
    def episodes(self) -> int:
        """The episodes of all files."""
        return sum(file.count.episodes for file in self.files if file.count)

    @property
    def frames(self) -> int:
        """The frames of all episodes."""
        return sum(file.count.frames for file in self.files if file.count)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def whole_files(self) -> int:
        """How many files are one episode."""
        return sum(file.count.whole_file for file in self.files if file.count)

    @property
    def renamed(self) -> int:
        """How many episodes repacking would rename."""
        copies = (item for new in self.plan for item in new.groups)
        return sum(item.name != item.group for item in copies)

    @property
    def is_sound(self) -> bool:
        """Whether all files could be read and repacked."""
        return not any(file.problem for file in self.files)


def analyze(
    source: Path,
    *,
    per_file: int,
    pattern: str | None = None,
    layout: Layout | None = None,
    read: Read = here,
) -> Analysis:
    """Count episodes and frames of HDF5 files as a conversion would, and plan their repacking.

    Args:
        source: a folder of files, or one file.
        per_file: how many episodes in a repacked file.
        pattern: which files of the folder; `*.hdf5` and `*.h5` if None.
        layout: what the files should hold; for each, the built-in layout that fits it if None.
        read: calls what reads a file.

    Raises:
        RecordingError: there are no such files.
        UsageError: the pattern is none, or `per_file` is less than 1.
    """
    folder = source if source.is_dir() else None
    files = [
        _summary(path, folder, layout, read)
        for path in find_files(source, pattern)
    ]
    groups = [group for file in files for group in file.groups]
    return Analysis(
        files, repack_plan(groups, Path("repack_output"), per_file=per_file)
    )


def _summary(
    path: Path, folder: Path | None, layout: Layout | None, read: Read
) -> FileSummary:
    size = path.stat().st_size
    try:
        count = over_parts(read, path, count_episodes, path, layout)
    except RecordingError as error:
        return FileSummary(path, size, problem=_words(error))
    if count.layout is None or count.whole_file:
        return FileSummary(path, size, count, problem=count.problem)
    try:
        groups = read(path, episodes, path, folder)
        return FileSummary(path, size, count, groups, count.problem)
    except RecordingError as error:
        return FileSummary(
            path, size, count, problem=f"repacking refuses it: {_words(error)}"
        )


def _words(error: RecordingError) -> str:
    return ": ".join(
        printable(part) for part in (error.message, error.found) if part
    )

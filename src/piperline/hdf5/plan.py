"""What is to be copied: groups of files, and the new files that they go into.

Light to import: the process of the command loads no h5py for it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from piperline.errors import Place
from piperline.text import shown, text


@dataclass(frozen=True)
class SourceFile:
    """A file that groups are copied from.

    Attributes:
        path: where it is.
        name: what it is called in the record of sources: relative to the folder that was named.
        size, mtime_ns: in bytes, and its time of change in nanoseconds.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, folder: Path | None = None) -> Self:
        """The file at `path`, named as seen from `folder`, or from the folder that it lies in."""
        stat = path.stat()
        name = path.relative_to(folder or path.parent).as_posix()
        return cls(path, name, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class GroupCopy:
    """One group to be copied.

    Attributes:
        source: the file that holds it.
        group: its name there, as stored.
        name: its name in the output.
        stored_bytes: what its datasets take in the source.
    """

    source: SourceFile
    group: bytes
    name: bytes
    stored_bytes: int

    @property
    def place(self) -> Place:
        """Where it is, for error messages."""
        return Place(
            file=self.source.path,
            hdf5_path="/" + shown(self.group),
        )


@dataclass(frozen=True)
class NewFile:
    """A file to be written.

    Attributes:
        path: where.
        groups: what goes into it, in order.
    """

    path: Path
    groups: Sequence[GroupCopy]

    @property
    def stored_bytes(self) -> int:
        """About how large it will be."""
        return sum(group.stored_bytes for group in self.groups)


@dataclass(frozen=True)
class TopGroup:
    """A top-level group: an episode, as split and repack see it.

    Attributes:
        file: the file that holds it.
        name: as stored.
        members: how many links it holds.
        stored_bytes: what its datasets take in the file.
    """

    file: SourceFile
    name: bytes
    members: int
    stored_bytes: int


@dataclass(frozen=True)
class FileTop:
    """What lies at the top of a file.

    Attributes:
        path: the file.
        groups: its groups in natural order.
        others: the names of what else lies there: datasets, links, types.
    """

    path: Path
    groups: list[TopGroup]
    others: list[str]


def sources_text(groups: Sequence[GroupCopy]) -> str:
    """Where the groups of a file come from, as it is kept in the file (`SOURCES`)."""
    return json.dumps({text(item.name): _origin(item) for item in groups})


def _origin(item: GroupCopy) -> list[str | int]:
    source = item.source
    return [
        source.name,
        text(item.group),
        source.size,
        source.mtime_ns,
    ]


def partial_path(path: Path) -> Path:
    """Where a file lies while it is written: in the same folder, never taken for an HDF5 file."""
    digest = hashlib.sha256(
        path.name.encode("utf-8", "surrogateescape")
    ).hexdigest()[:16]
    return path.with_name(f".piperline-{digest}.part")

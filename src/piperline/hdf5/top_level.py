"""Reads what lies at the top of a file: the groups that split and repack make files of."""

import shlex
from pathlib import Path

import h5py

from piperline.errors import Place, RecordingError
from piperline.hdf5.copy import group_bytes
from piperline.hdf5.objects import (
    Member,
    Thing,
    Unreadable,
    members,
    open_member,
    reading_h5py,
)
from piperline.hdf5.plan import FileTop, SourceFile, TopGroup
from piperline.hdf5.root_attributes import SOURCES
from piperline.recordings.hdf5 import open_file
from piperline.text import listed, printable, shown


def read_top(path: Path, folder: Path | None = None) -> FileTop:
    """See what lies at the top of a file.

    Args:
        path: the file.
        folder: where it was found, if not in the folder that it lies in.

    Raises:
        RecordingError: the file cannot be read, or holds no group.
    """
    found: list[TopGroup] = []
    others: list[str] = []
    with open_file(path) as file:
        source = SourceFile.of(path, folder)
        try:
            for member in members(file.id):
                group = _group(file.id, member)
                if group is None:
                    others.append(shown(member.name))
                else:
                    found.append(_top_group(source, member.name, group))
        except Unreadable as error:
            raise RecordingError(
                "the file is damaged",
                place=Place(file=path),
                expected="groups that HDF5 can open",
                found=error.message,
                next_step="copy or record it again",
            ) from error
    if not found:
        raise RecordingError(
            "the file holds no groups",
            place=Place(file=path),
            expected="a group for each episode",
            found=listed(others),
            next_step="see what it holds: "
            f"piperline hdf5 inspect {printable(shlex.quote(str(path)))}",
        )
    return FileTop(path, found, others)


def _group(root: Thing, member: Member) -> Thing | None:
    if member.kind != "hard" or member.is_path:
        return None
    thing = open_member(root, member.name)
    return thing if isinstance(thing, h5py.h5g.GroupID) else None


def _top_group(source: SourceFile, name: bytes, group: Thing) -> TopGroup:
    with reading_h5py():
        count = group.get_num_objs()
    return TopGroup(source, name, count, group_bytes(group))


def episodes(
    path: Path,
    folder: Path | None = None,
) -> list[TopGroup]:
    """The groups of a file of which every top-level group is an episode.

    The arguments are those of `read_top`.

    Raises:
        RecordingError: there is something else at the top level, which repacked files would lack.
    """
    top = read_top(path, folder)
    if top.others:
        raise RecordingError(
            "not everything at the top of this file is an episode",
            place=Place(file=path),
            expected="a group for each episode, and nothing else",
            found=listed(top.others),
            next_step="leave the file out with --pattern",
        )
    return top.groups


def made_of(path: Path) -> object:
    """Where the groups of a file that `write_file` made come from, as it says.

    Raises:
        RecordingError: it cannot be read.
    """
    with open_file(path) as file, reading_h5py():
        return file.attrs.get(SOURCES)

"""A walk through an HDF5 file that no file can lead astray.

A file may come from anywhere. So nothing here follows a link into another file, enters an object
twice, calls itself for each level of groups, or takes a name for a path.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import h5py

from piperline.errors import BadEpisode, Place, RecordingError
from piperline.recordings.hdf5 import READ_ERRORS, resolve
from piperline.text import natural_key, printable, shown, text

Group: TypeAlias = h5py.h5g.GroupID
Dataset: TypeAlias = h5py.h5d.DatasetID
Thing: TypeAlias = h5py.h5g.GroupID | h5py.h5d.DatasetID | h5py.h5t.TypeID
"""What a walk comes by: h5py's low-level identifiers, which open no more than they must."""

FAULTS = (*READ_ERRORS, MemoryError)
"""What h5py raises for files that are damaged, or claim what cannot be."""

Kind = Literal["group", "dataset", "type", "link", "again", "unreadable"]


class Unreadable(RecordingError):
    """Something in a file that h5py cannot read."""


@contextmanager
def reading_h5py() -> Iterator[None]:
    """Turn what h5py raises for a damaged file into `Unreadable`.

    It belongs around calls into h5py and nothing else: a fault of our own keeps its traceback.

    Raises:
        Unreadable: h5py raised something; its words are in the message.
    """
    try:
        yield
    except FAULTS as error:
        raise Unreadable(f"cannot be read: {printable(str(error))}") from error


@dataclass(frozen=True)
class Member:
    """One link of a group.

    Attributes:
        name: as it is stored: any bytes but NUL.
        kind: `hard`: an object of the group; `soft`: a path in this file; `external`: a path in
            another file.
        target: where a soft or external link points to; (file, path) for an external one.
    """

    name: bytes
    kind: Literal["hard", "soft", "external", "other"]
    target: tuple[bytes, ...] = ()

    @property
    def is_absolute(self) -> bool:
        """Whether it is a link to a path from the top of the file."""
        return self.kind == "soft" and self.target[0].startswith(b"/")

    @property
    def is_path(self) -> bool:
        """Whether HDF5 would take the name for a path. Only tampering makes such names."""
        return b"/" in self.name or self.name == b"."


@dataclass(frozen=True)
class WalkedObject:
    """An object or link that a walk came by.

    Attributes:
        path: its path, as it is shown.
        name: its name as it is stored.
        level: 0 for the start of the walk.
        kind: `again`: a hard link to an object that the walk has passed; `unreadable`: an object
            that cannot be opened, or a group that cannot be listed.
        object: a group, dataset or named type.
        text: where a link leads to; what is wrong with what is unreadable.
    """

    path: str
    name: bytes
    level: int
    kind: Kind
    object: Thing | None = None
    text: str = ""


def members(group: Group) -> list[Member]:
    """The links of a group (h5py's identifier), in natural order.

    Raises:
        Unreadable: the group is damaged.
    """
    names: list[bytes] = []
    with reading_h5py():
        links = group.links
        links.iterate(names.append)
    names.sort(key=_name_key)
    return [_member(links, name) for name in names]


def _name_key(name: bytes) -> tuple[object, bytes]:
    return natural_key(shown(name)), name


def _member(links: h5py.h5l.LinkProxy, name: bytes) -> Member:
    with reading_h5py():
        kind = links.get_info(name).type
        if kind == h5py.h5l.TYPE_SOFT:
            return Member(name, "soft", (links.get_val(name),))
        if kind == h5py.h5l.TYPE_EXTERNAL:
            return Member(name, "external", links.get_val(name))
    return Member(name, "hard" if kind == h5py.h5l.TYPE_HARD else "other")


def attribute_names(
    thing: Thing, *, in_order_of_creation: bool = False
) -> list[bytes]:
    """The names of an object's attributes, by one pass: to open the n-th takes n steps each time.

    Args:
        thing: the object.
        in_order_of_creation: instead of that of the names, where the object keeps it.

    Raises:
        Unreadable: the object is damaged.
    """
    names: list[bytes] = []
    order = (
        h5py.h5.INDEX_CRT_ORDER if in_order_of_creation else h5py.h5.INDEX_NAME
    )
    with reading_h5py():
        h5py.h5a.iterate(thing, names.append, index_type=order)
    return names


def walk(
    start: Thing, path: str = "/", *, deepest: int | None = None
) -> Iterator[WalkedObject]:
    """Pass every object below `start` once, parents first, siblings in natural order.

    Links are not followed.

    Args:
        start: where to begin.
        path: what to call it.
        deepest: do not enter groups at this level; `start` is at level 0.
    """
    seen: dict[int, str] = {}
    name = path.rsplit("/", 1)[-1].encode("utf-8", "surrogateescape")
    waiting = [WalkedObject(path, name, 0, _kind(start), start)]
    while waiting:
        entry = waiting.pop()
        if entry.object is not None:
            entry = _once(entry, seen)
        yield entry
        if entry.kind == "group" and entry.level != deepest:
            waiting.extend(reversed(_below(entry)))


def address(thing: Thing) -> int:
    """Where an object lies in its file: what tells it from all others there.

    Raises:
        Unreadable: the object is damaged.
    """
    with reading_h5py():
        return int(h5py.h5o.get_info(thing).addr)


def open_member(group: Thing, name: bytes) -> Thing:
    """Open an object of a group by its name.

    Raises:
        Unreadable: it cannot be opened.
    """
    with reading_h5py():
        return h5py.h5o.open(group, name)


def _once(entry: WalkedObject, seen: dict[int, str]) -> WalkedObject:
    try:
        first = seen.setdefault(address(entry.object), entry.path)
    except Unreadable as error:
        return WalkedObject(
            entry.path,
            entry.name,
            entry.level,
            "unreadable",
            text=error.message,
        )
    if first == entry.path:
        return entry
    return WalkedObject(
        entry.path,
        entry.name,
        entry.level,
        "again",
        text=first,
    )


def _below(entry: WalkedObject) -> list[WalkedObject]:
    try:
        found = members(entry.object)
    except Unreadable as error:
        path = entry.path.rstrip("/") + "/?"
        return [
            WalkedObject(
                path, b"?", entry.level + 1, "unreadable", text=error.message
            )
        ]
    return [_entry(entry, member) for member in found]


def _entry(parent: WalkedObject, member: Member) -> WalkedObject:
    path, level = (
        f"{parent.path.rstrip('/')}/{shown(member.name)}",
        parent.level + 1,
    )
    if member.is_path:
        text = "the name of this link is a path: tampered with"
        return WalkedObject(path, member.name, level, "unreadable", text=text)
    if member.kind != "hard":
        return WalkedObject(
            path,
            member.name,
            level,
            "link",
            text=_link_text(parent.object, member),
        )
    try:
        opened = open_member(parent.object, member.name)
    except Unreadable as error:
        return WalkedObject(
            path, member.name, level, "unreadable", text=error.message
        )
    return WalkedObject(path, member.name, level, _kind(opened), opened)


def _kind(opened: Thing) -> Kind:
    if isinstance(opened, h5py.h5g.GroupID):
        return "group"
    return "dataset" if isinstance(opened, h5py.h5d.DatasetID) else "type"


def _link_text(group: Group, member: Member) -> str:
    if member.kind == "soft":
        broken = " (broken)" if lookup(group, member) is None else ""
        return shown(member.target[0]) + broken
    if member.kind == "external":
        file, path = map(shown, member.target)
        missing = "" if _target_file(group, member).is_file() else ", missing"
        return f"{file}:{path} (another file{missing})"
    return "a link of an unknown kind"


def _target_file(group: Group, member: Member) -> Path:
    with reading_h5py():
        here = h5py.h5f.get_name(group)
    return Path(text(here)).parent / text(member.target[0])


def lookup(group: Group, member: Member) -> Thing | None:
    """The object of a member, soft links followed, or None. Never opens another file.

    Raises:
        Unreadable: it is damaged.
    """
    if member.kind == "hard" and not member.is_path:
        return open_member(group, member.name)
    if member.kind != "soft":
        return None
    with reading_h5py():
        here = h5py.Group(group)
        root = here.file if member.is_absolute else here
    try:
        found = resolve(root, text(member.target[0]), Place())
    except BadEpisode:
        return None
    return None if found is None else found.id

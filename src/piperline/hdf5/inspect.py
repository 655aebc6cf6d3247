"""What is in an HDF5 file: every object once, what it is, what it takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from piperline.errors import PiperlineError, Place, RecordingError
from piperline.hdf5.describe import Facts, facts
from piperline.hdf5.objects import (
    Dataset,
    Kind,
    Unreadable,
    WalkedObject,
    reading_h5py,
    walk,
)
from piperline.hdf5.values import (
    SampledValues,
    Value,
    attributes,
    image_in,
    preview,
)
from piperline.recordings.hdf5 import open_file
from piperline.recordings.reader import reading_at
from piperline.text import printable, shown


@dataclass(frozen=True)
class Node:
    """An object or link of a file.

    Attributes:
        path: its path.
        name: the last part of it; a tampered name may hold a `/`.
        level: 0 for the file's root.
        kind: as in `piperline.hdf5.objects.Entry`.
        text: where a link leads to; why something cannot be read.
        members: how many a group has.
        facts: of a dataset.
        image: what the rows of a dataset show, if they are images.
        attributes: by name, or why one cannot be read; None if they were not asked for.
        preview: the first few values, or why they cannot be read; None if not asked for.
    """

    path: str
    name: str
    level: int
    kind: Kind
    text: str = ""
    members: int | None = None
    facts: Facts | None = None
    image: str | None = None
    attributes: Mapping[str, SampledValues | str] | None = None
    preview: SampledValues | str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is not known or was not asked for is left out."""
        known: dict[str, Any] = {
            "path": self.path,
            "name": self.name,
            "level": self.level,
            "kind": self.kind,
            "text": self.text or None,
            "members": self.members,
            "facts": asdict(self.facts) if self.facts else None,
            "image": self.image,
        }
        if self.attributes is not None:
            found = self.attributes.items()
            known["attributes"] = {
                name: _to_json(value) for name, value in found
            }
        if self.preview is not None:
            known["preview"] = _to_json(self.preview)
        return {key: value for key, value in known.items() if value is not None}


def _to_json(values: SampledValues | str) -> Value:
    return (
        {"unreadable": values} if isinstance(values, str) else values.to_json()
    )


@dataclass(frozen=True)
class Inspection:
    """What is in a file.

    Attributes:
        file: its path.
        file_bytes: its size.
        groups, datasets, links, unreadable: how many of them.
        logical_bytes, stored_bytes: sums over all datasets.
        nodes: the tree, parents first, down to the level that was asked for.
    """

    file: Path
    file_bytes: int
    groups: int
    datasets: int
    links: int
    unreadable: int
    logical_bytes: int
    stored_bytes: int
    nodes: Sequence[Node]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **vars(self),
            "nodes": [node.to_dict() for node in self.nodes],
        }


def inspect(
    path: Path,
    *,
    attrs: bool = False,
    previews: bool = False,
    max_level: int | None = None,
    bad: Mapping[str, PiperlineError] | None = None,
) -> Inspection:
    """Describe a file; nothing but what is told is read from its datasets.

    Args:
        path: the file.
        attrs: tell the attributes too.
        previews: tell the first values too.
        max_level: list objects down to this level; the sums are of the whole file.
        bad: why some datasets cannot be read, by their paths; unless it is None, each is announced
            before it is read (see `reading_at`).

    Raises:
        RecordingError: the file cannot be opened.
    """
    count: Counter[str] = Counter()
    nodes = []
    with open_file(path) as file:
        for met in walk(file.id):
            is_listed = max_level is None or met.level <= max_level
            entry = met if bad is None else _announced(met, path, bad)
            node = describe(
                entry,
                attrs=attrs and is_listed,
                previews=previews and is_listed,
                images=is_listed,
            )
            count[node.kind] += 1
            if node.facts:
                count["logical"] += node.facts.logical_bytes
                count["stored"] += node.facts.stored_bytes
            if is_listed:
                nodes.append(node)
    return Inspection(
        file=path,
        file_bytes=path.stat().st_size,
        groups=count["group"] - 1,
        datasets=count["dataset"],
        links=count["link"] + count["again"],
        unreadable=count["unreadable"],
        logical_bytes=count["logical"],
        stored_bytes=count["stored"],
        nodes=nodes,
    )


def _announced(
    entry: WalkedObject, file: Path, bad: Mapping[str, PiperlineError]
) -> WalkedObject:
    """An entry that is about to be read; what cannot be read is no object any more."""
    if entry.path not in bad:
        reading_at(Place(file=file, hdf5_path=entry.path))
        return entry
    why = bad[entry.path]
    text = f"{why.message}: {why.found}"
    return replace(entry, kind="unreadable", object=None, text=text)


def describe(
    entry: WalkedObject,
    *,
    attrs: bool = False,
    previews: bool = False,
    images: bool = True,
) -> Node:
    """Describe one object of a walk.

    Args:
        entry: the object.
        attrs: tell its attributes too.
        previews: tell its first values too.
        images: read its first row to see whether it is an image.
    """
    name = shown(entry.name)
    try:
        return Node(
            path=entry.path,
            name=name,
            level=entry.level,
            kind=entry.kind,
            text=printable(entry.text),
            attributes=attributes(entry.object)
            if attrs and entry.object is not None
            else None,
            **_contents(entry, previews=previews, images=images),
        )
    except Unreadable as error:
        return Node(entry.path, name, entry.level, "unreadable", error.message)


def _contents(
    entry: WalkedObject,
    *,
    previews: bool,
    images: bool,
) -> dict[str, Any]:
    """What only groups, or only datasets, have."""
    thing = entry.object
    if isinstance(thing, h5py.h5g.GroupID):
        with reading_h5py():
            return {"members": thing.get_num_objs()}
    if not isinstance(thing, h5py.h5d.DatasetID):
        return {}
    image = image_in(thing) if images else None
    return {
        "facts": facts(thing),
        "image": str(image) if image else None,
        "preview": _preview(thing) if previews else None,
    }


def _preview(dataset: Dataset) -> SampledValues | str:
    try:
        return preview(dataset)
    except RecordingError as error:
        return printable(error.message)

"""Look into an HDF5 file: every object once, what it is, what it takes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py

from piperline.errors import PiperlineError
from piperline.hdf5.cells import cells, clipped, padded
from piperline.hdf5.describe import WIDTH, Facts, attributes, facts, facts_and_picture, preview
from piperline.hdf5.objects import FAULTS, Dataset, Entry, shown, walk
from piperline.recordings.hdf5 import open_file
from piperline.text import printable, size_text

_WIDTH = 80
_NARROWEST = 40


@dataclass(frozen=True)
class Node:
    """An object or link as it is shown.

    Attributes:
        path: its path.
        name: the last part of it; a tampered name may hold a `/`.
        level: 0 for the file's root.
        kind: as in `piperline.hdf5.objects.Entry`.
        text: in words: where a link leads to, how many members a group has, what cannot be read.
        facts: of a dataset.
        picture: what the rows of a dataset show, if they are pictures.
        attributes: as text, by name; None if they were not asked for.
        preview: lines with the first few values; None if they were not asked for.
    """

    path: str
    name: str
    level: int
    kind: str
    text: str = ""
    facts: Facts | None = None
    picture: str | None = None
    attributes: Mapping[str, str] | None = None
    preview: Sequence[str] | None = None


@dataclass(frozen=True)
class Report:
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
        """For JSON: what is not known or was not asked for is left out."""
        known = asdict(self)
        known["nodes"] = [
            {k: v for k, v in entry.items() if v not in (None, "")} for entry in known["nodes"]
        ]
        return known


def inspect(
    path: Path, *, attrs: bool = False, previews: bool = False, max_level: int | None = None
) -> Report:
    """Describe a file; nothing but what is shown is read from its datasets.

    Args:
        path: the file.
        attrs: tell the attributes too.
        previews: tell the first values too.
        max_level: list objects down to this level; the sums are of the whole file.

    Raises:
        RecordingError: the file cannot be opened.
    """
    count: Counter[str] = Counter()
    nodes = []
    with open_file(path) as file:
        for entry in walk(file.id):
            listed = max_level is None or entry.level <= max_level
            made = node(
                entry, attrs=attrs and listed, previews=previews and listed, pictures=listed
            )
            count[made.kind] += 1
            if made.facts:
                count["logical"] += made.facts.logical_bytes
                count["stored"] += made.facts.stored_bytes
            if listed:
                nodes.append(made)
    return Report(
        path,
        path.stat().st_size,
        groups=count["group"] - 1,
        datasets=count["dataset"],
        links=count["link"] + count["again"],
        unreadable=count["unreadable"],
        logical_bytes=count["logical"],
        stored_bytes=count["stored"],
        nodes=nodes,
    )


def node(
    entry: Entry, *, attrs: bool = False, previews: bool = False, pictures: bool = True
) -> Node:
    """Describe one object of a walk."""
    try:
        return _node(entry, attrs=attrs, previews=previews, pictures=pictures)
    except FAULTS as error:
        return Node(entry.path, shown(entry.name), entry.level, "unreadable", printable(str(error)))


def _node(entry: Entry, *, attrs: bool, previews: bool, pictures: bool) -> Node:
    thing, found, picture, values = entry.object, None, None, None
    text = printable(entry.text)
    if isinstance(thing, h5py.h5g.GroupID):
        text = _plural(thing.get_num_objs(), "member")
    if isinstance(thing, h5py.h5d.DatasetID):
        found, picture = facts_and_picture(thing) if pictures else (facts(thing), None)
        values = _preview(thing, WIDTH - 2 * entry.level) if previews else None
    return Node(
        entry.path,
        shown(entry.name),
        entry.level,
        entry.kind,
        text,
        found,
        str(picture) if picture else None,
        attributes(thing) if attrs and thing is not None else None,
        values,
    )


def _preview(dataset: Dataset, width: int) -> list[str]:
    try:
        return preview(dataset, width=max(width, _NARROWEST))
    except PiperlineError as error:
        return [printable(error.message)]


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def report_lines(report: Report) -> Iterator[str]:
    """The sums, then the tree, in lines of at most 80 characters as far as names allow."""
    yield f"{printable(report.file.name)}: {size_text(report.file_bytes)}"
    parts = [(report.groups, "group"), (report.datasets, "dataset"), (report.links, "link")]
    counted = [_plural(count, what) for count, what in parts if count or what != "link"]
    sizes = (
        f"values of {size_text(report.logical_bytes)}, stored in {size_text(report.stored_bytes)}"
    )
    yield f"{', '.join(counted)}; {sizes}"
    if report.unreadable:
        yield f"{_plural(report.unreadable, 'object')} cannot be read: the file is damaged"
    yield ""
    for entry in report.nodes:
        yield from node_lines(entry)


def node_lines(entry: Node, *, level: int | None = None, width: int = 0) -> Iterator[str]:
    """The lines of one object.

    Args:
        entry: the object.
        level: how far to indent it; as far as it lies in the tree if None.
        width: of the longest name beside it, to align what follows.
    """
    indent = "  " * (entry.level if level is None else level)
    name = entry.name + ("/" if entry.kind == "group" else "")
    yield from _wrapped(indent + padded(name, width), _parts(entry), indent)
    for key, value in (entry.attributes or {}).items():
        yield from _wrapped(f"{indent}    @{key} =", value.split(" "), indent + "    ", gap=" ")
    for line in entry.preview or ():
        yield f"{indent}    | {line}"


def _parts(entry: Node) -> list[str]:
    if entry.facts:
        return [*str(entry.facts).split("  "), *filter(None, [entry.picture])]
    words = {
        "link": f"-> {entry.text}",
        "again": f"the same object as {entry.text}",
        "type": "named type",
    }
    words["unreadable"] = f"cannot be read: {entry.text}"
    return [words.get(entry.kind, entry.text)]


def _wrapped(line: str, parts: Sequence[str], indent: str, gap: str = "  ") -> Iterator[str]:
    for part in parts:
        if cells(line) + len(gap) + cells(part) > _WIDTH and line.strip():
            yield line
            line = clipped(indent + "      " + part, _WIDTH)
        else:
            line += gap + part
    yield line.rstrip()

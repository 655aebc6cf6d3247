"""Objects and values of HDF5 files, laid out for a terminal."""

import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, chop_cells, set_cell_size

from piperline.hdf5.describe import Facts
from piperline.hdf5.inspect import Inspection, Node
from piperline.hdf5.values import MOST_VALUES, SampledValues
from piperline.text import plural, printable, size_text

_NARROWEST = 40
_LONGEST_ATTRIBUTE = 300  # cells, in a tree
_NUMBERS_IN_A_TREE = 60
_PRECISION = 5


def name_text(name: bytes) -> str:
    """A stored name for people: control characters made visible."""
    return printable(name.decode("utf-8", "surrogateescape"))


# --- the tree of objects --------------------------------------------------------------------------


def report_lines(report: Inspection, width: int) -> Iterator[str]:
    """The sums, then the tree."""
    yield f"{printable(report.file.name)}: {size_text(report.file_bytes)}"
    parts = [
        plural(report.groups, "group"),
        plural(report.datasets, "dataset"),
    ]
    if report.links:
        parts.append(plural(report.links, "link"))
    logical, stored = (
        size_text(report.logical_bytes),
        size_text(report.stored_bytes),
    )
    yield f"{', '.join(parts)}; values of {logical}, stored in {stored}"
    if report.unreadable:
        yield f"{plural(report.unreadable, 'object')} cannot be read: the file is damaged"
    yield ""
    for node in report.nodes:
        yield from node_lines(node, width)


def node_lines(
    node: Node,
    width: int,
    *,
    level: int | None = None,
    names: int = 0,
    whole: bool = False,
) -> Iterator[str]:
    """The lines of one object.

    Args:
        node: the object.
        width: of the terminal, in cells; longer lines are wrapped.
        level: how far to indent it; as far as it lies in the tree if None.
        names: cells of the longest name beside it, to align what follows.
        whole: long attributes are not cut.
    """
    indent = "  " * (node.level if level is None else level)
    name = node.name + ("/" if node.kind == "group" else "")
    if cell_len(name) < names:
        name = set_cell_size(name, names)
    yield from _wrapped(indent + name, _parts(node), indent, width)
    room = max(width - len(indent) - 6, _NARROWEST)
    for key, value in (node.attributes or {}).items():
        yield from _attribute_lines(
            key, value, indent + "    ", width, whole=whole
        )
    if node.preview is not None:
        for line in values_lines(node.preview, room):
            yield f"{indent}    | {line}"


def _parts(node: Node) -> list[str]:
    """What is told of an object beside its name."""
    if node.kind == "link":
        return [f"-> {node.text}"]
    if node.kind == "again":
        return [f"the same object as {node.text}"]
    if node.kind == "type":
        return ["named type"]
    if node.members is not None:
        return [plural(node.members, "member")]
    if node.facts is None:
        return [node.text]
    return [
        *facts_parts(node.facts),
        *filter(None, [node.image]),
    ]


def facts_parts(facts: Facts) -> Iterator[str]:
    """Shape and type, storage, filters, sizes."""
    shape = "scalar" if facts.shape == () else str(facts.shape or "empty")
    yield f"{shape} {facts.dtype}"
    yield facts.storage
    if facts.filters:
        yield " ".join(facts.filters)
    size = size_text(facts.stored_bytes)
    if facts.stored_bytes < facts.logical_bytes:
        size += f" stored of {size_text(facts.logical_bytes)}"
    yield f"about {size}" if facts.estimated else size


def _attribute_lines(
    name: str,
    value: SampledValues | str,
    indent: str,
    width: int,
    *,
    whole: bool,
) -> Iterator[str]:
    text = attribute_text(value, whole=whole)
    yield from _wrapped(
        f"{indent}@{name} =", text.split(" "), indent, width, gap=" "
    )


def attribute_text(value: SampledValues | str, *, whole: bool = False) -> str:
    """An attribute on one line; a long one is cut with a sign, unless it is wanted whole."""
    if isinstance(value, str):
        return f"({value})"
    if value.shape is None:
        return "empty"
    if value.numbers is not None:
        most = sys.maxsize if whole else _NUMBERS_IN_A_TREE
        text = " ".join(
            _number_text(
                value.numbers,
                sys.maxsize,
                most,
            ).split()
        )
        return (
            f"{text}  ({value.numbers.size:,} numbers)"
            if value.numbers.size > most
            else text
        )
    text = ", ".join(map(printable, value.texts))
    if whole or cell_len(text) <= _LONGEST_ATTRIBUTE:
        return text
    begin, count = (
        chop_cells(text, _LONGEST_ATTRIBUTE)[0],
        sum(map(len, value.texts)),
    )
    return f"{begin}…  ({count:,} characters in all)"


def _wrapped(
    line: str, parts: Sequence[str], indent: str, width: int, gap: str = "  "
) -> Iterator[str]:
    """Put parts behind the beginning of a line; those that find no room begin a new one."""
    deeper = indent + "      "
    room = max(width - len(deeper), _NARROWEST)
    for part in parts:
        if (
            not line.strip()
            or cell_len(line) + len(gap) + cell_len(part) <= width
        ):
            line += gap + part
            continue
        yield line.rstrip()
        *full, rest = chop_cells(part, room) or [""]
        yield from (deeper + piece for piece in full)
        line = deeper + rest
    yield line.rstrip()


# --- values ---------------------------------------------------------------------------------------


def values_lines(
    values: SampledValues | str, width: int, *, whole: bool = False
) -> Iterator[str]:
    """Values, and a sign if there are more of them.

    Args:
        values: them, or why they cannot be read.
        width: of the lines, in cells.
        whole: long texts are not cut.
    """
    if isinstance(values, str):
        yield values
        return
    if values.shape is None:
        yield "empty"
        return
    if values.numbers is not None:
        yield from _number_text(values.numbers, width, MOST_VALUES).splitlines()
    elif not values.texts:
        yield "no values"
    for text in values.texts:
        yield from (
            map(printable, text.splitlines() or [""])
            if whole
            else [_cut(text, width)]
        )
    if values.is_cut and values.taken:
        yield f"… {_product(values.taken)} of {_product(values.shape)} values"


def _product(shape: Sequence[int]) -> str:
    return " x ".join(f"{count:,}" for count in shape)


def _cut(text: str, width: int) -> str:
    shown = printable(text)
    if cell_len(shown) <= width:
        return shown
    sign = f"…  ({len(text):,} characters)"
    return (
        chop_cells(
            shown,
            max(width - len(sign), 1),
        )[0]
        + sign
    )


def _number_text(
    numbers: NDArray[np.generic],
    width: int,
    most: int,
) -> str:
    """Numbers in brackets; with all their digits where with fewer, different ones look alike."""
    text = np.array2string(
        numbers,
        max_line_width=width,
        precision=_PRECISION,
        threshold=most,
        floatmode="maxprec",
    )
    if numbers.dtype.kind != "f" or numbers.size > most:
        return text
    told_apart = set(re.findall(r"[^\s\[\]]+", text))
    if len(told_apart) >= len(np.unique(numbers)):
        return text
    return np.array2string(
        numbers,
        max_line_width=width,
        threshold=most,
        formatter={"float_kind": str},
    )

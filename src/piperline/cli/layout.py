"""`piperline layout`: the layouts there are, drafts of new ones, and whether one fits."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.errors import PiperlineError, Place
from piperline.recordings.layout import (
    builtin_layouts,
    layout_text,
    load_layout,
)
from piperline.recordings.reader import Reader, over_parts
from piperline.text import few_of_each, printable

if TYPE_CHECKING:
    from piperline.recordings.check import CheckedEpisode, LayoutCheck

Flag = Parameter(negative=())


def list_layouts() -> None:
    """List the built-in layouts."""
    output = Output()
    names = builtin_layouts()
    width = max(map(len, names))
    for name in names:
        output.data(f"{name:{width}}  {load_layout(name).description}")


def show(name: str) -> None:
    """Print a built-in layout as TOML, to start one's own from.

    Args:
        name: a name from `piperline layout list`.
    """
    Output().data(layout_text(name).rstrip())


def draft(
    file: Annotated[Path, Parameter(name="FILE")],
    /,
) -> int:
    """Propose a layout for an HDF5 file: TOML on standard output, with what each line is told from.

    Args:
        file: a recording.
    """
    out = Output()
    with Reader() as read:
        from piperline.recordings.draft import draft_layout

        drafted = read(file, draft_layout, file)
    out.data(drafted.text.rstrip())
    if drafted.builtin:
        names = ", ".join(drafted.builtin)
        out.note(
            f"the built-in layout {names} fits this file as it is: no --layout is needed"
        )
    for question in drafted.questions:
        out.note(printable(f"question: {question}"))
    if drafted.problem:
        out.note(
            printable(f"the draft does not fit the file yet: {drafted.problem}")
        )
    return 3 if drafted.problem else 0


def check(
    layout: Annotated[str, Parameter(name="LAYOUT")],
    file: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    json: Annotated[bool, Flag] = False,
) -> int:
    """Hold a layout against an HDF5 file: what fits, what does not, what is left unused.

    Args:
        layout: a name from `piperline layout list`, or the path of a TOML file.
        file: a recording.
        json: print the result as JSON.
    """
    out, rules = Output(json_wanted=json), load_layout(layout)
    with Reader() as read:
        from piperline.recordings.check import check_layout

        found = over_parts(read, file, check_layout, rules, file)
    for line in _lines(found):
        out.data(printable(line))
    out.document(_document(found))
    return 3 if found.problems or found.first is None else 0


def _lines(found: "LayoutCheck") -> Iterator[str]:
    fitting = found.episodes - len(found.problems)
    yield f"{fitting} of {found.episodes} episodes fit"
    for name, reason in found.left_out.items():
        yield f"left out by the layout: {name}: {reason}"
    if found.first is not None:
        yield from _first(found.first)
    few, more = few_of_each(
        found.problems.items(), lambda problem: problem[1].message
    )
    for name, error in few:
        yield from _problem(name, error)
    for message, count in more.items():
        yield f"and {count:,} more like these, which --json names: {message}"


def _problem(name: str, error: PiperlineError) -> Iterator[str]:
    where = error.place or Place()
    inside = f" ({where.hdf5_path})" if where.hdf5_path else ""
    yield f"does not fit: {name}: {error.message}{inside}"
    for label, text in (("expected", error.expected), ("found", error.found)):
        if text:
            yield f"  {label}: {text}"


def _first(first: "CheckedEpisode") -> Iterator[str]:
    header = first.header
    yield f"{first.name}: {header.length} frames, {first.layout.fps} a second"
    yield f"  instruction: {header.task or header.no_task or 'none: give it with --task'}"
    for key, rule in first.layout.vectors.items():
        yield f"  {key}: {len(rule.names or ())} dimensions of {', '.join(first.sources[key])}"
    for name, camera in header.cameras.items():
        size = f"{camera.width}x{camera.height}"
        yield f"  camera {name}: {size}, {camera.kind}, {camera.color}"
    for note in header.notes:
        yield f"  note: {note}"
    for one in first.unused:
        why = f"left out, {one.reason}" if one.reason else "not used"
        yield f"  {why}: {one.path}, {one.shape}"


def _document(found: "LayoutCheck") -> dict[str, object]:
    first = found.first
    return {
        "episodes": found.episodes,
        "left_out": dict(found.left_out),
        "first": {
            "name": first.name,
            **asdict(first.header),
            "fps": first.layout.fps,
            "vectors": {
                key: rule.names for key, rule in first.layout.vectors.items()
            },
            "sources": dict(first.sources),
            "unused": [asdict(one) for one in first.unused],
        }
        if first
        else None,
        "problems": {
            name: str(error) for name, error in found.problems.items()
        },
    }

"""plan.toml: what is to be done to some episodes before they become a dataset. Written by review, edited by people.

    version = 1

    [[drop]]                            the episode is left out
    file = "day1/session_2.hdf5"        the recording as it is told from others
    episode = "episode_3"
    key = "5f0c..."                     of the content that was reviewed: another one is refused
    reason = "the episode is there twice"

    [[trim]]                            only the frames from keep[0] up to, and without, keep[1]
    keep = [45, 210]

    [[instruction]]                     another text
    text = "put the cup on the tray"

    [[color]]                           red and blue of a camera are exchanged back
    camera = "mid"

    [[without_camera]]                  the camera is left out of the whole dataset; no file, episode or key
    camera = "left_wrist"

Every entry but the last names file, episode and key; each may give a reason.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from piperline.errors import Place, UsageError
from piperline.text import printable

Kind = Literal["drop", "trim", "instruction", "color", "without_camera"]
KINDS: tuple[Kind, ...] = ("drop", "trim", "instruction", "color", "without_camera")
VERSION = 1

_OF_EPISODE = ("file", "episode", "key")
_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "drop": _OF_EPISODE,
    "trim": (*_OF_EPISODE, "keep"),
    "instruction": (*_OF_EPISODE, "text"),
    "color": (*_OF_EPISODE, "camera"),
    "without_camera": ("camera",),
}
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Entry:
    """One thing that is to be done.

    Attributes:
        kind: what.
        file, episode, key: to which episode; empty where the whole dataset is meant.
        keep: of `trim`: half-open frames.
        text: of `instruction`.
        camera: of `color` and `without_camera`.
        reason: why, for people.
        certain: whether it is done; the others stand in the file as comments.
    """

    kind: Kind
    file: str = ""
    episode: str = ""
    key: str = ""
    keep: tuple[int, int] | None = None
    text: str = ""
    camera: str = ""
    reason: str = ""
    certain: bool = True


def plan_text(entries: Sequence[Entry], head: str) -> str:
    """The entries as TOML; those that are not certain as comments.

    Args:
        entries: in the order in which they are told.
        head: a comment at the start, a line each.
    """
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    lines += ["", f"version = {VERSION}"]
    for entry in entries:
        mark = "" if entry.certain else "# "
        lines += ["", *(mark + line for line in _lines(entry))]
    return "\n".join(lines) + "\n"


def _lines(entry: Entry) -> Iterator[str]:
    yield f"[[{entry.kind}]]"
    for name in _FIELDS[entry.kind]:
        value = getattr(entry, name)
        yield f"{name} = {list(value) if isinstance(value, tuple) else _quoted(value)}"
    if entry.reason:
        yield f"reason = {_quoted(entry.reason)}"


def _quoted(text: str) -> str:
    """A TOML string of one line: what is not printable as escapes."""
    whole = text.encode("utf-8", "replace").decode()  # a name from a file need not be UTF-8
    escaped = whole.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def read_plan(path: Path) -> list[Entry]:
    """Read a plan.

    Raises:
        UsageError: it is missing, or no plan.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _wrong(path, "it is too large", f"{path.stat().st_size} bytes")
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _wrong(path, "there is no such file", "nothing") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(path, "it is not TOML", printable(str(error))) from error
    if document.pop("version", None) != VERSION:
        raise _wrong(path, f"it needs the line version = {VERSION}", "another, or none")
    unknown = [name for name in document if name not in KINDS]
    if unknown:
        raise _wrong(path, f"its tables are {', '.join(KINDS)}", printable(", ".join(unknown)))
    return [
        _entry(path, kind, given, number)
        for kind in KINDS
        for number, given in enumerate(_tables(path, kind, document.get(kind, [])), 1)
    ]


def _tables(path: Path, kind: Kind, given: object) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise _wrong(path, f"entries begin with [[{kind}]]", "a table or a value of that name")
    return given


def _entry(path: Path, kind: Kind, given: Mapping[str, Any], number: int) -> Entry:
    known = _FIELDS[kind]
    missing = [name for name in known if name not in given]
    more = [name for name in given if name not in (*known, "reason")]
    if missing or more:
        found = f"without {', '.join(missing)}" if missing else f"with {', '.join(map(printable, more))}"
        raise _wrong(path, f"{kind} has {', '.join(known)}, and perhaps reason", f"{kind} {number} {found}")
    for name, value in given.items():
        fits = _is_span(value) if name == "keep" else isinstance(value, str)
        if not fits:
            expected = "keep = [first, end], whole numbers" if name == "keep" else f"{name} is a text"
            raise _wrong(path, expected, f"{kind} {number}: {printable(repr(value))}")
    if kind == "instruction" and not given["text"].strip():
        raise _wrong(path, "an instruction has a text", f"instruction {number} is empty")
    values = {name: tuple(value) if name == "keep" else value for name, value in given.items()}
    return Entry(kind, **values)


def _is_span(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - first and end
        return False
    return all(type(part) is int for part in value) and 0 <= value[0] < value[1]


def _wrong(path: Path, expected: str, found: str) -> UsageError:
    return UsageError(
        "the plan cannot be carried out",
        place=Place(file=path),
        expected=expected,
        found=found,
        next_step="mend it, or write it anew with `piperline review`",
    )

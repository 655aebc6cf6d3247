"""plan.toml: what is done to episodes before they become a dataset.

Review writes it, people edit it.

[[episode]]
episode = "day1/session_2.hdf5:episode_3"   # the recording, and the episode
made_of = "5f0c0b8e3a..."                   # what was reviewed: other content is refused
drop = true                                 # it is left out
reason = "the episode is there twice"
finding = "episode-twice"

[[episode]]
episode = "day1/session_2.hdf5:episode_4"
made_of = "77aa31..."
trim = "45:210"                             # only these frames, half-open
instruction = "put the cup on the tray"     # another text
swap_red_blue = ["mid"]                     # red and blue of these cameras are exchanged back

[dataset]
drop_cameras = ["left_wrist"]               # cameras that are left out of the whole dataset
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piperline.errors import Place, UsageError
from piperline.text import printable

_MOST_BYTES = 16 << 20
_SPAN = re.compile(r"(\d{1,9})?:(\d{1,9})?")
_EPISODE_KEYS = {
    "episode": str,
    "made_of": str,
    "drop": bool,
    "trim": str,
    "instruction": str,
    "swap_red_blue": list,
    "reason": str,
    "finding": str,
}


@dataclass(frozen=True)
class EpisodeEdit:
    """What is to be done to one episode.

    Attributes:
        episode: `address` of it; in a dataset its number.
        made_of: `fingerprint` of what was reviewed; empty where nobody looked.
        drop: leave it out.
        trim: keep only these frames, half-open; the end may be open.
        instruction: its new text.
        swap_red_blue: cameras whose red and blue are exchanged back.
        reason, finding: why, and the code.
        certain: whether it is done; the others stand in the file as comments.
    """

    episode: str
    made_of: str = ""
    drop: bool = False
    trim: tuple[int, int | None] | None = None
    instruction: str | None = None
    swap_red_blue: tuple[str, ...] = ()
    reason: str = ""
    finding: str = ""
    certain: bool = True


@dataclass(frozen=True)
class EditPlan:
    """All that is to be done.

    Attributes:
        episodes: by `address`.
        drop_cameras: left out of the whole dataset.
    """

    episodes: Mapping[str, EpisodeEdit] = field(default_factory=dict)
    drop_cameras: tuple[str, ...] = ()


NO_EDITS = EditPlan()
"""Nothing is to be done."""


def address(source: str, name: str) -> str:
    """How a plan names an episode: by its recording, as that is told from others, and its name."""
    return f"{source}:{name}"


def fingerprint(
    source: str,
    size: int,
    mtime_ns: int,
    name: str,
) -> str:
    """What tells whether a recording has changed since.

    Args:
        source: the file as it is told from others.
        size: of the file, in bytes.
        mtime_ns: when the file was changed, in nanoseconds.
        name: of the episode.
    """
    text = json.dumps([source, size, mtime_ns, name])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


# --- writing -------------------------------------------------------------------------------------


def plan_text(
    edits: Sequence[EpisodeEdit],
    head: str,
    *,
    perhaps_drop_cameras: Mapping[str, str] | None = None,
) -> str:
    """A plan as TOML; what is not certain as comments.

    Args:
        edits: in the order in which they are told; of an episode at most one is certain.
        head: a comment at the start.
        perhaps_drop_cameras: cameras that may be left out, and why; comments too.
    """
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    for edit in edits:
        mark = "" if edit.certain else "# "
        lines += ["", *(mark + line for line in _lines(edit))]
    for camera, reason in (perhaps_drop_cameras or {}).items():
        lines += [
            "",
            f"# {quoted(reason)}",
            "# [dataset]",
            f"# drop_cameras = [{quoted(camera)}]",
        ]
    return "\n".join(lines) + "\n"


def _lines(edit: EpisodeEdit) -> Iterator[str]:
    yield "[[episode]]"
    number = edit.episode.isdecimal() and edit.episode.isascii()
    yield f"episode = {edit.episode if number else quoted(edit.episode)}"
    if edit.made_of:
        yield f"made_of = {quoted(edit.made_of)}"
    if edit.drop:
        yield "drop = true"
    if edit.trim:
        start, end = edit.trim
        yield f'trim = "{start}:{"" if end is None else end}"'
    if edit.instruction is not None:
        yield f"instruction = {quoted(edit.instruction)}"
    if edit.swap_red_blue:
        yield f"swap_red_blue = [{', '.join(map(quoted, edit.swap_red_blue))}]"
    yield f"reason = {quoted(edit.reason)}"
    yield f"finding = {quoted(edit.finding)}"


def quoted(text: str) -> str:
    """A TOML string of one line: what is not printable as escapes."""
    # a name from a file need not be UTF-8
    whole = text.encode("utf-8", "replace").decode()
    escaped = whole.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped)
        + '"'
    )


# --- reading -------------------------------------------------------------------------------------


def read_plan(path: Path) -> EditPlan:
    """Read a plan.

    Raises:
        UsageError: it is missing, or no plan; or it says two things of one episode.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _wrong(
                path, "a file of at most 16 MiB", f"{path.stat().st_size} bytes"
            )
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(path, "a TOML file", printable(str(error))) from error
    unknown = sorted(document.keys() - {"episode", "dataset"})
    if unknown:
        raise _wrong(
            path, "[[episode]] and [dataset]", printable(", ".join(unknown))
        )
    edits: dict[str, EpisodeEdit] = {}
    entries = document.get("episode", [])
    if not isinstance(entries, list):
        raise _wrong(
            path,
            "entries that begin with [[episode]]",
            "another value of that name",
        )
    for entry in entries:
        edit = _edit(path, entry)
        known = edits.get(edit.episode)
        edits[edit.episode] = (
            edit if known is None else _joined(path, known, edit)
        )
    return EditPlan(edits, _dropped_cameras(path, document.get("dataset", {})))


def _edit(path: Path, entry: object) -> EpisodeEdit:
    if isinstance(entry, dict) and type(entry.get("episode")) is int:
        entry = {**entry, "episode": str(entry["episode"])}
    if not isinstance(entry, dict) or not isinstance(
        entry.get("episode"),
        str,
    ):
        raise _wrong(
            path,
            'episode = "FILE:NAME" in each [[episode]]',
            printable(repr(entry))[:200],
        )
    where = printable(entry["episode"])
    for name, value in entry.items():
        kind = _EPISODE_KEYS.get(name)
        if kind is None or type(value) is not kind:
            found = f"{printable(name)} = {printable(repr(value))[:100]}, of {where}"
            raise _wrong(
                path,
                ", ".join(
                    f"{n} ({k.__name__})" for n, k in _EPISODE_KEYS.items()
                ),
                found,
            )
    values = dict(entry)
    if "trim" in values:
        values["trim"] = _span(path, where, values["trim"])
    if "swap_red_blue" in values:
        values["swap_red_blue"] = _texts(path, where, values["swap_red_blue"])
    if not values.get("instruction", "text").strip():
        raise _wrong(path, "an instruction that is not empty", where)
    return EpisodeEdit(**values)


def _span(
    path: Path,
    where: str,
    text: str,
) -> tuple[int, int | None]:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise _wrong(
            path,
            'trim = "FIRST:END", frames',
            f"{printable(text)!r}, of {where}",
        )
    start, end = (int(part) if part else None for part in match.groups())
    if end is not None and end <= (start or 0):
        raise _wrong(
            path,
            "a trim that leaves frames",
            f"{printable(text)!r}, of {where}",
        )
    return start or 0, end


def _texts(
    path: Path,
    where: str,
    values: Sequence[Any],
) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise _wrong(
            path, "a list of names", f"{printable(repr(values))}, of {where}"
        )
    return tuple(values)


def _joined(path: Path, one: EpisodeEdit, other: EpisodeEdit) -> EpisodeEdit:
    """Two entries of one episode as one."""
    changes: dict[str, Any] = {}
    for name in _EPISODE_KEYS:
        first, second = getattr(one, name), getattr(other, name)
        if (
            first
            and second
            and first != second
            and name not in {"reason", "finding"}
        ):
            found = f"two values of {name} for {printable(one.episode)}"
            raise _wrong(path, "one change of each kind for an episode", found)
        changes[name] = first or second
    return EpisodeEdit(**changes)


def _dropped_cameras(path: Path, given: object) -> tuple[str, ...]:
    if not isinstance(given, dict) or given.keys() - {"drop_cameras"}:
        raise _wrong(
            path, "drop_cameras in [dataset]", printable(repr(given))[:200]
        )
    cameras = given.get("drop_cameras", [])
    if not isinstance(cameras, list):
        raise _wrong(
            path, 'drop_cameras = ["NAME"]', printable(repr(cameras))[:200]
        )
    return _texts(path, "[dataset]", cameras)


def _wrong(path: Path, expected: str, found: str) -> UsageError:
    return UsageError(
        "the plan cannot be read",
        place=Place(file=path),
        expected=expected,
        found=found,
        next_step="mend it, or write it anew with `piperline review`",
    )

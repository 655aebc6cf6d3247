"""A first layout for the file of an unknown recorder: what is told, from what, what is asked."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from piperline.errors import LayoutError, PiperlineError, Place
from piperline.recordings.detect import fitting_layouts
from piperline.recordings.layout import layout_text, parse_layout
from piperline.recordings.recording import Recording
from piperline.recordings.survey import Survey, Surveyed, survey
from piperline.text import natural_key, printable

_ACTION = (
    "action",
    "command",
    "cmd",
    "master",
    "leader",
    "target",
    "control",
    "goal",
)
_STATE = (
    "state",
    "qpos",
    "puppet",
    "follower",
    "slave",
    "proprio",
    "position",
    "pos",
    "joint",
    "gripper",
)
_OTHER = (
    "vel",
    "effort",
    "torque",
    "current",
    "reward",
    "done",
    "force",
    "accel",
    "next",
)
_PREFERRED = ("joint", "qpos", "position")
_INSTRUCTION = (
    "instruction",
    "task",
    "language",
    "prompt",
    "description",
    "text",
    "command",
)
_LENGTH = (
    "length",
    "len",
    "size",
    "num",
    "frames",
    "steps",
    "samples",
    "count",
)
_RATE = ("fps", "freq", "frequency", "hz", "rate")
_PLAIN = ("color", "colors", "rgb", "data", "image", "images", "img", "frames")
_ARM = 5  # joints that a robot has at least
_DEGREES, _TURNS = 7.0, 400.0


@dataclass(frozen=True)
class Draft:
    """A layout for a file.

    Attributes:
        text: TOML, with what each line is told from.
        builtin: the built-in layouts that fit as they are.
        questions: what the file does not tell.
        problem: why the draft does not fit the file, if it does not.
    """

    text: str
    builtin: tuple[str, ...]
    questions: tuple[str, ...]
    problem: str | None = None


def draft_layout(path: Path) -> Draft:
    """Propose a layout for a file: the built-in one if it fits, else one of what the file holds.

    Raises:
        RecordingError: the file cannot be opened, or holds nothing that could be converted.
    """
    fitting = [layout.name for layout in fitting_layouts(path)]
    if fitting:
        return Draft(layout_text(fitting[0]), tuple(fitting), ())
    drafted = _Draft(survey(path), path)
    text = "\n".join(drafted.lines()) + "\n"
    return Draft(
        text,
        (),
        tuple(drafted.questions),
        _problem(text, path),
    )


def _problem(text: str, path: Path) -> str | None:
    """What is wrong with a drafted layout, tried on the first episode."""
    try:
        with Recording(
            path, parse_layout(text, Place(file="the draft"))
        ) as recording:
            recording.episode(recording.episodes()[0]).header()
    except PiperlineError as error:
        return " ".join(str(error).split())
    return None


class _Draft:
    """The lines of a layout, and questions on the way."""

    def __init__(self, found: Survey, path: Path) -> None:
        self.questions: list[str] = []
        self._found = found
        self._path = path
        self._unused = {one.path for one in found.datasets}
        numbers = [one for one in found.datasets if _is_vector(one)]
        self._action = _chosen(numbers, _ACTION, ())
        rest = [
            one
            for one in numbers
            if one not in self._action and not _names(one, _OTHER)
        ]
        self._state = _chosen(rest, _STATE, _ACTION)
        images = [
            one
            for one in found.datasets
            if one.kind in {"images", "image files"}
        ]
        self._cameras = [
            one for one in images if not _names(one, ("depth", *_OTHER))
        ]

    def lines(self) -> Iterator[str]:
        name = (
            re.sub(r"[^A-Za-z0-9_.-]+", "_", self._path.stem).strip("._-")
            or "recorder"
        )
        yield f"# Drafted from {printable(self._path.name)}: look it over, above all where it asks."
        yield f'name = "{name}"'
        yield 'robot_type = "my_robot"  # LeRobot\'s name for the robot'
        body = [
            *self._episodes(),
            *self._time(),
            *self._task(),
            *self._vectors(),
            *self._camera_lines(),
            *self._rest(),
        ]
        yield from body
        if self.questions:
            yield ""
            yield from (
                printable(f"# QUESTION: {question}")
                for question in self.questions
            )

    # --- parts ------------------------------------------------------------------------------------

    def _episodes(self) -> Iterator[str]:
        found = self._found
        yield ""
        yield "[episodes]"
        yield f"at = {_quoted(found.at)}  # {printable(found.evidence)}, {found.episodes} in all"
        if found.ends:
            self._unused.discard(found.ends)
            yield f"ends = {_quoted(found.ends)}  # true in the last row of an episode"
            return
        used = [*self._action, *self._state, *self._cameras]
        counts = sorted({one.rows for one in used})
        length = self._length_reference(counts)
        if length is not None:
            yield f"length = {_quoted(length[0])}  # {length[1]}"
        elif len(counts) > 1:
            known = ", ".join(map(str, counts))
            yield f'length = "shortest"  # the datasets have {known} rows'

    def _length_reference(
        self, counts: Sequence[int]
    ) -> tuple[str, str] | None:
        if not counts:
            return None
        for reference, value in self._found.attributes.items():
            inside = reference.startswith("@") and _is_named(reference, _LENGTH)
            if (
                inside
                and _is_whole(value)
                and 1 <= int(str(value)) <= counts[0]
            ):
                return (
                    reference,
                    f"it is {value}, the datasets have {counts[0]} rows",
                )
        for one in self._found.datasets:
            whole = one.rows == 0 and one.low == int(one.low)
            if (
                whole
                and _is_named(one.path, _LENGTH)
                and 1 <= one.low <= counts[0]
            ):
                self._unused.discard(one.path)
                return (
                    one.path,
                    f"it is {int(one.low)}, the datasets have {counts[0]} rows",
                )
        return None

    def _time(self) -> Iterator[str]:
        for reference, value in self._found.attributes.items():
            if _is_named(reference, _RATE) and _is_rate(value):
                yield from (
                    "",
                    "[time]",
                    f"rate = {_quoted(reference)}  # it is {value}",
                )
                return
        for one in self._found.datasets:
            if (
                not one.rows
                and _is_named(one.path, _RATE)
                and 1 <= one.low <= 1000  # noqa: PLR2004
            ):
                self._unused.discard(one.path)
                yield from (
                    "",
                    "[time]",
                    f"rate = {_quoted(one.path)}  # it is {one.low:g}",
                )
                return
        stamps = [one for one in self._found.datasets if one.kind == "times"]
        seconds = [one for one in stamps if 1 <= _rate(one) <= 1000]  # noqa: PLR2004 - in seconds
        if seconds:
            self._unused.discard(seconds[0].path)
            yield from ("", "[time]")
            rate = f"about {_rate(seconds[0]):.1f} a second"
            yield f"timestamps = {_quoted(seconds[0].path)}  # {rate}"
            return
        self.questions.append(
            "how many frames a second? Nothing in the file tells: fps = 30, or --fps"
        )

    def _task(self) -> Iterator[str]:
        for reference, value in self._found.attributes.items():
            if _is_named(
                reference.rpartition("@")[2], _INSTRUCTION
            ) and _text_of(value):
                yield from ("", "[task]")
                yield f"text = {_quoted(reference)}  # {printable(_text_of(value))[:60]!r}"
                return
        for one in self._found.datasets:
            if one.kind == "text" and _is_named(one.path, _INSTRUCTION):
                self._unused.discard(one.path)
                yield from ("", "[task]")
                yield f"text = {_quoted(one.path)}  # {printable(one.text)[:60]!r}"
                return
        yield from (
            "",
            "# No instruction was found: give it with --task, or see [task] in docs/layouts.md.",
        )

    def _vectors(self) -> Iterator[str]:
        if not self._state and not self._action:
            raise LayoutError(
                "nothing in the file looks like a vector of a robot",
                place=Place(file=self._path),
                expected="numbers, a row for each frame",
                found="no such dataset",
                next_step=f"look into it: piperline hdf5 inspect {shlex.quote(str(self._path))}",
            )
        if not self._state:
            self._state, self._action = self._action, []
            names = ", ".join(printable(one.path) for one in self._state)
            self.questions.append(
                f"is this the state, or what the robot was told: {names}?"
            )
        yield from self._vector("observation.state", self._state)
        if self._action:
            yield from self._vector("action", self._action)
            return
        self.questions.append(
            "what is the action? None was recognised: the next state is taken"
        )
        yield from ("", "[vectors.action]")
        yield 'next_of = "observation.state"  # no dataset looks like an action'

    def _vector(
        self,
        key: str,
        parts: Sequence[Surveyed],
    ) -> Iterator[str]:
        table = f'[vectors."{key}"]' if "." in key else f"[vectors.{key}]"
        yield from ("", table)
        self._unused -= {one.path for one in parts}
        self._ask_unit(key, parts)
        if len(parts) == 1:
            one = parts[0]
            yield f"path = {_quoted(one.path)}  # {one.evidence}"
            yield f"names = {_quoted(_name(one.path, parts) + '_{n}')}"
            yield f"size = {one.width}"
            return
        yield "parts = ["
        for one in parts:
            name = _name(one.path, parts)
            names = name + "_{n}" if one.width > 1 else name
            yield (
                f"    {{ path = {_quoted(one.path)}, names = {_quoted(names)},"
                f" size = {one.width}, group = {_quoted(name)} }},  # {one.evidence}"
            )
        yield "]"

    def _ask_unit(self, key: str, parts: Sequence[Surveyed]) -> None:
        for one in parts:
            largest = max(abs(one.low), abs(one.high))
            if largest > _TURNS:
                guess = 'thousandths of a degree (unit = "0.001 deg") or of a millimetre'
            elif largest > _DEGREES:
                guess = 'degrees (unit = "deg"), or millimetres'
            else:
                continue
            self.questions.append(
                f"{key}: {one.path} reaches {largest:.4g}: is it in {guess}?"
            )

    def _camera_lines(self) -> Iterator[str]:
        for one in self._cameras:
            name = _name(one.path, self._cameras)
            self._unused.discard(one.path)
            yield from (
                "",
                f"[cameras.{name}]",
                f"path = {_quoted(one.path)}  # {one.evidence}",
            )
            yield 'color = "rgb"'
        storages = {one.storage or "jpeg" for one in self._cameras}
        if "raw" in storages:
            self.questions.append(
                'are the raw images in the order rgb, or as OpenCV has them, "bgr"?'
            )
        if storages - {"raw"}:
            self.questions.append(
                'are red and blue of the images right? If not: "swapped-jpeg"'
            )
        if self._cameras:
            self.questions.append(f"look: {_look(self._path)}")
        if not self._cameras:
            yield from ("", "# No camera was recognised.")

    def _rest(self) -> Iterator[str]:
        rest = [one for one in self._found.datasets if one.path in self._unused]
        if rest:
            yield from ("", "# Not used:")
        for one in rest[:40]:
            yield printable(f"#   {one.path}: {one.shape}, {one.evidence}")


def _look(path: Path) -> str:
    file = shlex.quote(str(path))
    return f"piperline hdf5 frames {file} --layout DRAFT --episode NAME --output sheet.png"


def _chosen(
    found: Sequence[Surveyed], wanted: Sequence[str], refused: Sequence[str]
) -> list[Surveyed]:
    """The datasets that make a vector: those named so, and of one kind where there are several."""
    others = (*refused, *_OTHER)
    named = [
        one for one in found if _names(one, wanted) and not _names(one, others)
    ]
    whole = [one for one in named if _is_named(_last(one), wanted)]
    groups = {_folder(one) for one in named}
    single = len(named) > 1 and len(groups) == len(whole) == 1
    if single and whole[0].width > 1:
        return whole
    for word in _PREFERRED:
        kind = [one for one in named if word in _last(one).lower()]
        if any(one.width >= _ARM for one in kind):
            named = [
                one
                for one in named
                if one in kind or "gripper" in one.path.lower()
            ]
            break
    return _without_copies(named)


def _without_copies(named: list[Surveyed]) -> list[Surveyed]:
    """Without a dataset that is as wide as its neighbours together: the same numbers once more."""
    for one in named:
        others = [
            other
            for other in named
            if other is not one and _folder(other) == _folder(one)
        ]
        if len(others) > 1 and one.width == sum(
            other.width for other in others
        ):
            return [other for other in named if other is not one]
    return sorted(named, key=lambda one: natural_key(one.path))


def _folder(one: Surveyed) -> str:
    return one.path.rpartition("/")[0]


def _last(one: Surveyed) -> str:
    return one.path.rpartition("/")[2]


def _is_vector(one: Surveyed) -> bool:
    return one.kind == "numbers" or (
        one.kind == "flags" and "gripper" in one.path.lower()
    )


def _names(one: Surveyed, words: Sequence[str]) -> bool:
    return _is_named(one.path, words)


def _is_named(path: str, words: Sequence[str]) -> bool:
    """Whether a word of a path is one of `words`, or begins so."""
    parts = re.split(
        r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", path).lower()
    )
    return any(
        part.startswith(word) for part in parts for word in words if part
    )


def _name(path: str, among: Sequence[Surveyed]) -> str:
    """A name for a dataset: the end of its path, as much of it as makes a difference."""
    others = [one.path for one in among if one.path != path]
    parts = _telling(path)
    for count in range(1, len(parts) + 1):
        tail = parts[-count:]
        ends = [other.split("/")[-count:] for other in others]
        ends += [_telling(other)[-count:] for other in others]
        if tail not in ends:
            break
    name = re.sub(
        r"[^A-Za-z0-9_-]+",
        "_",
        "_".join(tail),
    ).strip("_-")
    return name.replace("{number}", "").strip("_") or "camera"


def _telling(path: str) -> list[str]:
    """The parts of a path, without those that every recorder uses."""
    parts = path.split("/")
    return [part for part in parts if part not in _PLAIN] or parts


def _rate(one: Surveyed) -> float:
    span = one.high - one.low
    return (one.rows - 1) / span if span > 0 else 0.0


def _is_whole(value: object) -> bool:
    return getattr(value, "size", 1) == 1 and str(value).lstrip("-").isdigit()


def _is_rate(value: object) -> bool:
    number = np.asarray(value).ravel()
    fits = number.dtype.kind in "fiu" and number.size == 1
    return fits and 1 <= float(number[0]) <= 1000  # noqa: PLR2004 - frames a second


def _text_of(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip() if isinstance(value, str) else ""


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

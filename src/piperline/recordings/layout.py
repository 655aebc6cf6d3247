"""Layouts: what recordings of one kind hold and what it becomes, declared as data.

The built-in ones lie in `recordings/layouts/*.toml`; any other TOML file of the same form works as
well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piperline.errors import LayoutError, Place
from piperline.files import read_plain
from piperline.recordings.document import of_type
from piperline.recordings.rules import (
    HIGHEST_RATE,
    CameraRule,
    EpisodeRule,
    Rule,
    SignsRule,
    TaskRule,
    TimeRule,
    below,
    check_names,
)
from piperline.recordings.vector_rules import VectorRule
from piperline.text import plural, printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MAX_LAYOUT_BYTES = 1 << 20
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Layout(Rule):
    """What recordings of one kind hold.

    Attributes:
        name: how it is called.
        description: what it is for, one line.
        robot_type: LeRobot's name for the robot.
        fps: frames a second, where the recording tells none.
        episodes, task, time: where episodes, their instructions and times are.
        vectors: by feature name, in order: `observation.state`, `action`, ...
        cameras: by camera name, in order; the feature is `observation.images.NAME`. A name with a
            `*` goes with a path that holds a `*`.
        left_out: paths of datasets that are left out on purpose, and why.
        signs: what tells recordings of this kind from others.
    """

    name: str
    description: str = ""
    robot_type: str
    fps: int = 30
    episodes: EpisodeRule
    task: TaskRule | tuple[TaskRule, ...] = ()
    time: TimeRule = field(default_factory=TimeRule)
    vectors: Mapping[str, VectorRule]
    cameras: Mapping[str, CameraRule] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    signs: SignsRule = field(default_factory=SignsRule)

    def __post_init__(self) -> None:
        """See that names and paths fit together."""
        check_names([self.name, *self.vectors])
        check_names(name.replace("*", "_") for name in self.cameras)
        if not self.vectors:
            raise ValueError(
                "there must be vectors: what the robot measured and was told"
            )
        if not 1 <= self.fps <= HIGHEST_RATE:
            raise ValueError(
                f"fps must be from 1 to {HIGHEST_RATE}, not {self.fps}"
            )
        for path in self.left_out:
            below(path)
        for key, rule in self.vectors.items():
            self._check_vector(key, rule)
        for name, camera in self.cameras.items():
            if any(
                name.count("*") != path.count("*")
                for path in camera.paths or (camera.video or "",)
            ):
                raise ValueError(
                    f"camera {name}: a name with '*' goes with a path that holds a '*'"
                )

    def _check_vector(self, key: str, rule: VectorRule) -> None:
        if "image" in key:
            raise ValueError(
                f"vector {key}: LeRobot takes every feature with 'image' in its name for a camera"
            )
        if rule.next_of is None:
            return
        other = self.vectors.get(rule.next_of)
        if other is None or other.next_of:
            raise ValueError(
                f"vector {key}: next_of names a vector that is recorded"
            )

    @property
    def tasks(self) -> tuple[TaskRule, ...]:
        """The sources of instructions, in the order in which they are tried."""
        rules = self.task if isinstance(self.task, tuple) else (self.task,)
        return tuple(rule for rule in rules if rule.described != "nothing")

    @property
    def looks_beside(self) -> bool:
        """Whether texts, rates or videos may come from files beside the recordings."""
        texts = any(rule.file for rule in self.tasks)
        videos = any(rule.video for rule in self.cameras.values())
        return texts or videos or self.time.file is not None

    @property
    def content(self) -> dict[str, Any]:
        """What the bytes of an episode follow from: not names, groups, descriptions, nor the robot.

        A feature's name counts: it is that of a column.
        """
        vectors = {
            key: _without_names(asdict(rule))
            for key, rule in self.vectors.items()
        }
        return {
            "episodes": asdict(self.episodes),
            "time": asdict(self.time),
            "fps": self.fps if self.time.align else None,
            "vectors": list(vectors.items()),
            "cameras": [
                [name, asdict(rule)] for name, rule in self.cameras.items()
            ],
        }

    @property
    def drops_last(self) -> bool:
        """Whether a frame at the end has no next one, and is left out."""
        return any(
            rule.next_of and rule.last == "leave-out"
            for rule in self.vectors.values()
        )


def _without_names(rule: dict[str, Any]) -> dict[str, Any]:
    names = {"names", "group", "groups"}
    kept = {key: value for key, value in rule.items() if key not in names}
    kept["parts"] = [_without_names(part) for part in rule.get("parts", ())]
    return kept


def _folder() -> Path:
    return Path(__file__).with_name("layouts")


def builtin_layouts() -> list[str]:
    """The names of the built-in layouts, `piper` first: it is the default."""
    names = sorted(path.stem for path in _folder().glob("*.toml"))
    return sorted(names, key=lambda name: name != "piper")


def layout_text(name: str) -> str:
    """The TOML text of a built-in layout, to start one's own from.

    Raises:
        LayoutError: there is no layout of that name.
    """
    return _text(_find(name))


def load_layout(name: str | Path) -> Layout:
    """Read a layout: a built-in one by its name, any other by its path.

    Raises:
        LayoutError: there is none of that name, or the file is not a layout.
    """
    path = _find(str(name))
    return parse_layout(_text(path), Place(file=path))


def parse_layout(text: str, place: Place) -> Layout:
    """The layout that a TOML text declares.

    Raises:
        LayoutError: it is not a layout.
    """
    import tomllib

    from pydantic import ValidationError

    try:
        layout: Layout = _adapter().validate_python(
            _renamed(tomllib.loads(text))
        )
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LayoutError(
            f"the layout is not TOML: {error}",
            place=place,
            expected="TOML, as `piperline layout show piper` prints it",
            next_step="correct the file at that place",
        ) from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors()
        ]
        raise LayoutError(
            f"the layout is not complete or not consistent: {'; '.join(problems)}",
            place=place,
            expected="every key that a layout needs, and no other",
            found=plural(len(problems), "fault"),
            next_step="compare it with `piperline layout show piper`",
        ) from error
    return layout


def read_layout(document: object, place: Place) -> Layout:
    """The layout that a document holds, as `dataclasses.asdict` makes it.

    Args:
        document: values of JSON.
        place: where they come from, for errors.

    Raises:
        LayoutError: they are not a layout.
    """
    try:
        layout: Layout = of_type(document, Layout)
    except (ValueError, RecursionError) as error:
        raise LayoutError(
            "this is not a layout",
            place=place,
            expected="a layout, as a conversion writes it into its dataset",
            found=printable(str(error))[:_SHOWN],
            next_step="name the layout of the recordings: add --layout",
        ) from error
    return layout


@cache
def _adapter() -> "TypeAdapter[Layout]":
    from pydantic import TypeAdapter

    return TypeAdapter(Layout)


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the older names of two keys, which named an attribute of the episode."""
    for table, old, new in (
        ("episodes", "length_attribute", "length"),
        ("task", "attribute", "text"),
    ):
        rule = document.get(table)
        if isinstance(rule, dict) and isinstance(rule.get(old), str):
            rule[new] = "@" + rule.pop(old)
    return document


def _text(path: Path) -> str:
    try:
        return read_plain(path, _MAX_LAYOUT_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(
            "the layout cannot be read",
            place=Place(file=path),
            expected="a TOML file of at most 1 MiB that this user may read",
            found=printable(str(error)),
            next_step="start from a built-in one: "
            "piperline layout show piper > my_robot.toml",
        ) from error


def _find(name: str) -> Path:
    if name in builtin_layouts():
        return _folder() / f"{name}.toml"
    path = Path(name)
    if path.exists():
        return path
    near = get_close_matches(name, builtin_layouts(), n=1)
    raise LayoutError(
        f"there is no layout {name!r}, and no such file",
        expected="one of "
        + ", ".join(builtin_layouts())
        + ", or the path of a TOML file",
        next_step=f"did you mean `--layout {near[0]}`?"
        if near
        else "see `piperline layout list`",
    )

"""Layouts: what recordings of one kind hold and what it becomes, declared as data.

The built-in ones lie in `piperline/layouts/*.toml`; any other TOML file of the same form works as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal

from piperline.errors import LayoutError, Place
from piperline.text import printable

Color = Literal["rgb", "bgr", "swapped-jpeg"]
"""How the colours of recorded images are to be understood.

`rgb`: raw arrays in RGB order; JPEG and PNG as the standards say.
`bgr`: raw arrays in BGR order.
`swapped-jpeg`: JPEG or PNG made from an RGB array by an encoder that expected BGR: red and blue are exchanged.
"""


def _check_names(names: Mapping[str, object]) -> None:
    for name in names:
        if not name or any(not (c.isalnum() or c in "_.-") for c in name) or name in {".", ".."}:
            raise ValueError(f"the name {name!r}: names are letters, digits, '_', '-' and '.'")


def _inside(path: str) -> str:
    parts = path.strip("/").split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(
            "an HDF5 path names what lies below the episode, without '.', '..' or empty parts"
        )
    return "/".join(parts)


@dataclass(frozen=True)
class _Rule:
    """A part of a layout: a plain dataclass, so that worker processes need no pydantic; it reads them from files."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class EpisodeRule(_Rule):
    """Where the episodes of a file are.

    Attributes:
        at: `groups`: every top-level group is an episode; `file`: the file is one.
        length_attribute: the attribute of the episode that tells its number of frames; rows behind it are left
            out. Without one, the length is that of the shortest vector, and all must agree.
    """

    at: Literal["groups", "file"]
    length_attribute: str | None = None


@dataclass(frozen=True)
class TaskRule(_Rule):
    """Where an episode's task text is.

    Attributes:
        attribute: an attribute of the episode; None where only `--task` can tell.
    """

    attribute: str | None = None


@dataclass(frozen=True)
class VectorRule(_Rule):
    """A vector of numbers for each frame.

    Attributes:
        path: the dataset below the episode, float of any width, shape (>= length, len(names)).
        names: a name for each dimension.
        groups: named spans of dimensions, half-open; they become GR00T's modality groups.
    """

    path: str
    names: tuple[str, ...]
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See that it can be; a path loses the slashes around it."""
        object.__setattr__(self, "path", _inside(self.path))
        _check_names(self.groups)
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError("there must be names, and they must differ from each other")
        taken: set[int] = set()
        for name, (start, end) in self.groups.items():
            if not 0 <= start < end <= len(self.names):
                raise ValueError(
                    f"group {name} is {start}:{end}, outside the {len(self.names)} dimensions"
                )
            if taken & set(range(start, end)):
                raise ValueError(f"group {name} overlaps another group")
            taken |= set(range(start, end))


@dataclass(frozen=True)
class CameraRule(_Rule):
    """A camera, or with `*` as the last part of the path, every camera there under its own name.

    Attributes:
        path: the dataset below the episode.
        color: how its colours are to be understood.
        lengths: a dataset with the true length of each padded image, shape (cameras, >= length), used where it
            exists; its rows are matched by their values, since recorders do not agree on their order.
    """

    path: str
    color: Color = "rgb"
    lengths: str | None = None

    def __post_init__(self) -> None:
        """See that it can be; paths lose the slashes around them."""
        object.__setattr__(self, "path", _inside(self.path))
        if self.lengths is not None:
            object.__setattr__(self, "lengths", _inside(self.lengths))


@dataclass(frozen=True, kw_only=True)
class Layout(_Rule):
    """What recordings of one kind hold.

    Attributes:
        name: how it is called.
        description: what it is for, one line.
        robot_type: LeRobot's name for the robot.
        fps: frames a second.
        episodes, task: where episodes and their task texts are.
        vectors: by feature name, in order: `observation.state`, `action`, ...
        cameras: by camera name, in order; the feature is `observation.images.NAME`. The name `*` goes with a path
            that ends with `*`.
    """

    name: str
    description: str = ""
    robot_type: str
    fps: int = 30
    episodes: EpisodeRule
    task: TaskRule = TaskRule()
    vectors: Mapping[str, VectorRule]
    cameras: Mapping[str, CameraRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See that names and paths fit together."""
        _check_names(
            {
                self.name: None,
                **self.vectors,
                **{name: None for name in self.cameras if name != "*"},
            }
        )
        if not self.vectors:
            raise ValueError("there must be vectors: what the robot measured and was told")
        if self.fps <= 0:
            raise ValueError(f"fps must be above 0, not {self.fps}")
        for key in self.vectors:
            if "image" in key:
                raise ValueError(
                    f"vector {key}: LeRobot takes every feature with 'image' in its name for a camera"
                )
        for name, rule in self.cameras.items():
            if (name == "*") != rule.path.endswith("*") or "*" in rule.path.removesuffix("*"):
                raise ValueError(
                    f"camera {name}: the name '*' goes with a path that ends with '/*', and only there"
                )


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
    return _find(name).read_text(encoding="utf-8")


def load_layout(name: str | Path) -> Layout:
    """Read a layout: a built-in one by its name, any other by its path.

    Raises:
        LayoutError: there is none of that name, or the file is not a layout.
    """
    import tomllib

    from pydantic import TypeAdapter, ValidationError

    path = _find(str(name))
    try:
        return TypeAdapter(Layout).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LayoutError(f"the layout is not TOML: {error}", place=Place(file=path)) from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise LayoutError(
            f"the layout is not complete or not consistent: {problems}",
            place=Place(file=path),
            next_step="compare it with `piperline layout show piper`",
        ) from error


def read_layout(document: object, place: Place) -> Layout:
    """The layout that a document holds, as `dataclasses.asdict` makes it.

    Args:
        document: values of JSON.
        place: where they come from, for errors.

    Raises:
        LayoutError: they are not a layout.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Layout).validate_python(document)
    except ValidationError as error:
        raise LayoutError(
            "this is not a layout",
            place=place,
            found=printable(str(error.errors()[0]["msg"])),
            next_step="name the layout of the recordings: add --layout",
        ) from error


def _find(name: str) -> Path:
    if name in builtin_layouts():
        return _folder() / f"{name}.toml"
    path = Path(name)
    if path.is_file():
        return path
    near = get_close_matches(name, builtin_layouts(), n=1)
    raise LayoutError(
        f"there is no layout {name!r}, and no such file",
        expected="one of " + ", ".join(builtin_layouts()) + ", or the path of a TOML file",
        next_step=f"did you mean `--layout {near[0]}`?" if near else "see `piperline layout list`",
    )

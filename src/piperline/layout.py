"""Layouts: what recordings of one kind hold and what it becomes, declared as data.

The built-in ones lie in `piperline/layouts/*.toml`; any other TOML file of the same form works as well.
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from piperline.errors import LayoutError, Place

__all__ = [
    "CameraRule",
    "Color",
    "EpisodeRule",
    "Layout",
    "TaskRule",
    "VectorRule",
    "builtin_layouts",
    "layout_text",
    "load_layout",
]

Color = Literal["rgb", "bgr", "swapped-jpeg"]
"""How the colours of recorded images are to be understood.

`rgb`: raw arrays in RGB order; JPEG and PNG as the standards say.
`bgr`: raw arrays in BGR order.
`swapped-jpeg`: JPEG or PNG made from an RGB array by an encoder that expected BGR: red and blue are exchanged.
"""


def _one_component(name: str) -> str:
    if not name or name != name.strip() or any(not (c.isalnum() or c in "_.-") for c in name) or name in {".", ".."}:
        raise ValueError("names are letters, digits, '_', '-' and '.'")
    return name


def _inside(path: str) -> str:
    parts = path.strip("/").split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError("an HDF5 path names what lies below the episode, without '.', '..' or empty parts")
    return "/".join(parts)


Name = Annotated[str, AfterValidator(_one_component)]
InnerPath = Annotated[str, AfterValidator(_inside)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class EpisodeRule(_Rule):
    """Where the episodes of a file are.

    Attributes:
        at: `groups`: every top-level group is an episode; `file`: the file is one.
        length_attribute: the attribute of the episode that tells its number of frames; rows behind it are left
            out. Without one, the length is that of the shortest vector, and all must agree.
    """

    at: Literal["groups", "file"]
    length_attribute: str | None = None


class TaskRule(_Rule):
    """Where an episode's task text is.

    Attributes:
        attribute: an attribute of the episode; None where only `--task` can tell.
    """

    attribute: str | None = None


class VectorRule(_Rule):
    """A vector of numbers for each frame.

    Attributes:
        path: the dataset below the episode, float of any width, shape (>= length, len(names)).
        names: a name for each dimension.
        groups: named spans of dimensions, half-open; they become GR00T's modality groups.
    """

    path: InnerPath
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    groups: Mapping[Name, tuple[int, int]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _groups_lie_inside(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("names must differ from each other")
        taken: set[int] = set()
        for name, (start, end) in self.groups.items():
            if not 0 <= start < end <= len(self.names):
                raise ValueError(f"group {name} is {start}:{end}, outside the {len(self.names)} dimensions")
            if taken & set(range(start, end)):
                raise ValueError(f"group {name} overlaps another group")
            taken |= set(range(start, end))
        return self


class CameraRule(_Rule):
    """A camera, or with `*` as the last part of the path, every camera there under its own name.

    Attributes:
        path: the dataset below the episode.
        color: how its colours are to be understood.
        lengths: a dataset with the true length of each padded image, shape (cameras, >= length), used where it
            exists; its rows are matched by their values, since recorders do not agree on their order.
    """

    path: InnerPath
    color: Color = "rgb"
    lengths: InnerPath | None = None


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

    name: Name
    description: str = ""
    robot_type: str
    fps: Annotated[int, Field(gt=0)] = 30
    episodes: EpisodeRule
    task: TaskRule = TaskRule()
    vectors: Annotated[Mapping[Name, VectorRule], Field(min_length=1)]
    cameras: Mapping[Literal["*"] | Name, CameraRule] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_and_paths_fit(self) -> Self:
        for key in self.vectors:
            if "image" in key:
                raise ValueError(f"vector {key}: LeRobot takes every feature with 'image' in its name for a camera")
        for name, rule in self.cameras.items():
            if (name == "*") != rule.path.endswith("*") or "*" in rule.path.removesuffix("*"):
                raise ValueError(f"camera {name}: the name '*' goes with a path that ends with '/*', and only there")
        return self


def _folder() -> Path:
    return Path(str(resources.files("piperline") / "layouts"))


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
    path = _find(str(name))
    try:
        return Layout.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LayoutError(f"the layout is not TOML: {error}", place=Place(file=path)) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise LayoutError(
            f"the layout is not complete or not consistent: {problems}",
            place=Place(file=path),
            next_step="compare it with `piperline layout show piper`",
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

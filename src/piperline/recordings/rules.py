"""The parts of a layout: where episodes, instructions, numbers, cameras and times lie.

A *reference* names one value: `size` is a dataset of the episode, `@length` its attribute,
`robot@name` an attribute of a group below it; with a slash in front (`/data@total`) it is looked up
from the top of the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from piperline.video.depth_unit import DepthUnit

Color = Literal["rgb", "bgr", "swapped-jpeg"]
"""How the colours of recorded images are to be understood.

`rgb`: raw arrays in RGB order; JPEG and PNG as the standards say.
`bgr`: raw arrays in BGR order.
`swapped-jpeg`: JPEG or PNG made from an RGB array by an encoder that expected BGR: red and blue are
exchanged.
"""
Storage = Literal["jpeg", "png", "raw", "video"]

Mirrored = tuple[bool, bool]
"""Whether images are mirrored: top and bottom, left and right."""

HIGHEST_RATE = 1000
_FARTHEST_FOLDER = 8
_LONGEST_PATH = 500


def check_names(names: Iterable[str]) -> None:
    """See that names can be those of features and files.

    Raises:
        ValueError: one cannot.
    """
    for name in names:
        odd = [
            letter
            for letter in name
            if not (letter.isalnum() or letter in "_.-")
        ]
        if odd or name in {"", ".", ".."}:
            raise ValueError(
                f"the name {name!r}: names are letters, digits, '_', '-' and '.'"
            )


def below(path: str) -> str:
    """A path that stays below its root, without slashes around it.

    Raises:
        ValueError: it does not, or is absurdly long.
    """
    parts = path.strip("/").split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(
            f"{path!r}: a path names what lies below, without '.', '..' or empty parts"
        )
    if len(path) > _LONGEST_PATH or "\0" in path:
        raise ValueError(f"a path has at most {_LONGEST_PATH} characters")
    return "/".join(parts)


def _reference(reference: str) -> str:
    path, _, attribute = reference.partition("@")
    root = "/" if path.startswith("/") else ""
    if "@" in reference and not attribute:
        raise ValueError(
            f"{reference!r}: behind '@' stands the name of an attribute"
        )
    inside = below(path) if path.strip("/") else ""
    return f"{root}{inside}" + (f"@{attribute}" if attribute else "")


def paths_of(path: str | tuple[str, ...]) -> tuple[str, ...]:
    """One path or several, cleaned.

    Raises:
        ValueError: there is none, or one cannot be.
    """
    paths = (path,) if isinstance(path, str) else path
    cleaned = tuple(below(one) for one in paths)
    if not cleaned or any(one.count("*") > 1 for one in cleaned):
        raise ValueError(
            f"{path!r}: one path or several, each with at most one '*'"
        )
    return cleaned


def set_fields(rule: object, **values: object) -> None:
    """Give fields of a frozen rule other values while it is made."""
    for name, value in values.items():
        object.__setattr__(rule, name, value)


@dataclass(frozen=True)
class Rule:
    """A part of a layout: a plain dataclass, so that workers need no pydantic to have one."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class EpisodeRule(Rule):
    """Where the episodes of a file are, and which of them count.

    Attributes:
        at: `groups`: every top-level group is an episode; `file`: the file is one; a path with one
            `*` (`data/demo_*`): every group that matches; a path with `{number}`
            (`states_{number}`): every dataset that matches is one, and `{number}` in other paths
            stands for the same number.
        files: a pattern for the files below a folder, such as
            `**/success_episodes/**/trajectory.hdf5`.
        length: a reference to the number of frames; rows behind it are left out. `shortest`: the
            shortest dataset counts. Without one, all must have the same length.
        ends: a dataset that is true in the last row of an episode: a stream that is cut into
            episodes.
        where: references to values that must be true where they exist: other episodes are left out.
        listed_in: a reference to a list of the names of episodes, such as `/mask/train`: others are
            left out.
        at_least: episodes with fewer frames are left out.
    """

    at: str
    files: str | None = None
    length: str | None = None
    ends: str | None = None
    where: tuple[str, ...] = ()
    listed_in: str | None = None
    at_least: int = 1

    def __post_init__(self) -> None:
        """See that it can be."""
        known = self.at in {"groups", "file"}
        if not known and (self.at.count("*") + self.at.count("{number}")) != 1:
            raise ValueError(
                f"at = {self.at!r}: 'groups', 'file', a path with one '*', or one with '{{number}}'"
            )
        set_fields(
            self, at=below(self.at), where=tuple(map(_reference, self.where))
        )
        for name in ("length", "ends", "listed_in"):
            value = getattr(self, name)
            if value is not None:
                set_fields(self, **{name: _reference(value)})
        if self.files is not None:
            set_fields(self, files=below(self.files))
        if self.ends is not None and self.at != "file":
            raise ValueError("ends goes with at = 'file'")
        if self.at_least < 1:
            raise ValueError("at_least counts frames, from 1")


@dataclass(frozen=True, kw_only=True)
class TaskRule(Rule):
    """One source of an episode's instruction; several are tried in order, and then `--task`.

    Attributes:
        text: a reference to it.
        file: a text, JSON or .npy file in the recording's folder, or in one of four folders above
            it; `{stem}` stands for the recording's name without its suffix, `{number}` for the last
            number in it.
        key: the key of it in a JSON object; dots lead further down.
        choose: of several texts: the `first`, or the one `by-number`: that of the episode's number.
        folder: the name of a folder: 1 is that of the recording, 2 the one above; or a name: that
            of the folder in which a folder of this name lies, and the recording somewhere in that.
    """

    text: str | None = None
    file: str | None = None
    key: str | None = None
    choose: Literal["first", "by-number"] = "first"
    folder: int | str | None = None

    def __post_init__(self) -> None:
        """See that it can be."""
        sources = [self.text, self.file, self.folder]
        if sum(source is not None for source in sources) > 1:
            raise ValueError(
                "one of text, file and folder; several sources are several [[task]]"
            )
        if self.text is not None:
            set_fields(self, text=_reference(self.text))
        if self.file is not None:
            set_fields(self, file=below(self.file))
        if (
            isinstance(self.folder, int)
            and not 1 <= self.folder <= _FARTHEST_FOLDER
        ):
            raise ValueError(f"folder is a number from 1 to {_FARTHEST_FOLDER}")

    @property
    def described(self) -> str:
        """Where the text should be, for error messages."""
        if self.text is not None:
            path, _, attribute = self.text.partition("@")
            inside = f" of {path}" if path else ""
            return (
                f"the attribute {attribute}{inside}"
                if attribute
                else f"the dataset {path}"
            )
        if self.file is not None:
            return f"the file {self.file}"
        if isinstance(self.folder, str):
            return f"the name of the folder above {self.folder}"
        return (
            f"the name of folder {self.folder} above"
            if self.folder
            else "nothing"
        )


@dataclass(frozen=True, kw_only=True)
class CameraRule(Rule):
    """A camera; if its name holds a `*`, all whose paths match: `*` is the same in both.

    Attributes:
        path: the dataset below the episode; of several paths the first that exists. Its values are
            images, or names of image files in the recording's folder.
        video: instead of `path`: a video file in the recording's folder. `{stem}` stands for the
            recording's name without its suffix, `{episode}` for the episode's; one `*` in its last
            part for the names of cameras.
        color: how its colours are to be understood, or for each way of storing: `{ raw = "bgr",
            jpeg = "rgb" }`.
        lengths: a dataset with the true length of each padded image, shape (cameras, >= frames),
            used where it exists; its rows are matched by their values, since recorders do not agree
            on their order.
        leave_out: of `*`: names that are no cameras, or patterns of them.
        images_only: of `*`: datasets that hold no images are passed over.
        rename: of `*`: other names, by the recorded ones.
        rotate: degrees by which the recorded images are turned.
        flip: the recorded images are mirrored: left and right (`horizontal`), top and bottom
            (`vertical`).
        depth: the values are distances in this unit, one a pixel: arrays, or PNG of 16 bits.
        sizes: (height, width) of images that lie as plain bytes of RGB.
        optional: passed over in recordings without it.
        timestamps: the dataset with the time of each image; `*` stands for the same as in `path`.
    """

    path: str | tuple[str, ...] | None = None
    video: str | None = None
    color: Color | Mapping[Storage, Color] = "rgb"
    lengths: str | None = None
    leave_out: tuple[str, ...] = ()
    images_only: bool = False
    rename: Mapping[str, str] = field(default_factory=dict)
    rotate: Literal[0, 180] = 0
    flip: Literal["horizontal", "vertical"] | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    depth: DepthUnit | None = None
    optional: bool = False
    timestamps: str | None = None

    def __post_init__(self) -> None:
        """See that it can be; paths lose the slashes around them."""
        if self.depth and (self.video or self.sizes or self.color != "rgb"):
            raise ValueError("depth has a path, and neither color nor sizes")
        if (self.path is None) == (self.video is None):
            raise ValueError("one of path and video")
        if self.path is not None:
            paths = paths_of(self.path)
            set_fields(self, path=paths if len(paths) > 1 else paths[0])
        for name in ("lengths", "timestamps", "video"):
            value = getattr(self, name)
            if value is not None:
                set_fields(self, **{name: below(value)})
        check_names(self.rename.values())
        if any(
            not 1 <= side <= 1 << 14 for size in self.sizes for side in size
        ):
            raise ValueError("sizes are (height, width) in pixels")

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths, in the order in which they are tried."""
        return (self.path,) if isinstance(self.path, str) else self.path or ()

    @property
    def mirrored(self) -> Mirrored:
        """How the recorded images are mirrored: half a turn is both ways."""
        half = self.rotate != 0
        return half != (self.flip == "vertical"), half != (
            self.flip == "horizontal"
        )

    def recolored(self, color: Color) -> "CameraRule":
        """The rule with other colours; depth has none."""
        return self if self.depth else replace(self, color=color)

    def color_of(self, storage: Storage) -> Color:
        """How the colours of images that are stored in this way are to be understood."""
        if isinstance(self.color, str):
            return self.color
        return self.color.get(storage, "rgb")


@dataclass(frozen=True, kw_only=True)
class TimeRule(Rule):
    """What a recording tells about time.

    Attributes:
        rate: a reference to the frames a second.
        file: a JSON file in the recording's folder or above, with the rate under `key`.
        key: dots lead further down.
        timestamps: the dataset with the time of each row, for all that names none of its own.
        unit: of timestamps.
        align: streams have clocks of their own: for each frame of the common clock take the
            `nearest` row of each, or the last one `held`. Images are never mixed.
        limit: the largest error that is taken, in periods of the common clock, or of the stream if
            that is slower.
    """

    rate: str | None = None
    file: str | None = None
    key: str | None = None
    timestamps: str | None = None
    unit: Literal["s", "ms", "us", "ns"] = "s"
    align: Literal["nearest", "held"] | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        """See that it can be."""
        if self.rate is not None:
            set_fields(self, rate=_reference(self.rate))
        if self.file is not None:
            set_fields(self, file=below(self.file))
        if self.timestamps is not None:
            set_fields(self, timestamps=below(self.timestamps))
        if self.limit is not None and not 0 < self.limit <= HIGHEST_RATE:
            raise ValueError("limit is a number of periods above 0")

    @property
    def periods(self) -> float:
        """The largest error that is taken, in periods."""
        return self.limit or {"held": 1.0}.get(
            self.align or "",
            0.5,
        )


@dataclass(frozen=True, kw_only=True)
class SignsRule(Rule):
    """What tells recordings of this kind from others, when the layout is to be found.

    Attributes:
        has: references to what must be there.
        lacks: references to what must not.
    """

    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See that it can be."""
        set_fields(self, has=tuple(_reference(one) for one in self.has))
        set_fields(self, lacks=tuple(_reference(one) for one in self.lacks))

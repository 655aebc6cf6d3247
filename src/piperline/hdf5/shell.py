"""Browse an HDF5 file by commands: what the interactive shell knows, without a terminal."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import PiperlineError, Place, RecordingError
from piperline.hdf5.contact_sheet import check_image_name, write_image
from piperline.hdf5.inspect import Node, describe
from piperline.hdf5.objects import (
    Dataset,
    Member,
    Thing,
    WalkedObject,
    lookup,
    members,
    reading_h5py,
    walk,
)
from piperline.hdf5.values import (
    SampledValues,
    image_bytes,
    is_raw_images,
    preview,
    read,
)
from piperline.text import printable, shown
from piperline.video.image_header import read_header
from piperline.video.images import decode_image

Image: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Listing:
    """Objects, one beside the other or as a tree."""

    nodes: tuple[Node, ...]
    is_tree: bool = False


@dataclass(frozen=True)
class Usage:
    """The commands: how they are given, and what they do."""

    commands: Mapping[str, str]


@dataclass(frozen=True)
class WrittenImage:
    """An image file that was written; its size in pixels."""

    path: Path
    width: int
    height: int


Attributes: TypeAlias = Mapping[str, SampledValues | str]
Answer: TypeAlias = (
    Listing
    | Node
    | Attributes
    | SampledValues
    | Image
    | WrittenImage
    | Usage
    | str
    | None
)
"""What a command gives: objects, one object with all about it, attributes, values, an image as
uint8 (H, W, 3) in RGB, a text, or nothing."""

_USAGE = {
    "help": "show these lines",
    "ls [NAME]": "list the members of this group, or of another",
    "cd NAME": "enter a group; `cd ..` leaves it, `cd /` goes to the top",
    "pwd": "show the path of this group",
    "info NAME": "show everything about an object, attributes included",
    "attrs [NAME]": "show the attributes, whole",
    "tree [NAME]": "show all that lies below",
    "preview NAME": "show the first values; others: NAME[5], NAME[10:20], NAME[0:3, 2]",
    "preview NAME[5] FILE.png": "write an image (.png or .jpg)",
    "exit, quit": "leave; Ctrl-D does too",
}
_FILE = r"""(?P<output>"[^"]+\.\w+"|'[^']+\.\w+'|\S+\.(?:png|jpe?g|gif|bmp|tiff?|webp))"""
_PREVIEW = re.compile(
    rf"(?P<name>.*?)\s*(?:\[(?P<selection>[^\]]*)\])?(?:\s+{_FILE})?\s*",
    re.IGNORECASE,
)
_MOST_NAMES = 12


class Shell:
    """A place in a file, and the commands that can be given there.

    Args:
        file: an open file.
        images: a preview of one frame is the image, not its bytes.

    Attributes:
        here: the group in which it is, as the names on the way.
        closed: whether it was told to end.
    """

    def __init__(
        self,
        file: h5py.File,
        *,
        images: bool = False,
    ) -> None:
        self.here: tuple[str, ...] = ()
        self.closed = False
        self._root = file.id
        self.images = images
        self._commands: dict[str, Callable[[str], Answer]] = {
            "help": lambda _: Usage(_USAGE),
            "ls": self._ls,
            "cd": self._cd,
            "pwd": lambda _: self.path,
            "info": self._info,
            "attrs": self._attrs,
            "tree": self._tree,
            "preview": self._preview,
            "exit": self._exit,
            "quit": self._exit,
        }

    @property
    def path(self) -> str:
        """The path of the group in which the shell is."""
        return _joined(self.here)

    def run(self, line: str) -> Answer:
        """Do what `line` says.

        Raises:
            PiperlineError: there is no such command or object; the error says what there is.
        """
        command, _, argument = line.strip().partition(" ")
        if not command:
            return None
        if command not in self._commands:
            message, known = (
                "there is no such command",
                ", ".join(self._commands),
            )
            raise PiperlineError(
                message,
                found=printable(command),
                expected=known,
                next_step="help",
            )
        return self._commands[command](argument.strip())

    def complete(self, line: str) -> list[str]:
        """The lines that `line` may become, by commands or by names of the group that it enters."""
        command, space, argument = line.partition(" ")
        if not space:
            return [
                f"{name} "
                for name in self._commands
                if name.startswith(command)
            ]
        quote = argument[:1] if argument[:1] in {"'", '"'} else ""
        folder, slash, start = argument.removeprefix(quote).rpartition("/")
        try:
            names = _names(self._resolve(folder + slash)[1])
        except PiperlineError:
            return []
        begun = f"{command} {quote}{folder}{slash}"
        return [begun + name for name in names if name.startswith(start)]

    def _exit(self, _: str) -> None:
        self.closed = True

    def _cd(self, argument: str) -> None:
        here, thing = self._resolve(argument or "/")
        if not isinstance(thing, h5py.h5g.GroupID):
            raise _error(
                "this is not a group",
                argument,
                expected="a group",
                found=_kind(thing),
                next_step=_look(thing, argument),
            )
        self.here = here

    def _ls(self, argument: str) -> Listing:
        nodes = tuple(
            describe(entry) for entry in self._walk(argument, deepest=1)
        )
        return Listing(nodes[1:] if nodes[0].kind == "group" else nodes)

    def _tree(self, argument: str) -> Listing:
        return Listing(
            tuple(map(describe, self._walk(argument))),
            is_tree=True,
        )

    def _info(self, argument: str) -> Node:
        entry = self._link(argument) or next(self._walk(argument, deepest=0))
        return describe(entry, attrs=True, previews=True)

    def _link(self, argument: str) -> WalkedObject | None:
        """The link that a path names, where it leads to nothing that can be shown."""
        folder, _, name = _unquoted(argument).rstrip("/").rpartition("/")
        if not folder and argument.startswith("/"):
            folder = "/"
        here, group = self._resolve(folder)
        member = _member(group, name)
        if (
            member is None
            or member.kind == "hard"
            or lookup(group, member) is not None
        ):
            return None
        beside = walk(group, _joined(here), deepest=1)
        return next(
            entry
            for entry in beside
            if entry.level and entry.name == member.name
        )

    def _attrs(self, argument: str) -> Attributes:
        node = describe(
            next(self._walk(argument, deepest=0)),
            attrs=True,
        )
        return node.attributes or {}

    def _preview(self, argument: str) -> Answer:
        name, selection, output = self._preview_arguments(argument)
        thing = self._resolve(name)[1]
        if not isinstance(thing, h5py.h5d.DatasetID):
            raise _error(
                "this is not a dataset",
                name,
                expected="a dataset",
                found=_kind(thing),
                next_step=_look(thing, name),
            )
        is_frame = re.fullmatch(r"-?\d+", selection) is not None
        if output:
            if selection and not is_frame:
                expected, found = "NAME[5] FILE.png", f"[{selection}]"
                raise RecordingError(
                    "an image is of one frame",
                    found=found,
                    expected=expected,
                    next_step=f"preview {printable(name)}[0] {printable(output)}",
                )
            return _write(Path(output), thing, int(selection or 0))
        if self.images and is_frame:
            image = _image(thing, int(selection))
            if image is not None:
                return image
        return preview(thing, selection)

    def _preview_arguments(self, argument: str) -> tuple[str, str, str]:
        """Name, selection and file."""
        # a name that ends with brackets
        if argument in _names(self._resolve("")[1]):
            return argument, "", ""
        match = _PREVIEW.fullmatch(argument)
        if match is None:
            return argument, "", ""
        return (
            match["name"],
            match["selection"] or "",
            _unquoted(match["output"] or ""),
        )

    def _walk(
        self, argument: str, *, deepest: int | None = None
    ) -> Iterator[WalkedObject]:
        path, thing = self._resolve(argument)
        return walk(thing, _joined(path), deepest=deepest)

    def _resolve(self, argument: str) -> tuple[tuple[str, ...], Thing]:
        """The parts of the path that an argument names, as seen from here, and the object there."""
        text = _unquoted(argument)
        parts = () if text.startswith("/") else self.here
        for part in text.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in {"", "."}:
                parts = (*parts, part)
        thing = self._root
        for depth, part in enumerate(parts, 1):
            thing = _step(thing, part, _joined(parts[:depth]))
        return parts, thing


def _joined(parts: tuple[str, ...]) -> str:
    return "/" + "/".join(parts)


def _step(thing: Thing, part: str, path: str) -> Thing:
    """The object of a group that is shown as `part`."""
    member = _member(thing, part)
    if member is None:
        raise _error(
            "there is nothing of this name",
            path,
            expected=_some(_names(thing)),
            found=printable(part),
            next_step=f"ls {path.rpartition('/')[0] or '/'}",
        )
    found = lookup(thing, member)
    if found is None:
        raise _error(
            "this link leads to nothing in this file",
            path,
            expected="a link to a group or a dataset of this file",
            found="a link that leads to nothing, or out of the file",
            next_step=f"info {path}",
        )
    return found


def _kind(thing: Thing) -> str:
    if isinstance(thing, h5py.h5g.GroupID):
        return "a group"
    return "a dataset" if isinstance(thing, h5py.h5d.DatasetID) else "a type"


def _look(thing: Thing, name: str) -> str:
    """The command that shows what lies there."""
    command = {"a group": "ls", "a dataset": "preview"}.get(
        _kind(thing), "info"
    )
    return f"{command} {name}"


def _member(thing: Thing, name: str) -> Member | None:
    if not isinstance(thing, h5py.h5g.GroupID):
        return None
    return next(
        (member for member in members(thing) if shown(member.name) == name),
        None,
    )


def _names(thing: Thing) -> list[str]:
    if not isinstance(thing, h5py.h5g.GroupID):
        return []
    return [shown(member.name) for member in members(thing)]


def _image(dataset: Dataset, frame: int) -> Image | None:
    """A frame of a camera: uint8 (H, W, 3), RGB as far as the file tells; None if it is none."""
    with reading_h5py():
        shape, dtype = dataset.shape, dataset.dtype
    if is_raw_images(shape, dtype):
        if not -shape[0] <= frame < shape[0]:
            return None
        return cast("Image", read(dataset, frame)[..., :3])
    data = image_bytes(dataset, frame)
    if data is None or read_header(data) is None:
        return None
    return decode_image(data)


def _write(path: Path, dataset: Dataset, frame: int) -> WrittenImage:
    check_image_name(path)
    image = _image(dataset, frame)
    if image is None:
        raise RecordingError(
            "there is no such image",
            expected="a row of a camera: NAME[5] FILE.png",
            found=f"no image at [{frame}] of this dataset",
            next_step="info NAME tells how many rows it has, and of what",
        )
    write_image(path, image)
    return WrittenImage(
        path,
        width=image.shape[1],
        height=image.shape[0],
    )


def _error(
    message: str,
    path: str,
    *,
    expected: str,
    found: str,
    next_step: str,
) -> RecordingError:
    return RecordingError(
        message,
        place=Place(hdf5_path=path),
        expected=expected,
        found=found,
        next_step=printable(next_step),
    )


def _some(names: list[str]) -> str:
    if not names:
        return "nothing here"
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return "one of " + ", ".join(names[:_MOST_NAMES]) + more


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text

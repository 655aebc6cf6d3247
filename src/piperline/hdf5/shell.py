"""Walk about in an HDF5 file by commands: what the interactive shell knows, without a terminal."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import PiperlineError, Place, RecordingError
from piperline.hdf5.contact_sheet import write_picture
from piperline.hdf5.describe import picture_bytes, preview, read
from piperline.hdf5.inspect import node, node_lines
from piperline.hdf5.objects import FAULTS, Dataset, Entry, Thing, lookup, members, shown, walk
from piperline.text import printable
from piperline.video.images import contact_sheet, decode_image

_HELP = {
    "help": "these lines",
    "ls [NAME]": "what is in this group, or in another",
    "cd NAME": "enter a group; `cd ..` leaves it; `cd /`: the top",
    "pwd": "where you are",
    "info NAME": "everything about an object, attributes included",
    "attrs [NAME]": "the attributes",
    "tree [NAME]": "all that lies below",
    "preview NAME": "the first values; others: NAME[5], NAME[10:20], NAME[0:3, 2]",
    "preview NAME[5] FILE.png": "write a picture",
    "exit, quit": "leave; Ctrl-D does too",
}
_FILE = r"""(?P<output>"[^"]+\.\w+"|'[^']+\.\w+'|\S+\.(?:png|jpe?g|gif|bmp|tiff?|webp))"""
_PREVIEW = re.compile(
    rf"(?P<name>.*?)\s*(?:\[(?P<selection>[^\]]*)\])?(?:\s+{_FILE})?\s*", re.IGNORECASE
)
_PICTURE_COLUMNS = 76


class Shell:
    """A place in a file, and the commands that can be given there.

    Args:
        file: an open file.
        pictures: draw pictures with the colours of a terminal.
    """

    def __init__(self, file: h5py.File, *, pictures: bool = False) -> None:
        self.file = file
        self.here: tuple[str, ...] = ()
        self.closed = False
        self._pictures = pictures
        self._commands: dict[str, Callable[[str], list[str]]] = {
            "help": self._help,
            "ls": self._ls,
            "cd": self._cd,
            "pwd": lambda _: [self.path],
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
        return "/" + "/".join(self.here)

    def run(self, line: str) -> list[str]:
        """Do what `line` says.

        Returns:
            What it answers.

        Raises:
            PiperlineError: there is no such command or object; the error says what there is.
        """
        command, _, argument = line.strip().partition(" ")
        if not command:
            return []
        if command not in self._commands:
            raise PiperlineError(
                "there is no such command",
                found=printable(command),
                expected=", ".join(self._commands),
            )
        try:
            return self._commands[command](argument.strip())
        except FAULTS as error:
            raise RecordingError("this cannot be done", found=printable(str(error))) from error

    def complete(self, line: str) -> list[str]:
        """The lines that `line` may become: commands, or names of the group that it is about to name."""
        command, space, argument = line.partition(" ")
        if not space:
            return [f"{name} " for name in self._commands if name.startswith(command)]
        quote = argument[:1] if argument[:1] in {"'", '"'} else ""
        folder, slash, start = argument.removeprefix(quote).rpartition("/")
        try:
            names = self._names(self._resolve(folder + slash)[1])
        except PiperlineError:
            return []
        return [
            f"{command} {quote}{folder}{slash}{name}" for name in names if name.startswith(start)
        ]

    def _help(self, _: str) -> list[str]:
        width = max(map(len, _HELP)) + 2
        return [f"{usage:{width}}{meaning}" for usage, meaning in _HELP.items()]

    def _exit(self, _: str) -> list[str]:
        self.closed = True
        return []

    def _cd(self, argument: str) -> list[str]:
        place, thing = self._resolve(argument or "/")
        if not isinstance(thing, h5py.h5g.GroupID):
            raise self._error("this is not a group", argument, next_step=f"preview {argument}")
        self.here = place
        return []

    def _ls(self, argument: str) -> list[str]:
        nodes = [node(entry) for entry in self._entries(argument, deepest=1)]
        nodes = nodes[1:] if nodes[0].kind == "group" else nodes
        width = max((len(each.name) + 1 for each in nodes), default=0)
        return [line for each in nodes for line in node_lines(each, level=0, width=min(width, 24))]

    def _tree(self, argument: str) -> list[str]:
        return [line for entry in self._entries(argument) for line in node_lines(node(entry))]

    def _info(self, argument: str) -> list[str]:
        entry = self._link(argument) or next(self._entries(argument, deepest=0))
        return [entry.path, *node_lines(node(entry, attrs=True, previews=True), level=0)]

    def _link(self, argument: str) -> Entry | None:
        """The link that a path names, where it leads to nothing that can be shown."""
        folder, _, name = _unquoted(argument).rstrip("/").rpartition("/")
        place, thing = self._resolve(folder or ("/" if argument.startswith("/") else ""))
        found = (
            entry
            for entry in walk(thing, "/" + "/".join(place), deepest=1)
            if entry.level and entry.kind == "link"
        )
        link = next((entry for entry in found if shown(entry.name) == name), None)
        member = (
            next((each for each in members(thing) if each.name == link.name), None)
            if link
            else None
        )
        return link if member and lookup(thing, member) is None else None

    def _attrs(self, argument: str) -> list[str]:
        found = node(next(self._entries(argument, deepest=0)), attrs=True).attributes or {}
        return [f"@{name} = {value}" for name, value in found.items()] or ["no attributes"]

    def _preview(self, argument: str) -> list[str]:
        name, selection, output = self._preview_arguments(argument)
        thing = self._resolve(name)[1]
        if not isinstance(thing, h5py.h5d.DatasetID):
            raise self._error("this is not a dataset", name, next_step=f"ls {name}")
        if output and not output.lower().endswith(".png"):
            raise RecordingError(
                "pictures are written as PNG", found=output, expected="a name that ends with .png"
            )
        if output or (self._pictures and re.fullmatch(r"-?\d+", selection)):
            image = self._image(thing, selection, wanted=bool(output))
            if image is not None:
                return self._written(Path(output), image) if output else list(_drawn(image))
        return preview(thing, selection)

    def _written(self, path: Path, image: NDArray[np.uint8]) -> list[str]:
        write_picture(path, image)
        return [f"{path}: {image.shape[1]}x{image.shape[0]}"]

    def _preview_arguments(self, argument: str) -> tuple[str, str, str]:
        if argument in self._names(self._resolve("")[1]):  # a name that ends with brackets
            return argument, "", ""
        match = _PREVIEW.fullmatch(argument)
        return (
            (match["name"], match["selection"] or "", _unquoted(match["output"] or ""))
            if match
            else (argument, "", "")
        )

    def _image(self, dataset: Dataset, selection: str, *, wanted: bool) -> NDArray[np.uint8] | None:
        if selection and not re.fullmatch(r"-?\d+", selection):
            raise RecordingError(
                "a picture is of one frame", found=f"[{selection}]", expected="NAME[5] FILE.png"
            )
        frame = int(selection or 0)
        if len(dataset.shape) == 4 and dataset.dtype == "uint8" and dataset.shape[3] == 3:
            if -dataset.shape[0] <= frame < dataset.shape[0]:
                return cast("NDArray[np.uint8]", read(dataset, frame))
        elif (data := picture_bytes(dataset, frame)) and data[:2] in {b"\xff\xd8", b"\x89P"}:
            return decode_image(data)
        if wanted:
            raise RecordingError(
                "there is no such picture", expected="a row of a camera: NAME[5] FILE.png"
            )
        return None

    def _entries(self, argument: str, *, deepest: int | None = None) -> Iterator[Entry]:
        place, thing = self._resolve(argument)
        return walk(thing, "/" + "/".join(place), deepest=deepest)

    def _names(self, group: Thing) -> list[str]:
        return (
            [shown(member.name) for member in members(group)]
            if isinstance(group, h5py.h5g.GroupID)
            else []
        )

    def _resolve(self, argument: str) -> tuple[tuple[str, ...], Thing]:
        """The place that a path names, as seen from here, and the object there."""
        text = _unquoted(argument)
        place = () if text.startswith("/") else self.here
        for part in filter(None, text.split("/")):
            place = place[:-1] if part == ".." else place if part == "." else (*place, part)
        thing = self.file.id
        for depth, part in enumerate(place):
            thing = self._step(thing, part, "/" + "/".join(place[: depth + 1]))
        return place, thing

    def _step(self, thing: Thing, part: str, path: str) -> Thing:
        inside = members(thing) if isinstance(thing, h5py.h5g.GroupID) else []
        member = next((member for member in inside if shown(member.name) == part), None)
        if member is None:
            raise self._error(
                "there is nothing of this name",
                path,
                expected=_some([shown(m.name) for m in inside]),
            )
        found = lookup(thing, member)
        if found is None:
            raise self._error(
                "this link leads to nothing in this file", path, next_step=f"info {path}"
            )
        return found

    def _error(
        self, message: str, path: str, *, expected: str | None = None, next_step: str | None = None
    ) -> RecordingError:
        return RecordingError(
            message, place=Place(hdf5_path=path), expected=expected, next_step=next_step
        )


def _some(names: list[str]) -> str:
    most = 12
    return (
        ("one of " + ", ".join(names[:most]) + (", ..." if len(names) > most else ""))
        if names
        else "nothing here"
    )


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _drawn(image: NDArray[np.uint8]) -> Iterator[str]:
    """Two rows of pixels in a line: the upper half block in one's colour, its background in the other's."""
    small = contact_sheet([[image]], gap=0, max_width=_PICTURE_COLUMNS)
    for upper, lower in zip(small[0::2], small[1::2], strict=False):
        pairs = zip(upper.tolist(), lower.tolist(), strict=True)
        cells = (f"\x1b[38;2;{a};{b};{c}m\x1b[48;2;{d};{e};{f}m▀" for (a, b, c), (d, e, f) in pairs)
        yield "".join(cells) + "\x1b[0m"

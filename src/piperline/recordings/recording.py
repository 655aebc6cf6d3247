"""Recordings: HDF5 files seen through a layout. One of the two doors to h5py.

Files are untrusted. Nothing outside a file is ever followed (external links, external storage, virtual datasets),
and sizes are checked before anything is read.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, LayoutMismatch, PiperlineError, Place
from piperline.recordings.hdf5 import (
    READ_ERRORS,
    describe,
    follow,
    listed,
    open_file,
    reading,
    refuse_foreign_storage,
    resolve,
    stored,
    text,
)
from piperline.recordings.images import REPAIR, CameraHeader, FrameStream, absurd, mismatch
from piperline.recordings.layout import Layout, VectorRule, builtin_layouts, load_layout
from piperline.text import is_utf8, natural_key, printable

_MAX_VECTOR_BYTES, _MAX_VECTOR_CHUNK = 1 << 30, 128 << 20
_LONGEST_NAME = 100  # bytes of a camera's name, which becomes a file's
_TRIED = 3


@dataclass(frozen=True)
class EpisodeHeader:
    """What is known of an episode before its frames are read.

    Attributes:
        length: how many frames.
        task: its task text, or None where it has none.
        cameras: by camera name, in the layout's order.
    """

    length: int
    task: str | None
    cameras: Mapping[str, CameraHeader]


class Recording:
    """An open HDF5 file; a context manager.

    Args:
        path: the file.
        layout: what it should hold.

    Raises:
        RecordingError: it is missing, not HDF5, cut short, damaged, or open for writing elsewhere.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self._file = open_file(path)
        self._advice: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def episodes(self) -> list[str]:
        """The names of the episodes in natural order; for a layout of one episode per file, the file's stem.

        Raises:
            LayoutMismatch: there is none.
        """
        if self.layout.episodes.at == "file":
            return [self.path.stem]
        names = self._names()
        groups = [name for name in names if self._may_be_episode(name)]
        if not groups:
            raise LayoutMismatch(
                "the file holds no episodes",
                place=Place(file=self.path),
                expected=f"a group for each episode at the top level (layout {self.layout.name})",
                found=listed(names),
                next_step=self._suggestion(),
            )
        return sorted(groups, key=natural_key)

    def _names(self) -> list[str]:
        with reading(Place(file=self.path)):
            return [text(name) for name in self._file]

    def _may_be_episode(self, name: str) -> bool:
        """Groups are; links too, so that they are refused and not passed over."""
        with reading(Place(file=self.path)):
            return not isinstance(follow(self._file, name), (h5py.Dataset, h5py.Datatype))

    def episode(self, name: str) -> "Episode":
        """One episode.

        Raises:
            BadEpisode: it is a link out of the file, or not a group, or its name is not UTF-8.
        """
        place = Place(file=self.path, episode=name)
        if not is_utf8(name):
            raise BadEpisode(
                "the name of the episode is not UTF-8",
                place=place,
                expected="a name that the dataset can tell",
                found=printable(name),
                next_step="rename the group in the recording, or leave the episode out with --skip-bad",
            )
        root: h5py.Group = self._file
        if self.layout.episodes.at == "groups":
            found = resolve(self._file, name, place)
            if not isinstance(found, h5py.Group):
                raise BadEpisode(
                    "the episode is not a group",
                    place=place,
                    expected="a group",
                    found=describe(found),
                    next_step=REPAIR,
                )
            root = found
        return Episode(root, name, self.layout, place, suggestion=self._suggestion)

    def _suggestion(self) -> str:
        """What to do about something that does not fit the layout; found once for a file."""
        if self._advice is None:
            self._advice = self._find_advice()
        return self._advice

    def _find_advice(self) -> str:
        if self._fits(self.layout):
            return REPAIR
        others = (load_layout(name) for name in builtin_layouts() if name != self.layout.name)
        fitting = [layout.name for layout in others if self._fits(layout)]
        if fitting:
            return f"the built-in layout {fitting[0]} fits this file: add --layout {fitting[0]}"
        return "describe the file in a layout of its own: start from `piperline layout show piper` and give --layout FILE"

    def _fits(self, layout: Layout) -> bool:
        """Whether one of the first episodes is what `layout` says."""
        roots = [self._file]
        if layout.episodes.at == "groups":
            names = sorted(filter(is_utf8, self._names()), key=natural_key)[:_TRIED]
            roots = [group for name in names if isinstance(group := self._linked(name), h5py.Group)]
        return any(_has_header(root, layout) for root in roots)

    def _linked(self, name: str) -> object:
        """What lies at the top of the file under `name`, unless that is damaged."""
        try:
            found: object = follow(self._file, name)
        except READ_ERRORS:
            return None
        return found


def _has_header(root: h5py.Group, layout: Layout) -> bool:
    try:
        Episode(root, "", layout, Place()).header()
    except (PiperlineError, *READ_ERRORS):
        return False
    return True


@dataclass(frozen=True)
class _Dataset:
    """A dataset, and what h5py would look up each time that it is asked; without a shape it holds nothing."""

    data: h5py.Dataset
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Episode:
    """One episode of an open recording.

    Args:
        root: its group.
        name: how it is called.
        layout: what it should hold.
        place: where it is.
        suggestion: tells which layout fits better, for error messages.
    """

    def __init__(
        self,
        root: h5py.Group,
        name: str,
        layout: Layout,
        place: Place,
        suggestion: Callable[[], str] | None = None,
    ) -> None:
        self.name = name
        self.place = place
        self._root, self._layout, self._suggestion = root, layout, suggestion
        self._opened: dict[str, _Dataset] = {}

    def header(self) -> EpisodeHeader:
        """Check the episode's structure and read the first image of each camera; no other frame is read.

        Raises:
            LayoutMismatch: something that the layout declares is missing or has another shape or type.
            BadEpisode: lengths disagree, the length is 0, the first image is damaged, or a link leaves the file.
        """
        vectors = {key: self._vector(key, rule) for key, rule in self._layout.vectors.items()}
        cameras = self._cameras()
        rows = {found.name: found.shape[0] for found in (*vectors.values(), *cameras.values())}
        length = self._length(rows)
        return EpisodeHeader(
            length=length,
            task=self._task(),
            cameras={name: self.stream(name, length).header() for name in cameras},
        )

    def vectors(self, length: int) -> dict[str, NDArray[np.float32]]:
        """The vectors of the first `length` frames by feature name, float32, shape (length, D).

        Raises:
            BadEpisode: a value is not finite, or cannot be read.
        """
        return {key: self._values(key, rule, length) for key, rule in self._layout.vectors.items()}

    def stream(self, camera: str, length: int) -> "FrameStream":
        """The first `length` frames of a camera, read as they are asked for."""
        rule = self._layout.cameras.get(camera) or self._layout.cameras["*"]
        path = rule.path[:-1] + camera if rule.path.endswith("*") else rule.path
        table = self._lengths(rule.lengths, length) if rule.lengths else None
        place = replace(self.place, camera=camera)
        data = self._dataset(path).data
        return FrameStream(
            data, rule.color, table, place=place, length=length, suggestion=self._suggestion
        )

    def _lengths(self, path: str, length: int) -> h5py.Dataset | None:
        """The table of true lengths of padded images, (cameras, frames) or more frames; None where there is none."""
        if resolve(self._root, path, self.place) is None:
            return None
        found = self._dataset(path)
        if found.dtype.kind not in "iuf" or len(found.shape) != 2 or found.shape[1] < length:
            expected = f"numbers of shape (cameras, {length} or more)"
            message = "the table of true lengths does not fit the episode"
            raise self._mismatch(message, found.name, expected, describe(found.data))
        self._refuse_absurd(found)
        return found.data

    def _refuse_absurd(self, found: _Dataset) -> None:
        if (size := found.dtype.itemsize * math.prod(found.shape)) > _MAX_VECTOR_BYTES:
            raise absurd(found.data, self._at(found.name), size, _MAX_VECTOR_BYTES)
        chunk = found.dtype.itemsize * math.prod(found.data.chunks or (0,))
        if chunk > _MAX_VECTOR_CHUNK:  # HDF5 decompresses a chunk whole
            raise absurd(found.data, self._at(found.name), chunk, _MAX_VECTOR_CHUNK)

    def _values(self, key: str, rule: VectorRule, length: int) -> NDArray[np.float32]:
        found = self._vector(key, rule)
        with reading(self._at(found.name), BadEpisode), np.errstate(over="ignore"):
            recorded = found.data[:length]
            values: NDArray[np.float32] = recorded.astype(np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            frame, dimension = (int(index) for index in bad[0])
            first = (
                f"{recorded[frame, dimension]} in dimension {dimension} ({rule.names[dimension]})"
            )
            raise BadEpisode(
                f"{key} holds values that are not finite",
                place=self._at(found.name, frame=frame),
                expected="finite numbers that float32 can hold",
                found=first if len(bad) == 1 else f"{first}, the first of {len(bad)}",
                next_step=REPAIR,
            )
        return values

    def _vector(self, key: str, rule: VectorRule) -> _Dataset:
        found = self._dataset(rule.path)
        if found.dtype.kind != "f" or len(found.shape) != 2 or found.shape[1] != len(rule.names):
            expected = f"floating point, shape (length, {len(rule.names)}) for {key}"
            raise self._mismatch(
                "the dataset does not fit the layout", found.name, expected, describe(found.data)
            )
        self._refuse_absurd(found)
        return found

    def _cameras(self) -> dict[str, _Dataset]:
        found: dict[str, _Dataset] = {}
        for name, rule in self._layout.cameras.items():
            names = [name] if name != "*" else self._names_in(rule.path.removesuffix("/*"))
            found |= {
                key: self._dataset(rule.path.removesuffix("*") + key * (name == "*"))
                for key in names
            }
        for images in found.values():
            if not images.shape:
                expected = f"a row for each frame (layout {self._layout.name})"
                message = "the dataset does not hold images"
                raise self._mismatch(message, images.name, expected, describe(images.data))
        return found

    def _names_in(self, path: str) -> list[str]:
        """The names of the cameras in a group, in natural order."""
        where = f"{self._root.name.rstrip('/')}/{path}"
        folder = resolve(self._root, path, self.place)
        if not isinstance(folder, h5py.Group):
            expected = f"a group with a dataset for each camera (layout {self._layout.name})"
            found = describe(folder) if folder is not None else self._instead_of(path)
            raise self._mismatch("the cameras do not lie in a group", where, expected, found)
        with reading(self._at(folder.name), BadEpisode):
            names = sorted(map(text, folder), key=natural_key)
        unusable = [
            key for key in names if not key.isprintable() or len(stored(key)) > _LONGEST_NAME
        ]
        if unusable or not names:
            expected = (
                f"names of cameras, of at most {_LONGEST_NAME} bytes"
                if names
                else "at least one camera"
            )
            message = (
                "the cameras cannot be told by their names" if names else "there are no cameras"
            )
            raise self._mismatch(message, where, expected, listed(unusable))
        return names

    def _dataset(self, path: str) -> _Dataset:
        if path in self._opened:
            return self._opened[path]
        data = resolve(self._root, path, self.place)
        if not isinstance(data, h5py.Dataset):
            instead = describe(data) if data is not None else self._instead_of(path)
            where = f"{self._root.name.rstrip('/')}/{path}"
            raise self._mismatch(
                "a dataset is missing",
                where,
                f"the dataset {path} (layout {self._layout.name})",
                instead,
            )
        place = self._at(data.name)
        refuse_foreign_storage(data, place)
        with reading(place, BadEpisode):
            found = self._opened[path] = _Dataset(data, data.name, data.dtype, data.shape or ())
        return found

    def _instead_of(self, path: str) -> str:
        """What there is, where nothing lies at `path`."""
        with reading(self.place, BadEpisode):
            link = self._root.get(stored(path), getlink=True)
            if isinstance(link, h5py.SoftLink):
                return f"a link to {printable(link.path)}, where nothing lies"
            return "beside it: " + listed([text(key) for key in self._root])

    def _length(self, rows: Mapping[str, int]) -> int:
        attribute = self._layout.episodes.length_attribute
        shortest = min(rows, key=lambda name: rows[name])
        if attribute is None:
            if len(set(rows.values())) > 1:
                known = ", ".join(f"{name} {count}" for name, count in rows.items())
                raise BadEpisode(
                    "the datasets differ in length",
                    place=self.place,
                    expected="one length",
                    found=known,
                    next_step=REPAIR,
                )
            length = rows[shortest]
        else:
            length = self._length_attribute(attribute)
        if length < 1:
            raise BadEpisode(
                "the episode has no frames",
                place=self.place,
                expected="at least 1 frame",
                found=f"length {length}",
                next_step="leave it out with --skip-bad",
            )
        if rows[shortest] < length:
            raise BadEpisode(
                "a dataset is shorter than the episode",
                place=self._at(shortest),
                expected=f"at least {length} rows, the episode's {attribute}",
                found=f"{rows[shortest]} rows",
                next_step=REPAIR,
            )
        return length

    def _length_attribute(self, attribute: str) -> int:
        with reading(self.place, BadEpisode):
            value = self._root.attrs.get(attribute)
        number = (
            np.asarray(value).reshape(-1)
            if isinstance(value, (int, np.integer, np.ndarray))
            else None
        )
        if number is None or len(number) != 1 or number.dtype.kind not in "iu":
            found = "no such attribute" if value is None else repr(value)
            message = f"the attribute {attribute} does not tell the length"
            raise self._mismatch(message, self._root.name, "a whole number", found)
        return int(number[0])

    def _task(self) -> str | None:
        attribute = self._layout.task.attribute
        if attribute is None:
            return None
        with reading(self.place, BadEpisode):
            value = self._root.attrs.get(attribute)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        value = text(value) if isinstance(value, bytes) else value
        if isinstance(value, str) and not is_utf8(value):
            raise BadEpisode(
                "the task text is not UTF-8",
                place=self.place,
                expected=f"UTF-8 in the attribute {attribute}",
                found=printable(value),
                next_step="write the attribute anew as UTF-8, or leave the episode out with --skip-bad",
            )
        return value.strip() or None if isinstance(value, str) else None

    def _at(self, path: str, frame: int | None = None) -> Place:
        return replace(self.place, hdf5_path=path, frame=frame)

    def _mismatch(self, message: str, path: str, expected: str, found: str) -> LayoutMismatch:
        return mismatch(message, self._at(path), expected, found, self._suggestion)

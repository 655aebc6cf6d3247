"""Recordings: HDF5 files seen through a layout. One of the two doors to h5py.

Files are untrusted. Nothing outside a file is ever followed (external links, external storage, virtual datasets),
and sizes are checked before anything is read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, LayoutMismatch, PiperlineError, Place, printable
from piperline.hdf5.safe import (
    READ_ERRORS,
    describe,
    listed,
    natural_key,
    open_file,
    reading,
    refuse_foreign_storage,
    resolve,
    text,
)
from piperline.layout import Color, Layout, VectorRule, builtin_layouts, load_layout
from piperline.video import is_png, jpeg_payload

__all__ = ["CameraHeader", "Episode", "EpisodeHeader", "FrameStream", "Recording", "Storage"]

Storage = Literal["jpeg", "png", "raw"]
Payload = bytes | NDArray[np.uint8]

_SLAB_FRAMES, _SLAB_BYTES = 32, 32 << 20
_MAX_VECTOR_BYTES, _MAX_IMAGE_BYTES, _MAX_CHUNK_BYTES = 1 << 30, 256 << 20, 512 << 20
_MIN_PNG = 24
_TRIED = 3
_REPAIR = "repair the recording, or leave the episode out with --skip-bad"


@dataclass(frozen=True)
class CameraHeader:
    """What is known of a camera before its frames are read.

    Attributes:
        storage: how an image is stored.
        height, width: of the first image, in pixels.
    """

    storage: Storage
    height: int
    width: int


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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
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
            link = self._file.get(name, getlink=True)
            return not isinstance(link, h5py.HardLink) or self._file.get(name, getclass=True) is h5py.Group

    def episode(self, name: str) -> "Episode":
        """One episode.

        Raises:
            BadEpisode: it is a link out of the file, or not a group.
        """
        place = Place(file=self.path, episode=name)
        root: h5py.Group = self._file
        if self.layout.episodes.at == "groups":
            found = resolve(self._file, name, place)
            if not isinstance(found, h5py.Group):
                raise BadEpisode("the episode is not a group", place=place, found=describe(found))
            root = found
        return Episode(root, name, self.layout, place, suggestion=self._suggestion)

    def _suggestion(self) -> str:
        """What to do about something that does not fit the layout."""
        if self._fits(self.layout):
            return _REPAIR
        others = (load_layout(name) for name in builtin_layouts() if name != self.layout.name)
        fitting = [layout.name for layout in others if self._fits(layout)]
        if fitting:
            return f"the built-in layout {fitting[0]} fits this file: add --layout {fitting[0]}"
        return (
            "describe the file in a layout of its own: start from `piperline layout show piper` and give --layout FILE"
        )

    def _fits(self, layout: Layout) -> bool:
        """Whether one of the first episodes is what `layout` says."""
        roots = [self._file]
        if layout.episodes.at == "groups":
            groups = [name for name in self._names() if isinstance(self._file.get(name, getlink=True), h5py.HardLink)]
            found = (self._file[name] for name in sorted(groups, key=natural_key)[:_TRIED])
            roots = [group for group in found if isinstance(group, h5py.Group)]
        return any(_has_header(root, layout) for root in roots)


def _has_header(root: h5py.Group, layout: Layout) -> bool:
    try:
        Episode(root, "", layout, Place()).header()
    except (PiperlineError, *READ_ERRORS):
        return False
    return True


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

    def header(self) -> EpisodeHeader:
        """Check the episode's structure and read the first image of each camera; no other frame is read.

        Raises:
            LayoutMismatch: something that the layout declares is missing or has another shape or type.
            BadEpisode: lengths disagree, the length is 0, the first image is damaged, or a link leaves the file.
        """
        vectors = {key: self._vector(key, rule) for key, rule in self._layout.vectors.items()}
        cameras = self._cameras()
        rows = {data.name: data.shape[0] for data in (*vectors.values(), *cameras.values())}
        length = self._length(rows)
        return EpisodeHeader(
            length=length,
            task=self._task(),
            cameras={name: FrameStream(self, name, length).header() for name in cameras},
        )

    def vectors(self, length: int) -> dict[str, NDArray[np.float32]]:
        """The vectors of the first `length` frames by feature name, float32, shape (length, D).

        Raises:
            BadEpisode: a value is not finite, or cannot be read.
        """
        return {key: self._values(key, rule, length) for key, rule in self._layout.vectors.items()}

    def stream(self, camera: str, length: int) -> "FrameStream":
        """The first `length` frames of a camera, read as they are asked for."""
        return FrameStream(self, camera, length)

    def _values(self, key: str, rule: VectorRule, length: int) -> NDArray[np.float32]:
        data = self._vector(key, rule)
        place = self.at(data.name)
        with reading(place, BadEpisode), np.errstate(over="ignore"):
            recorded = data[:length]
            values: NDArray[np.float32] = recorded.astype(np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            frame, dimension = (int(index) for index in bad[0])
            first = f"{recorded[frame, dimension]} in dimension {dimension} ({rule.names[dimension]})"
            raise BadEpisode(
                f"{key} holds values that are not finite",
                place=self.at(data.name, frame=frame),
                expected="finite numbers that float32 can hold",
                found=first if len(bad) == 1 else f"{first}, the first of {len(bad)}",
                next_step=_REPAIR,
            )
        return values

    def _vector(self, key: str, rule: VectorRule) -> h5py.Dataset:
        data = self._dataset(rule.path)
        expected = f"floating point, shape (length, {len(rule.names)}) for {key}"
        if data.dtype.kind != "f" or len(data.shape) != 2 or data.shape[1] != len(rule.names):  # noqa: PLR2004
            raise self.mismatch("the dataset does not fit the layout", data.name, expected, describe(data))
        if data.nbytes > _MAX_VECTOR_BYTES:
            raise self.absurd(data, data.nbytes, _MAX_VECTOR_BYTES)
        return data

    def _cameras(self) -> dict[str, h5py.Dataset]:
        found: dict[str, h5py.Dataset] = {}
        for name, rule in self._layout.cameras.items():
            if name != "*":
                found[name] = self._dataset(rule.path)
                continue
            folder = resolve(self._root, rule.path.removesuffix("/*"), self.place)
            if isinstance(folder, h5py.Group):
                found |= {text(key): self._dataset(rule.path[:-1] + text(key)) for key in sorted(folder, key=text)}
            elif folder is not None:
                raise self.mismatch("the cameras do not lie in a group", folder.name, "a group", describe(folder))
        return found

    def camera(self, name: str) -> tuple[h5py.Dataset, Color, h5py.Dataset | None]:
        """The dataset of a camera, how its colours are meant, and the table of true lengths where there is one."""
        rule = self._layout.cameras.get(name) or self._layout.cameras["*"]
        path = rule.path[:-1] + name if rule.path.endswith("*") else rule.path
        table = resolve(self._root, rule.lengths, self.place) if rule.lengths else None
        return self._dataset(path), rule.color, table

    def _dataset(self, path: str) -> h5py.Dataset:
        data = resolve(self._root, path, self.place)
        if not isinstance(data, h5py.Dataset):
            found = describe(data) if data is not None else self._instead_of(path)
            where = f"{self._root.name.rstrip('/')}/{path}"
            raise self.mismatch(
                "a dataset is missing", where, f"the dataset {path} (layout {self._layout.name})", found
            )
        refuse_foreign_storage(data, self.at(data.name))
        return data

    def _instead_of(self, path: str) -> str:
        """What there is, where nothing lies at `path`."""
        link = self._root.get(path, getlink=True)
        if isinstance(link, h5py.SoftLink):
            return f"a link to {printable(link.path)}, where nothing lies"
        return "beside it: " + listed([text(key) for key in self._root])

    def _length(self, rows: Mapping[str, int]) -> int:
        attribute = self._layout.episodes.length_attribute
        shortest = min(rows, key=lambda name: rows[name])
        if attribute is None:
            if len(set(rows.values())) > 1:
                known = ", ".join(f"{name} {count}" for name, count in rows.items())
                raise BadEpisode("the datasets differ in length", place=self.place, expected="one length", found=known)
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
                place=self.at(shortest),
                expected=f"at least {length} rows, the episode's {attribute}",
                found=f"{rows[shortest]} rows",
                next_step=_REPAIR,
            )
        return length

    def _length_attribute(self, attribute: str) -> int:
        with reading(self.place, BadEpisode):
            value = self._root.attrs.get(attribute)
        number = np.asarray(value).reshape(-1) if isinstance(value, (int, np.integer, np.ndarray)) else None
        if number is None or len(number) != 1 or number.dtype.kind not in "iu":
            found = "no such attribute" if value is None else repr(value)
            message = f"the attribute {attribute} does not tell the length"
            raise self.mismatch(message, self._root.name, "a whole number", found)
        return int(number[0])

    def _task(self) -> str | None:
        attribute = self._layout.task.attribute
        if attribute is None:
            return None
        with reading(self.place, BadEpisode):
            value = self._root.attrs.get(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        return value.strip() or None if isinstance(value, str) else None

    def at(self, path: str, camera: str | None = None, frame: int | None = None) -> Place:
        """A place in this episode."""
        return Place(file=self.place.file, hdf5_path=path, episode=self.name, camera=camera, frame=frame)

    def mismatch(self, message: str, path: str, expected: str, found: str) -> LayoutMismatch:
        """The error for something that is not as the layout declares it."""
        step = self._suggestion() if self._suggestion else None
        return LayoutMismatch(message, place=self.at(path), expected=expected, found=found, next_step=step)

    def absurd(self, data: h5py.Dataset, size: int, limit: int) -> BadEpisode:
        """The error for a dataset of which `size` bytes would have to be in memory at once."""
        return BadEpisode(
            "a dataset claims a size that no recording has",
            place=self.at(data.name),
            expected=f"at most {limit >> 20} MiB at once",
            found=f"{size >> 20} MiB: {describe(data)}",
            next_step="leave the episode out with --skip-bad",
        )


class FrameStream:
    """The recorded images of one camera of one episode, read in slabs, never a whole episode at once.

    Args:
        episode: the episode.
        camera: the camera's name.
        length: how many frames.
    """

    def __init__(self, episode: Episode, camera: str, length: int) -> None:
        self.camera, self.length = camera, length
        self._episode = episode
        self._data, self.color, self._lengths = episode.camera(camera)
        self._raw = self._check()

    def header(self) -> CameraHeader:
        """How the images are stored and how large the first is.

        Raises:
            BadEpisode: the first image is damaged.
            LayoutMismatch: the declared colour order does not go with the way of storing.
        """
        first = next(self._payloads(0, 1))
        if not isinstance(first, bytes):
            header = CameraHeader("raw", *first.shape[:2])
        elif is_png(first):
            if len(first) < _MIN_PNG:
                raise self.bad(0, "PNG cut short")
            header = CameraHeader("png", int.from_bytes(first[20:24]), int.from_bytes(first[16:20]))
        else:
            header = CameraHeader("jpeg", *self.jpeg(0, first)[1:])
        other = {"raw": "swapped-jpeg"}.get(header.storage, "bgr")
        if self.color == other:
            raise self._episode.mismatch(
                f"the colour order {other} does not go with {header.storage} images",
                self._data.name,
                "rgb or bgr for raw images; rgb or swapped-jpeg for JPEG and PNG, which define their own order",
                f"{header.storage} images declared as {other}",
            )
        return header

    def __iter__(self) -> Iterator[Payload]:
        """The images in order: bytes of a JPEG or PNG, perhaps padded with zeros, or uint8 arrays (H, W, 3)."""
        rows = self._slab_rows()
        for start in range(0, self.length, rows):
            yield from self._payloads(start, min(start + rows, self.length))

    def jpeg(self, frame: int, data: bytes) -> tuple[bytes, int, int]:
        """Check a JPEG: itself without padding, height, width.

        Raises:
            BadEpisode: it is empty, cut short, or not JPEG.
        """
        try:
            return jpeg_payload(data)
        except ValueError as error:
            raise self.bad(frame, str(error)) from error

    def bad(self, frame: int, found: str) -> BadEpisode:
        """The error for an image that cannot be used."""
        return BadEpisode(
            "an image is damaged",
            place=self._episode.at(self._data.name, camera=self.camera, frame=frame),
            expected="a whole JPEG or PNG of the size of the others",
            found=found,
            next_step=_REPAIR,
        )

    def _check(self) -> bool:
        """Whether the images are raw arrays; refuses what is no image storage or absurdly large."""
        data, dtype = self._data, self._data.dtype
        raw = dtype == np.uint8 and data.ndim == 4 and data.shape[3] == 3  # noqa: PLR2004 - (T, H, W, 3)
        padded = dtype == np.uint8 and data.ndim == 2  # noqa: PLR2004 - (T, bytes)
        one_each = data.ndim == 1 and (dtype.kind in "SV" or h5py.check_vlen_dtype(dtype) == np.uint8)
        if not (raw or padded or one_each):
            expected = "an image for each frame: JPEG or PNG bytes, or uint8 of shape (length, height, width, 3)"
            raise self._episode.mismatch("the dataset does not hold images", data.name, expected, describe(data))
        image = dtype.itemsize * int(np.prod(data.shape[1:], dtype=np.int64))
        chunk = dtype.itemsize * int(np.prod(data.chunks, dtype=np.int64)) if data.chunks else 0
        for size, limit in ((image, _MAX_IMAGE_BYTES), (chunk, _MAX_CHUNK_BYTES)):
            if size > limit:
                raise self._episode.absurd(data, size, limit)
        return bool(raw)

    def _slab_rows(self) -> int:
        """Frames to read at once: whole chunks, since HDF5 decompresses a chunk whole, within a bound of memory."""
        image = max(1, self._data.dtype.itemsize * int(np.prod(self._data.shape[1:], dtype=np.int64)))
        chunk = self._data.chunks[0] if self._data.chunks else 1
        wanted = max(1, min(_SLAB_FRAMES, _SLAB_BYTES // image))
        return int(max(chunk, wanted // chunk * chunk)) if chunk <= self.length else wanted

    def _payloads(self, start: int, stop: int) -> Iterator[Payload]:
        place = self._episode.at(self._data.name, camera=self.camera, frame=start)
        try:
            with reading(place, BadEpisode):
                slab = self._data[start:stop]
                lengths = self._lengths[:, start:stop] if self._lengths is not None else None
        except BadEpisode:
            if stop - start == 1:
                raise
            for row in range(start, stop):  # one by one, to tell which it is
                yield from self._payloads(row, row + 1)
            return
        if self._raw:
            yield from slab
            return
        for row, image in enumerate(slab):
            data = image if isinstance(image, bytes) else image.tobytes()
            if lengths is not None:
                self._check_length(start + row, data, lengths[:, row])
            yield data

    def _check_length(self, frame: int, data: bytes, lengths: NDArray[Any]) -> None:
        size = len(data.rstrip(b"\0"))
        if size not in lengths.astype(np.int64):
            known = ", ".join(f"{int(length)}" for length in lengths)
            raise self.bad(frame, f"{size} bytes, but the table of true lengths says {known}")

"""The recorded images of a camera, as a stream."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.episode import Clip
from piperline.errors import BadEpisode, LayoutMismatch, Place
from piperline.memory import at_most_more
from piperline.recordings.beside import names_image, read_image
from piperline.recordings.datasets import REPAIR, mismatch
from piperline.recordings.hdf5 import MAX_CHUNK_BYTES, absurd, describe, reading
from piperline.recordings.hdf5_rows import read_rows
from piperline.recordings.limits import READ_MEMORY
from piperline.recordings.rules import (
    CameraRule,
    Color,
    Mirrored,
    Storage,
)
from piperline.video.depth_unit import DepthUnit
from piperline.video.image_header import (
    PngHeader,
    check_png,
    image_kind,
    is_png,
    jpeg_payload,
    png_header,
)

Payload = bytes | NDArray[Any]

_SLAB_FRAMES, _SLAB_BYTES = 32, 32 << 20
_MAX_IMAGE_BYTES = 256 << 20
_JPEG_START = b"\xff\xd8"


@dataclass(frozen=True)
class CameraHeader:
    """What is known of a camera before its frames are read.

    Attributes:
        storage: how an image is stored.
        height, width: of the first image, in pixels.
        color: how its colours are meant.
        mirrored: how the recorded images are mirrored; they are put right.
        depth: the unit, where the values are distances.
        packets: codec and frames a second of a video whose packets can be taken as they are.
    """

    storage: Storage
    height: int
    width: int
    color: Color = "rgb"
    mirrored: Mirrored = (False, False)
    depth: DepthUnit | None = None
    packets: tuple[str, int] | None = None

    @property
    def kind(self) -> str:
        """How the images are stored, in words."""
        return (
            f"{self.storage} depth in {self.depth}"
            if self.depth
            else self.storage
        )


class ImageStream(Protocol):
    """The images of one camera of one episode, wherever they lie."""

    @property
    def length(self) -> int:
        """How many."""

    @property
    def color(self) -> Color:
        """How the colours are meant."""

    @property
    def mirrored(self) -> Mirrored:
        """How the recorded images are mirrored."""

    def header(self) -> CameraHeader:
        """How the images are stored and how large they are."""

    def files(self) -> Iterator[Path]:
        """The files beside the recording that hold the images, if such do."""

    def clip(self) -> Clip | None:
        """The span of a video whose packets are the images, and stand alone, if there is one."""

    def __iter__(self) -> Iterator[Payload]:
        """The images in order: bytes of a JPEG or PNG, or arrays: uint8 (H, W, 3), depth (H, W)."""

    def jpeg(
        self,
        frame: int,
        data: bytes,
    ) -> tuple[bytes, int, int]:
        """Check a JPEG: itself without padding, height, width."""

    def bad(self, frame: int, found: str) -> BadEpisode:
        """The error for an image that cannot be used."""


class FrameStream:
    """The recorded images of one camera of one episode, read in slabs.

    Args:
        data: the camera's dataset.
        rule: how it is declared.
        lengths: the table of true lengths of padded images, where there is one.
        place: file, episode and camera.
        rows: the row of the dataset for each frame, rising; int64, shape (frames,).
        suggestion: tells which layout fits better, for error messages.

    Raises:
        LayoutMismatch: the dataset does not hold images.
        BadEpisode: it claims an absurd size.
    """

    def __init__(
        self,
        data: h5py.Dataset,
        rule: CameraRule,
        lengths: h5py.Dataset | None,
        *,
        place: Place,
        rows: NDArray[np.int64],
        suggestion: Callable[[], str] | None,
    ) -> None:
        self.length = len(rows)
        self.mirrored = rule.mirrored
        self._rule, self._rows = rule, rows
        self._data, self._lengths = data, lengths
        self._place, self._suggestion = (
            replace(place, hdf5_path=data.name),
            suggestion,
        )
        self._dtype = data.dtype
        self._channels_first = False
        self._raw = self._check()
        self._color = rule.color if isinstance(rule.color, str) else None

    @property
    def color(self) -> Color:
        """How the colours are meant: known from the way in which the first image is stored."""
        if self._color is None:
            first = next(self._payloads(self._rows[:1]))
            self._color = self._rule.color_of(self._storage(first))
        return self._color

    def header(self) -> CameraHeader:
        """How the images are stored and how large the first is.

        Raises:
            BadEpisode: the first image is damaged.
            LayoutMismatch: it is of a kind that is not read, or the declared colour order does not
                go with it.
        """
        first = next(self._payloads(self._rows[:1]))
        storage = self._storage(first)
        self._color = self._rule.color_of(storage)
        if not isinstance(first, bytes):
            size = first.shape[0], first.shape[1]
        elif storage == "png":
            size = self._png_size(first)
        elif self._rule.depth:
            raise self.bad(0, "JPEG, which keeps no distances")
        else:
            size = self.jpeg(0, first)[1:]
        self._check_color(storage, self._color)
        return CameraHeader(
            storage, *size, self._color, self.mirrored, self._rule.depth
        )

    def __iter__(self) -> Iterator[Payload]:
        """The images in order: a JPEG or PNG, perhaps padded with zeros, or uint8 (H, W, 3)."""
        for rows in self._slabs():
            yield from self._payloads(rows)

    def _slabs(self) -> Iterator[NDArray[np.int64]]:
        """The rows in spans that are read at once."""
        size = self._slab_rows()
        start = 0
        while start < self.length:
            stop = start + int(
                np.searchsorted(
                    self._rows[start : start + size], self._rows[start] + size
                )
            )
            yield self._rows[start:stop]
            start = stop

    def clip(self) -> Clip | None:
        """None: the images lie one by one."""
        return None

    def files(self) -> Iterator[Path]:
        """The image files that the rows name; none where the first row names none."""
        if self._raw:
            return
        folder = Path(self._place.file or "").resolve().parent
        for rows in (self._rows[:1], *self._slabs()):
            names = [names_image(value) for _, value in self._values(rows)]
            if names[0] is None:
                return
            yield from (folder / name for name in names if name is not None)

    def jpeg(
        self,
        frame: int,
        data: bytes,
    ) -> tuple[bytes, int, int]:
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
        return self._bad_row(int(self._rows[frame]), found)

    def _bad_row(self, row: int, found: str) -> BadEpisode:
        return BadEpisode(
            "an image is damaged",
            place=replace(self._place, frame=row),
            expected="a whole JPEG or PNG of the size of the others",
            found=found,
            next_step=REPAIR,
        )

    @staticmethod
    def _storage(image: Payload) -> Storage:
        if not isinstance(image, bytes):
            return "raw"
        return "png" if is_png(image) else "jpeg"

    def _png_size(self, first: bytes) -> tuple[int, int]:
        try:
            check_png(first)
            header = png_header(first)
        except ValueError as error:
            raise self.bad(0, str(error)) from error
        if self._rule.depth:
            self._check_depth_png(header)
        elif header.bits > 8:  # noqa: PLR2004 - bits of a colour
            kind = "grey" if header.gray else "colour"
            raise LayoutMismatch(
                "the images are PNG of 16 bits, of which a video would keep 8",
                place=self._place,
                expected="JPEG, PNG of 8 bits a colour, or uint8 arrays",
                found=f"PNG of {header.bits} bits, {kind}: depth images are stored so",
                next_step='declare it as depth in the layout: depth = "mm", or leave it out',
            )
        return header.height, header.width

    def _check_depth_png(self, header: PngHeader) -> None:
        if header.bits == 16 and header.gray:  # noqa: PLR2004 - bits of a distance
            return
        kind = "grey" if header.gray else "colour"
        raise LayoutMismatch(
            "the images are no depth images",
            place=self._place,
            expected="PNG of 16 bits, grey",
            found=f"PNG of {header.bits} bits, {kind}",
            next_step="leave `depth` out of the layout",
        )

    def _check_color(self, storage: Storage, color: Color) -> None:
        other = "swapped-jpeg" if storage == "raw" else "bgr"
        if color != other:
            return
        fitting = "rgb or swapped-jpeg: JPEG and PNG define their order"
        raise LayoutMismatch(
            f"the colour order {other} does not go with {storage} images",
            place=self._place,
            expected="rgb or bgr" if storage == "raw" else fitting,
            found=f"{storage} images declared as {other}",
            next_step="give the right one with --color, or in the layout",
        )

    def _check(self) -> bool:
        """Whether the images are raw arrays; refuses what is no image storage or absurdly large."""
        data, dtype = self._data, self._dtype
        shape: tuple[int, ...] = data.shape or ()
        distances = bool(self._rule.depth) and _is_depth(dtype, shape)
        arrays = dtype == np.uint8 and len(shape) == 4  # noqa: PLR2004 - (T, H, W, 3)
        self._channels_first = bool(arrays and shape[1] == 3 != shape[3])  # noqa: PLR2004
        raw = arrays and (shape[3] == 3 or self._channels_first)  # noqa: PLR2004
        raw = distances if self._rule.depth else raw
        padded = dtype == np.uint8 and len(shape) == 2  # noqa: PLR2004 - (T, bytes)
        opaque = (
            dtype.kind == "V" and not dtype.hasobject and dtype.names is None
        )
        values = (
            opaque
            or dtype.kind == "S"
            or h5py.check_vlen_dtype(dtype) == np.uint8
        )
        one_each = len(shape) == 1 and (
            values or h5py.check_string_dtype(dtype) is not None
        )
        if not (raw or padded or one_each):
            expected = (
                "an image for each frame: JPEG or PNG bytes, names of image files,"
                " or uint8 of shape (length, height, width, 3)"
            )
            if self._rule.depth:
                expected = "distances of shape (length, height, width), or PNG of 16 bits"
            message = "the dataset does not hold images"
            raise mismatch(
                message, self._place, expected, describe(data), self._suggestion
            )
        image = dtype.itemsize * math.prod(shape[1:])
        chunk = dtype.itemsize * math.prod(data.chunks or (0,))
        for size, limit in (
            (image, _MAX_IMAGE_BYTES),
            (chunk, MAX_CHUNK_BYTES),
        ):
            if size > limit:
                raise absurd(data, self._place, size, limit)
        return bool(raw)

    def _slab_rows(self) -> int:
        """Rows to read at once: whole chunks, which HDF5 decompresses whole, within a bound."""
        image = max(
            1,
            self._dtype.itemsize * math.prod(self._data.shape[1:]),
        )
        chunk = self._data.chunks[0] if self._data.chunks else 1
        wanted = max(1, min(_SLAB_FRAMES, _SLAB_BYTES // image))
        return (
            int(max(chunk, wanted // chunk * chunk))
            if chunk <= self.length
            else wanted
        )

    def _payloads(self, rows: NDArray[np.int64]) -> Iterator[Payload]:
        start, stop = int(rows[0]), int(rows[-1]) + 1
        place = replace(self._place, frame=start)
        try:
            with reading(place, BadEpisode):
                slab = read_rows(self._data.id, self._dtype, start, stop)
                lengths = self._lengths_of(start, stop)
        except BadEpisode:
            if stop - start == 1:
                raise
            for index in range(len(rows)):  # one by one, to tell which it is
                yield from self._payloads(rows[index : index + 1])
            return
        for row in rows:
            index = int(row) - start
            column = lengths[:, index] if lengths is not None else None
            yield self._payload(int(row), slab[index], column)

    def _lengths_of(self, start: int, stop: int) -> NDArray[Any] | None:
        if self._lengths is None:
            return None
        with at_most_more(READ_MEMORY):
            lengths: NDArray[Any] = self._lengths[:, start:stop]
        return lengths

    def _values(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
        """The bytes of rows that are no arrays, without zeros behind them."""
        start, stop = int(rows[0]), int(rows[-1]) + 1
        with reading(replace(self._place, frame=start), BadEpisode):
            slab = read_rows(self._data.id, self._dtype, start, stop)
        for row in rows:
            yield int(row), _bytes(slab[int(row) - start]).rstrip(b"\0")

    def _payload(
        self,
        row: int,
        image: bytes | str | NDArray[np.uint8],
        lengths: NDArray[Any] | None,
    ) -> Payload:
        if self._rule.depth and isinstance(image, np.ndarray) and self._raw:
            return image.reshape(image.shape[:2])
        if self._raw and isinstance(image, np.ndarray):
            return np.moveaxis(image, 0, 2) if self._channels_first else image
        data = _bytes(image)
        if not data.startswith(_JPEG_START) and not is_png(data):
            return self._other(row, data)
        if lengths is not None:
            self._check_length(row, data, lengths)
        return data

    def _other(self, row: int, data: bytes) -> Payload:
        """What bytes are that are no image: plain pixels, or the name of a file that is one."""
        for height, width in self._rule.sizes:
            if len(data) == height * width * 3:
                return np.frombuffer(data, np.uint8).reshape(height, width, 3)
        name = names_image(data.rstrip(b"\0"))
        if name is not None:
            try:
                return read_image(
                    Path(self._place.file or "").resolve().parent, name
                )
            except ValueError as error:
                raise self._bad_row(row, str(error)) from error
        kind = image_kind(data)
        if kind is not None:
            raise LayoutMismatch(
                f"the images are {kind}, which is not read",
                place=replace(self._place, frame=row),
                expected="JPEG, PNG, or uint8 arrays",
                found=kind,
                next_step="write them anew as JPEG or PNG",
            )
        return data

    def _check_length(
        self, row: int, data: bytes, lengths: NDArray[Any]
    ) -> None:
        size = len(data.rstrip(b"\0"))
        if not (lengths == size).any():
            known = ", ".join(f"{length:g}" for length in lengths)
            found = f"{size} bytes, but the table of true lengths says {known}"
            raise self._bad_row(row, found)


def _is_depth(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Whether a dataset holds a distance for each pixel of each frame."""
    one_each = len(shape) == 3 or (len(shape) == 4 and shape[3] == 1)  # noqa: PLR2004
    return one_each and (dtype.kind == "f" or dtype == np.uint16)


def _bytes(image: bytes | str | NDArray[np.uint8]) -> bytes:
    """A recorded value as bytes."""
    if isinstance(image, str):
        return image.encode("utf-8", "surrogateescape")
    return image if isinstance(image, bytes) else image.tobytes()

"""The recorded images of a camera, as a stream; and the errors about datasets that do not hold what they should."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, LayoutMismatch, Place
from piperline.recordings.hdf5 import describe, read_rows, reading
from piperline.recordings.layout import Color
from piperline.video.image_header import check_png, is_png, jpeg_payload

Storage = Literal["jpeg", "png", "raw"]
Payload = bytes | NDArray[np.uint8]

REPAIR = "repair the recording, or leave the episode out with --skip-bad"

_SLAB_FRAMES, _SLAB_BYTES = 32, 32 << 20
_MAX_IMAGE_BYTES, _MAX_CHUNK_BYTES = 256 << 20, 512 << 20


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


def mismatch(
    message: str, place: Place, expected: str, found: str, suggestion: Callable[[], str] | None
) -> LayoutMismatch:
    """The error for something that is not as the layout declares it."""
    step = suggestion() if suggestion else None
    return LayoutMismatch(message, place=place, expected=expected, found=found, next_step=step)


def absurd(data: h5py.Dataset, place: Place, size: int, limit: int) -> BadEpisode:
    """The error for a dataset of which `size` bytes would have to be in memory at once."""
    return BadEpisode(
        "a dataset claims a size that no recording has",
        place=place,
        expected=f"at most {limit >> 20} MiB at once",
        found=f"{size >> 20} MiB: {describe(data)}",
        next_step="leave the episode out with --skip-bad",
    )


class FrameStream:
    """The recorded images of one camera of one episode, read in slabs, never a whole episode at once.

    Args:
        data: the camera's dataset.
        color: how its colours are meant.
        lengths: the table of true lengths of padded images, where there is one.
        place: file, episode and camera.
        length: how many frames.
        suggestion: tells which layout fits better, for error messages.

    Raises:
        LayoutMismatch: the dataset does not hold images.
        BadEpisode: it claims an absurd size.
    """

    def __init__(
        self,
        data: h5py.Dataset,
        color: Color,
        lengths: h5py.Dataset | None,
        *,
        place: Place,
        length: int,
        suggestion: Callable[[], str] | None,
    ) -> None:
        self.color, self.length = color, length
        self._data, self._lengths = data, lengths
        self._place, self._suggestion = replace(place, hdf5_path=data.name), suggestion
        self._dtype = data.dtype
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
            self._check_png(first)
            header = CameraHeader("png", int.from_bytes(first[20:24]), int.from_bytes(first[16:20]))
        else:
            header = CameraHeader("jpeg", *self.jpeg(0, first)[1:])
        other = {"raw": "swapped-jpeg"}.get(header.storage, "bgr")
        if self.color == other:
            fitting = (
                "rgb or bgr"
                if header.storage == "raw"
                else "rgb or swapped-jpeg: JPEG and PNG define their order"
            )
            raise LayoutMismatch(
                f"the colour order {other} does not go with {header.storage} images",
                place=self._place,
                expected=fitting,
                found=f"{header.storage} images declared as {other}",
                next_step="give the right one with --color, or in the layout",
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

    def _check_png(self, data: bytes) -> None:
        try:
            check_png(data)
        except ValueError as error:
            raise self.bad(0, str(error)) from error

    def bad(self, frame: int, found: str) -> BadEpisode:
        """The error for an image that cannot be used."""
        return BadEpisode(
            "an image is damaged",
            place=replace(self._place, frame=frame),
            expected="a whole JPEG or PNG of the size of the others",
            found=found,
            next_step=REPAIR,
        )

    def _check(self) -> bool:
        """Whether the images are raw arrays; refuses what is no image storage or absurdly large."""
        data, dtype, shape = self._data, self._dtype, self._data.shape
        raw = dtype == np.uint8 and len(shape) == 4 and shape[3] == 3
        padded = dtype == np.uint8 and len(shape) == 2
        one_each = len(shape) == 1 and (
            dtype.kind == "S"
            or (dtype.kind == "V" and not dtype.hasobject and dtype.names is None)
            or h5py.check_vlen_dtype(dtype) == np.uint8
        )
        if not (raw or padded or one_each):
            expected = "an image for each frame: JPEG or PNG bytes, or uint8 of shape (length, height, width, 3)"
            message = "the dataset does not hold images"
            raise mismatch(message, self._place, expected, describe(data), self._suggestion)
        image = dtype.itemsize * math.prod(shape[1:])
        chunk = dtype.itemsize * math.prod(data.chunks or (0,))
        for size, limit in ((image, _MAX_IMAGE_BYTES), (chunk, _MAX_CHUNK_BYTES)):
            if size > limit:
                raise absurd(data, self._place, size, limit)
        return bool(raw)

    def _slab_rows(self) -> int:
        """Frames to read at once: whole chunks, since HDF5 decompresses a chunk whole, within a bound of memory."""
        image = max(1, self._dtype.itemsize * math.prod(self._data.shape[1:]))
        chunk = self._data.chunks[0] if self._data.chunks else 1
        wanted = max(1, min(_SLAB_FRAMES, _SLAB_BYTES // image))
        return int(max(chunk, wanted // chunk * chunk)) if chunk <= self.length else wanted

    def _payloads(self, start: int, stop: int) -> Iterator[Payload]:
        place = replace(self._place, frame=start)
        try:
            with reading(place, BadEpisode):
                slab = read_rows(self._data.id, self._dtype, start, stop)
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
        if not (lengths == size).any():
            known = ", ".join(f"{length:g}" for length in lengths)
            raise self.bad(frame, f"{size} bytes, but the table of true lengths says {known}")

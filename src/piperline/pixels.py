"""Counting the pixels of pictures, for image statistics: those that libjpeg would show. numpy only."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from piperline.video import Picture, rgb

__all__ = ["PixelCounter", "count_pixels"]

Bytes = NDArray[np.uint8]
_Number = TypeVar("_Number", np.uint8, np.int16)

_AT_ONCE = 4


class PixelCounter:
    """Counts the pixels of many pictures of one size.

    It waits for a few and counts those together: between two frames of an encoder, which fills the CPU's caches with
    its own, each on its own takes twice as long.

    Args:
        stride: see `count_pixels`.
    """

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._waiting: list[Picture] = []
        self._counts = np.zeros((3, 256), dtype=np.int64)

    def add(self, picture: Picture) -> None:
        """Count a picture, now or later."""
        self._waiting.append(picture)
        if len(self._waiting) == _AT_ONCE:
            self.counts()

    def counts(self) -> NDArray[np.int64]:
        """The counts of all pictures so far: int64 of shape (3, 256)."""
        if self._waiting:
            self._counts += count_pixels(self._waiting, self._stride)
        self._waiting = []
        return self._counts


def count_pixels(pictures: Sequence[Picture], stride: int) -> NDArray[np.int64]:
    """Count the values of every `stride`-th pixel, down and across, of pictures of one size.

    Returns:
        int64 of shape (3, 256): how often each value of red, green and blue occurs. For 4:2:0 JPEG exactly the
        values of libjpeg's decoder (triangle-filtered chroma, jdsample.c; its integer colour conversion,
        jdcolor.c) up to the rounding of the inverse DCT; for other pictures those of swscale.
    """
    if all(picture.format.name == "yuvj420p" for picture in pictures):
        channels = _sampled(pictures, stride)
        return np.stack([_clipped(np.bincount(channel.ravel(), minlength=3 * 256)) for channel in channels])
    pixels = np.stack([rgb(picture)[::stride, ::stride] for picture in pictures])
    return np.stack([np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)])


def _clipped(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of values from -256 to 511 as those of the values clipped to 0 to 255."""
    result = counts[256:512].copy()
    result[0] += counts[:256].sum()
    result[-1] += counts[512:].sum()
    return result


def _sampled(pictures: Sequence[Picture], stride: int) -> Iterator[NDArray[np.int32]]:
    """Red, green and blue of every `stride`-th pixel of full-range 4:2:0 pictures, not yet clipped, and plus 256.

    Each of shape (pictures, rows, columns).
    """
    height, width = pictures[0].height, pictures[0].width
    y = np.stack([_plane(picture, 0)[::stride, ::stride] for picture in pictures]).astype(np.int32)
    chroma = [np.stack([_plane(picture, number) for picture in pictures]) for number in (1, 2)]
    if stride % 2:
        wide = [_upsampled(planes)[:, :height:stride, :width:stride] for planes in chroma]
    else:
        wide = [_upsampled_evenly(planes, stride // 2) for planes in chroma]
    cb, cr = (planes.astype(np.int32) - 128 for planes in wide)
    rounding = (1 << 15) + (256 << 16)
    yield y + ((91881 * cr + rounding) >> 16)
    yield y + ((-22554 * cb - 46802 * cr + rounding) >> 16)
    yield y + ((116130 * cb + rounding) >> 16)


def _plane(picture: Picture, number: int) -> Bytes:
    plane = picture.planes[number]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _upsampled(planes: Bytes) -> NDArray[np.int16]:
    """Chroma at twice the height and width: 9:3:3:1 of the four samples around each place."""
    around = np.pad(planes.astype(np.int16), ((0, 0), (1, 1), (1, 1)), mode="edge")
    count, _, columns = around.shape
    above, below = 3 * around[:, 1:-1] + around[:, :-2], 3 * around[:, 1:-1] + around[:, 2:]
    rows = np.stack((above, below), axis=2).reshape(count, -1, columns)
    left, middle, right = rows[..., :-2], rows[..., 1:-1], rows[..., 2:]
    result: NDArray[np.int16] = np.stack(((3 * middle + left + 8) >> 4, (3 * middle + right + 7) >> 4), axis=3)
    return result.reshape(count, rows.shape[1], -1)


def _upsampled_evenly(planes: Bytes, stride: int) -> NDArray[np.int16]:
    """The same where luma has even rows and columns: of a sample and those above and left of it. Makes no more."""
    sums = 3 * planes[:, ::stride].astype(np.int16) + _before(planes, stride)
    across = sums.transpose(0, 2, 1)
    result: NDArray[np.int16] = (3 * sums[..., ::stride] + _before(across, stride).transpose(0, 2, 1) + 8) >> 4
    return result


def _before(planes: NDArray[_Number], stride: int) -> NDArray[_Number]:
    """The row before each `stride`-th row; the first stands for the one before it."""
    rows = planes[:, ::stride].shape[1]
    return np.concatenate((planes[:, :1], planes[:, stride - 1 :: stride][:, : rows - 1]), axis=1)

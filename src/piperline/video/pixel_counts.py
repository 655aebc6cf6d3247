"""Counting the pixels of pictures, for image statistics: those that libjpeg would show."""

from collections.abc import Iterator

import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from piperline.video.decoder import Picture, rgb

Bytes = NDArray[np.uint8]


_ROOM = 1 << 19
"""Pixels that are held before they are counted: some 25 pictures of 640x480."""
_VALUES = 256


class PixelCounter:
    """Counts the values of every `stride`-th pixel of pictures, down and across.

    Of JPEG of 4:2:0 and 4:2:2 these are exactly the values of libjpeg's decoder (triangle-filtered
    chroma, jdsample.c; its integer colour conversion, jdcolor.c) up to the rounding of the inverse
    DCT; of other pictures those of swscale.
    """

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._held = np.empty((3, 0), np.uint8)
        self._count = 0
        self._counted = np.zeros((3, _VALUES), np.int64)

    def add(self, picture: Picture, *, exchanged: bool = False) -> None:
        """Count a picture; its red counts as blue and its blue as red where they are exchanged."""
        height = -(-picture.height // self._stride)
        width = -(-picture.width // self._stride)
        channels = self._room(height * width).reshape(3, height, width)
        if exchanged:
            channels = channels[::-1]
        if picture.format.name not in {"yuvj420p", "yuvj422p"}:
            packed = _packed(picture)[:: self._stride, :: self._stride]
            channels[...] = packed.transpose(2, 0, 1)
            return
        sampled = _sampled(picture, self._stride)
        for channel, values in zip(channels, sampled, strict=True):
            values.clip(0, _VALUES - 1, out=values)
            np.copyto(channel, values, casting="unsafe")

    def result(self) -> NDArray[np.int64]:
        """How often each value of red, green and blue occurs: int64 of shape (3, 256)."""
        self._count_held()
        return self._counted.copy()

    def _room(self, pixels: int) -> Bytes:
        """Room for the pixels of a picture among those that are held, of each colour."""
        if self._count + pixels > self._held.shape[1]:
            self._count_held()
        if pixels > self._held.shape[1]:
            self._held = np.empty((3, max(pixels, _ROOM)), np.uint8)
        start, self._count = self._count, self._count + pixels
        return self._held[:, start : self._count]

    def _count_held(self) -> None:
        # Two pixels are counted at a time: that takes half the time.
        paired = self._count // 2 * 2
        for number, values in enumerate(self._held):
            pairs = np.bincount(
                values[:paired].view(np.uint16), minlength=_VALUES**2
            ).reshape(_VALUES, _VALUES)
            last = np.bincount(values[paired : self._count], minlength=_VALUES)
            both = pairs.sum(axis=0) + pairs.sum(axis=1)
            self._counted[number] += both + last
        self._count = 0


def count_pixels(picture: Picture, stride: int) -> NDArray[np.int64]:
    """Count the pixels of one picture; see `PixelCounter`."""
    counter = PixelCounter(stride)
    counter.add(picture)
    return counter.result()


def _packed(picture: Picture) -> Bytes:
    """The pixels of a picture, RGB: in their place where they lie so, or blue first."""
    orders = {"rgb24": slice(None), "bgr24": slice(None, None, -1)}
    order = orders.get(picture.format.name)
    if order is None:
        return rgb(picture)
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)
    pixels = rows.reshape(plane.height, -1)[:, : 3 * plane.width]
    return pixels.reshape(plane.height, plane.width, 3)[..., order]


def _sampled(picture: Picture, stride: int) -> Iterator[NDArray[np.int16]]:
    """Red, green and blue of every `stride`-th pixel, not clipped.

    Args:
        picture: full range, 4:2:0 or 4:2:2.
        stride: in pixels, down and across.
    """
    luma, *chroma = (_pixels(plane) for plane in picture.planes)
    y = luma[::stride, ::stride].astype(np.int16)
    height, width = luma.shape
    if picture.format.name == "yuvj422p":
        wide = [
            _upsampled_across(plane[::stride])[:, :width:stride]
            for plane in chroma
        ]
    elif stride % 2:
        wide = [
            _upsampled(plane)[:height:stride, :width:stride] for plane in chroma
        ]
    else:
        wide = [_upsampled_evenly(plane, stride // 2) for plane in chroma]
    cb, cr = (plane.astype(np.int32) for plane in wide)
    yield _shifted(cr * 91881, 91881, y)
    yield _shifted(cb * -22554 - cr * 46802, -22554 - 46802, y)
    yield _shifted(cb * 116130, 116130, y)


def _shifted(
    values: NDArray[np.int32], factor: int, luma: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Luma plus values of 16 bits behind the point, of chroma whose zero is 128, rounded."""
    # In place, which takes half the time.
    values += (1 << 15) - 128 * factor
    values >>= 16
    result = values.astype(np.int16)
    result += luma
    return result


def _pixels(plane: VideoPlane) -> Bytes:
    """The samples of a plane, uint8 of shape (height, width), without FFmpeg's padding."""
    samples = np.frombuffer(memoryview(plane), np.uint8)
    return samples.reshape(
        plane.height,
        plane.line_size,
    )[:, : plane.width]


def _upsampled(plane: Bytes) -> NDArray[np.int16]:
    """Chroma at twice the height and width: 9:3:3:1 of the four samples around each place."""
    around = np.pad(
        plane.astype(np.int16),
        1,
        mode="edge",
    )
    above = 3 * around[1:-1] + around[:-2]
    below = 3 * around[1:-1] + around[2:]
    rows = np.stack((above, below), axis=1).reshape(
        -1,
        around.shape[1],
    )
    left, middle, right = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
    result: NDArray[np.int16] = np.stack(
        ((3 * middle + left + 8) >> 4, (3 * middle + right + 7) >> 4), axis=2
    )
    return result.reshape(len(rows), -1)


def _upsampled_across(plane: Bytes) -> NDArray[np.int16]:
    """Chroma at twice the width: 3:1 of the two samples around each; the outermost are kept."""
    around = np.pad(
        plane.astype(np.int16),
        ((0, 0), (1, 1)),
        mode="edge",
    )
    left, middle, right = around[:, :-2], around[:, 1:-1], around[:, 2:]
    result: NDArray[np.int16] = np.stack(
        ((3 * middle + left + 1) >> 2, (3 * middle + right + 2) >> 2), axis=2
    )
    return result.reshape(len(plane), -1)


def _upsampled_evenly(plane: Bytes, stride: int) -> NDArray[np.int16]:
    """The same where luma has even rows and columns: of a sample and those above and left of it."""
    rows = plane[::stride]
    sums = 3 * rows.astype(np.int16)
    sums[0] += plane[0]
    sums[1:] += plane[stride - 1 :: stride][: len(rows) - 1]
    result = 3 * sums[:, ::stride]
    result[:, 0] += sums[:, 0]
    result[:, 1:] += sums[:, stride - 1 :: stride][:, : result.shape[1] - 1]
    result += 8
    result >>= 4
    return result

"""Counting the pixels of pictures, for image statistics: those that libjpeg would show."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from piperline.video.decoder import Picture, rgb

Bytes = NDArray[np.uint8]
_Number = TypeVar("_Number", np.uint8, np.int16)


def count_pixels(picture: Picture, stride: int) -> NDArray[np.int64]:
    """Count the values of every `stride`-th pixel, down and across.

    Returns:
        int64 of shape (3, 256): how often each value of red, green and blue occurs. For JPEG of
        4:2:0 and 4:2:2 exactly the values of libjpeg's decoder (triangle-filtered chroma,
        jdsample.c; its integer colour conversion, jdcolor.c) up to the rounding of the inverse DCT;
        for other pictures those of swscale.
    """
    if picture.format.name in {"yuvj420p", "yuvj422p"}:
        sampled = _sampled(picture, stride)
        counts = [
            np.bincount(channel.ravel(), minlength=3 * 256)
            for channel in sampled
        ]
        return np.stack([_clipped(count) for count in counts])
    channels = _packed(picture)[::stride, ::stride].transpose(2, 0, 1)
    return np.stack(
        [np.bincount(channel.ravel(), minlength=256) for channel in channels]
    )


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


def _clipped(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of values from -256 to 511 as those of the values clipped to 0 to 255."""
    result = counts[256:512].copy()
    result[0] += counts[:256].sum()
    result[-1] += counts[512:].sum()
    return result


def _sampled(
    picture: Picture,
    stride: int,
) -> Iterator[NDArray[np.int32]]:
    """Red, green and blue of every `stride`-th pixel, not clipped, plus 256.

    Args:
        picture: full range, 4:2:0 or 4:2:2.
        stride: in pixels, down and across.
    """
    luma, *chroma = (_pixels(plane) for plane in picture.planes)
    y = luma[::stride, ::stride].astype(np.int32)
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
    cb, cr = (plane.astype(np.int32) - 128 for plane in wide)
    rounding = (1 << 15) + (256 << 16)
    yield y + ((91881 * cr + rounding) >> 16)
    yield y + ((-22554 * cb - 46802 * cr + rounding) >> 16)
    yield y + ((116130 * cb + rounding) >> 16)


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
    sums = 3 * plane[::stride].astype(np.int16) + _before(plane, stride)
    result: NDArray[np.int16] = (
        3 * sums[:, ::stride] + _before(sums.T, stride).T + 8
    ) >> 4
    return result


def _before(plane: NDArray[_Number], stride: int) -> NDArray[_Number]:
    """The row before each `stride`-th row; the first stands for the one before it."""
    rows = len(plane[::stride])
    return np.concatenate((plane[:1], plane[stride - 1 :: stride][: rows - 1]))

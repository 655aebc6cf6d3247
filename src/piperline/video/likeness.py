"""Which recorded picture a decoded one shows: likeness of pictures. numpy only.

Two pictures are told apart by the means of their blocks of 8 x 8 pixels: noise and the losses of
encoders cancel out there, and what moves does not. How good a picture is, tells its peak
signal-to-noise ratio (PSNR) in luma.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from piperline.video.decoder import Picture, rgb
from piperline.video.planes import is_full_range

Blocks = NDArray[np.float32]

BLOCK = 8
_STEP = 12
"""Blocks differ if their means differ by so many of 255 levels in a colour: encoders keep that."""
_EVIDENCE, _EVIDENCE_OF = 6_000.0, {"av1": 30_000.0}
"""Pictures can be told apart if the squared differences of differing blocks sum up to this, in
640 x 480 pixels: one block by 45 levels of each colour, or eight by 16. Encoders leave out smaller
changes: measured over 1,800 frames of moving arms, x264 up to 250, SVT-AV1 in LeRobot's settings up
to 8,900, in every second frame."""
_BLOCKS = 80 * 60
_SURE = 0.5
"""The other picture is shown if its distance is less than this share of that to the own one."""
_LIMITED_TO_FULL = np.clip(
    np.round((np.arange(256) - 16) * 255 / 219), 0, 255
).astype(np.uint8)
_BT709 = 1  # AVCOL_SPC_BT709
_PLANAR = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}
)

LIKE = 18.0**2
"""Pictures of a greater distance are not alike."""
_FLOORS = {"h264": 24.0, "hevc": 24.0, "av1": 22.0, "mjpeg": 22.0, "vp9": 22.0}
"""PSNR in dB that a frame of a codec has at least: well below what noise at usual settings has."""
_FLOOR = 22.0


@dataclass(frozen=True)
class View:
    """What is compared of a picture.

    Attributes:
        luma: uint8 of shape (H, W) or less, full range.
        blocks: float32 of shape (H / 8, W / 8, 3): mean red, green and blue of each, 0 to 255.
    """

    luma: NDArray[np.uint8]
    blocks: Blocks

    @classmethod
    def of(cls, picture: Picture, *, luma_step: int = 1) -> "View":
        """What is compared of `picture`; of luma every `luma_step`-th pixel, down and across."""
        known = picture.format.name in _PLANAR and picture.colorspace != _BT709
        if not known:
            pixels = rgb(picture)
            luma = _plane(picture.reformat(format="yuvj444p").planes[0])
            kept = luma[::luma_step, ::luma_step].copy()
            return cls(kept, _block_means(pixels, BLOCK, BLOCK))
        planes = [_plane(plane) for plane in picture.planes]
        is_full = is_full_range(picture)
        kept = planes[0][::luma_step, ::luma_step]
        luma = kept.copy() if is_full else _LIMITED_TO_FULL[kept]
        return cls(luma, _blocks(planes, is_full=is_full))

    @property
    def exchanged(self) -> "View":
        """The same with red and blue exchanged."""
        return View(self.luma, self.blocks[..., ::-1])


def _plane(plane: VideoPlane) -> NDArray[np.uint8]:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(
        plane.height, plane.line_size
    )
    return rows[:, : plane.width]


def _blocks(
    planes: Sequence[NDArray[np.uint8]],
    *,
    is_full: bool,
) -> Blocks:
    """Red, green and blue of blocks, by ITU-T T.871 and ITU-R BT.601: means follow from means."""
    height, width = planes[0].shape
    sides = [
        (BLOCK * len(p) // height, BLOCK * p.shape[1] // width) for p in planes
    ]
    means = [
        _block_means(p, *side)
        for p, side in zip(
            planes,
            sides,
            strict=True,
        )
    ]
    rows, columns = means[0].shape
    y, cb, cr = (mean[:rows, :columns] for mean in means)
    luma = y if is_full else (y - 16) * (255 / 219)
    scale = 1 if is_full else 255 / 224
    blue, red = (cb - 128) * scale, (cr - 128) * scale
    green = luma - 0.344136 * blue - 0.714136 * red
    blocks: Blocks = np.stack(
        [luma + 1.402 * red, green, luma + 1.772 * blue], axis=2
    )
    return blocks.astype(np.float32)


def _block_means(
    values: NDArray[np.uint8],
    high: int,
    wide: int,
) -> Blocks:
    """The means of blocks of `high` x `wide` values; what is left over at the edges is left out."""
    rows, columns = (
        max(1, len(values) // high),
        max(
            1,
            values.shape[1] // wide,
        ),
    )
    high, wide = (
        min(high, len(values)),
        min(
            wide,
            values.shape[1],
        ),
    )
    whole = values[: rows * high, : columns * wide]
    down = whole.reshape(rows, high, columns * wide, -1).sum(
        axis=1, dtype=np.uint16
    )
    across = down.reshape(rows, columns, wide, -1).sum(
        axis=2,
        dtype=np.float32,
    )
    means: Blocks = across / np.float32(high * wide)
    return means.reshape(rows, columns, *values.shape[2:])


def psnr(one: View, other: View) -> float:
    """The PSNR in luma of two pictures of one size, in dB; infinite where they are equal.

    10 log10(255^2 / mean squared difference).
    """
    apart = one.luma.astype(np.float32) - other.luma
    squares = float(np.vdot(apart, apart)) / apart.size
    return 10 * math.log10(255**2 / squares) if squares else math.inf


def floor_of(codec: str) -> float:
    """The PSNR in dB that a frame has at least."""
    return _FLOORS.get(codec, _FLOOR)


def shows(
    seen: View,
    own: View,
    other: View,
    codec: str,
) -> bool | None:
    """Whether `seen` is `own` rather than `other`; None where the two cannot be told apart.

    Only blocks in which the two differ are looked at. How much they have to differ depends on the
    codec of the video, by FFmpeg's name.
    """
    if own.blocks.shape != other.blocks.shape:
        return None
    differ = np.abs(own.blocks - other.blocks).max(axis=2) >= _STEP
    needed = _EVIDENCE_OF.get(codec, _EVIDENCE) * max(
        1,
        differ.size / _BLOCKS,
    )
    if _distance(own, other, differ) < needed:
        return None
    to_own, to_other = (_distance(seen, view, differ) for view in (own, other))
    if to_own <= to_other:
        return True
    return False if to_other < _SURE * to_own else None


def _distance(
    one: View,
    other: View,
    where: NDArray[np.bool_],
) -> float:
    apart = (one.blocks - other.blocks)[where]
    return float(np.vdot(apart, apart))


def distance(one: Blocks, other: Blocks) -> float:
    """The mean squared difference of two pictures' blocks; infinite where they differ in size."""
    if one.shape != other.shape:
        return math.inf
    apart = one - other
    return float(np.vdot(apart, apart)) / apart.size

"""Which recorded picture a decoded one shows: likeness of pictures. numpy only.

Two pictures are told apart by the means of their blocks of 8 x 8 pixels: noise and the losses of
encoders cancel out there, and what moves does not. How good a picture is, tells its peak
signal-to-noise ratio (PSNR) in luma.
"""

import math
from dataclasses import dataclass

import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from piperline.video.decoder import Picture

Blocks = NDArray[np.float32]

BLOCK = 8
_STEP = 12
"""Blocks differ if their means differ by so many of 255 levels in a colour: encoders keep that."""
_SURE = 0.5
"""The other picture is shown if its distance is less than this share of that to the own one."""
_LIMITED_TO_FULL = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG

FLOORS = {"h264": 24.0, "hevc": 24.0, "av1": 22.0, "mjpeg": 22.0, "vp9": 22.0}
"""PSNR in dB that a frame of a codec has at least: well below what noise at usual settings has."""
FLOOR = 22.0


@dataclass(frozen=True)
class View:
    """What is compared of a picture.

    Attributes:
        luma: uint8 of shape (H, W), full range.
        blocks: float32 of shape (H / 8, W / 8, 3): mean red, green and blue of each, 0 to 255.
    """

    luma: NDArray[np.uint8]
    blocks: Blocks

    @classmethod
    def of(cls, picture: Picture) -> "View":
        """What is compared of `picture`."""
        small = picture.reformat(
            max(1, picture.width // BLOCK),
            max(1, picture.height // BLOCK),
            format="rgb24",
            interpolation=Interpolation.AREA,
        )
        return cls(_luma(picture), small.to_ndarray().astype(np.float32))

    @property
    def exchanged(self) -> "View":
        """The same with red and blue exchanged."""
        return View(self.luma, self.blocks[..., ::-1])


def _luma(picture: Picture) -> NDArray[np.uint8]:
    name = picture.format.name
    if not name.startswith(("yuv", "gray")):
        return _luma(picture.reformat(format="yuvj444p"))
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    luma = rows[:, : plane.width]
    full = name.startswith(("yuvj", "gray")) or picture.color_range == _FULL_RANGE
    return luma.copy() if full else _LIMITED_TO_FULL[luma]


def psnr(one: View, other: View) -> float:
    """The PSNR in luma of two pictures of one size, in dB; infinite where they are equal.

    10 log10(255^2 / mean squared difference).
    """
    apart = one.luma.astype(np.float32) - other.luma
    squares = float(np.vdot(apart, apart)) / apart.size
    return 10 * math.log10(255**2 / squares) if squares else math.inf


def shows(seen: View, own: View, other: View) -> bool | None:
    """Whether `seen` is `own` rather than `other`; None where the two cannot be told apart.

    Only blocks in which the two differ are looked at.
    """
    if own.blocks.shape != other.blocks.shape:
        return None
    differ = np.abs(own.blocks - other.blocks).max(axis=2) >= _STEP
    if not differ.any():
        return None
    to_own, to_other = (_distance(seen, view, differ) for view in (own, other))
    if to_own <= to_other:
        return True
    return False if to_other < _SURE * to_own else None


def _distance(one: View, other: View, where: NDArray[np.bool_]) -> float:
    apart = (one.blocks - other.blocks)[where]
    return float(np.vdot(apart, apart))


def distance(one: Blocks, other: Blocks) -> float:
    """The mean squared difference of two pictures' blocks; infinite where they differ in size."""
    if one.shape != other.shape:
        return math.inf
    apart = one - other
    return float(np.vdot(apart, apart)) / apart.size


LIKE = float(_STEP**2)
"""Pictures of a greater distance are not alike."""

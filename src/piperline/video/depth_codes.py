"""Depth as LeRobot 0.6 stores it: distances become codes of 12 bits. numpy only.

The rule is that of lerobot 0.6.1, `datasets/depth_utils.py`, in float32 as there: the codes are
evenly spaced in the logarithm of the distance plus a shift: near ones are told apart more finely.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from piperline.video.decoder import directions
from piperline.video.depth_unit import MILLIMETRES, DepthUnit

Codes = NDArray[np.uint16]

HIGHEST_CODE = 4095


@dataclass(frozen=True)
class DepthScale:
    """Which distances the codes stand for: LeRobot's numbers, in metres.

    Attributes:
        nearest, farthest: of the codes 0 and 4095.
        shift: what is added before the logarithm is taken.
        log: whether it is taken.
    """

    nearest: float = 0.01
    farthest: float = 10.0
    shift: float = 3.5
    log: bool = True

    @classmethod
    def of_info(cls, info: Mapping[str, Any]) -> "DepthScale":
        """What a feature's `info` says; LeRobot's own where it does not.

        Raises:
            ValueError: there is no such scale.
        """
        known = {name: info[key] for name, key in _KEYS.items() if key in info}
        scale = cls(**known)
        numbers = (scale.nearest, scale.farthest, scale.shift)
        kinds = {type(number) for number in numbers} <= {int, float}
        if not kinds or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{numbers} are no distances")
        if not -scale.shift < scale.nearest < scale.farthest:
            raise ValueError(f"{numbers} is no scale of depth")
        return scale

    @property
    def info(self) -> Mapping[str, Any]:
        """What a feature's `info` says of it."""
        return {key: getattr(self, name) for name, key in _KEYS.items()}

    def codes(self, depth: NDArray[Any], unit: DepthUnit) -> Codes:
        """The codes of distances, uint16 from 0 to 4095; no reading (0, not a number) is 0.

        Args:
            depth: of any shape, whole numbers or not.
            unit: of the distances.
        """
        if depth.dtype == np.uint16:
            return cast("Codes", _table(self, unit)[depth])
        return self._codes(np.nan_to_num(depth.astype(np.float32)), unit)

    def _codes(self, depth: NDArray[np.float32], unit: DepthUnit) -> Codes:
        per_metre = 1000 / MILLIMETRES[unit]
        nearest, farthest, shift = (
            np.float32(metres * per_metre)
            for metres in (self.nearest, self.farthest, self.shift)
        )
        part: NDArray[np.floating[Any]]
        if self.log:
            low, high = (
                math.log(float(end + shift)) for end in (nearest, farthest)
            )
            # below the nearest there is no logarithm at last
            part = np.log(np.maximum(depth, nearest) + shift) - low
            part = part / (high - low)
        else:
            part = (depth - nearest) / (farthest - nearest)
        codes = np.rint(part * HIGHEST_CODE).clip(0, HIGHEST_CODE)
        return cast("Codes", codes.astype(np.uint16))

    def metres(self, codes: Codes) -> NDArray[np.float64]:
        """The distances that codes stand for, in metres."""
        part: NDArray[np.float64] = codes / np.float64(HIGHEST_CODE)
        if not self.log:
            return self.nearest + part * (self.farthest - self.nearest)
        low, high = (
            math.log(end + self.shift) for end in (self.nearest, self.farthest)
        )
        return np.exp(low + part * (high - low)) - self.shift


_KEYS = {
    "nearest": "video.depth_min",
    "farthest": "video.depth_max",
    "shift": "video.shift",
    "log": "video.use_log",
}
LEROBOT = DepthScale()
"""What LeRobot takes where nobody says otherwise."""


@cache
def _table(scale: DepthScale, unit: DepthUnit) -> Codes:
    """The code of each distance that 16 bits can hold."""
    return scale._codes(np.arange(1 << 16, dtype=np.float32), unit)  # noqa: SLF001 - its own


def upright(
    depth: NDArray[Any],
    mirrored: tuple[bool, bool] = (False, False),
    size: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """A depth image put right, and scaled to (width, height): each distance is one that was there.

    Means of distances would lie between a thing and what is behind it.
    """
    down, across = directions(mirrored)
    depth = depth[::down, ::across]
    if size is None:
        return depth
    width, height = size
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip((height, width), depth.shape, strict=True)
    )
    return np.asarray(depth[rows][:, columns])


def gray(depth: NDArray[Any], unit: DepthUnit) -> NDArray[np.uint8]:
    """A depth image to look at, uint8 (H, W, 3): near is white; far, and no reading, is black."""
    codes = LEROBOT.codes(depth, unit)
    shade = np.where(depth > 0, 255 - (codes >> 4), 0).astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)


@dataclass
class DepthMeter:
    """Counts distances for image statistics, to a millimetre.

    Attributes:
        unit: of the distances.
        histogram: int64 of shape (1, 65536): how often each number of millimetres was seen.
    """

    unit: DepthUnit
    histogram: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((1, 1 << 16), dtype=np.int64)
    )

    def add(self, depth: NDArray[Any]) -> None:
        """Count the distances of an image."""
        whole = depth
        if depth.dtype != np.uint16 or self.unit != "mm":
            exact = np.nan_to_num(depth.astype(np.float64))
            whole = np.rint(exact * MILLIMETRES[self.unit]).clip(0, 65535)
        self.histogram[0] += np.bincount(
            whole.ravel().astype(np.int64), minlength=1 << 16
        )

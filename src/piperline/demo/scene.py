"""What three cameras see of two arms: a textured table, a cube, a bowl, sensor noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from piperline.demo.motion import BASES, Motion, arm_points

CAMERAS = ("image_left", "image_mid", "image_right")

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Point = Sequence[float] | Floats
Rgb = tuple[int, int, int]

# Noise is added to bytes without a check: within these limits it never passes 0 or 255.
_DARKEST, _BRIGHTEST, _MOST_NOISE = 24, 231, 23
_NOISE = 3.2  # standard deviation, of 255
# Cells across the image, and how strong.
_TEXTURE = ((6, 26.0), (25, 13.0), (90, 9.0), (240, 8.0), (480, 5.0))
# Image widths in a metre of table, for the middle camera and for those at the wrists.
_WIDE, _NEAR = 0.9, 2.0
_RIM = 0.85  # of the bowl's radius: from here on it is rim
_TABLE: Rgb = (150, 126, 98)
_RED: Rgb = (205, 48, 44)
_BOWL: Rgb = (70, 110, 190)
_METAL: tuple[Rgb, Rgb] = ((205, 205, 210), (90, 95, 105))
_DARK: Rgb = (42, 42, 48)


class Scene:
    """Renders the frames of a session; the table stays the same.

    Args:
        rng: decides the texture and the noise.
        size: height and width of the frames.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
    ) -> None:
        self._height, self._width = size
        self._table = _texture(
            rng,
            (2 * size[0], 2 * size[1]),
        )
        tile = (size[0] + 64, size[1] + 64, 3)
        noise = rng.standard_normal(tile, dtype=np.float32) * _NOISE
        limited = np.clip(noise, -_MOST_NOISE, _MOST_NOISE)
        self._noise = np.round(limited).astype(np.int8).view(np.uint8)

    def frame(
        self, motion: Motion, time: int, rng: np.random.Generator
    ) -> dict[str, Pixels]:
        """One frame of each camera, uint8 (H, W, 3), RGB, by `CAMERAS`."""
        joints = np.split(motion.state[time], 2)
        arms = [
            arm_points(arm, base)
            for arm, base in zip(joints, BASES, strict=True)
        ]
        grips = motion.state[time, [6, 13]]
        views = [
            self._from_wrist(
                motion,
                time,
                arms[0],
                float(grips[0]),
            ),
            self._from_above(motion, time, arms, grips),
            self._from_wrist(
                motion,
                time,
                arms[1],
                float(grips[1]),
            ),
        ]
        return {
            name: self._noisy(view, rng)
            for name, view in zip(CAMERAS, views, strict=True)
        }

    def _noisy(self, view: Pixels, rng: np.random.Generator) -> Pixels:
        top, left = rng.integers(0, 64, 2)
        # Bytes wrap around, so adding a negative number's byte subtracts.
        view += self._noise[top : top + self._height, left : left + self._width]
        return view

    def _from_above(
        self, motion: Motion, time: int, arms: Sequence[Floats], grips: Floats
    ) -> Pixels:
        view = self._table[: self._height, : self._width].copy()
        scale = self._width * _WIDE
        _bowl(
            view,
            self._above((*motion.bowl, 0.0)),
            0.07 * scale,
        )
        _cube(view, self._above(motion.cube[time]), 0.022 * scale)
        for points, grip in zip(arms, grips, strict=True):
            shoulder, elbow, wrist, tip = (
                self._above(point) for point in points
            )
            _capsule(view, shoulder, elbow, 0.036 * scale, _METAL[0])
            _capsule(view, elbow, wrist, 0.028 * scale, _METAL[1])
            for side in (-1, 1):
                aside = np.array(
                    [
                        side * (0.006 + grip / 2) * scale,
                        0,
                    ]
                )
                _capsule(view, wrist + aside, tip + aside, 0.008 * scale, _DARK)
        return view

    def _above(self, point: Point) -> Floats:
        """Where the middle camera, which looks down at an angle, sees a point: column, row."""
        x, y, z = point
        scale = self._width * _WIDE
        return np.array(
            [
                self._width / 2 + x * scale,
                self._height * 0.95 - (y * 0.95 + z * 0.4) * scale,
            ]
        )

    def _from_wrist(
        self, motion: Motion, time: int, points: Floats, grip: float
    ) -> Pixels:
        tip = points[3]
        scale = self._width * _NEAR
        top = round(
            np.clip(
                (0.6 - tip[1]) * scale * 0.6,
                0,
                self._height,
            )
        )
        left = round(
            np.clip(
                (tip[0] + 0.5) * scale * 0.5,
                0,
                self._width,
            )
        )
        view = self._table[
            top : top + self._height, left : left + self._width
        ].copy()
        middle = np.array([self._width / 2, self._height * 0.62])
        across = np.array([scale, -scale])
        _bowl(
            view,
            middle + (np.array(motion.bowl) - tip[:2]) * across,
            0.07 * scale,
        )
        _cube(
            view,
            middle + (motion.cube[time, :2] - tip[:2]) * across,
            0.02 * scale,
        )
        for side in (-1, 1):
            column = middle[0] + side * (0.006 + grip / 2) * scale
            _capsule(
                view,
                (column, self._height),
                (column, middle[1]),
                0.01 * scale,
                _DARK,
            )
        return view


def _texture(
    rng: np.random.Generator,
    size: tuple[int, int],
) -> Pixels:
    """A table of wood: smooth spots of several sizes, long along the grain."""
    height, width = size
    light = np.zeros(size)
    for cells, strength in _TEXTURE:
        spots = rng.standard_normal((cells * 2, max(cells // 2, 2)))
        light += strength * (
            _between(height, len(spots))
            @ spots
            @ _between(width, spots.shape[1]).T
        )
    tint = np.array([1.0, 0.92, 0.8])
    table: Pixels = np.clip(
        np.array(_TABLE) + light[..., None] * tint, _DARKEST, _BRIGHTEST
    ).astype(np.uint8)
    return table


def _between(count: int, cells: int) -> Floats:
    """Weights that spread `cells` values linearly over `count` positions: (count, cells)."""
    positions = np.linspace(0, cells - 1, count)[:, None]
    weights: Floats = np.clip(
        1 - np.abs(positions - np.arange(cells)),
        0,
        1,
    )
    return weights


def _capsule(
    view: Pixels, start: Point, end: Point, radius: float, color: Rgb
) -> None:
    """A thick line with round ends, lit from above."""
    (x0, y0), (x1, y1) = start, end
    box = _box(view, (x0, x1), (y0, y1), radius)
    if box is None:
        return
    region, x, y = box
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(
        ((x - x0) * dx + (y - y0) * dy)
        / max(
            dx * dx + dy * dy,
            1e-9,
        ),
        0,
        1,
    )
    distance = (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2
    inside = distance <= radius**2
    light = 1 - 0.45 * distance[inside] / radius**2
    region[inside] = np.clip(
        light[:, None] * color,
        _DARKEST,
        _BRIGHTEST,
    )


def _bowl(view: Pixels, middle: Point, radius: float) -> None:
    box = _box(
        view,
        (middle[0],) * 2,
        (middle[1],) * 2,
        radius,
    )
    if box is None:
        return
    region, x, y = box
    distance = (
        np.hypot(
            x - middle[0],
            y - middle[1],
        )
        / radius
    )
    inside = distance <= 1
    light = np.where(
        distance > _RIM,
        1.1,
        0.55 + 0.3 * distance,
    )[inside]
    region[inside] = np.clip(
        light[:, None] * _BOWL,
        _DARKEST,
        _BRIGHTEST,
    )


def _cube(view: Pixels, middle: Point, half: float) -> None:
    box = _box(
        view,
        (middle[0],) * 2,
        (middle[1],) * 2,
        half,
    )
    if box is not None:
        region, _, y = box
        # The upper face is brighter.
        light = np.where(
            y < middle[1] - half * 0.3,
            1.1,
            0.8,
        )[..., None]
        region[:] = np.clip(light * _RED, _DARKEST, _BRIGHTEST)


def _box(
    view: Pixels,
    columns: tuple[float, float],
    rows: tuple[float, float],
    margin: float,
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.float32]] | None:
    """The part of the image around some points, and the x and y of its pixels; None if outside."""
    height, width = view.shape[:2]
    left = max(int(min(columns) - margin), 0)
    right = min(int(max(columns) + margin) + 2, width)
    top = max(int(min(rows) - margin), 0)
    bottom = min(int(max(rows) + margin) + 2, height)
    if left >= right or top >= bottom:
        return None
    x = np.arange(
        left,
        right,
        dtype=np.float32,
    )[None, :]
    y = np.arange(
        top,
        bottom,
        dtype=np.float32,
    )[:, None]
    return view[top:bottom, left:right], x, y

"""Statistics of features: LeRobot's sampling rule for images, moments, quantiles, merging.

Rules from lerobot 0.3.3, `lerobot/datasets/compute_stats.py`: vectors over all frames, population
standard deviation; images over sampled frames, every f-th pixel, scaled to [0, 1], shapes (C, 1,
1). All sums here are
exact or float64: the image statistics of lerobot 0.4.0 to 0.6.1 are wrong by rounding and overflow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""The quantiles that LeRobot v3.0 stores, and their names."""

COLOR_STEPS = 255.0
"""Colours are scaled to [0, 1]."""

_MIN_SAMPLES, _MAX_SAMPLES = 100, 10_000
_LONGEST_SIDE_KEPT, _TARGET_SIDE = 300, 150

Floats = NDArray[np.float64]


def sample_frames(count: int) -> list[int]:
    """The frames of an episode of `count` frames that image statistics are taken from.

    All below 100 frames, else count^0.75 (at least 100, at most 10,000) evenly spaced ones.
    """
    wanted = max(_MIN_SAMPLES, min(int(count**0.75), _MAX_SAMPLES))
    samples = min(count, wanted)
    return [
        int(index)
        for index in np.round(
            np.linspace(
                0,
                count - 1,
                samples,
            )
        )
    ]


def image_stride(height: int, width: int) -> int:
    """Every how many pixels, down and across, an image of this size is looked at."""
    longest = max(height, width)
    return 1 if longest < _LONGEST_SIDE_KEPT else longest // _TARGET_SIDE


@dataclass(frozen=True)
class FeatureStats:
    """The statistics of one feature over some frames.

    Attributes:
        min, max, mean, std: float64 (or int64 for min and max of integer columns), shape (D,) for
            vectors of D dimensions, (1,) for scalars, (C, 1, 1) in [0, 1] for images.
        count: how many frames (for images: sampled frames) they were taken from.
        quantiles: by name ("q01"), same shape; empty where unknown.
        histogram: for images of known pixels, int64 of shape (C, 256): how often each value of each
            channel was seen; of depth (1, 65536): each number of millimetres. Everything else
            follows from it exactly, also over many episodes.
        steps: how many steps of the histogram make 1 in the statistics: 255 of colours, 1 or 1000
            of depth, which is in the recorded unit.
    """

    min: NDArray[Any]
    max: NDArray[Any]
    mean: Floats
    std: Floats
    count: int
    quantiles: Mapping[str, Floats]
    histogram: NDArray[np.int64] | None = None
    steps: float = COLOR_STEPS

    @classmethod
    def of_rows(
        cls, rows: NDArray[Any], *, quantiles: bool = False
    ) -> "FeatureStats":
        """The statistics of `rows`, shape (N,) or (N, D), any number type."""
        return cls.of_columns({"": rows}, quantiles=quantiles)[""]

    @classmethod
    def of_columns(
        cls, columns: Mapping[str, NDArray[Any]], *, quantiles: bool = False
    ) -> dict[str, "FeatureStats"]:
        """The statistics of each of some columns of the same rows.

        Args:
            columns: by name, shape (N,) or (N, D), any number type; at least one.
            quantiles: whether to tell them as well.
        """
        flat = {
            key: rows.reshape(len(rows), -1) for key, rows in columns.items()
        }
        exact = {key: rows.astype(np.float64) for key, rows in flat.items()}
        found = {
            key: cls(
                min=rows.min(axis=0),
                max=rows.max(axis=0),
                mean=exact[key].mean(axis=0),
                std=exact[key].std(axis=0),
                count=len(rows),
                quantiles={},
            )
            for key, rows in flat.items()
        }
        return _with_quantiles(found, exact) if quantiles else found

    @classmethod
    def of_histogram(
        cls,
        histogram: NDArray[np.int64],
        count: int,
        steps: float = COLOR_STEPS,
    ) -> "FeatureStats":
        """The statistics of `count` images whose pixels `histogram` counts, shape (C, values)."""
        highest = histogram.shape[1] - 1
        values = np.arange(highest + 1, dtype=np.float64)
        pixels = histogram.sum(axis=1)
        mean = histogram @ values / pixels
        squares = histogram @ values**2 / pixels
        # Integers up to 2^53 are exact in float64, so the difference loses nothing that could be
        # seen.
        std = np.sqrt(np.maximum(squares - mean**2, 0))
        seen = histogram > 0
        scaled = {
            "min": seen.argmax(axis=1),
            "max": highest - seen[:, ::-1].argmax(axis=1),
            "mean": mean,
            "std": std,
        }
        quantiles = dict(
            zip(QUANTILES, _histogram_quantiles(histogram), strict=True)
        )
        shape = (len(histogram), 1, 1)
        parts = {
            name: (value / steps).reshape(shape)
            for name, value in scaled.items()
        }
        return cls(
            **parts,
            count=count,
            quantiles={
                name: (value / steps).reshape(shape)
                for name, value in quantiles.items()
            },
            histogram=histogram,
            steps=steps,
        )


def _with_quantiles(
    stats: Mapping[str, FeatureStats], columns: Mapping[str, Floats]
) -> dict[str, FeatureStats]:
    """Statistics, and the quantiles of their columns; asked for at once, which costs once."""
    wanted = list(QUANTILES.values())
    together = np.hstack(list(columns.values()))
    values = np.quantile(together, wanted, axis=0)
    ends = np.cumsum([rows.shape[1] for rows in columns.values()])
    of_each = np.split(values, ends[:-1], axis=1)
    return {
        key: replace(
            stats[key], quantiles=dict(zip(QUANTILES, known, strict=True))
        )
        for key, known in zip(columns, of_each, strict=True)
    }


def _histogram_quantiles(histogram: NDArray[np.int64]) -> Floats:
    """`QUANTILES` of each row, as `np.quantile` would give them for the counted values.

    float64 of shape (quantiles, rows).
    """
    cumulative = histogram.cumsum(axis=1)
    wanted = np.array(list(QUANTILES.values()))
    position = (cumulative[:, -1] - 1) * wanted[:, None]
    floor = np.floor(position)
    low = (cumulative <= floor[..., None]).sum(axis=2)
    high = (cumulative <= np.ceil(position)[..., None]).sum(axis=2)
    result: Floats = low + (high - low) * (position - floor)
    return result


def merge_stats(parts: Sequence[FeatureStats]) -> FeatureStats:
    """The statistics of all frames of `parts`, in this order.

    Exact for min, max, mean and std (parallel variance). Quantiles are exact where every part has a
    histogram,
    else left out: they do not follow from the parts' quantiles.
    """
    histograms = [part.histogram for part in parts]
    known = [histogram for histogram in histograms if histogram is not None]
    count = sum(part.count for part in parts)
    if len(known) == len(parts):
        total = np.sum(known, axis=0)
        return FeatureStats.of_histogram(total, count, parts[0].steps)
    weights = [part.count / count for part in parts]
    mean = _weighted(weights, [part.mean for part in parts])
    variances = [part.std**2 + (part.mean - mean) ** 2 for part in parts]
    return FeatureStats(
        min=reduce(np.minimum, [part.min for part in parts]),
        max=reduce(np.maximum, [part.max for part in parts]),
        mean=mean,
        std=np.sqrt(_weighted(weights, variances)),
        count=count,
        quantiles={},
    )


def _weighted(weights: Sequence[float], values: Sequence[Floats]) -> Floats:
    """The weighted sum, value by value: each follows from its own values alone."""
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total

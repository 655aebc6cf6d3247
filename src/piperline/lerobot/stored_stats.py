"""Statistics of images as a dataset stores them: taken over where they can be understood.

They can be made again from the images, so what is missing or odd in them stops nothing.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from piperline.features import Feature
from piperline.stats import QUANTILES, FeatureStats, sample_frames

_MOMENTS = ("min", "max", "mean", "std")


def stored_stats(
    stored: object,
    feature: Feature,
    length: int,
    histogram: NDArray[np.int64] | None,
) -> FeatureStats | None:
    """The statistics of a camera in an episode; None where they are not known.

    Args:
        stored: what LeRobot's JSON, or the episode table, says about the feature.
        feature: the camera.
        length: frames of the episode.
        histogram: of its pixels, where it is known: all follows from it.
    """
    values = stored if isinstance(stored, Mapping) else {}
    count = _count(values.get("count"), length)
    if histogram is not None:
        return FeatureStats.of_histogram(
            histogram, count, feature.histogram_steps
        )
    shape = (feature.camera_size[2], 1, 1)
    known = {
        name: _numbers(values.get(name), shape)
        for name in (*_MOMENTS, *QUANTILES)
    }
    moments = [known[name] for name in _MOMENTS]
    found = [moment for moment in moments if moment is not None]
    if len(found) < len(_MOMENTS):
        return None
    low, high, mean, std = found
    quantiles = {
        name: value for name in QUANTILES if (value := known[name]) is not None
    }
    return FeatureStats(
        min=low, max=high, mean=mean, std=std, count=count, quantiles=quantiles
    )


def _count(stored: object, length: int) -> int:
    """How many images were looked at: as stored, or as many as LeRobot takes."""
    value = (
        stored[0] if isinstance(stored, list) and len(stored) == 1 else stored
    )
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 0 < value <= 2**53
    ):
        return value
    return len(sample_frames(length))


def _numbers(
    stored: object, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    """Nested lists as an array of `shape`; None where they are something else."""
    try:
        numbers = np.asarray(stored, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    if numbers.shape != shape or not np.isfinite(numbers).all():
        return None
    return numbers

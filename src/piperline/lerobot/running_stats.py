"""Statistics of all episodes of a dataset together, taken in one after the other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.features import BOOKKEEPING, Feature
from piperline.lerobot.columns import is_numeric
from piperline.stats import FeatureStats, merge_stats

MOMENTS = ("min", "max", "mean", "std")


def is_joined(key: str, feature: Feature) -> bool:
    """Whether float64 holds the numbers of a feature: not whole ones such as times in ns."""
    wide = feature.dtype in {"int64", "uint64"} and key not in BOOKKEEPING
    return is_numeric(feature) and not wide


class RunningStats:
    """The numbers that `merge_stats` gives of each feature, at a fraction of its cost.

    The moments of all features that are joined are merged as one vector, the histograms of images
    are only added up.

    Args:
        features: all that have statistics, in order.
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self._features = features
        self._numeric = {
            key: feature
            for key, feature in features.items()
            if is_joined(key, feature)
        }
        self._moments: FeatureStats | None = None
        self._apart: dict[str, FeatureStats] = {}
        self._histograms: dict[str, tuple[NDArray[np.int64], int]] = {}

    def add(self, stats: Mapping[str, FeatureStats]) -> None:
        """Take in an episode.

        Args:
            stats: its statistics, by feature key; those of all features that are joined are there.
        """
        numeric = [stats[key] for key in self._numeric]
        if numeric:
            joined: dict[str, Any] = {
                name: np.concatenate(
                    [getattr(part, name).reshape(-1) for part in numeric]
                )
                for name in MOMENTS
            }
            count = numeric[0].count
            self.add_moments(FeatureStats(**joined, count=count, quantiles={}))
        for key in stats.keys() - self._numeric.keys():
            self._add_apart(key, stats[key])

    def add_moments(self, part: FeatureStats) -> None:
        """Take in the joined features of an episode, one behind the other in one vector."""
        before = self._moments
        self._moments = merge_stats([before, part]) if before else part

    def add_histogram(
        self, key: str, histogram: NDArray[np.int64], count: int
    ) -> None:
        """Take in images.

        Args:
            key: their camera.
            histogram: of their pixels; see `FeatureStats`.
            count: how many images.
        """
        known, images = self._histograms.get(key, (0, 0))
        self._histograms[key] = known + histogram, images + count

    def _add_apart(self, key: str, part: FeatureStats) -> None:
        if part.histogram is not None and key not in self._apart:
            self.add_histogram(key, part.histogram, part.count)
            return
        # From the first episode on whose pixels are not known, moments are merged.
        before = self._of_apart(key)
        self._apart[key] = merge_stats([before, part]) if before else part
        self._histograms.pop(key, None)

    def _of_apart(self, key: str) -> FeatureStats | None:
        if key in self._histograms:
            histogram, count = self._histograms[key]
            steps = self._features[key].histogram_steps
            return FeatureStats.of_histogram(histogram, count, steps)
        return self._apart.get(key)

    def result(self) -> dict[str, FeatureStats]:
        """The statistics so far, in the order of the features; columns have no quantiles."""
        found = self._of_columns()
        for key in (*self._histograms, *self._apart):
            merged = self._of_apart(key)
            if merged:
                found[key] = merged
        return {key: found[key] for key in self._features if key in found}

    def _of_columns(self) -> dict[str, FeatureStats]:
        merged, start = self._moments, 0
        found: dict[str, FeatureStats] = {}
        if merged is None:
            return found
        for key, feature in self._numeric.items():
            stop = start + int(np.prod(feature.shape))
            parts: dict[str, Any] = {
                name: getattr(merged, name)[start:stop].reshape(feature.shape)
                for name in MOMENTS
            }
            dtype = np.dtype(feature.dtype)
            if dtype.kind != "f":
                parts["min"] = parts["min"].astype(dtype)
                parts["max"] = parts["max"].astype(dtype)
            found[key] = replace(merged, **parts)
            start = stop
        return found

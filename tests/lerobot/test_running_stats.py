"""Statistics of many episodes: those of merging one after the other, bit by bit."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from piperline.features import Feature
from piperline.lerobot.running_stats import RunningStats
from piperline.stats import QUANTILES, FeatureStats, merge_stats

FEATURES = {
    "observation.state": Feature("float32", (14,)),
    "force": Feature("float64", (2, 3)),
    "observation.images.head": Feature("video", (4, 6, 3)),
    "done": Feature("bool", (1,)),
    "index": Feature("int64", (1,)),
    "stamp": Feature("int64", (1,)),
    "serial": Feature("uint64", (2,)),
}
CAMERA = "observation.images.head"


def episode(seed: int, *, histogram: bool = True) -> dict[str, FeatureStats]:
    random = np.random.default_rng(seed)
    length = int(random.integers(1, 80))
    rows = {
        "observation.state": random.normal(size=(length, 14)).astype("f4"),
        "force": random.normal(size=(length, 2, 3)) * 1e9,
        "done": random.random((length, 1)) < 0.5,
        "index": np.arange(length)[:, None] + 10 * seed,
        # nanoseconds, and the largest number there is: no float64 holds them
        "stamp": np.arange(length)[:, None] + 1_790_000_000_123_456_789,
        "serial": np.full((length, 2), 2**64 - 1 - seed, dtype=np.uint64),
    }
    stats = FeatureStats.of_columns(rows, quantiles=True)
    counts = random.integers(1, 1000, (3, 256))
    images = FeatureStats.of_histogram(counts, length)
    if not histogram:
        parts = (images.min, images.max, images.mean, images.std, length)
        images = FeatureStats(*parts, quantiles={})
    return {**stats, CAMERA: images}


def merged(
    episodes: Sequence[Mapping[str, FeatureStats]], key: str
) -> FeatureStats:
    first, *others = (episode[key] for episode in episodes)
    for part in others:
        first = merge_stats([first, part])
    return first


def same(one: FeatureStats, other: FeatureStats) -> bool:
    names = ("min", "max", "mean", "std")
    return one.count == other.count and all(
        np.array_equal(
            getattr(one, name).reshape(-1), getattr(other, name).reshape(-1)
        )
        for name in names
    )


@pytest.mark.parametrize(
    "known",
    [[True] * 6, [False] * 6, [True, True, False, True, True, False]],
    ids=["histograms", "moments", "some histograms"],
)
def test_all_episodes_one_after_the_other(known: list[bool]) -> None:
    episodes = [
        episode(seed, histogram=histogram)
        for seed, histogram in enumerate(known)
    ]
    running = RunningStats(FEATURES)
    for each in episodes:
        running.add(each)
    found = running.result()
    assert list(found) == list(FEATURES)
    assert found["force"].mean.shape == (2, 3)
    assert found["index"].min.tolist() == [0]
    for key in FEATURES:
        assert same(found[key], merged(episodes, key)), key
    exact = found[CAMERA].histogram is not None
    assert exact == all(known)


def test_quantiles_of_columns_are_those_of_each_alone() -> None:
    random = np.random.default_rng(1)
    columns = {
        "narrow": random.normal(size=(57, 1)),
        "wide": random.normal(size=(57, 9)).astype("f4"),
        "whole": random.integers(0, 9, 57),
    }
    columns["wide"][3, 4] = np.nan
    found = FeatureStats.of_columns(columns, quantiles=True)
    for key, rows in columns.items():
        exact = rows.reshape(57, -1).astype(np.float64)
        for name, share in QUANTILES.items():
            alone = np.quantile(exact, share, axis=0)
            told = found[key].quantiles[name]
            assert np.array_equal(told, alone, equal_nan=True)

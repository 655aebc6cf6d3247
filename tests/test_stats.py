"""Statistics: LeRobot's rules, computed exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from piperline.stats import (
    QUANTILES,
    FeatureStats,
    image_stride,
    merge_stats,
    sample_frames,
)

ROWS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.floats(-100, 100, width=32),
)
HISTOGRAMS = hnp.arrays(np.int64, (3, 256), elements=st.integers(0, 5)).filter(
    lambda counts: counts.sum(axis=1).all()
)


@pytest.mark.parametrize(
    ("count", "samples"),
    [
        (1, 1),
        (99, 99),
        (100, 100),
        (200, 100),
        (464, 100),
        (465, 100),
        (1000, 177),
        (10**6, 10_000),
    ],
)
def test_as_many_frames_are_sampled_as_lerobot_samples(count, samples):
    chosen = sample_frames(count)
    assert len(chosen) == samples
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert sorted(set(chosen)) == chosen


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((48, 64), 1),
        ((299, 299), 1),
        ((240, 320), 2),
        ((480, 640), 4),
        ((720, 1280), 8),
        ((640, 480), 4),
    ],
)
def test_images_are_looked_at_as_lerobot_does(size, stride):
    assert image_stride(*size) == stride


@given(ROWS)
def test_rows(rows):
    stats = FeatureStats.of_rows(rows, quantiles=True)
    exact = rows.astype(np.float64)
    assert np.array_equal(stats.min, rows.min(axis=0))
    assert np.array_equal(stats.max, rows.max(axis=0))
    assert np.allclose(stats.mean, exact.mean(axis=0), atol=1e-12)
    assert np.allclose(stats.std, exact.std(axis=0), atol=1e-12)
    assert stats.count == len(rows)
    for name, q in QUANTILES.items():
        assert np.allclose(stats.quantiles[name], np.quantile(exact, q, axis=0))


def test_rows_without_quantiles():
    assert not FeatureStats.of_rows(np.arange(5)).quantiles
    assert FeatureStats.of_rows(np.arange(5)).mean.shape == (1,)


@given(HISTOGRAMS)
def test_histograms_stand_for_their_pixels(histogram):
    stats = FeatureStats.of_histogram(histogram, 7)
    assert stats.count == 7
    for channel in range(3):
        pixels = np.repeat(np.arange(256), histogram[channel]) / 255
        assert np.isclose(stats.min[channel, 0, 0], pixels.min())
        assert np.isclose(stats.max[channel, 0, 0], pixels.max())
        assert np.isclose(stats.mean[channel, 0, 0], pixels.mean())
        assert np.isclose(stats.std[channel, 0, 0], pixels.std(), atol=1e-7)
        for name, q in QUANTILES.items():
            assert np.isclose(
                stats.quantiles[name][channel, 0, 0], np.quantile(pixels, q)
            )


def test_many_pixels_lose_nothing():
    """Lerobot 0.4 gives 0 and lerobot 0.6 gives 0.207 for the deviation of such images."""
    histogram = np.zeros((3, 256), np.int64)
    histogram[:, 200] = 10_000 * 120 * 160
    stats = FeatureStats.of_histogram(histogram, 10_000)
    assert np.allclose(stats.mean, 200 / 255, atol=1e-15)
    assert np.array_equal(stats.std, np.zeros((3, 1, 1)))


@given(ROWS, st.data())
def test_merged_rows_are_those_of_all(rows, data):
    cut = data.draw(st.integers(0, len(rows)))
    parts = [
        FeatureStats.of_rows(part)
        for part in (rows[:cut], rows[cut:])
        if len(part)
    ]
    merged, whole = merge_stats(parts), FeatureStats.of_rows(rows)
    assert merged.count == whole.count
    for name in ("min", "max", "mean", "std"):
        assert np.allclose(
            getattr(merged, name), getattr(whole, name), atol=1e-4
        )


@given(HISTOGRAMS, HISTOGRAMS)
def test_merged_histograms_keep_exact_quantiles(one, other):
    merged = merge_stats(
        [FeatureStats.of_histogram(one, 3), FeatureStats.of_histogram(other, 4)]
    )
    whole = FeatureStats.of_histogram(one + other, 7)
    assert merged.count == 7
    assert np.array_equal(merged.quantiles["q99"], whole.quantiles["q99"])

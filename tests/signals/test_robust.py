"""Statistics that detectors stand on."""

import numpy as np
import pytest

from piperline.signals.robust import correlation, lag_correlations, shifted


@pytest.mark.parametrize("columns", [(), (3,)])
@pytest.mark.parametrize("length", [1, 5, 40, 200])
@pytest.mark.parametrize("most", [0, 5, 33])
def test_correlations_of_lags_are_those_of_the_rows_that_belong_together(
    columns, length, most
):
    rng = np.random.default_rng(length)
    early = rng.normal(size=(length, *columns)).astype(np.float32)
    late = 50 + np.cumsum(rng.normal(size=(length, *columns)), axis=0)
    expected = [
        correlation(*shifted(late, early, lag)) if abs(lag) < length else 0
        for lag in range(-most, most + 1)
    ]
    found = lag_correlations(late, early, most)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_what_stands_still_in_the_rows_of_a_lag_correlates_with_nothing():
    moves = np.random.default_rng(0).normal(size=200)
    still = np.full(200, 3.3)
    still[:4] = [9, 1, 8, 2]
    found = lag_correlations(still, moves, 10)
    assert (found[14:] == 0).all(), "these rows hold one value"
    assert np.abs(found[:14]).max() > 0

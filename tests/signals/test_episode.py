"""Signals of an episode in a file: read back as they were, or taken for absent."""

import numpy as np
import pytest

from piperline.signals.camera import measure
from piperline.signals.episode import (
    STATE,
    EpisodeSignals,
    load_signals,
    save_signals,
)
from tests.helpers.recordings import jpeg, paint


@pytest.fixture
def signals():
    return EpisodeSignals(
        file="a.hdf5",
        session="a.hdf5",
        name="episode_\udcff\n",
        index=3,
        instruction="fold <b>it</b>",
        vectors={STATE: np.arange(28, dtype=np.float32).reshape(2, 14)},
        cameras={
            "mid": measure([jpeg(paint(0, 0, i)) for i in range(2)], 48, 64)
        },
        labels={"success": True},
        times=np.array([0.0, 0.1]),
        key="k",
    )


def test_signals_are_read_back_as_they_were(signals, tmp_path):
    save_signals(tmp_path / "a.npz", signals)
    again = load_signals(tmp_path / "a.npz")
    assert again is not None
    assert (again.name, again.index, again.instruction) == (
        signals.name,
        3,
        "fold <b>it</b>",
    )
    assert np.array_equal(again.vectors[STATE], signals.vectors[STATE])
    assert np.array_equal(
        again.cameras["mid"].view, signals.cameras["mid"].view
    )
    assert (again.labels, again.rows_behind) == ({"success": True}, None)
    assert again.times is not None
    assert again.times.tolist() == [0.0, 0.1]


@pytest.mark.parametrize("size", [0, 10, 500, -1])
def test_a_file_that_is_cut_short_is_taken_for_absent(signals, tmp_path, size):
    path = tmp_path / "a.npz"
    save_signals(path, signals)
    path.write_bytes(path.read_bytes()[:size])
    assert load_signals(path) is None


def test_a_missing_file_is_absent(tmp_path):
    assert load_signals(tmp_path / "none.npz") is None

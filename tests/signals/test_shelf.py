"""Signals on a shelf are those that were put there."""

import numpy as np
import pytest

from piperline.signals.episode import STATE
from piperline.signals.shelf import Shelf, packed
from tests.helpers.reviews import collected
from tests.helpers.sessions import Style, clean_set


@pytest.fixture(scope="module")
def episodes():
    return collected(clean_set(Style(sessions=1, episodes=3))).episodes


def test_all_of_the_signals_come_back(episodes):
    shelf = Shelf()
    # More than the first file holds: those put there before stay what they were.
    found = [shelf.put(packed(one)) for _ in range(9) for one in episodes]
    for place, one in enumerate(found):
        own = episodes[place % len(episodes)]
        assert (one.name, one.labels) == (own.name, own.labels)
        np.testing.assert_array_equal(one.vectors[STATE], own.vectors[STATE])
        for camera, signals in own.cameras.items():
            for name, values in signals.arrays().items():
                kept = getattr(one.cameras[camera], name)
                np.testing.assert_array_equal(kept, values)


def test_numbers_lie_where_processors_read_them_at_once(episodes):
    shelf = Shelf()
    for one in episodes:
        camera = shelf.put(packed(one)).cameras["mid"]
        arrays = [a for a in vars(camera).values() if isinstance(a, np.ndarray)]
        assert all(array.flags.aligned for array in arrays)


def test_a_full_disk_leaves_them_in_memory(episodes, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("piperline.spill.scratch", full)
    found = Shelf().put(packed(episodes[0]))
    np.testing.assert_array_equal(
        found.vectors[STATE], episodes[0].vectors[STATE]
    )

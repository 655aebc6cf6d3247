"""What recorders note beside the frames: read where it is sensible, else absent."""

import h5py
import numpy as np
import pytest

from piperline.recordings.layout import load_layout
from piperline.recordings.recording import Recording
from tests.helpers.recordings import write_piper


def marks_of(path):
    with Recording(path, load_layout("piper")) as recording:
        return recording.episode("episode_0").marks(5)


@pytest.fixture
def path(tmp_path):
    return write_piper(tmp_path / "a.hdf5", episodes=1, lengths=5)


def test_labels_tell_yes_or_no(path):
    with h5py.File(path, "a") as file:
        file["episode_0"].attrs.update(
            {
                "success": False,
                "failure": np.uint8(1),
                "valid": "yes",
                "discard": [1, 2, 3],
            }
        )
    assert marks_of(path).labels == {
        "success": False,
        "failure": True,
        "valid": True,
    }


@pytest.mark.parametrize(
    ("unit", "factor"), [("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)]
)
def test_times_become_seconds(path, unit, factor):
    seconds = np.arange(5) / 30
    with h5py.File(path, "a") as file:
        file["episode_0/timestamp"] = (seconds * factor).round(
            6 if unit == "s" else 0
        )
    times = marks_of(path).times
    assert times == pytest.approx(seconds, abs=1e-3)


def test_what_is_no_time_is_absent(path):
    with h5py.File(path, "a") as file:
        file["episode_0/timestamp"] = np.full(5, np.nan)
        file["episode_0/timestamps"] = np.zeros(3)
        file["episode_0/time"] = h5py.ExternalLink("other.hdf5", "/x")
    assert marks_of(path).times is None


def test_rows_behind_the_last_frame_are_told(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=5, extra_rows=3)
    behind = marks_of(path).behind
    assert behind is not None
    assert behind.shape == (3, 14)

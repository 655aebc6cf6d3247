"""Recordings are written whole or not at all."""

import h5py
import numpy as np
import pytest

from piperline.recordings.write import NewEpisode, write_recording


def episode(frames, name="take"):
    return NewEpisode(
        name, {"length": 2}, {"state": np.zeros((2, 3))}, ("eye",), frames
    )


def test_a_recording_holds_what_was_given(tmp_path):
    path = tmp_path / "a.hdf5"
    write_recording(
        path,
        [
            episode([{"eye": b"one"}, {"eye": b"three"}]),
            episode([{"eye": b""}] * 2, "other"),
        ],
    )
    assert list(tmp_path.iterdir()) == [path]
    with h5py.File(path) as file:
        assert list(file) == ["other", "take"]
        assert file["take"].attrs["length"] == 2
        assert file["take/state"].shape == (2, 3)
        assert [row.tobytes() for row in file["take/eye"]] == [b"one", b"three"]


def test_a_failure_leaves_the_old_file(tmp_path):
    def frames():
        yield {"eye": b"one"}
        raise ConnectionError("the camera is gone")

    path = tmp_path / "a.hdf5"
    path.write_bytes(b"old")
    with pytest.raises(ConnectionError):
        write_recording(path, [episode(frames())])
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"

"""Recordings are written whole or not at all."""

import subprocess
import sys

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


_LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from piperline.recordings.write import NewEpisode, write_recording

path = Path(sys.argv[1])
def episodes():
    for number in range(3):
        frames = ({"eye": bytes(2000)} for _ in range(20))
        yield NewEpisode(str(number), {}, {"state": np.zeros((20, 3))}, ("eye",), frames)
for limit in (1, 100, 960, 4000, 15_000, 50_000, 120_000, 1_000_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
    try:
        write_recording(path, episodes())
        print(limit, "written")
    except OSError as error:
        print(limit, error.strerror, list(path.parent.iterdir()))
"""


def test_a_limit_of_file_size_is_an_error_and_no_crash(tmp_path):
    """HDF5 crashes when a write fails."""
    path = tmp_path / "a.hdf5"
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    *refused, written = done.stdout.splitlines()
    assert [line.partition(" ")[2] for line in refused] == [
        "File too large []"
    ] * 7
    assert written == "1000000 written"
    with h5py.File(path) as file:
        assert all(len(file[f"{name}/eye"][19]) == 2000 for name in "012")

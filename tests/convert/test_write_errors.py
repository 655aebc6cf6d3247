"""A disk that fails while FFmpeg writes a video: one clear error, and the same command finishes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

SOURCE = Path(__file__).parents[1] / "helpers" / "failing.c"
FULL, BROKEN = "the disk is full", "the disk, or the network to it, has failed"


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """The library that makes calls fail."""
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    options = ("-shared", "-fPIC", "-nostdlib", "-fno-builtin")
    command = ["gcc", *options, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "day.hdf5"
    return write_piper(path, episodes=2, lengths=4)


def converted(recording, output, video, **environment):
    """Convert in a process of its own, which measures nothing: it may be unable to write it."""
    names = [name for name in os.environ if not name.startswith("COVERAGE")]
    inherited = {name: os.environ[name] for name in names}
    words = ("convert", recording, "--output", output, "--video", video)
    few = ("--workers", "1", "--no-review")
    return subprocess.run(
        [sys.executable, "-m", "piperline", *map(str, words), *few],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory, recording, failing):
    """What comes of it where nothing fails: the library is there, and does nothing."""
    folder = tmp_path_factory.mktemp("expected")
    for video in ("h264", "copy"):
        quiet = {"LD_PRELOAD": str(failing)}
        done = converted(recording, folder / video, video, **quiet)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("video", "call", "first", "code", "message"),
    [
        ("h264", "write", 1, errno.ENOSPC, FULL),  # the header
        ("h264", "fsync", 1, errno.EIO, BROKEN),
        ("copy", "write", 3, errno.EIO, BROKEN),  # the trailer
        ("copy", "close", 1, errno.EIO, BROKEN),  # FFmpeg's own
    ],
)
def test_a_disk_that_fails_while_a_video_is_written(
    tmp_path, recording, expected, failing, video, call, first, code, message
):
    output = tmp_path / "out"
    fault = {
        "LD_PRELOAD": str(failing),
        "FAULT_CALL": call,
        "FAULT_PATH": ".mp4",
        "FAULT_FIRST": str(first),
        "FAULT_ERRNO": str(code),
    }
    failed = converted(recording, output, video, **fault)
    assert failed.returncode == 5, failed.stderr
    lines = failed.stderr.splitlines()
    said = lines[lines.index(f"error: {message}") + 1 :]
    labels = [line.partition(":")[0] for line in said]
    assert labels == ["where", "expected", "found", "next"]
    assert os.strerror(code) in said[2]
    assert not output.exists()
    again = converted(recording, output, video)
    assert again.returncode == 0, again.stderr
    assert tree(output) == tree(expected / video)
    assert list(tmp_path.iterdir()) == [output]

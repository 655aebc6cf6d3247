"""A disk that fails while FFmpeg writes a video: one clear error, and the same command finishes."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

SOURCE = Path(__file__).parents[1] / "helpers" / "failing.c"
FULL, BROKEN = "the disk is full", "the disk, or the network to it, has failed"


@dataclass(frozen=True)
class Site:
    """What is converted, and how.

    Attributes:
        library: makes calls fail.
        recording: the input.
        expected: folder of what comes of it where nothing fails, by the kind of video.
    """

    library: Path
    recording: Path
    expected: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    library = folder / "failing.so"
    options = ("-shared", "-fPIC", "-nostdlib", "-fno-builtin")
    command = ["gcc", *options, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    recording = write_piper(folder / "day.hdf5", episodes=2, lengths=4)
    for video in ("h264", "copy"):
        # the library is there, and does nothing
        quiet = {"LD_PRELOAD": str(library)}
        done = converted(recording, folder / video, video, **quiet)
        assert done.returncode == 0, done.stderr
    return Site(library, recording, folder)


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


def fault(call, first, code):
    """What makes a call of a process fail on videos, from the `first`-th on."""
    return {
        "FAULT_CALL": call,
        "FAULT_PATH": ".mp4",
        "FAULT_FIRST": str(first),
        "FAULT_ERRNO": str(code),
    }


@pytest.mark.parametrize(
    ("video", "failing", "message"),
    [
        ("h264", fault("write", 1, errno.ENOSPC), FULL),  # the header
        ("h264", fault("fsync", 1, errno.EIO), BROKEN),
        ("copy", fault("write", 3, errno.EIO), BROKEN),  # the trailer
        ("copy", fault("close", 1, errno.EIO), BROKEN),  # FFmpeg's own
    ],
)
def test_a_disk_that_fails_while_a_video_is_written(
    tmp_path, site, video, failing, message
):
    output, quiet = tmp_path / "out", {"LD_PRELOAD": str(site.library)}
    failed = converted(site.recording, output, video, **quiet, **failing)
    assert failed.returncode == 5, failed.stderr
    lines = failed.stderr.splitlines()
    said = lines[lines.index(f"error: {message}") + 1 :]
    labels = [line.partition(":")[0] for line in said]
    assert labels == ["where", "expected", "found", "next"]
    assert os.strerror(int(failing["FAULT_ERRNO"])) in said[2]
    assert not output.exists()
    again = converted(site.recording, output, video)
    assert again.returncode == 0, again.stderr
    assert tree(output) == tree(site.expected / video)
    assert list(tmp_path.iterdir()) == [output]

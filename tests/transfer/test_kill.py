"""kill -9 at any moment: the old or the new dataset is there, and the same command finishes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piperline.errors import DatasetError
from piperline.lerobot.dataset import open_dataset
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.trees import tree

PIPERLINE = str(Path(sys.executable).with_name("piperline"))


def killed_after(seconds, arguments):
    """Whether the command was still running when it was killed."""
    process = subprocess.Popen(
        [PIPERLINE, *map(str, arguments)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def seconds_of(arguments):
    started = time.monotonic()
    subprocess.run(
        [PIPERLINE, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - started


@pytest.fixture
def episodes(tmp_path):
    return [
        make_episode(tmp_path / "in", number % 3, 4) for number in range(20)
    ]


def test_migrate_in_place(tmp_path, episodes):
    old = tree(write_dataset(tmp_path / "old", episodes, "v3.0"))
    new = tree(write_dataset(tmp_path / "new", episodes))
    write_dataset(tmp_path / "timed", episodes, "v3.0")
    whole = seconds_of(["migrate", tmp_path / "timed", "--to", "v2.1"])
    draw = random.Random(20)
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    for _ in range(4):
        killed_after(
            draw.uniform(0.4, 1.05) * whole, ["migrate", root, "--to", "v2.1"]
        )
        assert tree(root) in (old, new)
    if tree(root) == old:
        subprocess.run(
            [PIPERLINE, "migrate", root, "--to", "v2.1"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    else:  # what a kill between the two renames left is tidied by the next command
        subprocess.run(
            [PIPERLINE, "migrate", root, "--to", "v2.1"],
            check=False,
            stderr=subprocess.DEVNULL,
        )
    assert tree(root) == new
    assert tree(tmp_path / "set_v30") == old
    assert not (tmp_path / "set.partial").exists()


def test_aggregate(tmp_path, episodes):
    whole = tree(write_dataset(tmp_path / "whole", episodes))
    parts = [
        write_dataset(tmp_path / str(start), episodes[start : start + 10])
        for start in (0, 10)
    ]
    command = ["aggregate", *parts, "--output", tmp_path / "out"]
    seconds = seconds_of(["aggregate", *parts, "--output", tmp_path / "timed"])
    draw = random.Random(20)
    for _ in range(3):
        if not killed_after(draw.uniform(0.4, 1.0) * seconds, command):
            break
        try:
            open_dataset(tmp_path / "out")
        except DatasetError:
            assert not (tmp_path / "out").exists()
        else:
            break
    else:
        subprocess.run(
            [PIPERLINE, *map(str, command)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    assert tree(tmp_path / "out") == whole

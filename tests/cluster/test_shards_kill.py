"""Shards survive kill -9 of any of their processes at any moment."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.convert.test_kill import session_members, wait_until_gone
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

KILLS = 6
"""Every other one hits the command, those between one of its workers."""


def start(site: Path, home: str) -> subprocess.Popen[bytes]:
    code = "import sys; from piperline.cli.app import main; main()"
    words = [
        "--hdf5-root",
        "data",
        "--all",
        "--repo-id",
        "lab/x",
        "--workers",
        "3",
        "--logs-dir",
        f"logs-{home}",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", code, "shards", "convert", *words],
        cwd=site,
        env={**os.environ, "HF_LEROBOT_HOME": str(site / home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(site: Path, home: str) -> dict[str, str]:
    process = start(site, home)
    assert process.wait(timeout=120) == 0
    wait_until_gone(process.pid)
    return datasets(site / home)


def datasets(home: Path) -> dict[str, str]:
    """All files but `shard.json`, which tells the command, and so the folder of logs."""
    return {
        path: digest
        for path, digest in tree(home).items()
        if not path.endswith("/shard.json")
    }


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    (tmp_path / "data").mkdir()
    for number in range(2):
        write_piper(
            tmp_path / f"data/{number}.hdf5",
            episodes=3,
            first=3 * number,
            lengths=[60, 20, 40],
        )
    began = time.monotonic()
    undisturbed = finish(tmp_path, "undisturbed")
    seconds = time.monotonic() - began
    rng = random.Random(4)
    kills = 0
    while kills < KILLS:
        process = start(tmp_path, "home")
        time.sleep(rng.uniform(0.2, 0.9) * seconds)
        workers = sorted(set(session_members(process.pid)) - {process.pid})
        victim = rng.choice(workers) if workers and kills % 2 else process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        kills += 1
        if victim == process.pid:
            process.wait()
        else:
            assert process.wait(timeout=120) in {0, 7}
        wait_until_gone(process.pid)
        if process.returncode == 0:  # nothing is left to be killed: begin again
            assert datasets(tmp_path / "home") == undisturbed
            (tmp_path / "home").rename(tmp_path / f"done-{kills}")
    assert finish(tmp_path, "home") == undisturbed
    left = [
        path.name
        for path in (tmp_path / "logs-home").rglob("*")
        if ".tmp-" in path.name
    ]
    assert left == []

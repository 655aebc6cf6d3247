"""Each command is killed before each of its changes to the file system; run again, it finishes as if undisturbed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.helpers.recordings import write_piper

CASES = {
    "convert": 40,
    "overwrite": 40,
    "aggregate": 20,
    "aggregate-over": 20,
    "migrate": 20,
    "migrate-in-place": 20,
}


def start(folder: Path, command: str) -> None:
    """What the command begins with."""
    data = folder / "data"
    data.mkdir(parents=True)
    write_piper(data / "one.hdf5", episodes=1, lengths=[4])
    if command == "overwrite":
        convert([data], folder / "out", make_job(), workers=1)
    for name in ("a", "b") if "gate" in command or "migrate" in command else ():
        convert([data], folder / name, make_job(video="copy"), workers=1)
    if command == "aggregate-over":
        convert([data], folder / "out", make_job(), workers=1)


def tries(folder: Path, command: str, *options: str) -> list[dict[str, Any]]:
    start(folder / "start", command)
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.crash_points", command, str(folder), *options],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    print(done.stderr[-3000:])  # shown where the test fails
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("command", CASES)
@pytest.mark.parametrize("options", [(), ("--no-exchange",)], ids=["exchange", "no-exchange"])
def test_killed_before_each_change(tmp_path, command, options):
    if options and command in {"convert", "aggregate", "migrate"}:
        pytest.skip("nothing is exchanged: the same as with exchange")
    told = tries(tmp_path, command, *options)
    undisturbed, on_what_is_done = told[-1]["site"], told[-1]["again"]
    assert len(told) > CASES[command]
    wrong = {
        each["change"]: (
            each["again"],
            sorted(set(each["site"].items()) ^ set(undisturbed.items())),
        )
        for each in told
        if each["again"] not in {0, on_what_is_done} or each["site"] != undisturbed
    }
    assert wrong == {}

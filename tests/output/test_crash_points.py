"""Commands end before each of their changes to the file system, and are run again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.errors import OutputExists, UsageError
from piperline.output import publish
from piperline.transfer import TransferOptions, aggregate
from tests.helpers.crash_points import one_camera
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

pytestmark = pytest.mark.usefixtures("workers_in_threads")

MAKING = ("convert", "aggregate", "migrate", "shards")
REPLACING = (
    "overwrite",
    "aggregate-over",
    "migrate-in-place",
    "edit",
    "sync",
    "sync-v30",
)
OF_HDF5 = ("repack",)
"""Their files are opened by HDF5 itself: only names are seen here."""
LEAST = 20
"""Changes that each of them makes, at the least."""
FEW = 5
"""Those of HDF5, and those from the first exchange on where the file system has none."""


def start(folder: Path, command: str) -> None:
    """What the command begins with."""
    data = folder / "data"
    data.mkdir(parents=True)
    write_piper(data / "one.hdf5", episodes=1, lengths=[4])
    if command == "overwrite":
        convert([data], folder / "out", make_job(), workers=1)
    if command == "sync":
        write_piper(data / "two.hdf5", episodes=1, first=1, lengths=[4])
        job = make_job(layout=one_camera())
        convert([data], folder / "out", job, workers=1)
        (data / "one.hdf5").unlink()
        write_piper(data / "three.hdf5", episodes=1, first=2, lengths=[4])
    if command == "sync-v30":
        job = make_job(layout=one_camera(), format="v3.0", video_mb=0.002)
        write_piper(data / "two.hdf5", episodes=1, first=1, lengths=[4])
        convert([data], folder / "out", job, workers=1)
        write_piper(data / "z.hdf5", episodes=1, first=2, lengths=[4])
    if command == "shards":
        job_folder = folder / "logs/job"
        job_folder.mkdir(parents=True)
        (job_folder / "id").write_text("the same in each try")
        (folder / "home").mkdir()
    if command == "repack":
        write_piper(data / "two.hdf5", episodes=1, first=1, lengths=[4])
    of_recordings = {
        "convert",
        "overwrite",
        "sync",
        "sync-v30",
        "shards",
        "repack",
    }
    for name in () if command in of_recordings else ("a", "b"):
        convert([data], folder / name, make_job(video="copy"), workers=1)
    if command == "aggregate-over":
        convert([data], folder / "out", make_job(), workers=1)


def tries(folder: Path, command: str, *options: str) -> list[dict[str, Any]]:
    start(folder / "start", command)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.helpers.crash_points",
            command,
            str(folder),
            *options,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stderr[-3000:])  # shown where the test fails
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "options"),
    [
        *((command, ()) for command in (*MAKING, *OF_HDF5, *REPLACING)),
        *((command, ("--no-exchange",)) for command in REPLACING[:-1]),
    ],
)
def test_killed_before_each_change(tmp_path, command, options):
    told = tries(tmp_path, command, *options)
    undisturbed, on_what_is_done = told[-1]["site"], told[-1]["again"]
    assert len(told) > (FEW if command in OF_HDF5 or options else LEAST)
    wrong = {
        each["change"]: (
            each["again"],
            sorted(set(each["site"].items()) ^ set(undisturbed.items())),
        )
        for each in told
        if each["again"] not in {0, on_what_is_done}
        or each["site"] != undisturbed
    }
    assert wrong == {}


def test_what_came_to_be_there_meanwhile_is_kept(tmp_path):
    """Somebody makes something at the output while a dataset is made."""
    start(tmp_path, "aggregate")

    def make_something(_made: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/notes.txt").write_text("mine")

    with pytest.raises(OutputExists, match="while the dataset was made"):
        aggregate(
            [tmp_path / "a"],
            tmp_path / "out",
            options=TransferOptions(ready=make_something),
        )
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("exchange", [True, False])
def test_another_dataset_that_came_meanwhile_is_not_replaced(
    tmp_path, monkeypatch, exchange
):
    start(tmp_path, "aggregate-over")
    if not exchange:
        monkeypatch.setattr(publish, "_exchange", lambda _one, _other: False)

    def finish_another(_made: Path) -> None:
        (tmp_path / "out").rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "b", tmp_path / "out")

    options = TransferOptions(ready=finish_another, overwrite=True)
    with pytest.raises(OutputExists, match="while the dataset was made"):
        aggregate([tmp_path / "a"], tmp_path / "out", options=options)
    assert tree(tmp_path / "out") == tree(tmp_path / "b")


@pytest.mark.parametrize("folder", ["out.work", "out.partial"])
def test_a_users_file_in_a_working_folder_stops_the_command(tmp_path, folder):
    start(tmp_path, "aggregate")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "lock").touch()
    (tmp_path / folder / "my_notes.txt").write_text("mine")
    commands = {
        "out.work": lambda: convert(
            [tmp_path / "data"], tmp_path / "out", make_job(), workers=1
        ),
        "out.partial": lambda: aggregate([tmp_path / "a"], tmp_path / "out"),
    }
    with pytest.raises(OutputExists) as raised:
        commands[folder]()
    assert "my_notes.txt" in str(raised.value)
    assert (tmp_path / folder / "my_notes.txt").read_text() == "mine"


def test_a_file_that_comes_into_the_working_folder_meanwhile_is_kept(tmp_path):
    start(tmp_path, "aggregate")
    note = tmp_path / "out.partial/my_notes.txt"
    aggregate(
        [tmp_path / "a"],
        tmp_path / "out",
        options=TransferOptions(ready=lambda _: note.write_text("x")),
    )
    assert [path.name for path in (tmp_path / "out.partial").iterdir()] == [
        "my_notes.txt"
    ]


@pytest.mark.parametrize("inside", [".", "recordings"])
def test_recordings_in_the_output_are_never_replaced(tmp_path, inside):
    start(tmp_path, "overwrite")
    data = tmp_path / "out" / inside
    data.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "data/one.hdf5", data)
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="recordings lie in the output"):
        convert(
            [data],
            tmp_path / "out",
            make_job(video="copy"),
            workers=1,
            overwrite=True,
        )
    assert tree(tmp_path) == before


def test_the_same_conversion_again_is_up_to_date(tmp_path):
    start(tmp_path, "overwrite")
    data, out = tmp_path / "data", tmp_path / "out"
    before = tree(out)
    again = convert([data], out, make_job(), workers=1)
    assert (again.up_to_date, again.episodes, again.frames) == (True, 1, 4)
    assert tree(out) == before
    for job in (
        make_job(video="copy"),
        make_job(fps=10),
        make_job(format="v3.0"),
    ):
        with pytest.raises(OutputExists):
            convert([data], out, job, workers=1)
    write_piper(data / "two.hdf5", episodes=1, first=1, lengths=[4])
    with pytest.raises(OutputExists):
        convert([data], out, make_job(), workers=1)
    (data / "two.hdf5").unlink()
    assert convert([data], out, make_job(), workers=1).up_to_date
    os.utime(data / "one.hdf5")
    with pytest.raises(OutputExists):
        convert([data], out, make_job(), workers=1)

"""sync --watch: recordings are taken when they are complete, beside a recorder that goes on."""

import os
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import cast

import h5py
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.growing import is_marked_open, open_for_writing
from piperline.sync import SyncOptions, watch
from piperline.sync.run import Workers
from tests.helpers.crash_points import InThisProcess, one_camera
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

pytestmark = pytest.mark.measured

SOON = 0.01
JOB = make_job(layout=one_camera(), video="copy")


def made(data: Path, output: Path) -> Path:
    pool = InThisProcess()
    convert(data, output, JOB, pool=pool)  # type: ignore[arg-type]
    return output


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write_piper(folder / "a.hdf5", episodes=1, lengths=[4])
    return folder


@pytest.fixture
def watching(data, tmp_path):
    pool = cast("Workers", InThisProcess())
    out = made(data, tmp_path / "out")
    rounds = watch(data, out, SyncOptions(pool=pool), every=SOON)
    first = next(rounds).result
    assert first is not None
    assert first.up_to_date
    return rounds


def test_a_recording_is_taken_when_it_is_closed(data, tmp_path, watching):
    path = data / "b.hdf5"
    whole = write_piper(tmp_path / "b.hdf5", episodes=2, first=1, lengths=[4])
    with h5py.File(whole) as recorded, h5py.File(path, "w") as file:
        for number, name in enumerate(recorded):
            recorded.copy(name, file)
            file.flush()
            told = next(watching) if number == 0 else None
            assert told is None or told.waiting == (path,)
        # whole as it is now, and still open
        rounds = islice(watching, 1)
        shutil.copy(path, data / "c.hdf5")
        assert next(rounds).waiting == (data / "c.hdf5",)
        taken = next(watching).result
        assert taken is not None
        assert (taken.episodes, taken.waiting) == (3, (path,))
    taken = next(watching).result
    assert taken is not None
    assert (taken.episodes, taken.waiting) == (5, ())
    assert tree(tmp_path / "out") == tree(made(data, tmp_path / "anew"))


def test_a_bad_recording_is_told_once_and_taken_when_it_is_mended(
    data, tmp_path, watching
):
    path = data / "b.hdf5"
    path.write_bytes(b"no recording")
    assert next(watching).waiting == (path,)
    told = next(watching)
    assert [left.file for left in told.left_out] == [path]
    write_piper(data / "c.hdf5", episodes=1, first=1, lengths=[4])
    assert next(watching).waiting == (data / "c.hdf5",)
    told = next(watching)
    assert told.left_out == ()
    assert told.result is not None
    assert told.result.episodes == 2
    write_piper(path, episodes=1, first=2, lengths=[4])
    assert next(watching).waiting == (path,)
    told = next(watching)
    assert told.result is not None
    assert told.result.episodes == 3
    assert tree(tmp_path / "out") == tree(made(data, tmp_path / "anew"))


def test_while_a_recording_is_written_again_its_episode_stays(
    data, tmp_path, watching
):
    path = data / "a.hdf5"
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "growing"
        file.flush()
        told = next(watching)
        assert (told.waiting, told.result) == ((path,), None)
        assert len(open_dataset(tmp_path / "out")) == 1
    write_piper(path, episodes=1, lengths=[6])
    taken = next(watching).result
    assert taken is not None
    assert (taken.changes.changed, taken.frames) == (1, 6)
    assert tree(tmp_path / "out") == tree(made(data, tmp_path / "anew"))


def test_recordings_that_are_away_for_a_while_are_waited_for(
    data, tmp_path, watching
):
    data.rename(tmp_path / "away")
    told = next(watching)
    assert told.error is not None
    assert "no such file" in str(told.error)
    before = tree(tmp_path / "out")
    (tmp_path / "away").rename(data)
    write_piper(data / "b.hdf5", episodes=1, first=1, lengths=[4])
    while (told := next(watching)).result is None:
        assert tree(tmp_path / "out") == before
    assert told.result.episodes == 2


def test_what_is_open_for_writing_is_known(tmp_path):
    whole = write_piper(tmp_path / "whole.hdf5", episodes=1)
    assert not is_marked_open(whole)
    assert not is_marked_open(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.hdf5")
    assert not is_marked_open(tmp_path / "pipe.hdf5")
    path, copy = tmp_path / "open.hdf5", tmp_path / "copy.hdf5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_group("episode_0")
        file.flush()
        shutil.copy(path, copy)
        assert path in open_for_writing()
        with h5py.File(whole):
            assert whole not in open_for_writing()
    assert is_marked_open(copy)  # as of a recorder that was killed
    assert not is_marked_open(path)
    assert path not in open_for_writing()
    copy.write_bytes(b"short")
    assert not is_marked_open(copy)


RECORDER = """
import sys, time
import h5py
source, target = sys.argv[1:]
with h5py.File(source) as whole, h5py.File(target, "w") as file:
    for name in whole:
        group = file.create_group(name)
        for key, value in whole[name].attrs.items():
            group.attrs[key] = value
        for key in whole[name]:
            whole.copy(f"{name}/{key}", group)
            file.flush()
            time.sleep(0.1)
"""


def test_beside_a_recorder_until_ctrl_c(data, tmp_path):
    out = made(data, tmp_path / "out")
    whole = write_piper(tmp_path / "b.hdf5", episodes=2, first=1, lengths=[4])
    words = ["sync", data, out, "--watch", "--interval", 0.05, "--workers", 1]
    command = [sys.executable, "-m", "piperline", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watcher:
        recorder = [sys.executable, "-c", RECORDER, whole, data / "b.hdf5"]
        subprocess.run(recorder, check=True)
        assert watcher.stdout
        told = ""
        while "taken over" not in told:
            line = watcher.stdout.readline()
            assert line, watcher.communicate()
            told += line
        watcher.send_signal(signal.SIGINT)
        _, errors = watcher.communicate(timeout=60)
    assert watcher.returncode == 130
    assert "up to date" in told
    assert "2 new, 0 changed, 0 gone, 1 taken over" in told
    assert "left out" not in told
    assert "not complete yet" in errors
    assert tree(out) == tree(made(data, tmp_path / "anew"))

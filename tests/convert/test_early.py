"""A dataset is put together while its episodes are staged: how far it came changes nothing."""

import errno
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from piperline.convert.early import EarlyAssembly
from piperline.convert.job import make_job
from piperline.convert.plan import load_plan
from piperline.convert.pool import WorkerPool, _ordered
from piperline.convert.progress import Progress
from piperline.convert.run import convert, plan_run
from piperline.convert.stage import Staging, staging_area, work_folder
from piperline.errors import DatasetError, RecordingError
from piperline.lerobot.writer import DatasetWriter
from tests.helpers.crash_points import InThisProcess
from tests.helpers.recordings import PIPER_CAMERAS, write_piper
from tests.helpers.trees import tree

LENGTHS = [3, 5, 4, 3, 6]
HERE = InThisProcess()


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "data.hdf5"
    write_piper(path, episodes=len(LENGTHS), lengths=LENGTHS)
    return path


def damage(recording, episode, *cameras):
    with h5py.File(recording, "r+") as file:
        for camera in cameras:
            images = file[f"episode_{episode}/{camera}"]
            images[2] = np.frombuffer(b"\xff\xd8 cut", np.uint8)


def made(recording, output, **options):
    options = {"pool": HERE} | options
    convert(recording, output, options.pop("job", make_job()), **options)
    return tree(output)


def put_together(output: Path) -> list[str]:
    """The rows of episodes that lie in a dataset that is not finished."""
    root = work_folder(output)
    return sorted(path.name for path in root.glob("dataset-*/data/*/*"))


@pytest.fixture
def late(recording, tmp_path, monkeypatch):
    """The dataset, put together when all is staged."""
    with monkeypatch.context() as patched:
        patched.setattr(EarlyAssembly, "came", lambda *_: None)
        return made(recording, tmp_path / "late")


def test_episodes_are_written_as_they_come(recording, tmp_path, late):
    output, written = tmp_path / "out", dict[int, int]()

    def watch(progress: Progress) -> None:
        if progress.phase == "stage":
            there = len(put_together(output))
            written.setdefault(progress.episodes_done, there)

    assert made(recording, output, watch=watch) == late
    # that an episode has come is told before it is written
    assert written == {0: 0, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4}


def test_one_that_comes_late_is_waited_for(recording, tmp_path, late):
    class Backwards(InThisProcess):
        def stage(self, episodes, *arguments, **options):
            return super().stage(episodes[::-1], *arguments, **options)

    output, written = tmp_path / "out", []

    def watch(_: Progress) -> None:
        written.append(len(put_together(output)))

    assert made(recording, output, pool=Backwards(), watch=watch) == late
    assert written[-1] > 1  # as soon as the first came


def test_staged_ones_of_a_run_that_was_stopped_are_taken(
    recording, tmp_path, late
):
    output, job = tmp_path / "out", make_job()
    plan = plan_run(recording, job)
    with staging_area(output, plan) as staging:
        for episode in (plan.episodes[0], plan.episodes[2]):
            staging.stage_episode(episode, job, lambda *_: None)
        left = staging.root / "dataset-of-one-that-was-killed"
        (left / "data").mkdir(parents=True)
    seen = []

    def watch(progress: Progress) -> None:
        seen.append(left.exists() and progress.phase == "stage")

    assert made(recording, output, watch=watch) == late
    assert not any(seen)


@pytest.mark.parametrize("bad", range(len(LENGTHS)))
def test_what_is_left_out_is_in_no_file(recording, tmp_path, bad):
    damage(recording, bad, *PIPER_CAMERAS)
    others = ",".join(str(n) for n in range(len(LENGTHS)) if n != bad)
    files = made(recording, tmp_path / "out", skip_bad=True)
    chosen = made(recording, tmp_path / "chosen", episodes=others)
    assert files.keys() == chosen.keys()
    unlike = {name for name in files if files[name] != chosen[name]}
    # these tell what was asked for
    assert unlike <= {"meta/piperline.json", "meta/piperline_seal.json"}


def test_a_run_that_fails_leaves_no_dataset(recording, tmp_path, late):
    intact = tmp_path / "intact.hdf5"
    shutil.copy2(recording, intact)
    damage(recording, 3, "image_mid")
    with pytest.raises(RecordingError):
        made(recording, tmp_path / "out")
    work = work_folder(tmp_path / "out")
    assert not list(work.glob("dataset-*"))
    assert len(Staging(work).names()) == 4
    shutil.copy2(intact, recording)
    assert made(recording, tmp_path / "out") == late


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "no room"),
        DatasetError("odd", expected="even", found="odd"),
    ],
    ids=str,
)
def test_what_goes_wrong_meanwhile_is_tried_again(
    recording, tmp_path, late, monkeypatch, error
):
    """Room may be made until all is staged; what stays wrong is told then, as ever."""
    add, told = DatasetWriter.add, list[object]()

    def fails_once(self, episode):
        if not told:
            told.append(put_together(tmp_path / "out"))
            raise error
        return add(self, episode)

    monkeypatch.setattr(DatasetWriter, "add", fails_once)
    assert made(recording, tmp_path / "out") == late
    assert told
    assert not work_folder(tmp_path / "out").exists()


def test_episodes_of_a_file_share_what_they_have_in_common(recording):
    first, *others = plan_run(recording, make_job()).episodes
    assert others
    assert all(one.cameras is first.cameras for one in others)
    assert all(one.file is first.file for one in others)


def test_a_plan_that_has_lost_an_episode_is_taken_down_again(
    recording, tmp_path
):
    plan = plan_run(recording, make_job())
    left = plan.without(plan.episodes[1].key, "a bad image")
    with staging_area(tmp_path / "out", plan) as staging:
        assert load_plan(staging.plan_file) == plan
        written = staging.plan_file.stat()
        staging.note_plan(plan)
        assert staging.plan_file.stat() == written
        staging.note_plan(left)
        assert load_plan(staging.plan_file) == left


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_processes_come_to_the_same(recording, tmp_path, version):
    job = make_job(format=version)
    with WorkerPool(3) as pool:
        several = made(recording, tmp_path / "several", job=job, pool=pool)
    assert several == made(recording, tmp_path / "one", job=job)


def test_of_the_last_the_longest_come_first(tmp_path):
    lengths = [3] * 30 + [4, 9, 3, 5]
    write_piper(tmp_path / "a.hdf5", episodes=len(lengths), lengths=lengths)
    episodes = plan_run(tmp_path / "a.hdf5", make_job()).episodes
    order = _ordered(episodes, 2)
    assert sorted(each.name for each in order) == sorted(
        each.name for each in episodes
    )
    assert [each.length for each in order][-4:] != lengths[-4:]
    first = next(n for n, each in enumerate(order) if each.length == 9)
    assert order[:first] == list(episodes[:first])
    tail = [each.length for each in order[first:]]
    assert tail == sorted(tail, reverse=True)
    assert sum(tail) * 3 >= 2 * 2 * 9
    assert [each.length for each in _ordered(episodes, 100)] == sorted(
        lengths, reverse=True
    )
    assert _ordered([], 2) == []

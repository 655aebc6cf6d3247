"""Shards on this machine: what is missing is done, and nothing else."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.cluster import ranks as cluster
from piperline.cluster.aggregate_work import AggregateWork
from piperline.cluster.job_folder import JobFolder, RankRecord
from piperline.cluster.launch import launch, plan_shards
from piperline.cluster.shards_work import ShardsWork
from piperline.cluster.status import follow, states
from piperline.cluster.work import save_work
from piperline.convert.job import make_job
from piperline.convert.progress import Progress
from piperline.convert.run import convert
from piperline.convert.stage import staging_area
from piperline.errors import (
    OutputExists,
    RecordingError,
    TaskFailed,
    UsageError,
)
from piperline.lerobot.info import PROVENANCE
from tests.helpers.recordings import PIPER_CAMERAS, write_piper
from tests.helpers.trees import tree

REPO = "lab/apples"


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch, ranks_in_threads):  # noqa: ARG001
    (tmp_path / "data").mkdir()
    for number in range(2):
        write_piper(
            tmp_path / f"data/file{number}.hdf5",
            episodes=2,
            first=2 * number,
            lengths=(3, 5),
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    return tmp_path


def shards(
    site: Path, workers: int, *, job: str = "job", **options: Any
) -> ShardsWork:
    target = site / "home" / REPO
    return plan_shards(
        [site / "data"],
        target,
        make_job(format="v3.0"),
        JobFolder(site / "logs" / job),
        world=workers,
        command=("--all",),
        **options,
    )


def aggregation(site: Path, count: int) -> AggregateWork:
    return AggregateWork.of_shards(
        site / "home" / REPO, count, site / "home" / REPO
    )


def shard(site: Path, workers: int, rank: int) -> Path:
    return site / "home" / f"{REPO}_world_{workers}_rank_{rank}"


def done_by(
    site: Path,
    workers: int,
    job: str = "job",
    *,
    slots: int = 1,
    **options: Any,
) -> tuple[int, ...]:
    """Launch; gives the ranks that were done. As threads they would share datatrove's log."""
    folder = JobFolder(site / "logs" / job)
    work = shards(site, workers, job=job, **options)
    launched = launch(folder, work, slots=slots)
    assert launched.complete
    assert not (site / "home/lab/apples.shards.work").exists()
    return launched.ranks


def expected(site: Path) -> dict[str, str]:
    convert(
        [site / "data"], site / "expected", make_job(format="v3.0"), workers=1
    )
    return tree(site / "expected")


@pytest.mark.in_processes
def test_convert_and_aggregate_give_what_one_conversion_gives(site):
    assert done_by(site, 3, slots=2) == (0, 1, 2)
    folder = JobFolder(site / "logs/aggregate")
    assert launch(folder, aggregation(site, 3)).complete
    assert tree(site / "home" / REPO) == expected(site)
    again = launch(folder, aggregation(site, 3))
    assert (again.ranks, again.complete) == ((), True)
    assert [state.state for state in states(folder)] == ["done"]


def test_only_what_is_missing_is_done(site):
    assert done_by(site, 2) == (0, 1)
    logs = JobFolder(site / "logs/job")
    assert done_by(site, 2) == ()
    (shard(site, 2, 1) / "meta/info.json").unlink()
    assert [state.state for state in states(logs)] == ["done", "missing"]
    assert done_by(site, 2) == (1,)
    before = tree(site / "home")
    (site / "logs/job/completions/00000").unlink()
    # datatrove's marks are not what counts
    (site / "logs/job/completions/00077").touch()
    assert done_by(site, 2) == ()
    write_piper(site / "data/file1.hdf5", episodes=2, first=9, lengths=(3, 5))
    assert done_by(site, 2) == (1,)
    assert {
        path.name for path in (site / "logs/job/completions").iterdir()
    } == {"00000", "00001"}
    after = tree(site / "home")
    changed = {
        path
        for path in after
        if before.get(path) != after[path] and not path.endswith("shard.json")
    }
    assert {path.split("/")[1] for path in changed} == {"apples_world_2_rank_1"}
    assert launch(
        JobFolder(site / "logs/aggregate"), aggregation(site, 2)
    ).complete
    assert tree(site / "home" / REPO) == expected(site)


def test_other_numbers_of_workers_and_starting_afresh(site):
    assert done_by(site, 2) == (0, 1)
    assert done_by(site, 9) == (0, 1, 2, 3)
    assert not shard(site, 9, 4).exists()
    assert [state.state for state in states(JobFolder(site / "logs/job"))] == [
        "done"
    ] * 4 + ["empty"] * 5
    assert done_by(site, 2) == ()  # those of two are still there
    assert done_by(site, 2, job="another") == (0, 1)


def test_shards_that_are_empty_now_go(site):
    assert done_by(site, 4) == (0, 1, 2, 3)
    (site / "data/file1.hdf5").unlink()
    assert done_by(site, 4) == ()
    assert not shard(site, 4, 2).exists()
    assert launch(
        JobFolder(site / "logs/aggregate"), aggregation(site, 4)
    ).complete
    assert tree(site / "home" / REPO) == expected(site)


def test_shards_of_other_recordings_are_kept(site):
    done_by(site, 1)
    (site / "data").rename(site / "day1")
    (site / "data").mkdir()
    write_piper(site / "data/else.hdf5", episodes=1, lengths=3)
    with pytest.raises(OutputExists, match="shard of other recordings"):
        done_by(site, 1)
    assert done_by(site, 1, overwrite=True) == (0,)


def test_a_folder_that_is_not_ours_is_kept(site):
    shard(site, 1, 0).mkdir(parents=True)
    (shard(site, 1, 0) / "thesis.tex").touch()
    with pytest.raises(OutputExists, match="did not make"):
        done_by(site, 1)


@pytest.mark.in_processes
def test_what_is_bad_fails_its_rank_only(site):
    broken = site / "data/file1.hdf5"
    whole = broken.read_bytes()
    write_piper(broken, episodes=2, first=2, lengths=(3, 5), extra_rows=0)
    work = shards(site, 2)
    broken.write_bytes(whole + b"\0")  # behind the plan's back
    with pytest.raises(
        RecordingError, match="2 episodes could not be converted"
    ) as caught:
        launch(JobFolder(site / "logs/job"), work)
    assert "1 of 2 ranks are done and kept" in "".join(caught.value.__notes__)
    found = states(JobFolder(site / "logs/job"))
    assert [state.state for state in found] == ["done", "failed"]
    assert "changed since the run was planned" in found[1].why
    assert "failed: file" in (site / "logs/job/logs/task_00001.log").read_text()
    assert done_by(site, 2) == (1,)


@pytest.mark.in_processes
@pytest.mark.measured
def test_a_rank_that_is_killed_costs_only_itself(site):
    """Told by its record which process is at work on it, it is killed as it stages its episodes."""
    write_piper(site / "data/file9.hdf5", episodes=1, first=9, lengths=[200])
    work, folder = shards(site, 3), JobFolder(site / "logs/job")

    def kill_the_last(progress: Progress) -> None:
        record = folder.record(2)
        if record and progress.images_done and not killed:
            killed.append(record.pid)
            os.kill(record.pid, signal.SIGKILL)

    killed: list[int] = []
    with pytest.raises(TaskFailed, match="a worker process died") as caught:
        launch(folder, work, slots=3, watch=kill_the_last)
    assert caught.value.found == "ended by SIGKILL"
    assert "2 of 3 ranks are done and kept" in "".join(caught.value.__notes__)
    assert done_by(site, 3) == (2,)


def test_statistics_that_were_being_written_when_a_rank_was_killed(site):
    assert done_by(site, 2) == (0, 1)
    (site / "logs/job/stats/00000.json").write_text('[{"name": "pip')
    (shard(site, 2, 1) / "meta/info.json").unlink()
    assert done_by(site, 2) == (1,)
    assert json.loads((site / "logs/job/stats.json").read_text())


@pytest.mark.in_processes
def test_all_that_fails_is_told(site):
    work = shards(site, 2)
    for file in (site / "data").iterdir():
        os.utime(file)
    with pytest.raises(TaskFailed, match="2 of 2 ranks failed"):
        launch(JobFolder(site / "logs/job"), work)


@pytest.mark.parametrize(
    "workers", [2, 3]
)  # of three shards, one has nothing but the bad episode
def test_bad_episodes_are_left_out_if_asked(site, workers, capsys):
    damage_last_image(site / "data/file1.hdf5")
    with pytest.raises(RecordingError, match="image"):
        done_by(site, workers)
    assert len(done_by(site, workers, skip_bad=True)) == 1
    assert launch(
        JobFolder(site / "logs/aggregate"), aggregation(site, workers)
    ).complete
    convert(
        [site / "data"],
        site / "expected",
        make_job(format="v3.0"),
        workers=1,
        skip_bad=True,
    )
    assert tree(site / "home" / REPO) == tree(site / "expected")
    folders = [shard(site, workers, rank) for rank in range(workers)]
    (lessened,) = [
        folder
        for folder in folders
        if "damaged" in (folder / PROVENANCE).read_text()
    ]
    assert (lessened / "meta/info.json").exists() == (workers == 2)
    assert (
        run(
            app, ["shards", "status", "--logs-dir", "logs", "--job-name", "job"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "    left out: " in said
    assert "file1.hdf5, episode episode_2: an image is damaged" in said


def damage_last_image(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        images = file[f"episode_2/{PIPER_CAMERAS[1]}"]
        images[2] = np.frombuffer(b"no image", np.uint8)


def test_aggregation_waits_for_all_shards(site):
    done_by(site, 2)
    (shard(site, 2, 0) / "meta/shard.json").unlink()
    assert (
        run(
            app, ["shards", "aggregate", "--repo-id", REPO, "--num-shards", "2"]
        )
        == 4
    )
    assert not (site / "home" / REPO).exists()


@pytest.mark.in_processes
def test_two_commands_do_not_share_a_job(site):
    """Ranks read what to do from the job folder when they begin: nobody may change it meanwhile."""
    work = shards(site, 2)
    folder = JobFolder(site / "logs/job")
    with (
        folder.locked(),
        pytest.raises(OutputExists, match="another command is at work"),
    ):
        launch(folder, work)
    assert {path.name for path in folder.root.iterdir()} == {"id", "lock"}
    digest = save_work(folder, work)
    save_work(folder, shards(site, 3))
    with pytest.raises(UsageError, match="tells of another run"):
        cluster.run_rank(folder.root, 0, digest)
    with (
        staging_area(work.target, work.plan, root=work.staging_root),
        pytest.raises(OutputExists, match="another process is at work"),
    ):
        launch(folder, work)
    assert done_by(site, 2) == (0, 1)


def test_a_file_of_the_aggregated_dataset_has_gone(site, capsys):
    done_by(site, 2)
    words = ["shards", "aggregate", "--repo-id", REPO, "--num-shards", "2"]
    assert run(app, words) == 0
    # training may write it anew
    (site / "home" / REPO / "meta/stats.json").write_text("{}")
    assert run(app, words) == 0
    assert "Nothing to do: it is done." in capsys.readouterr().out
    min((site / "home" / REPO).rglob("*.mp4")).unlink()
    assert run(app, words) == 5
    assert "replace it with --overwrite" in capsys.readouterr().err
    assert run(app, [*words, "--overwrite"]) == 0
    assert tree(site / "home" / REPO) == expected(site)
    assert {path.name for path in (site / "home/lab").iterdir()} == {
        "apples",
        "apples_world_2_rank_0",
        "apples_world_2_rank_1",
    }


def test_recordings_of_the_same_names_elsewhere_are_others(site):
    done_by(site, 1)
    before = tree(shard(site, 1, 0))
    (site / "day1").mkdir()
    (site / "data").rename(site / "day1/data")
    (site / "day2/data").mkdir(parents=True)
    write_piper(site / "day2/data/file0.hdf5", episodes=2, lengths=4)
    words = [
        "--hdf5-root",
        "day2/data",
        "--all",
        "--repo-id",
        REPO,
        "--workers",
        "1",
        "--job-name",
        "day2",
    ]
    assert run(app, ["shards", "convert", *words]) == 5
    assert tree(shard(site, 1, 0)) == before


def test_the_command_that_makes_what_is_missing(site, capsys):
    words = [
        "--hdf5-root",
        "data",
        "--all",
        "--repo-id",
        REPO,
        "--workers",
        "2",
        "--logs-dir",
        "my logs",
    ]
    assert run(app, ["shards", "convert", *words]) == 0
    shutil.rmtree(shard(site, 2, 1))
    capsys.readouterr()
    assert (
        run(
            app, ["shards", "aggregate", "--repo-id", REPO, "--num-shards", "2"]
        )
        == 4
    )
    command = (
        capsys.readouterr()
        .err.partition("this command makes what is missing: ")[2]
        .splitlines()[0]
    )
    assert run(app, shlex.split(command)[1:]) == 0
    assert "1 of 2 parts were done already" in capsys.readouterr().out


@pytest.mark.in_processes
@pytest.mark.measured
def test_the_commands(site, capsys):
    words = [
        "--repo-id",
        REPO,
        "--workers",
        "5",
        "--logs-dir",
        "l",
        "--job-name",
        "j",
    ]
    assert (
        run(app, ["shards", "convert", "--hdf5-root", "data", "--all", *words])
        == 0
    )
    said = capsys.readouterr().out
    assert "4 episodes, 16 frames in 4 shards of 3 to 5 frames" in said
    assert "empty: shard 4; there are fewer episodes than workers" in said
    assert f"piperline shards aggregate --repo-id {REPO} --num-shards 5" in said
    assert (
        run(app, ["shards", "convert", "--hdf5-root", "data", "--all", *words])
        == 0
    )
    assert "Nothing to do: all 4 parts are done." in capsys.readouterr().out
    assert (
        run(app, ["shards", "status", "--logs-dir", "l", "--job-name", "j"])
        == 0
    )
    said = capsys.readouterr().out
    assert "rank 3: done, 1 episode; 1 encoded" in said
    assert "4 done, 1 empty" in said
    assert (
        run(
            app,
            [
                "shards",
                "status",
                "--logs-dir",
                "l",
                "--job-name",
                "j",
                "--json",
            ],
        )
        == 0
    )
    assert [
        state["state"] for state in json.loads(capsys.readouterr().out)
    ].count("done") == 4
    assert (
        run(
            app,
            [
                "shards",
                "aggregate",
                "--repo-id",
                REPO,
                "--num-shards",
                "5",
                "--logs-dir",
                "l",
            ],
        )
        == 0
    )
    assert str(site / "home" / REPO) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["convert", "--repo-id", REPO, "--all", "--workers", "0"],
            "at least one worker",
        ),
        (
            ["convert", "--repo-id", REPO, "--all", "--slurm", "1"],
            "how many shards?",
        ),
        (["convert", "--repo-id", REPO, "--workers", "1"], "which recordings?"),
        (
            ["aggregate", "--repo-id", REPO, "--num-shards", "0"],
            "at least one shard",
        ),
        (["status", "--job-name", "none"], "there is no such job"),
    ],
)
def test_options_that_cannot_be(capsys, words, said):
    assert run(app, ["shards", *words]) == 2
    assert said in capsys.readouterr().err


def test_without_datatrove():
    code = "import sys; sys.modules['datatrove'] = None; from piperline.cli.app import main; main()"
    words = ["shards", "convert", "--all", "--repo-id", REPO, "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "next:     pip install datatrove" in done.stderr


def test_a_job_that_ended_unfinished_is_told(site):
    done_by(site, 2)
    folder = JobFolder(site / "logs/job")
    (shard(site, 2, 1) / "meta/shard.json").unlink()
    with pytest.raises(TaskFailed, match="1 step is not done"):
        follow(folder, lambda _: None)


def test_an_older_attempt_does_not_overwrite_the_record_of_a_later_one(
    tmp_path,
):
    folder = JobFolder(tmp_path)
    old = RankRecord.begin("key")
    new = RankRecord.begin("key")
    folder.note(0, new)
    folder.note(0, old.ended(error="too late"))
    assert folder.record(0) == new
    with pytest.raises(UsageError, match="no such job"):
        states(folder)

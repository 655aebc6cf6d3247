"""What is handed to SLURM and how its answers are taken, on a stand-in that runs tasks at once."""

import hashlib
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.cluster.job_folder import JobFolder, RankRecord, job_name_for
from piperline.cluster.ranks import run_rank
from piperline.cluster.slurm import SlurmOptions, max_array_size
from piperline.cluster.status import states
from piperline.cluster.work import load_work
from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.cluster.standin import StandIn
from tests.helpers.recordings import PIPER_CAMERAS, write_piper
from tests.helpers.trees import tree

REPO = "lab/apples"
ON_SLURM = ["--hdf5-root", "data", "--all", "--repo-id", REPO, "--slurm", "1"]


@pytest.fixture(autouse=True)
def standin(tmp_path, monkeypatch, workers_in_threads):  # noqa: ARG001
    made = StandIn(tmp_path)
    (tmp_path / "data").mkdir()
    write_piper(tmp_path / "data/file.hdf5", episodes=3, lengths=(3, 5))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "hf_geheim")
    monkeypatch.setenv("PATH", made.path)
    return made


def shards(*words: str) -> int:
    return run(app, ["shards", "convert", *ON_SLURM, *words])


@pytest.mark.measured
def test_shards_end_to_end(tmp_path, standin, capsys):
    assert shards("--workers", "3", "--wait") == 0
    assert "submitted SLURM jobs: 1 2 (3 tasks)" in capsys.readouterr().out
    # two tasks are all that an array may have here
    assert "--array=0-1\n" in standin.script(1)
    assert "--array=0-0\n" in standin.script(2)
    found = states(JobFolder(tmp_path / "logs/convert_hdf5"))
    assert [state.state for state in found] == ["done"] * 3
    assert not (tmp_path / "home/lab/apples.shards.work").exists()
    words = [
        "shards",
        "aggregate",
        "--repo-id",
        REPO,
        "--num-shards",
        "3",
        "--slurm",
        "1",
        "--wait",
    ]
    assert run(app, words) == 0
    assert standin.jobs() == 3
    assert tree(tmp_path / "home" / REPO) == expected(tmp_path, "v3.0")


def expected(site: Path, version: str = "v2.1") -> dict[str, str]:
    job = make_job(format=version)
    return tree(
        convert(
            [site / "data"], site / f"expected-{version}", job, workers=1
        ).output
    )


@pytest.mark.measured
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_conversion_makes_the_bytes_of_a_local_run(
    tmp_path, standin, version
):
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "2",
        "--format",
        version,
    ]
    assert run(app, [*words, "--wait"]) == 0
    assert tree(tmp_path / "out") == expected(tmp_path, version)
    assert not (tmp_path / "out.work").exists()
    assert "--dependency=afterok:1" in standin.arguments(standin.jobs())[-1]


def test_a_conversion_is_waited_for_and_done_once(tmp_path, standin, capsys):
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "1",
        "--cpus-per-task",
        "2",
    ]
    standin.hold()
    assert run(app, words) == 0
    assert "piperline shards status --logs-dir" in capsys.readouterr().out
    folder = JobFolder(tmp_path / "logs/convert_out")
    assert [state.state for state in states(folder)] == ["missing", "missing"]
    standin.release()
    assert run(app, [*words, "--wait"]) == 0
    assert "LeRobot v2.1 dataset: out" in capsys.readouterr().out
    assert (
        "episode 3/3"
        in (tmp_path / "logs/convert_out/logs/task_00000.log").read_text()
    )
    assert run(app, ["shards", "status", "--job-name", "convert_out"]) == 0
    assert "aggregate: done" in capsys.readouterr().out
    submitted = standin.jobs()
    assert run(app, words) == 0
    assert "Nothing to do: it is done." in capsys.readouterr().out
    assert standin.jobs() == submitted
    (tmp_path / "out/README.md").touch()
    assert run(app, [*words, "--job-name", "other"]) == 5


def test_what_is_missing_of_a_conversion_is_done(tmp_path, standin, capsys):
    """The shards are kept when their aggregation fails, and when one of them does."""
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "2",
        "--wait",
    ]
    damage_last_image(tmp_path / "data/file.hdf5")
    assert run(app, words) == 7
    assert "rank 1: 1 episodes" not in capsys.readouterr().err
    found = states(JobFolder(tmp_path / "logs/convert_out"))
    assert [(state.step, state.state) for state in found] == [
        ("convert", "done"),
        ("convert", "failed"),
        ("aggregate", "missing"),
    ]
    submitted = standin.jobs()
    assert run(app, [*words, "--skip-bad"]) == 0
    assert "left out: " in capsys.readouterr().out
    # one rank, not both
    assert standin.script(submitted + 1).count("--array=0-0\n") == 1
    local = convert(
        [tmp_path / "data"],
        tmp_path / "local",
        make_job(),
        skip_bad=True,
        workers=1,
    )
    assert tree(tmp_path / "out") == tree(local.output)


def test_only_the_aggregation_is_missing(tmp_path, standin, capsys):
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "2",
        "--wait",
    ]
    standin.hold()
    assert run(app, words) == 7
    folder = JobFolder(tmp_path / "logs/convert_out")
    digest = hashlib.sha256(folder.run_file.read_bytes()).hexdigest()
    for rank in (0, 1):
        run_rank(folder.root, rank, digest)
    standin.release()
    submitted = standin.jobs()
    capsys.readouterr()
    assert run(app, words) == 0
    assert f"submitted SLURM jobs: {submitted + 1}\n" in capsys.readouterr().out
    assert not any(
        "--dependency" in word for word in standin.arguments(submitted + 1)
    )
    assert tree(tmp_path / "out") == expected(tmp_path)


def damage_last_image(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        images = file[f"episode_2/{PIPER_CAMERAS[1]}"]
        images[2] = np.frombuffer(b"no image", np.uint8)


def test_a_dataset_in_the_way_is_told_before_any_job(tmp_path, standin):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").touch()
    assert (
        run(app, ["convert", "data", "-o", "out", "--slurm", "--workers", "2"])
        == 5
    )
    assert standin.jobs() == 0


def test_a_run_that_ends_between_the_name_and_the_removal_of_shards(
    tmp_path, standin, capsys
):
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "1",
        "--wait",
    ]
    standin.hold()
    assert run(app, words) == 7
    kept = tmp_path / "kept.work"
    standin.release()
    shutil.copytree(tmp_path / "out.work", kept)
    assert run(app, words) == 0
    kept.rename(tmp_path / "out.work")
    capsys.readouterr()
    assert run(app, words) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert not (tmp_path / "out.work").exists()


def test_names_with_spaces(tmp_path, standin, capsys):
    words = [
        "convert",
        "data",
        "-o",
        "my set",
        "--slurm",
        "--workers",
        "1",
        "--logs-dir",
        "the logs",
        "--wait",
    ]
    assert run(app, [*words, "--job-name", "my_job"]) == 0
    assert tree(tmp_path / "my set") == expected(tmp_path)
    standin.hold()
    (tmp_path / "my set").rename(tmp_path / "elsewhere")
    assert run(app, [*words[:-1], "--job-name", "my_job"]) == 0
    command = f"piperline shards status --logs-dir '{tmp_path}/the logs' --job-name my_job"
    assert command in capsys.readouterr().out


@pytest.mark.usefixtures("standin")
def test_a_task_that_dies_before_it_can_say_anything(capsys):
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "2",
        "--wait",
    ]
    assert (
        run(app, [*words, "--env-command", "echo no such module >&2; false"])
        == 7
    )
    said = capsys.readouterr().err
    assert "2 failed" in said
    assert "no such module" in said
    assert run(app, ["shards", "status", "--job-name", "convert_out"]) == 0
    assert (
        "rank 0: failed, 2 episodes\n    it ended before it began\n"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("standin")
def test_a_file_of_the_dataset_has_gone(tmp_path, capsys):
    words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "1",
        "--wait",
    ]
    assert run(app, words) == 0
    min((tmp_path / "out").rglob("*.mp4")).unlink()
    assert run(app, words) == 5
    assert "replace it with --overwrite" in capsys.readouterr().err
    assert run(app, [*words, "--overwrite"]) == 0
    assert tree(tmp_path / "out") == expected(tmp_path)


def test_what_is_not_asked_for_is_left_to_the_cluster(standin):
    standin.hold()
    assert shards("--workers", "1") == 0
    script = standin.script(1)
    assert not any(
        f"--{name}" in script
        for name in ("partition", "time", "qos", "mem-per-cpu", "mail")
    )
    assert "#SBATCH --kill-on-invalid-dep=yes\n" in script
    assert "#SBATCH --requeue\n" in script
    assert "export PATH=" in script


def test_what_is_asked_for_is_handed_on(standin):
    standin.hold()
    asked = {
        "partition": "cpu",
        "time": "04:00:00",
        "qos": "long",
        "cpus-per-task": "3",
        "mem-per-cpu": "900M",
    }
    words = [
        word for name, value in asked.items() for word in (f"--{name}", value)
    ]
    more = [
        "--sbatch",
        "account=robots",
        "--sbatch",
        "exclusive",
        "--env-command",
        "module load python",
    ]
    assert shards("--workers", "1", *words, *more) == 0
    script = standin.script(1)
    assert all(
        f"#SBATCH --{name}={value}\n" in script for name, value in asked.items()
    )
    assert "#SBATCH --account=robots\n" in script
    assert "#SBATCH --exclusive\n" in script
    assert "set -e\nmodule load python\n" in script.replace("        ", "")
    assert "\npython -m datatrove" in script.replace("        ", "")


def test_no_secret_leaves_the_submitting_process(tmp_path, standin):
    standin.hold()
    assert shards("--workers", "1") == 0
    assert "HF_TOKEN" not in standin.environment(1)
    assert "HF_LEROBOT_HOME" in standin.environment(1)
    assert all(
        b"geheim" not in path.read_bytes()
        for path in (tmp_path / "logs").rglob("*")
        if path.is_file()
    )


def test_a_second_run_is_refused_while_the_first_is_in_the_queue(
    tmp_path, standin, capsys
):
    standin.hold()
    assert shards("--workers", "2") == 0
    standin.queue("1|0|RUNNING|None\n1|1|PENDING|Resources\n9|0|RUNNING|None\n")
    assert shards("--workers", "2") == 5
    assert "scancel 1`" in capsys.readouterr().err
    folder = JobFolder(tmp_path / "logs/convert_hdf5")
    assert [state.state for state in states(folder)] == ["running", "queued"]
    folder.note(1, RankRecord.begin("another key"))
    assert states(folder)[1].why == "PENDING (Resources)"
    standin.down()
    assert run(app, ["shards", "status"]) == 7
    assert "Unable to contact slurm controller" in capsys.readouterr().err


def test_sbatch_has_its_own_words(standin, capsys):
    standin.refuse("invalid account or account/partition combination specified")
    assert shards("--workers", "1") == 7
    said = capsys.readouterr().err
    assert "found:    sbatch: error: invalid account" in said
    assert "Traceback" not in said


def test_no_sbatch(tmp_path, monkeypatch, capsys):
    (tmp_path / "bin/sbatch").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert shards("--workers", "1") == 2
    assert "there is no sbatch" in capsys.readouterr().err


def test_the_number_of_tasks_must_be_given(capsys):
    assert run(app, ["convert", "data", "-o", "out", "--slurm"]) == 2
    assert "--workers" in capsys.readouterr().err
    assert shards("--workers", "1", "--cpus-per-task", "0") == 2


def test_a_rank_that_was_killed(tmp_path, standin, capsys):
    standin.hold()
    assert shards("--workers", "2") == 0
    standin.release()
    recording = tmp_path / "data/file.hdf5"
    recording.write_bytes(recording.read_bytes() + b"\0")
    folder = JobFolder(tmp_path / "logs/convert_hdf5")
    before = json.loads(folder.run_file.read_text())
    work = load_work(folder)
    assert work is not None
    folder.note(
        0, RankRecord("running", work.key(0), "gone.example", 1, "1_0", 0.0)
    )
    found = states(folder)
    assert [state.state for state in found] == ["failed", "missing"]
    assert found[0].why.startswith("it was killed")
    assert before["world"] == 2
    capsys.readouterr()
    assert run(app, ["shards", "status"]) == 0
    assert "rank 0: failed" in capsys.readouterr().out


def test_options_become_directives():
    assert SlurmOptions().directives() == {"cpus-per-task": "1"}
    assert (
        SlurmOptions(sbatch=("--exclusive", "gres=gpu:1")).directives()["gres"]
        == "gpu:1"
    )


def test_the_limit_of_arrays(tmp_path):
    assert max_array_size() == 2
    Path(tmp_path / "bin/scontrol").write_text("#!/bin/sh\n")
    assert max_array_size() == 1001


HOSTILE = [
    "$(touch hit)`touch hit`",
    "a\"; touch hit; \"'; touch hit; '",
    "100%A % of",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_in_the_name_of_a_folder_is_executed(tmp_path, standin, name):
    words = [
        "convert",
        "data",
        "-o",
        name,
        "--slurm",
        "--workers",
        "1",
        "--wait",
    ]
    assert run(app, [*words, "--logs-dir", f"logs {name}"]) == 0
    assert (tmp_path / name / "meta/info.json").is_file()
    logs = tmp_path / f"logs {name}" / job_name_for("convert_", name)
    assert (logs / "slurm_logs/1_0.out").is_file()
    assert standin.jobs() == 2
    assert not list(tmp_path.rglob("hit"))


@pytest.mark.parametrize(
    "name", ["`touch hit`", "a b", "", "..", "-x", "a/b", "a\nb", "a" * 101]
)
def test_a_job_has_a_safe_name(tmp_path, standin, capsys, name):
    assert run(app, ["shards", "status", f"--job-name={name}"]) == 2
    assert shards("--workers", "1", f"--job-name={name}") == 2
    convert_words = [
        "convert",
        "data",
        "-o",
        "out",
        "--slurm",
        "--workers",
        "1",
    ]
    assert run(app, [*convert_words, f"--job-name={name}"]) == 2
    assert "a job cannot have this name" in capsys.readouterr().err
    assert standin.jobs() == 0
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    "option",
    [
        "--partition=cpu\ntouch hit",
        "--time=1\ntouch hit",
        "--qos=a\rtouch hit",
        "--mem-per-cpu=1\n#SBATCH --uid=0",
        "--sbatch=account=a\ntouch hit",
        "--sbatch=comment\ntouch hit=a",
        "--sbatch=a b=c",
        "--env-command=true\n#SBATCH --uid=0",
    ],
)
def test_an_option_of_slurm_stays_on_its_line(
    tmp_path, standin, capsys, option
):
    assert shards("--workers", "1", option) == 2
    assert "SLURM" in (said := capsys.readouterr().err) or "sbatch" in said
    assert standin.jobs() == 0
    assert not list(tmp_path.rglob("hit"))


def test_a_folder_of_logs_stays_on_its_line(standin, capsys):
    assert shards("--workers", "1", "--logs-dir", "a\ntouch hit") == 2
    assert "a folder of logs without line breaks" in capsys.readouterr().err
    assert standin.jobs() == 0


def test_names_of_jobs_are_told_apart():
    names = ["apples", "数据", "数拠", "a b", "a_b", "x" * 200, "x" * 201]
    made = [job_name_for("convert_", name) for name in names]
    assert made[0] == "convert_apples"
    assert len(set(made)) == len(names)
    assert max(map(len, made)) <= 100

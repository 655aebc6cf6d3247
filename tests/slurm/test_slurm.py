"""The documented commands on a real SLURM, and what can go wrong; the bytes are a local run's."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree
from tests.slurm.cluster import ARRAY_SIZE, Slurm, wait_until

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
REPO = "12e21/bi_piper_parallel"


class Site:
    """A folder of recordings on the disk that all nodes share, and the commands of its user."""

    def __init__(self, folder: Path, slurm: Slurm, episodes: list[int]) -> None:
        self.folder, self.slurm = folder, slurm
        self.data, self.home = folder / "data", folder / "home"
        self.data.mkdir()
        first = 0
        for number, count in enumerate(episodes):
            write_piper(
                self.data / f"file{number}.hdf5",
                episodes=count,
                first=first,
                lengths=(7, 4, 11),
            )
            first += count

    def piperline(
        self, *words: object, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        code = "import sys; from piperline.cli.app import main; main()"
        return self.call(
            sys.executable, "-c", code, *map(str, words), check=check
        )

    def script(
        self, name: str, *words: object, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self.call(
            sys.executable,
            str(ROOT / "convert_parallel" / name),
            *map(str, words),
            check=check,
        )

    def call(
        self, *command: str, check: bool
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **self.slurm.environment,
            "HF_LEROBOT_HOME": str(self.home),
            "HF_TOKEN": "hf_geheim",
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not (check and done.returncode), (
            f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def shards(
        self, *words: object, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        common = (
            "--hdf5-root",
            "./data",
            "--all",
            "--repo-id",
            REPO,
            "--slurm",
            1,
        )
        return self.piperline("shards", "convert", *common, *words, check=check)

    def states(self) -> dict[int, str]:
        shown = json.loads(self.piperline("shards", "status", "--json").stdout)
        return {state["rank"]: state["state"] for state in shown}

    def record(self, rank: int) -> dict[str, object]:
        path = self.folder / f"logs/convert_hdf5/records/{rank:05d}.json"
        with contextlib.suppress(FileNotFoundError, ValueError):
            return dict(json.loads(path.read_text()))
        return {}

    def outputs(self) -> str:
        return "\n".join(
            path.read_text()
            for path in self.folder.glob("logs/*/**/slurm_logs/*")
        )

    def aggregated(self, shards: int) -> dict[str, str]:
        self.piperline(
            "shards", "aggregate", "--repo-id", REPO, "--num-shards", shards
        )
        return tree(self.home / REPO)

    def local(self, version: str = "v3.0") -> dict[str, str]:
        output = self.folder / f"local-{version}"
        convert([self.data], output, make_job(format=version), workers=1)
        return tree(output)

    def left_over(self) -> list[str]:
        return [
            path.name
            for path in (self.home / "12e21").iterdir()
            if path.name.startswith((".", "tmp"))
        ] + [path.name for path in (self.home / "12e21").glob("*.work")]


def test_the_documented_commands(tmp_path, slurm):
    site = Site(tmp_path, slurm, [1, 1, 1])
    line = f"--hdf5-root ./data --all --repo-id {REPO} --workers 100 --slurm 1 --partition cpu"
    options = (
        "--cpus-per-task 8 --mem-per-cpu 4000M --job-name convert_bi_piper"
    )
    said = site.script(
        "convert_hdf5_shards.py", *line.split(), *options.split()
    ).stdout
    assert "empty: shards 3 to 99" in said
    assert "submitted SLURM jobs" in said
    slurm.wait_until_empty()
    line = f"--repo-id {REPO} --num-shards 100 --slurm 1 --partition cpu"
    line += " --job-name aggregate_bi_piper"
    site.script("aggregate_hdf5_shards.py", *line.split())
    slurm.wait_until_empty()
    assert tree(site.home / REPO) == site.local()
    assert site.left_over() == []
    logs = tmp_path / "logs/convert_bi_piper"
    assert {"executor.json", "completions", "logs", "stats"} <= {
        path.name for path in logs.iterdir()
    }
    assert "episode 1/1" in (logs / "logs/task_00002.log").read_text()
    assert "images/s" in (logs / "logs/task_00002.log").read_text()
    assert all(
        b"hf_geheim" not in path.read_bytes()
        for path in (tmp_path / "logs").rglob("*")
        if path.is_file()
    )
    again = site.script("aggregate_hdf5_shards.py", *line.split()).stdout
    assert "Nothing to do" in again


@pytest.mark.measured
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_one_step_on_a_shared_disk(tmp_path, slurm, version):
    site = Site(tmp_path, slurm, [3, 2])
    asked = (
        "--slurm",
        "--workers",
        3,
        "--cpus-per-task",
        2,
        "--wait",
        "--format",
        version,
    )
    words = ("convert", "data", "--output", "out", *asked)
    said = site.piperline(*words)
    assert f"LeRobot {version} dataset" in said.stdout
    assert tree(tmp_path / "out") == site.local(version)
    assert not (tmp_path / "out.work").exists()
    again = site.piperline(*words).stdout
    assert "Nothing to do" in again
    assert "--job-name" in again


def test_more_tasks_than_an_array_may_have(tmp_path, slurm):
    site = Site(tmp_path, slurm, [4, 4])
    site.shards("--workers", ARRAY_SIZE + 2, "--wait")
    assert (
        len(json.loads((tmp_path / "logs/convert_hdf5/slurm.json").read_text()))
        == 2
    )
    assert site.aggregated(ARRAY_SIZE + 2) == site.local()


def test_a_rank_that_fails_stops_what_depends_on_it(tmp_path, slurm):
    site = Site(tmp_path, slurm, [2, 2])
    changed = site.data / "file1.hdf5"
    site.shards(
        "--workers", 4, "--env-command", f"touch {changed}; {path_line()}"
    )
    slurm.wait_until_empty()
    expected = site.local()  # of the recordings as they are now
    states = site.states()
    assert (states[2], states[3]) == ("failed", "failed")
    assert (
        "changed since the run was planned"
        in site.piperline("shards", "status").stdout
    )
    refused = site.piperline(
        "shards", "aggregate", "--repo-id", REPO, "--num-shards", 4, check=False
    )
    assert refused.returncode == 4
    again = f"piperline shards convert --repo-id {REPO} --hdf5-root data --all"
    assert again in refused.stderr
    assert not (site.home / REPO).exists()
    before = {rank: site.record(rank) for rank in (0, 1)}
    site.shards("--workers", 4, "--wait")
    assert {rank: site.record(rank) for rank in (0, 1)} == before
    assert site.aggregated(4) == expected


def test_a_rank_that_fails_cancels_the_aggregation(tmp_path, slurm):
    site = Site(tmp_path, slurm, [2, 2])
    words = ("convert", "data", "--output", "out", "--slurm", "--workers", 4)
    changed = site.data / "file1.hdf5"
    site.piperline(*words, "--env-command", f"touch {changed}; {path_line()}")
    slurm.wait_until_empty()
    expected = site.local("v2.1")  # of the recordings as they are now
    status = ("shards", "status", "--job-name", "convert_out", "--json")
    shown = json.loads(site.piperline(*status).stdout)
    states = {(state["step"], state["rank"]): state["state"] for state in shown}
    assert (states["convert", 3], states["aggregate", 0]) == (
        "failed",
        "missing",
    )
    assert not (tmp_path / "out").exists()
    site.piperline(*words, "--wait")
    assert tree(tmp_path / "out") == expected
    assert not (tmp_path / "out.work").exists()


def test_a_rank_that_is_killed_and_another_number_of_workers(tmp_path, slurm):
    site = Site(tmp_path, slurm, [3, 3])
    write_piper(site.data / "file9.hdf5", episodes=1, first=9, lengths=600)
    expected = site.local()
    site.shards("--workers", 2)
    wait_until(
        lambda: site.record(1).get("state") == "running", 60, "rank 1 at work"
    )
    os.kill(int(str(site.record(1)["pid"])), signal.SIGKILL)
    slurm.wait_until_empty()
    assert site.states()[1] == "failed"
    site.shards("--workers", 3, "--wait")
    assert site.aggregated(3) == expected
    assert site.left_over() == []


def test_a_dead_node_and_an_attempt_that_lives_on(tmp_path, slurm):
    site = Site(tmp_path, slurm, [2])
    write_piper(site.data / "file9.hdf5", episodes=1, first=9, lengths=600)
    expected = site.local()
    site.shards("--workers", 1)
    wait_until(
        lambda: site.record(0).get("state") == "running", 60, "rank 0 at work"
    )
    old = int(str(site.record(0)["pid"]))
    os.kill(old, signal.SIGSTOP)
    node = next(line.split()[-1] for line in slurm.queue() if "RUNNING" in line)
    slurm.kill_daemon(node)
    try:
        job = next(
            iter(
                json.loads(
                    (tmp_path / "logs/convert_hdf5/slurm.json").read_text()
                )
            )
        )
        wait_until(
            lambda: any(
                line.startswith(f"{job}_0 PENDING") for line in slurm.queue()
            ),
            90,
            "requeued rank",
        )
        slurm.run("scontrol", "update", f"JobId={job}_0", "StartTime=now")
        wait_until(
            lambda: site.record(0).get("pid") not in {None, old},
            60,
            "second attempt",
        )
        os.kill(old, signal.SIGCONT)  # both attempts write now
        slurm.wait_until_empty()
        wait_until(lambda: has_ended(old), 60, "end of the first attempt")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(old, signal.SIGKILL)
        slurm.start_node(node)
    assert site.states()[0] == "done"
    assert site.aggregated(1) == expected
    assert site.left_over() == []


def has_ended(pid: int) -> bool:
    try:
        return (
            (
                Path(f"/proc/{pid}/stat")
                .read_text()
                .rpartition(")")[2]
                .split()[0]
            )
            == "Z"
        )
    except FileNotFoundError:
        return True


def path_line() -> str:
    return f"export PATH={Path(sys.executable).parent}:$PATH"


def test_sbatch_refuses(tmp_path, slurm):
    site = Site(tmp_path, slurm, [1])
    refused = site.shards("--workers", 1, "--partition", "gold", check=False)
    assert refused.returncode == 7
    assert (
        "Invalid partition" in refused.stderr
        or "invalid partition" in refused.stderr
    )
    assert "Traceback" not in refused.stderr


def test_a_second_run_waits_for_the_first(tmp_path, slurm):
    site = Site(tmp_path, slurm, [1])
    begin = tmp_path / "begin"
    wait = f"until [ -e {begin} ]; do sleep 0.1; done"
    site.shards("--workers", 1, "--env-command", f"{wait}; {path_line()}")
    second = site.shards("--workers", 1, check=False)
    assert second.returncode == 5
    assert "scancel" in second.stderr
    wait_until(lambda: site.states()[0] == "running", 60, "rank 0 at work")
    begin.touch()
    slurm.wait_until_empty()
    assert site.states()[0] == "done"

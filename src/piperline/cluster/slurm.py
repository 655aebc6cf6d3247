"""SLURM's commands: sbatch, squeue, scontrol. Never sacct, which many clusters do not have."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from piperline.errors import TaskFailed, UsageError
from piperline.text import printable

DEFAULT_ARRAY_SIZE = 1001  # slurm.conf(5), MaxArraySize
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|_PASS$|_PAT$|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY",
    re.IGNORECASE,
)


_OPTION = re.compile(r"[a-z][a-z0-9-]*")


def refuse_lines(what: str, text: str) -> None:
    """See that `text`, quoted, stays within the line of a script in which it stands.

    Raises:
        UsageError: it holds line breaks, or other characters that are none to print.
    """
    if text.isprintable():
        return
    raise UsageError(
        "this does not fit on a line of a script for SLURM",
        expected=f"{what} without line breaks and control characters",
        found=printable(text),
        next_step="give it in one line; commands are put in a row with `;` or `&&`",
    )


@dataclass(frozen=True)
class SlurmOptions:
    """What is asked of SLURM for each task; None leaves it to the cluster.

    Attributes:
        partition: the partition.
        time: the time limit of a task, as sbatch takes it: 04:00:00, or 2-00.
        qos: the quality of service.
        cpus_per_task: CPUs of a task; it has as many processes.
        mem_per_cpu: memory, as sbatch takes it: 4000M.
        sbatch: further options of sbatch, without the dashes: --sbatch account=robots
            --sbatch exclusive
        env_command: a shell command that makes the environment on the node; otherwise this very
            interpreter is used.
    """

    partition: str | None = None
    time: str | None = None
    qos: str | None = None
    cpus_per_task: int = 1
    mem_per_cpu: str | None = None
    sbatch: tuple[str, ...] = ()
    env_command: str | None = None

    def __post_init__(self) -> None:
        """See that a task has a CPU, and that each option fits a line of a script."""
        if self.cpus_per_task < 1:
            raise UsageError(
                "a task needs a CPU",
                expected="--cpus-per-task 1, or more",
                found=f"--cpus-per-task {self.cpus_per_task}",
                next_step="give --cpus-per-task 4, for example, or leave it out: one",
            )
        refuse_lines("--env-command", self.env_command or "")
        for name, value in self.directives().items():
            refuse_lines(f"--{printable(name)}", value)
            if not _OPTION.fullmatch(name):
                raise UsageError(
                    "this is no option of sbatch",
                    expected="a name of small letters, digits and dashes, perhaps with a =VALUE",
                    found=f"--sbatch {printable(name)}",
                    next_step="see `man sbatch`, and write: --sbatch account=robots",
                )

    def directives(self) -> dict[str, str]:
        """As sbatch's long options; those with an empty value have none."""
        known = {
            "partition": self.partition,
            "time": self.time,
            "qos": self.qos,
            "cpus-per-task": str(self.cpus_per_task),
            "mem-per-cpu": self.mem_per_cpu,
        }
        more = (text.removeprefix("--").partition("=") for text in self.sbatch)
        return {name: value for name, value in known.items() if value} | {
            name: value for name, _, value in more
        }


def submit(script: str, arguments: Sequence[str] = ()) -> str:
    """Hand a script to sbatch.

    The job gets this environment, less what looks like a secret: conversion needs none.

    Returns:
        The job's id.

    Raises:
        UsageError: there is no sbatch.
        TaskFailed: sbatch refuses; its own words are in `found`.
    """
    command = ["sbatch", "--parsable", *arguments]
    done = _run(
        command,
        script,
        {
            name: value
            for name, value in os.environ.items()
            if not _SECRET.search(name)
        },
    )
    words = done.stdout.split()
    job = words[-1].partition(";")[0] if words else ""
    if done.returncode or not job:
        raise TaskFailed(
            "sbatch did not take the job",
            expected="the number of the job",
            found=(done.stderr or done.stdout).strip()
            or f"exit code {done.returncode}, and no word",
            next_step="give what the cluster wants with "
            "--partition, --time, --qos, --mem-per-cpu or --sbatch",
        )
    return job


def _run(
    command: Sequence[str],
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=text,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no {command[0]} on this machine",
            expected="a machine that may submit jobs to SLURM",
            found="no such program on the PATH",
            next_step="log in to the cluster, or leave out --slurm to work on this machine",
        ) from error


def max_array_size() -> int:
    """How many tasks an array of jobs may have on this cluster."""
    found = re.search(
        r"^MaxArraySize\s*=\s*(\d+)",
        _run(["scontrol", "show", "config"]).stdout,
        re.MULTILINE,
    )
    return int(found[1]) if found else DEFAULT_ARRAY_SIZE


def queued(jobs: Collection[str]) -> dict[str, str]:
    """Which tasks of `jobs` SLURM still has: the state, and the reason if it waits, by `JOB_INDEX`.

    Empty where there is no squeue.

    Raises:
        TaskFailed: SLURM does not answer.
    """
    if not jobs:
        return {}
    if shutil.which("squeue") is None:  # the records were made elsewhere
        return {}
    done = _run(
        [
            "squeue",
            "--noheader",
            "--array",
            f"--user={os.getuid()}",
            "--format=%F|%K|%T|%r",
        ]
    )
    if done.returncode:
        raise TaskFailed(
            "SLURM does not answer",
            expected="the list of this user's jobs",
            found=done.stderr.strip(),
            next_step="try `squeue`, and run the same command again when it answers",
        )
    rows = (
        line.split("|")
        for line in done.stdout.splitlines()
        if line.count("|") == 3  # noqa: PLR2004 - what it says
    )
    return {
        f"{job}_{index}": state if state == "RUNNING" else f"{state} ({reason})"
        for job, index, state, reason in rows
        if job in jobs and state != "COMPLETING"
    }

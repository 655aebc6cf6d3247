"""The folder of a job that is divided into ranks, and what is known there of each rank.

    LOGS/JOB/lock                     held by the command that is at work here
    LOGS/JOB/id                       tells this folder from all others, also of the same name
    LOGS/JOB/run.json                 what is to be done, with the plan
    LOGS/JOB/records/NNNNN.json       how a rank fares
    LOGS/JOB/review.json              what a review of the recordings found, when all were converted
    LOGS/JOB/slurm.json               the SLURM jobs that were submitted
    LOGS/JOB/logs/task_NNNNN.log      what a rank says; written by datatrove, as are the following:
    LOGS/JOB/completions, stats, executor.json, stats.json
    LOGS/JOB/aggregate/               the same of the job that makes one dataset of all shards

Records and outputs together tell what is done. datatrove's own marks in `completions` do not: they
know nothing of changed inputs, of another number of ranks, or of outputs that have gone. They are
made to agree before each run.
"""

import hashlib
import json
import os
import re
import secrets
import shlex
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Self

from piperline.errors import UsageError
from piperline.files import read_json, write_whole
from piperline.output.workspace import exclusive
from piperline.text import printable

_JOB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_LONGEST_STEM = 80


def job_name_for(prefix: str, name: str) -> str:
    """A job's name that is made of another name: itself where that is one, else told by a digest.

    Args:
        prefix: what it begins with.
        name: any name of a folder.
    """
    if _JOB_NAME.fullmatch(wanted := prefix + name):
        return wanted
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted)[:_LONGEST_STEM]
    return f"{stem}-{digest}"


@dataclass(frozen=True)
class RankRecord:
    """How a rank fares.

    Attributes:
        state: what it says of itself; `running` may mean that it was killed.
        key: names what it makes: for another plan it is another one.
        host, pid: the process.
        slurm: `JOB_INDEX` if SLURM started it, else empty.
        started: seconds since 1970.
        seconds: how long it has worked.
        episodes, images: how much it has encoded; what was staged already does not count.
        left_out: what it left out because it cannot be converted, and why, a line each.
        error: why it failed.
        made: of an aggregation: the fingerprint of the dataset; empty before it is complete.
    """

    state: Literal["running", "done", "failed"]
    key: str
    host: str
    pid: int
    slurm: str
    started: float
    seconds: float = 0
    episodes: int = 0
    images: int = 0
    left_out: tuple[str, ...] = ()
    error: str = ""
    made: str = ""

    @classmethod
    def begin(cls, key: str) -> Self:
        """The record of this process, as it begins."""
        job = os.environ.get("SLURM_ARRAY_JOB_ID", "")
        index = os.environ.get("SLURM_ARRAY_TASK_ID", "")
        slurm = f"{job}_{index}" if job else ""
        return cls(
            "running",
            key,
            socket.gethostname(),
            os.getpid(),
            slurm,
            time.time(),
        )

    def more(self, images: int) -> "RankRecord":
        """The same with one more episode."""
        return replace(
            self,
            episodes=self.episodes + 1,
            images=self.images + images,
            seconds=time.time() - self.started,
        )

    def ended(self, *, error: str = "") -> "RankRecord":
        """The same at its end."""
        return replace(
            self,
            state="failed" if error else "done",
            error=error,
            seconds=time.time() - self.started,
        )


class JobFolder:
    """The folder `LOGS/JOB`.

    Args:
        root: its path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run_file = root / "run.json"
        self.review_file = root / "review.json"

    @classmethod
    def named(cls, logs: Path, name: str) -> Self:
        """The folder of the job `name` in the folder `logs`.

        Raises:
            UsageError: the name is none that every script and file system takes.
        """
        if not _JOB_NAME.fullmatch(name):
            raise UsageError(
                "a job cannot have this name",
                expected="1 to 100 letters (A to Z), digits, dots, dashes and underscores, "
                "that begin with none of dot and dash",
                found=f"--job-name {shlex.quote(printable(name))}",
                next_step="give another --job-name",
            )
        return cls((logs / name).absolute())

    @property
    def aggregate(self) -> "JobFolder":
        """The folder of the job that makes one dataset of the shards of this one."""
        return JobFolder(self.root / "aggregate")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder for this command alone: ranks read from it what they have to do.

        Raises:
            OutputExists: another command is at work here.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with exclusive(
            self.root / "lock",
            message="another command is at work on a job of this name",
            next_step="wait until it has ended, or give another --job-name or --logs-dir",
        ):
            yield

    def identity(self) -> str:
        """What tells this folder from all others; made on first use. The folder is locked."""
        path = self.root / "id"
        if not path.is_file():
            write_whole(path, secrets.token_hex(8))
        return path.read_text(encoding="utf-8")

    def has_identity(self, known: str) -> bool:
        """Whether this is the folder of that identity; it need not be there."""
        try:
            return (self.root / "id").read_text(encoding="utf-8") == known
        except (OSError, ValueError):
            return False

    def record(self, rank: int) -> RankRecord | None:
        """What is known of a rank; None where nothing is."""
        try:
            values = read_json(self._record(rank))
            return RankRecord(
                **{**values, "left_out": tuple(values["left_out"])}
            )
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def note(self, rank: int, record: RankRecord) -> None:
        """Write how a rank fares, unless a later attempt at it has done so."""
        current = self.record(rank)
        if (
            current
            and current.key == record.key
            and current.started > record.started
        ):
            return
        path = self._record(rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(record), indent=1))

    def sweep(self) -> None:
        """Remove what was half written when a process was killed."""
        for folder in (self.root, self.root / "records"):
            for path in folder.glob(".*.tmp-*"):
                path.unlink(missing_ok=True)

    def agree(self, done: Collection[int]) -> None:
        """Make datatrove's marks say that the ranks `done` are done, and no others."""
        marks = self.root / "completions"
        marks.mkdir(parents=True, exist_ok=True)
        wanted = {f"{rank:05d}" for rank in done}
        for mark in marks.iterdir():
            if mark.name not in wanted:
                mark.unlink()
        for name in wanted:
            (marks / name).touch()

    def slurm_jobs(self) -> dict[str, list[int]]:
        """The SLURM arrays that were submitted last: by id, the ranks of their tasks in order."""
        try:
            arrays: dict[str, list[int]] = read_json(self.root / "slurm.json")
        except (FileNotFoundError, ValueError):
            return {}
        return arrays

    def note_slurm_jobs(self, arrays: Mapping[str, Sequence[int]]) -> None:
        """Write which SLURM arrays were submitted."""
        write_whole(self.root / "slurm.json", json.dumps(arrays))

    @property
    def status_command(self) -> str:
        """The command that shows how the job fares."""
        options = [
            "--logs-dir",
            str(self.root.parent),
            "--job-name",
            self.root.name,
        ]
        return shlex.join(["piperline", "shards", "status", *options])

    def log_of(self, rank: int) -> Path:
        """The log of a rank; it need not exist."""
        return self.root / f"logs/task_{rank:05d}.log"

    def slurm_log_of(self, rank: int) -> Path | None:
        """What SLURM kept of the last task for a rank, also of one that died before it began."""
        for job, ranks in self.slurm_jobs().items():
            if rank in ranks:
                return (
                    self.root / "slurm_logs" / f"{job}_{ranks.index(rank)}.out"
                )
        return None

    def _record(self, rank: int) -> Path:
        return self.root / f"records/{rank:05d}.json"

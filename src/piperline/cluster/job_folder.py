"""The folder of a job that is divided into ranks, and what is known there of each rank.

    LOGS/JOB/lock                     held by the command that is at work here
    LOGS/JOB/run.json                 what is to be done, with the plan
    LOGS/JOB/records/NNNNN.json       how a rank fares; `finish.json`: the last step
    LOGS/JOB/made/KEY                 what of that key has been made in this job, and what proves it
    LOGS/JOB/slurm.json               the SLURM jobs that were submitted
    LOGS/JOB/logs/task_NNNNN.log      what a rank says; written by datatrove, as are the following:
    LOGS/JOB/completions, stats, executor.json, stats.json

Records and outputs together tell what is done. datatrove's own marks in `completions` do not: they know nothing of
changed inputs, of another number of ranks, or of outputs that have gone. They are made to agree before each run.
"""

import fcntl
import json
import os
import shlex
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Self

from piperline.errors import OutputExists, Place
from piperline.files import write_whole

FINISH = -1
"""The number of the last step, which comes when all ranks are done."""


@dataclass(frozen=True)
class RankRecord:
    """How a rank fares.

    Attributes:
        state: what it says of itself; `running` may mean that it was killed.
        key: names what it makes: for another plan it is another one.
        host, pid: the process; slurm: `JOB_INDEX` if SLURM started it, else empty.
        started: seconds since 1970.
        seconds: how long it has worked.
        episodes, images: how much it has encoded; episodes that were there already do not count.
        left_out: what it left out because it cannot be converted, and why, a line each.
        error: why it failed.
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

    @classmethod
    def begin(cls, key: str) -> Self:
        """The record of this process, as it begins."""
        job, index = (
            os.environ.get(name, "") for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
        )
        return cls(
            "running",
            key,
            socket.gethostname(),
            os.getpid(),
            f"{job}_{index}" if job else "",
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

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder, for this command alone: what a rank shall do is read from it when the rank begins.

        Raises:
            OutputExists: another command is at work here.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputExists(
                    "another command is at work on a job of this name",
                    place=Place(file=self.root),
                    next_step="wait until it has ended, or give another --job-name or --logs-dir",
                ) from error
            yield

    def record(self, rank: int) -> RankRecord | None:
        """What is known of a rank; None where nothing is."""
        try:
            known = json.loads(self._record(rank).read_text(encoding="utf-8"))
            return RankRecord(**{**known, "left_out": tuple(known["left_out"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def prove(self, key: str, proof: str) -> None:
        """Take note that what `key` names is made; `proof` tells whether an output is it."""
        path = self.root / "made" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, proof)

    def proof(self, key: str) -> str | None:
        """What was noted by `prove`; None where nothing was."""
        try:
            return (self.root / "made" / key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def note(self, rank: int, record: RankRecord) -> None:
        """Take note of how a rank fares, unless a later attempt at it has done so."""
        there = self.record(rank)
        if there and there.key == record.key and there.started > record.started:
            return
        path = self._record(rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(record), indent=1))

    def sweep(self) -> None:
        """Remove what was half written when a process was killed."""
        for folder in (self.root, self.root / "records", self.root / "made"):
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
        """The SLURM arrays that were submitted last: the ranks of each, in the order of its tasks, by id."""
        try:
            found: dict[str, list[int]] = json.loads(
                (self.root / "slurm.json").read_text(encoding="utf-8")
            )
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def note_slurm_jobs(self, arrays: Mapping[str, Sequence[int]]) -> None:
        """Take note of the SLURM arrays that were submitted."""
        write_whole(self.root / "slurm.json", json.dumps(arrays))

    @property
    def status_command(self) -> str:
        """The command that shows how the job fares."""
        options = ["--logs-dir", str(self.root.parent), "--job-name", self.root.name]
        return shlex.join(["piperline", "shards", "status", *options])

    def log_of(self, rank: int) -> Path:
        """The log of a rank; it need not be there."""
        return (
            self.root / "finish/logs/task_00000.log"
            if rank == FINISH
            else self.root / f"logs/task_{rank:05d}.log"
        )

    def slurm_log_of(self, rank: int) -> Path | None:
        """What SLURM kept of the last task for a rank, also of one that died before it said anything itself."""
        name = next(
            (f"{job}_{r.index(rank)}.out" for job, r in self.slurm_jobs().items() if rank in r),
            None,
        )
        folder = self.root / "finish" if rank == FINISH else self.root
        return folder / "slurm_logs" / name if name else None

    def _record(self, rank: int) -> Path:
        return self.root / "records" / ("finish.json" if rank == FINISH else f"{rank:05d}.json")

"""How far a job is that is divided into ranks, told from its records, its outputs and the queue."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from piperline.cluster.job_folder import FINISH, JobFolder, RankRecord
from piperline.cluster.slurm import queued
from piperline.cluster.work import ConvertWork, Work, load_work
from piperline.convert.progress import Progress, Watcher
from piperline.errors import Place, TaskFailed, UsageError

_POLL_SECONDS = (0.5, 5.0)
_TAIL_LINES = 8


@dataclass(frozen=True)
class RankState:
    """How a rank fares, as far as can be known from here.

    Attributes:
        rank: its number; `FINISH` is the last step.
        state: `done`, `running`, `queued`, `failed`, `missing` or `empty`.
        episodes: how many episodes are its part.
        output: what it makes.
        record: what it said last.
        why: of a failure, what is known; of a queued rank, SLURM's reason.
    """

    rank: int
    state: str
    episodes: int
    output: Path
    record: RankRecord | None = None
    why: str = ""


def _loaded(folder: JobFolder) -> Work:
    work = load_work(folder)
    if work is not None:
        return work
    others = ", ".join(sorted(path.parent.name for path in folder.root.parent.glob("*/run.json")))
    raise UsageError(
        "there is no such job",
        expected=f"a folder with {folder.run_file.name}",
        found=f"{folder.root}; jobs beside it: {others or 'none'}",
        next_step="name it with --logs-dir and --job-name",
    )


def states(folder: JobFolder) -> list[RankState]:
    """How the ranks of a job fare; behind them the last step, if there is one.

    Raises:
        UsageError: there is no such job.
        TaskFailed: SLURM does not answer.
        DatasetError: it aggregates shards that are not there.
    """
    work, waiting = _loaded(folder), _waiting(folder)
    done = work.done(folder)
    ranks = [*range(work.world), *([FINISH] if isinstance(work, ConvertWork) else [])]
    return [_state(rank, folder, work, waiting, is_done=rank in done) for rank in ranks]


def _waiting(folder: JobFolder) -> dict[int, str]:
    """The ranks that SLURM still has, and the state of each."""
    arrays = folder.slurm_jobs()
    tasks = queued(arrays)
    return {
        rank: tasks[f"{job}_{index}"]
        for job, ranks in arrays.items()
        for index, rank in enumerate(ranks)
        if f"{job}_{index}" in tasks
    }


def _state(
    rank: int, folder: JobFolder, work: Work, waiting: Mapping[int, str], *, is_done: bool
) -> RankState:
    record, why = folder.record(rank), ""
    if record and record.key != work.key(rank):  # of another plan, with the same rank
        record = None
    if rank == FINISH:
        empty, episodes, output = (
            False,
            0,
            work.output(0).parent if work.kind == "shards" else work.output(0),
        )
    else:
        empty, episodes, output = work.is_empty(rank), work.size(rank), work.output(rank)
    if empty or is_done:
        state = "empty" if empty else "done"
    else:
        state, why = _fares(record, waiting.get(rank), folder, rank)
    return RankState(rank, state, episodes, output, record, why)


def _fares(
    record: RankRecord | None, waiting: str | None, folder: JobFolder, rank: int
) -> tuple[str, str]:
    """The state of what is not done, and why."""
    if waiting is not None and not (record and record.state == "running" and waiting == "RUNNING"):
        return ("running", "") if waiting == "RUNNING" else ("queued", waiting)
    if record is None:
        words = _tail(folder.slurm_log_of(rank))
        return ("failed", f"it ended before it began\n{words}") if words else ("missing", "")
    if record.state == "running":
        alive = waiting is not None or (not record.slurm and _is_alive(record))
        words = f"it was killed, or its machine died\n{_tail(folder.log_of(rank))}".rstrip()
        return ("running", "") if alive else ("failed", words)
    if record.state == "failed":
        return "failed", record.error
    return "missing", "it was done; its output has changed or gone since"


def _is_alive(record: RankRecord) -> bool:
    """Whether the process of a record is at work here; one that was killed may wait as a zombie for its parent."""
    if record.host != socket.gethostname():
        return False
    try:
        return (
            Path(f"/proc/{record.pid}/stat")
            .read_text(encoding="utf-8")
            .rpartition(")")[2]
            .split()[0]
            != "Z"
        )
    except OSError:
        return False


def _tail(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-_TAIL_LINES:])


def follow(folder: JobFolder, watch: Watcher) -> None:
    """Wait until SLURM has no more of a job.

    Raises:
        TaskFailed: it is not complete then.
    """
    work = _loaded(folder)
    pause, longest = _POLL_SECONDS
    state = Progress("stage")
    if isinstance(work, ConvertWork):
        state.episodes, state.images = len(work.plan.episodes), work.images
    while waiting := _waiting(folder):
        if isinstance(work, ConvertWork):
            there = work.staging.names()
            done = [episode for episode in work.plan.episodes if episode.key in there]
            state.episodes_done = len(done)
            state.images_done = sum(episode.length * len(episode.cameras) for episode in done)
        state.phase = (
            "assemble" if set(waiting) == {FINISH} and waiting[FINISH] == "RUNNING" else "stage"
        )
        watch(state)
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
    if not (work.is_finished(folder) and (work.done(folder) >= set(range(work.world)))):
        raise _incomplete(folder)


def _incomplete(folder: JobFolder) -> TaskFailed:
    lacking = [state for state in states(folder) if state.state not in {"done", "empty"}]
    failed = [state for state in lacking if state.state == "failed"]
    error = TaskFailed(
        f"{len(lacking)} steps are not done" if lacking else "the job is not done",
        place=Place(file=folder.root),
        found=f"{len(failed)} failed, {len(lacking) - len(failed)} did not begin",
        next_step="run the same command again: it does only what is missing",
    )
    for state in failed[:_TAIL_LINES]:
        error.add_note(
            f"- rank {state.rank}: {state.why}"
            if state.rank != FINISH
            else f"- the last step: {state.why}"
        )
    return error

"""How far a job is that is divided into ranks, told from its records, its outputs and the queue."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piperline.cluster.aggregate_work import AggregateWork
from piperline.cluster.job_folder import JobFolder, RankRecord
from piperline.cluster.review import found_in
from piperline.cluster.shards import find_shards
from piperline.cluster.shards_work import ShardsWork
from piperline.cluster.slurm import queued
from piperline.cluster.work import Work, empty_ranks, load_work
from piperline.convert.progress import Progress, Watcher
from piperline.errors import Place, TaskFailed, UsageError
from piperline.text import plural

_POLL_SECONDS = (0.5, 5.0)
_TAIL_LINES = 8


@dataclass(frozen=True)
class RankState:
    """How a rank fares, as far as can be known from here.

    Attributes:
        step: `convert`, or `aggregate`: the making of one dataset of all shards.
        rank: its number in that step.
        state: `done`, `running`, `queued`, `failed`, `missing` or `empty`.
        episodes: how many episodes are its part; of an aggregation 0.
        output: what it makes.
        record: what it said last.
        why: of a failure, what is known; of a queued rank, SLURM's reason.
    """

    step: str
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
    others = ", ".join(
        sorted(
            path.parent.name for path in folder.root.parent.glob("*/run.json")
        )
    )
    raise UsageError(
        "there is no such job",
        expected=f"a folder with {folder.run_file.name}",
        found=f"{folder.root}; jobs beside it: {others or 'none'}",
        next_step="name it with --logs-dir and --job-name",
    )


def states(folder: JobFolder) -> list[RankState]:
    """How the ranks of a job fare; behind them the aggregation, if it is a part of the job.

    Raises:
        UsageError: there is no such job.
        TaskFailed: SLURM does not answer.
    """
    work = _loaded(folder)
    last = load_work(folder.aggregate)
    if last is None:
        return _states(folder, work)
    aggregation = _states(folder.aggregate, last)
    # its own shards have been removed then
    is_done = aggregation[0].state == "done"
    return [*_states(folder, work, all_done=is_done), *aggregation]


def reviewed(folder: JobFolder) -> dict[str, Any] | None:
    """What a review of the recordings found; None where none was made, or not yet.

    Raises:
        UsageError: there is no such job.
    """
    work = _loaded(folder)
    if isinstance(work, AggregateWork):
        return None
    key = work.plan.key
    return found_in(folder, key) or found_in(folder.aggregate, key)


def reviewed_shards(target: Path, shards: int) -> dict[str, Any] | None:
    """What a review of the recordings of shards found; None where none is kept here.

    Raises:
        DatasetError: the shards are not complete.
    """
    _, manifest = find_shards(target, shards)[0]
    return found_in(manifest.job, manifest.plan) if manifest.job else None


def _states(
    folder: JobFolder, work: Work, *, all_done: bool = False
) -> list[RankState]:
    waiting, empty = _waiting(folder), empty_ranks(work)
    done = range(work.world) if all_done else work.done(folder)
    found = []
    for rank in range(work.world):
        record, why = folder.record(rank), ""
        # of another plan, with the same rank
        if record and record.key != work.key(rank):
            record = None
        if rank in empty:
            state = "empty"
        elif rank in done:
            state = "done"
        else:
            state, why = _state_of(record, waiting.get(rank), folder, rank)
        found.append(_rank_state(work, rank, state, record, why))
    return found


def _rank_state(
    work: Work, rank: int, state: str, record: RankRecord | None, why: str
) -> RankState:
    if isinstance(work, AggregateWork):
        return RankState(
            "aggregate", rank, state, 0, work.output(rank), record, why
        )
    episodes = len(work.episodes(rank))
    return RankState(
        "convert", rank, state, episodes, work.output(rank), record, why
    )


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


def _state_of(
    record: RankRecord | None, waiting: str | None, folder: JobFolder, rank: int
) -> tuple[str, str]:
    """The state of what is not done, and why."""
    says_running = record is not None and record.state == "running"
    if waiting == "RUNNING" or (waiting and says_running):
        return "running", ""
    if waiting:
        return "queued", waiting
    if record is None:
        text = _tail(folder.slurm_log_of(rank))
        return (
            ("failed", f"it ended before it began\n{text}")
            if text
            else ("missing", "")
        )
    if says_running:
        return _state_of_a_running(record, folder, rank)
    if record.state == "failed":
        return "failed", record.error
    return "missing", "it was done; its output has changed or gone since"


def _state_of_a_running(
    record: RankRecord, folder: JobFolder, rank: int
) -> tuple[str, str]:
    """The state of a rank that says that it is at work, and that SLURM knows nothing of."""
    if not record.slurm and _is_alive(record):
        return "running", ""
    text = _tail(folder.log_of(rank))
    return "failed", f"it was killed, or its machine died\n{text}".rstrip()


def _is_alive(record: RankRecord) -> bool:
    """Whether the process of a record is at work here; one that was killed may be a zombie."""
    if record.host != socket.gethostname():
        return False
    try:
        stat = Path(f"/proc/{record.pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


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
    while True:
        ranks, last = _waiting(folder), _waiting(folder.aggregate)
        if not ranks and not last:
            break
        watch(_progress(work, "stage" if ranks else "assemble"))
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
    lacking = [
        state
        for state in states(folder)
        if state.state not in {"done", "empty"}
    ]
    if lacking:
        raise _incomplete(folder, lacking)


def _progress(work: Work, phase: str) -> Progress:
    if not isinstance(work, ShardsWork):
        return Progress(phase)
    keys = work.staging.names()
    episodes = work.plan.episodes
    staged = [episode for episode in episodes if episode.key in keys]
    return Progress(
        phase,
        episodes=len(episodes),
        episodes_done=len(staged),
        images=sum(episode.images for episode in episodes),
        images_done=sum(episode.images for episode in staged),
    )


def _incomplete(folder: JobFolder, lacking: list[RankState]) -> TaskFailed:
    failed = [state for state in lacking if state.state == "failed"]
    verb = "is" if len(lacking) == 1 else "are"
    error = TaskFailed(
        f"{plural(len(lacking), 'step')} {verb} not done",
        place=Place(file=folder.root),
        expected="all of them done",
        found=f"{len(failed)} failed, {len(lacking) - len(failed)} did not begin",
        next_step="run the same command again: it does only what is missing",
    )
    for state in failed[:_TAIL_LINES]:
        error.add_note(f"- {name_of(state)}: {state.why}")
    return error


def name_of(state: RankState) -> str:
    """What a rank is called in messages."""
    return "aggregate" if state.step == "aggregate" else f"rank {state.rank}"

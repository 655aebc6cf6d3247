"""Do what is missing of a job that is divided into ranks: here, or on SLURM."""

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from piperline.cluster.diary import Listener
from piperline.cluster.job_folder import FINISH, JobFolder
from piperline.cluster.slurm import SlurmOptions, queued
from piperline.cluster.work import ConvertWork, Work, load_work, save_work
from piperline.convert.job import Job
from piperline.convert.progress import Progress, Watcher
from piperline.convert.run import plan_run
from piperline.convert.stage import staging_area
from piperline.errors import OutputExists, PiperlineError, Place, TaskFailed, UsageError
from piperline.process import usable_cpus


def prepare(
    kind: Literal["convert", "shards"],
    inputs: Sequence[Path],
    target: Path,
    job: Job,
    folder: JobFolder,
    *,
    world: int,
    cpus: int = 1,
    episodes: str | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    command: tuple[str, ...] = (),
    watch: Watcher = lambda _: None,
) -> ConvertWork:
    """Plan a conversion in ranks. The plan of an earlier run is taken as it is if nothing has changed.

    Args:
        kind: into one dataset, or into shards.
        inputs: HDF5 files, and folders of them.
        target: the dataset's folder; shards lie beside it.
        job: what is to be done, from `make_job`.
        folder: of the job.
        world: how many ranks.
        cpus: how many processes each has.
        episodes: which episodes; see `make_plan`.
        skip_bad: leave out episodes that cannot be converted.
        overwrite: replace what piperline made.
        command: the options that make all shards again.
        watch: told how far the planning is.

    Raises:
        UsageError: there is no rank.
        RecordingError: something cannot be converted, or there is nothing to do.
    """
    if world < 1:
        raise UsageError("there must be at least one worker", found=f"--workers {world}")
    known = load_work(folder)
    previous = known.plan if isinstance(known, ConvertWork) else None
    here = [path.absolute() for path in inputs]  # a SLURM task may run elsewhere
    plan = plan_run(here, job, episodes=episodes, skip_bad=skip_bad, watch=watch, previous=previous)
    return ConvertWork(kind, target.absolute(), world, plan, cpus, overwrite, command)


@dataclass(frozen=True)
class Launched:
    """What came of a launch.

    Attributes:
        ranks: those that were missing.
        kept: those that were done already.
        empty: those without anything to do.
        jobs: ids of the SLURM jobs; empty where the work was done here.
        complete: whether everything is done now.
    """

    ranks: tuple[int, ...]
    kept: tuple[int, ...]
    empty: tuple[int, ...]
    jobs: tuple[str, ...]
    complete: bool


def launch(
    folder: JobFolder,
    work: Work,
    *,
    slurm: SlurmOptions | None = None,
    slots: int | None = None,
    watch: Watcher = lambda _: None,
) -> Launched:
    """Do what is missing, and nothing else.

    Args:
        folder: of the job; what it tells of an earlier run counts as far as it is about the same work.
        work: what is to be done.
        slurm: submit it to SLURM, instead of doing it here.
        slots: how many ranks at a time, here; None takes the CPUs that this process may use.
        watch: told how far it is.

    Raises:
        OutputExists: something is in the way, or another run is at work.
        UsageError: datatrove is missing, or there is no SLURM.
        TaskFailed: ranks failed; the others are done and kept.
        PiperlineError: the only rank failed.
    """
    cluster = _datatrove()
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        _refuse_second_run(folder)
        folder.sweep()
        done, ranks = work.done(folder), range(work.world)
        empty = tuple(rank for rank in ranks if work.is_empty(rank))
        kept = tuple(rank for rank in ranks if rank in done and rank not in empty)
        missing = tuple(rank for rank in ranks if rank not in done and rank not in empty)
        if not missing and work.is_finished(folder):
            work.adopt(kept)
            work.tidy()
            save_work(folder, work)
            return Launched((), kept, empty, (), complete=True)
        work.check()
        if isinstance(work, ConvertWork):
            stack.enter_context(staging_area(work.staging_for, work.plan))
        work.adopt(kept)
        digest = save_work(folder, work)
        folder.agree({*kept, *empty})
        if slurm and (missing or work.kind == "convert"):
            jobs = cluster.submit_ranks(folder, work, digest, missing, slurm)
            return Launched(missing, kept, empty, tuple(jobs), complete=False)
        counter = _Counter(work, missing, watch)
        listener = Listener(moved=counter.moved, staged=counter.staged)
        failed: dict[int, PiperlineError] = cluster.run_here(
            folder, work, digest, missing, slots=slots or usable_cpus(), listener=listener
        )
        if failed:
            raise _failed(failed, folder, len(missing) + len(kept))
        if isinstance(work, ConvertWork):
            cluster.do_rank(folder.root, FINISH, digest)
    return Launched(missing, kept, empty, (), complete=True)


def _datatrove() -> ModuleType:
    """The module that works with datatrove.

    Raises:
        UsageError: datatrove is not installed.
    """
    try:
        return importlib.import_module("piperline.cluster.ranks")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "datatrove":
            raise
        raise UsageError(
            "this needs datatrove, which is not installed",
            expected="piperline with the extra `cluster`",
            next_step="pip install datatrove",
        ) from error


def _refuse_second_run(folder: JobFolder) -> None:
    jobs = folder.slurm_jobs()
    if waiting := queued(jobs):
        raise OutputExists(
            "SLURM jobs are still at work on this",
            place=Place(file=folder.root),
            found=f"{len(waiting)} tasks of the jobs {', '.join(jobs)}",
            next_step=f"see `{folder.status_command}`; wait, or end them with `scancel {' '.join(jobs)}`",
        )


class _Counter:
    """Keeps count for the watcher."""

    def __init__(self, work: Work, ranks: Sequence[int], watch: Watcher) -> None:
        parts = [work.parts[rank] for rank in ranks] if isinstance(work, ConvertWork) else []
        lengths = [
            episode.length * len(episode.cameras) for part in parts for episode in part.episodes
        ]
        self._state = Progress("stage", episodes=len(lengths), images=sum(lengths))
        self._watch = watch
        watch(self._state)

    def moved(self, images: int, size: int) -> None:
        self._state.images_done += images
        self._state.size_done += size
        self._watch(self._state)

    def staged(self) -> None:
        self._state.episodes_done += 1
        self._watch(self._state)


def _failed(failed: dict[int, PiperlineError], folder: JobFolder, ranks: int) -> PiperlineError:
    first = next(iter(failed.values()))
    kept = f"{ranks - len(failed)} of {ranks} ranks are done and kept"
    if len(failed) == 1:
        first.add_note(f"{kept}; the same command goes on from there.")
        return first
    error = TaskFailed(
        f"{len(failed)} of {ranks} ranks failed",
        place=first.place,
        found=first.message,
        next_step="run the same command again: it does only what is missing; "
        f"each rank's log is in {folder.root / 'logs'}",
    )
    error.add_note(
        "\n".join(f"- rank {rank}: {why.message}" for rank, why in sorted(failed.items()))
    )
    return error

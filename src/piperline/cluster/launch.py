"""Do what is missing of a job that is divided into ranks: here, or on SLURM."""

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from piperline.cluster.aggregate_work import AggregateWork
from piperline.cluster.job_folder import JobFolder
from piperline.cluster.report import Listener
from piperline.cluster.review import RankReview
from piperline.cluster.shards_work import ShardsWork
from piperline.cluster.slurm import SlurmOptions, queued
from piperline.cluster.work import Work, empty_ranks, load_work, save_work
from piperline.convert.job import Job
from piperline.convert.plan import PlannedEpisode
from piperline.convert.pool import WorkerPool
from piperline.convert.progress import Counter, Watcher
from piperline.convert.run import plan_run
from piperline.convert.stage import staging_area, work_folder
from piperline.errors import (
    OutputExists,
    PiperlineError,
    Place,
    TaskFailed,
    UsageError,
    check_workers,
)
from piperline.process import usable_cpus


def plan_shards(
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
    review: RankReview | None = None,
    watch: Watcher = lambda _: None,
    pool: WorkerPool | None = None,
) -> ShardsWork:
    """Plan a conversion into shards. The plan of an earlier run is used if nothing has changed.

    Args:
        inputs: HDF5 files, and folders of them.
        target: the folder of the repository; the shards lie beside it.
        job: how recordings are converted, from `make_job`.
        folder: of the job.
        world: how many ranks, each of which makes a shard.
        cpus: how many processes each rank has.
        episodes: which episodes; see `make_plan`.
        skip_bad: leave out episodes that cannot be converted.
        overwrite: replace shards of other recordings.
        command: the options that make all shards again.
        review: review the recordings too; see `piperline.cluster.review`.
        watch: told how far the planning is.
        pool: worker processes that were started beforehand; one of them looks.

    Raises:
        UsageError: there is no rank.
        RecordingError: something cannot be converted, or there is nothing to do.
    """
    check_workers(world)
    earlier = load_work(folder)
    previous = earlier.plan if isinstance(earlier, ShardsWork) else None
    # a SLURM task may run in another folder
    absolute = [path.absolute() for path in inputs]
    plan = plan_run(
        absolute,
        job,
        episodes=episodes,
        skip_bad=skip_bad,
        watch=watch,
        previous=previous,
        pool=pool,
    )
    target = target.absolute()
    with folder.locked():
        job_id = folder.identity()
    return ShardsWork(
        kind="shards",
        target=target,
        staging_root=work_folder(target.with_name(f"{target.name}.shards")),
        world=world,
        plan=plan,
        job_id=job_id,
        cpus=cpus,
        overwrite=overwrite,
        command=command,
        review=review,
    )


def plan_conversion(
    inputs: Sequence[Path],
    dataset: Path,
    job: Job,
    folder: JobFolder,
    *,
    world: int,
    cpus: int = 1,
    episodes: str | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    review: RankReview | None = None,
    watch: Watcher = lambda _: None,
    pool: WorkerPool | None = None,
) -> tuple[ShardsWork, AggregateWork]:
    """Plan a conversion into one dataset: shards in its staging folder, then their aggregation.

    The arguments are those of `plan_shards`, but `dataset` is the folder to make, and `overwrite`
    replaces a dataset that piperline made.

    Raises:
        UsageError: there is no rank.
        RecordingError: something cannot be converted, or there is nothing to do.
    """
    dataset = dataset.absolute()
    staging_root = work_folder(dataset)
    shards = plan_shards(
        inputs,
        staging_root / "shard",
        job,
        folder,
        world=world,
        cpus=cpus,
        episodes=episodes,
        skip_bad=skip_bad,
        overwrite=True,
        review=review,
        watch=watch,
        pool=pool,
    )
    shards = replace(shards, staging_root=staging_root)
    aggregation = AggregateWork(
        kind="aggregate",
        target=shards.target,
        shards=world,
        dataset=dataset,
        plan=shards.plan.key,
        overwrite=overwrite,
        own_folder=staging_root,
        data_mb=job.data_mb,
        video_mb=job.video_mb,
        review=review,
    )
    return shards, aggregation


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
        folder: of the job; what it tells of an earlier run counts if it is about the same work.
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
    through_datatrove = _datatrove()
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        _refuse_second_run(folder)
        state = _prepare(stack, folder, work)
        # of a conversion under the same name
        folder.aggregate.run_file.unlink(missing_ok=True)
        if not state.missing:
            return state.launched(complete=True)
        if slurm:
            jobs = through_datatrove.submit_ranks(
                folder, work, state.digest, state.missing, slurm
            )
            return state.launched(jobs)
        counter = Counter(_episodes(work, state.missing), watch)
        listener = Listener(moved=counter.moved, staged=counter.staged)
        failed: dict[int, PiperlineError] = through_datatrove.run_here(
            folder,
            work,
            state.digest,
            state.missing,
            slots=slots or usable_cpus(),
            listener=listener,
        )
        if failed:
            raise _failed(
                failed,
                folder,
                len(state.missing) + len(state.kept),
            )
    return state.launched(complete=True)


def submit_conversion(
    folder: JobFolder,
    shards: ShardsWork,
    aggregation: AggregateWork,
    slurm: SlurmOptions,
) -> Launched:
    """Submit what is missing of a conversion: the shards, and their aggregation after them.

    Args:
        folder: of the job; the aggregation has a folder in it.
        shards: the first part, from `plan_conversion`.
        aggregation: the second part.
        slurm: what is asked of SLURM for every task.

    Raises:
        OutputExists: something is in the way, or another run is at work.
        UsageError: datatrove is missing, or there is no SLURM.
        TaskFailed: sbatch refuses.
    """
    through_datatrove = _datatrove()
    last = folder.aggregate
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        _refuse_second_run(folder)
        if done := aggregation.done(last):
            aggregation.settle(done, last)
            empty = empty_ranks(shards)
            kept = tuple(
                rank for rank in range(shards.world) if rank not in empty
            )
            return Launched((), kept, empty, (), complete=True)
        aggregation.check()
        state = _prepare(stack, folder, shards)
        digest = save_work(last, aggregation)
        last.agree(())
        jobs = []
        if state.missing:
            jobs = through_datatrove.submit_ranks(
                folder, shards, state.digest, state.missing, slurm
            )
        jobs += through_datatrove.submit_ranks(
            last,
            aggregation,
            digest,
            (0,),
            slurm,
            name=f"{folder.root.name}_aggregate",
            after=jobs,
        )
        return state.launched(jobs)


@dataclass(frozen=True)
class _State:
    """What is to be done of a job, and by which digest ranks recognise it."""

    missing: tuple[int, ...]
    kept: tuple[int, ...]
    empty: tuple[int, ...]
    digest: str

    def launched(
        self, jobs: Sequence[str] = (), *, complete: bool = False
    ) -> Launched:
        return Launched(
            self.missing, self.kept, self.empty, tuple(jobs), complete
        )


def _prepare(stack: ExitStack, folder: JobFolder, work: Work) -> _State:
    """See what is missing, and make ready for it. The stack holds what is locked for that."""
    folder.sweep()
    done = work.done(folder)
    empty = empty_ranks(work)
    filled = [rank for rank in range(work.world) if rank not in empty]
    kept = tuple(rank for rank in filled if rank in done)
    missing = tuple(rank for rank in filled if rank not in done)
    if missing:
        work.check()
        if isinstance(work, ShardsWork):
            output = work.target
            stack.enter_context(
                staging_area(output, work.plan, root=work.staging_root)
            )
    work.settle(done, folder)
    digest = save_work(folder, work)
    folder.agree({*kept, *empty})
    return _State(missing, kept, empty, digest)


def _episodes(work: Work, ranks: Sequence[int]) -> list[PlannedEpisode]:
    if isinstance(work, AggregateWork):
        return []
    return [episode for rank in ranks for episode in work.episodes(rank)]


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
            found="no module datatrove",
            next_step="pip install datatrove",
        ) from error


def _refuse_second_run(folder: JobFolder) -> None:
    jobs = [*folder.slurm_jobs(), *folder.aggregate.slurm_jobs()]
    if waiting := queued(jobs):
        raise OutputExists(
            "SLURM jobs are still at work on this",
            place=Place(file=folder.root),
            expected="no task of its jobs in the queue",
            found=f"{len(waiting)} tasks of the jobs {', '.join(jobs)}",
            next_step=f"see `{folder.status_command}`; "
            f"wait, or end them with `scancel {' '.join(jobs)}`",
        )


def _failed(
    failed: dict[int, PiperlineError], folder: JobFolder, ranks: int
) -> PiperlineError:
    first = next(iter(failed.values()))
    kept = f"{ranks - len(failed)} of {ranks} ranks are done and kept"
    if len(failed) == 1:
        first.add_note(f"{kept}; the same command goes on from there.")
        return first
    error = TaskFailed(
        f"{len(failed)} of {ranks} ranks failed",
        place=first.place,
        expected="every rank done",
        found=first.message,
        next_step="run the same command again: it does only what is missing; "
        f"each rank's log is in {folder.root / 'logs'}",
    )
    error.add_note(
        "\n".join(
            f"- rank {rank}: {why.message}"
            for rank, why in sorted(failed.items())
        )
    )
    return error

"""convert: plan -> stage -> assemble."""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from piperline.convert.assemble import assemble, sweep
from piperline.convert.early import EarlyAssembly
from piperline.convert.job import Job
from piperline.convert.plan import (
    LeftOut,
    Plan,
    PlannedEpisode,
    load_plan,
)
from piperline.convert.planning import make_plan
from piperline.convert.pool import Failure, WorkerPool
from piperline.convert.problems import NOTHING_LEFT, brief
from piperline.convert.progress import (
    Counter,
    Progress,
    Watcher,
    checking,
)
from piperline.convert.stage import PLAN, Staging, staging_area, work_folder
from piperline.convert.up_to_date import existing_dataset
from piperline.edits.plan import NO_EDITS, EditPlan
from piperline.errors import (
    PiperlineError,
    Place,
    RecordingError,
    TaskFailed,
    UsageError,
)
from piperline.finding import command
from piperline.lerobot.dataset import Dataset
from piperline.lerobot.info import PROVENANCE
from piperline.output.ours import state
from piperline.output.publish import check_free, check_name
from piperline.recordings.find import Inputs, find_recordings, resolved

if TYPE_CHECKING:
    from piperline.convert.review import Reviewed, Reviewer


@dataclass(frozen=True)
class ConvertResult:
    """What `convert` made.

    Attributes:
        output: the dataset's folder.
        format: the LeRobot version.
        episodes, frames, cameras: how many.
        tasks: the task texts, in the order of their numbers.
        reused: episodes that an earlier run had staged.
        left_out: what was not converted, and why.
        notes: what is worth knowing, such as datasets that the layout does not use.
        recorded_bytes, dataset_bytes: sizes of the recordings and of the dataset.
        seconds: how long the run took.
        up_to_date: nothing was to be done: the dataset was there, and no recording has changed
            since.
        review: what a review of the recordings found; None where there was none.
    """

    output: Path
    format: str
    episodes: int
    frames: int
    cameras: int
    tasks: tuple[str, ...]
    reused: int
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    recorded_bytes: int
    dataset_bytes: int
    seconds: float
    up_to_date: bool = False
    review: "Reviewed | None" = None


def plan_run(
    inputs: Inputs,
    job: Job,
    *,
    episodes: str | None = None,
    skip_bad: bool = False,
    edits: EditPlan = NO_EDITS,
    watch: Watcher = lambda _: None,
    previous: Plan | None = None,
    pool: WorkerPool | None = None,
) -> Plan:
    """Look at every recording and decide what a run does; nothing is written.

    Args:
        inputs: HDF5 files, and folders of them; a single path is one of them.
        job: what is to be done, from `make_job`.
        episodes: which episodes; see `make_plan`.
        skip_bad: leave out episodes that cannot be converted.
        edits: an edit plan; see `piperline.edits.plan.read_plan`.
        watch: called with the progress of the run when it changes.
        previous: a plan of an earlier run; it is taken as it is, without a look inside the
            recordings, if nothing has changed since.
        pool: worker processes that were started beforehand; one of them looks. None starts one.

    Raises:
        RecordingError: something cannot be converted and is not to be left out, or nothing is left.
        VideoError: images cannot be kept as they are, as `copy` would.
    """
    progress = Progress()

    def looked(done: int, files: int) -> None:
        progress.files_done, progress.files = done, files
        watch(progress)

    with contextlib.ExitStack() as stack:
        return make_plan(
            inputs,
            job,
            pool=pool or stack.enter_context(WorkerPool(1)),
            episodes=episodes,
            skip_bad=skip_bad,
            edits=edits,
            progress=looked,
            previous=previous,
        )


def convert(
    inputs: Inputs,
    output: Path | str,
    job: Job,
    *,
    episodes: str | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    edits: EditPlan = NO_EDITS,
    overwrite: bool = False,
    resume: bool = True,
    review: Path | None = None,
    watch: Watcher = lambda _: None,
    pool: WorkerPool | None = None,
) -> ConvertResult:
    """Turn recordings into a LeRobot dataset.

    Args:
        inputs: HDF5 files, and folders of them; a single path is one of them.
        output: the dataset's folder; it is absent until it is complete, and beside it lies
            `OUTPUT.work`.
        job: what is to be done, from `make_job`.
        episodes: which episodes; see `make_plan`.
        workers: how many processes; None: as the work is worth, up to the CPUs that this process
            may use.
        skip_bad: leave out episodes that cannot be converted.
        edits: an edit plan; see `piperline.edits.plan.read_plan`.
        overwrite: replace a dataset that piperline made.
        resume: use what an earlier run has staged.
        review: review the recordings too, in the same pass; where there is a review's folder of
            this name, what it has measured is reused, and what is new is added. With `edits` they
            were reviewed before.
        watch: told how far the run is.
        pool: worker processes that were started beforehand, instead of `workers`.

    Raises:
        RecordingError: recordings cannot be converted. What could be is staged and kept.
        OutputExists: there is something at `output`.
        OutputError: the output cannot be written.
        TaskFailed: workers died.
        UsageError: there are to be no workers.
    """
    started = time.monotonic()
    output = Path(output)
    check_name(output)
    sweep(output)
    planned = partial(
        plan_run,
        inputs,
        job,
        episodes=episodes,
        skip_bad=skip_bad,
        edits=edits,
        watch=watch,
    )
    if resume and not overwrite and (output / PROVENANCE).is_file():
        plan = planned(pool=pool)
        existing = existing_dataset(plan, output)
        if existing:
            return _up_to_date(existing, plan, time.monotonic() - started)
    refuse_recordings_inside(find_recordings(inputs), output)
    replaces = check_free(output, overwrite=overwrite, watch=checking(watch))
    with contextlib.ExitStack() as stack:
        pool = pool or stack.enter_context(WorkerPool(workers))
        previous = load_plan(work_folder(output) / PLAN) if resume else None
        plan = planned(previous=previous, pool=pool)
        staging = stack.enter_context(staging_area(output, plan, resume=resume))
        # another run has changed it meanwhile, or a killed replacement was undone
        if state(output) != (replaces or ""):
            replaces = check_free(output, overwrite=overwrite)
        reviewer = _reviewer(plan, review) if review else None
        reused = sum(staging.is_staged(episode) for episode in plan.episodes)
        early = EarlyAssembly(staging, plan)
        stack.callback(early.close)
        plan = _stage(
            plan,
            staging,
            reviewer,
            pool,
            early,
            watch=watch,
            skip_bad=skip_bad,
        )
        found = None
        if reviewer:
            found = stack.enter_context(reviewer.judging(plan, staging))
        made = assemble(staging, plan, output, replaces=replaces, early=early)
        # The dataset has its name: whatever a detector does, it is there.
        try:
            reviewed = found() if found else None
        finally:
            staging.remove()
    unseen = _not_reviewed(plan, output) if reviewer and not reviewed else ()
    return ConvertResult(
        output=output,
        format=job.format,
        episodes=len(plan.made),
        frames=plan.frames,
        cameras=len(made.cameras),
        tasks=tuple(
            dict.fromkeys(task for made in plan.made for task in made.tasks)
        ),
        reused=reused,
        left_out=plan.left_out,
        notes=(*plan.notes, *unseen),
        recorded_bytes=_recorded_bytes(plan),
        dataset_bytes=bytes_below(output),
        seconds=time.monotonic() - started,
        review=reviewed,
    )


def _stage(
    plan: Plan,
    staging: Staging,
    reviewer: "Reviewer | None",
    pool: WorkerPool,
    early: EarlyAssembly,
    *,
    watch: Watcher,
    skip_bad: bool,
) -> Plan:
    """Stage the episodes that are missing, or not measured for a review.

    The first of them are put together meanwhile.

    Returns:
        The plan less the episodes that failed.

    Raises:
        PiperlineError: they are not to be left out, or nothing would be left.
    """
    measured = frozenset[str]()
    if reviewer:
        measured = reviewer.unmeasured(plan.episodes, staging)
    todo = [
        episode
        for episode in plan.episodes
        if episode.key in measured or not staging.is_staged(episode)
    ]
    counter = Counter(todo, watch)
    missing = {episode.key for episode in todo}
    early.have(each for each in plan.episodes if each.key not in missing)

    def done(episode: PlannedEpisode) -> None:
        counter.staged()
        early.came(episode)

    failures = pool.stage(
        todo,
        plan.job,
        staging.root,
        moved=counter.moved,
        done=done,
        measured=measured,
    )
    plan = without_failures(plan, failures, skip_bad=skip_bad)
    counter.assembling()
    return plan


def _reviewer(plan: Plan, folder: Path) -> "Reviewer":
    # Detectors take a while to load, and are not always wanted.
    from piperline.convert.review import Reviewer

    return Reviewer(plan, folder)


def _not_reviewed(plan: Plan, dataset: Path) -> tuple[str, ...]:
    """That no review was made, and which command makes one."""
    thinned = any(episode.taken for episode in plan.episodes)
    why = " (the plan takes every n-th image only)" if thinned else ""
    step = command("piperline", "review", dataset)
    return (f"the recordings were not reviewed{why}: {step}",)


def _up_to_date(dataset: Dataset, plan: Plan, seconds: float) -> ConvertResult:
    return ConvertResult(
        output=dataset.root,
        format=dataset.version,
        episodes=len(dataset),
        frames=sum(row.length for row in dataset.episodes),
        cameras=len(dataset.schema.cameras),
        tasks=tuple(dataset.tasks),
        reused=len(dataset),
        left_out=plan.left_out,
        notes=plan.notes,
        recorded_bytes=_recorded_bytes(plan),
        dataset_bytes=bytes_below(dataset.root),
        seconds=seconds,
        up_to_date=True,
    )


def _recorded_bytes(plan: Plan) -> int:
    return sum(
        {episode.file: episode.size for episode in plan.episodes}.values()
    )


def bytes_below(folder: Path) -> int:
    """How many bytes the files below a folder have."""
    total = 0
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            total += bytes_below(Path(entry.path))
        elif entry.is_file():
            total += entry.stat().st_size
    return total


def refuse_recordings_inside(
    files: Iterable[tuple[Path, str]], output: Path
) -> None:
    """See that no recording would be replaced together with the output, or taken for staged work.

    Args:
        files: see `find_recordings`.
        output: the dataset's folder.

    Raises:
        UsageError: one lies in the output, or where it is prepared.
    """
    taken = {output.resolve(), work_folder(output).resolve()}
    names = {path.name for path in taken}
    looked_at: set[Path] = set()
    for found, _ in files:
        alike = found.parent in looked_at and found.name not in names
        is_link = found.is_symlink()
        if alike and not is_link:
            continue
        # where a link leads to tells nothing of the folder that it lies in
        if not is_link:
            looked_at.add(found.parent)
        path = resolved(found)
        if taken & {path, *path.parents}:
            raise UsageError(
                "recordings lie in the output's folder",
                place=Place(file=path),
                expected="an output apart from the recordings",
                found=str(output),
                next_step="name another output, or move the recordings out of it",
            )


def without_failures(
    plan: Plan, failures: Sequence[Failure], *, skip_bad: bool
) -> Plan:
    """The plan less the episodes that failed.

    Raises:
        PiperlineError: they are not to be left out, or nothing would be left.
    """
    bad = {
        f.episode.key: f.error
        for f in failures
        if isinstance(f.error, RecordingError)
    }
    nothing_left = skip_bad and len(bad) == len(plan.episodes)
    if nothing_left or (
        failures and not (skip_bad and len(bad) == len(failures))
    ):
        raise _failed(failures, plan, nothing_left=nothing_left)
    for key, error in bad.items():
        plan = plan.without(key, brief(error))
    return plan


def _failed(
    failures: Sequence[Failure], plan: Plan, *, nothing_left: bool
) -> PiperlineError:
    kept = (
        f"{len(plan.episodes) - len(failures)} of "
        f"{len(plan.episodes)} episodes are done and kept"
    )
    first = failures[0].error
    if len(failures) == 1 and not nothing_left:
        first.add_note(f"{kept}; the same command goes on from there.")
        return first
    step = (
        "mend or leave them out (--skip-bad), then run the same command again: "
        "it does only what is missing"
    )
    all_bad = all(
        isinstance(failure.error, RecordingError) for failure in failures
    )
    kind = RecordingError if all_bad else TaskFailed
    error = kind(
        f"{len(failures)} episodes could not be converted",
        place=first.place,
        expected=first.expected,
        found=brief(first),
        next_step=NOTHING_LEFT if nothing_left else step,
    )
    error.add_note(
        "\n".join(
            [
                kept,
                *(f"- {f.episode.place}: {brief(f.error)}" for f in failures),
            ]
        )
    )
    return error

"""sync: what is new is encoded, what has gone leaves, and the rest is taken over."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

from piperline.convert.assemble import assemble, sweep
from piperline.convert.job import Job
from piperline.convert.messages import Look, LookSetup
from piperline.convert.plan import (
    LeftOut,
    Plan,
    PlannedEpisode,
)
from piperline.convert.planning import Looker, plan_files
from piperline.convert.pool import Failure, WorkerPool
from piperline.convert.progress import Counter, Progress, Watcher
from piperline.convert.run import (
    bytes_below,
    refuse_recordings_inside,
    without_failures,
)
from piperline.convert.stage import Staging, locked_staging, work_folder
from piperline.edits.plan import address
from piperline.errors import Place, RecordingError
from piperline.garbage import seldom
from piperline.output.ours import state
from piperline.output.publish import REPLACED, check_name
from piperline.recordings.find import Inputs, find_recordings
from piperline.sync.standing import StandingDataset


class Workers(Looker):
    """Worker processes, started when there is something for them to do.

    A context manager; leaving it ends them.

    Args:
        count: how many; None: as `WorkerPool` has it.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = count
        self._stack = contextlib.ExitStack()
        self._pool: WorkerPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _started(self) -> WorkerPool:
        if self._pool is None:
            self._pool = self._stack.enter_context(WorkerPool(self._count))
        return self._pool

    def look(
        self, looks: Sequence[Look], setup: LookSetup
    ) -> Iterator[tuple[Look, Any]]:
        """Let workers look at recordings; see `WorkerPool.look`."""
        return self._started().look(looks, setup)

    def stage(
        self,
        episodes: "list[PlannedEpisode]",
        job: Job,
        root: Path,
        *,
        moved: Callable[[int, int], None],
        done: Callable[[PlannedEpisode], None],
    ) -> list[Failure]:
        """Stage episodes; see `WorkerPool.stage`."""
        if not episodes:
            return []
        return self._started().stage(
            episodes, job, root, moved=moved, done=done
        )


@dataclass(frozen=True)
class SyncOptions:
    """How a dataset is brought into step.

    Attributes:
        keep_missing: episodes whose recordings are gone stay.
        skip_bad: leave out what cannot be converted, instead of failing.
        workers: how many processes; None takes the CPUs that this process may use.
        watch: told how far the run is.
        held: tells of recordings that are not to be looked at now; their episodes stay as they are.
        pool: worker processes, instead of `workers`.
    """

    keep_missing: bool = False
    skip_bad: bool = False
    workers: int | None = None
    watch: Watcher = lambda _: None
    held: Callable[[Path], bool] = lambda _: False
    pool: Workers | None = None


@dataclass(frozen=True)
class Changes:
    """What a sync does to the episodes of a dataset.

    Attributes:
        new, changed: how many are encoded: of new recordings, and of changed ones.
        gone: how many leave.
        missing: how many stay though their recordings are gone.
        taken: how many are taken over as they are.
        left_out: what is not converted, and why.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    missing: int = 0
    taken: int = 0
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class SyncResult:
    """What came of a sync.

    Attributes:
        output: the dataset's folder.
        format: its LeRobot version.
        episodes, frames, cameras: how many there are now.
        tasks: the instructions, in the order of their numbers.
        changes: what was done.
        reused: episodes of these that an earlier run had encoded.
        notes: what is worth knowing.
        dataset_bytes: its size.
        seconds: how long it took.
        waiting: recordings that were not to be looked at.
        up_to_date: nothing was to be done.
    """

    output: Path
    format: str
    episodes: int
    frames: int
    cameras: int
    tasks: tuple[str, ...]
    changes: Changes
    reused: int = 0
    notes: tuple[str, ...] = ()
    dataset_bytes: int = 0
    seconds: float = 0.0
    waiting: tuple[Path, ...] = ()
    up_to_date: bool = False


_DEFAULTS = SyncOptions()
_OTHER_VERSION = "another version of piperline or FFmpeg made the dataset: all is encoded again"


@dataclass(frozen=True)
class _Round:
    """A dataset as it stands, and the plan that brings it into step."""

    standing: StandingDataset
    plan: Plan
    waiting: tuple[Path, ...]
    todo: tuple[PlannedEpisode, ...] = field(init=False)

    def __post_init__(self) -> None:
        todo = [
            episode
            for episode in self.plan.episodes
            if not self.standing.has(episode, self.plan)
        ]
        if self.plan.edit and not todo:
            # What an edit of all is done to has to be seen as it was before: of one episode.
            todo = [each for each in self.plan.episodes if not each.kept][:1]
        object.__setattr__(self, "todo", tuple(todo))

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be done."""
        return self.standing.is_made_by(self.plan, some=bool(self.waiting))

    def changes(self, plan: Plan) -> Changes:
        """What becomes of the episodes by the plan, or by what is left of it."""
        before = {entry.address for entry in self.standing.entries}
        todo = {episode.key for episode in self.todo}
        new = changed = taken = missing = 0
        after = set()
        for planned in (made.planned for made in plan.made):
            name = address(planned.source, planned.name)
            after.add(name)
            encoded = planned.key in todo
            new += encoded and name not in before
            changed += encoded and name in before
            missing += planned.missing
            taken += not encoded and not planned.missing
        entries = self.standing.entries
        gone = sum(entry.address not in after for entry in entries)
        return Changes(new, changed, gone, missing, taken, plan.left_out)


def preview(
    inputs: Inputs, output: Path, options: SyncOptions = _DEFAULTS
) -> Changes:
    """Tell what `sync` would do; nothing is written.

    Args:
        inputs: HDF5 files, and folders of them.
        output: the dataset's folder.
        options: how.

    Raises:
        UsageError: it is `.`, `/` or the like.
        RecordingError: recordings cannot be converted, or none is left.
        DatasetError: there is no dataset that a conversion made.
    """
    check_name(output)
    with _workers(options) as workers:
        found = _plan(inputs, output, options, workers)
    return found.changes(found.plan)


def sync(
    inputs: Inputs, output: Path, options: SyncOptions = _DEFAULTS
) -> SyncResult:
    """Bring a dataset into step with its recordings.

    The result is what a conversion of the recordings from nothing would make, byte for byte.

    Args:
        inputs: HDF5 files, and folders of them.
        output: the dataset's folder: replaced in one step, when all is done.
        options: how.

    Raises:
        UsageError: it is `.`, `/` or the like.
        RecordingError: recordings cannot be converted, or none is left. What could be is kept.
        DatasetError: there is no dataset that a conversion made, or it was changed since.
        OutputExists: another process is at work on it.
        OutputError: it cannot be written.
        TaskFailed: workers died.
    """
    started = time.monotonic()
    check_name(output)
    sweep(output)
    _restore(output)
    with seldom(), _workers(options) as workers:
        found = _plan(inputs, output, options, workers)
        if found.is_done:
            return _result(output, found, found.plan)
        with locked_staging(output) as staging:
            if state(output) != found.standing.state:
                found = _plan(inputs, output, options, workers)
            result = _bring_into_step(found, output, options, staging, workers)
    return replace(result, seconds=time.monotonic() - started)


def _bring_into_step(
    found: _Round,
    output: Path,
    options: SyncOptions,
    staging: Staging,
    workers: Workers,
) -> SyncResult:
    found.standing.check()
    staging.begin(found.plan)
    todo = [each for each in found.todo if not staging.is_staged(each)]
    counter = Counter(todo, options.watch)
    failures = workers.stage(
        todo,
        found.plan.job,
        staging.root,
        moved=counter.moved,
        done=lambda _: counter.staged(),
    )
    plan = without_failures(found.plan, failures, skip_bad=options.skip_bad)
    counter.assembling()
    assemble(
        staging,
        plan,
        output,
        replaces=found.standing.state,
        standing=found.standing,
    )
    staging.remove()
    return replace(
        _result(output, found, plan),
        reused=len(found.todo) - len(todo),
        dataset_bytes=bytes_below(output),
        up_to_date=False,
    )


def _result(output: Path, found: _Round, plan: Plan) -> SyncResult:
    tasks = (episode.tasks for episode in plan.made)
    return SyncResult(
        output=output,
        format=plan.job.format,
        episodes=len(plan.made),
        frames=plan.frames,
        cameras=len(plan.episodes[0].cameras),
        tasks=tuple(dict.fromkeys(chain.from_iterable(tasks))),
        changes=found.changes(plan),
        notes=plan.notes,
        waiting=found.waiting,
        up_to_date=True,
    )


@contextlib.contextmanager
def _workers(options: SyncOptions) -> Iterator[Workers]:
    if options.pool is not None:
        yield options.pool
        return
    with Workers(options.workers) as workers:
        yield workers


def _restore(output: Path) -> None:
    """Give a dataset its name back if a replacement of it was killed, without exchange of names."""
    if not output.exists() and any(work_folder(output).glob(f"*{REPLACED}")):
        with locked_staging(output):
            pass


def _plan(
    inputs: Inputs, output: Path, options: SyncOptions, workers: Workers
) -> _Round:
    standing = StandingDataset(output)
    recipe = standing.recipe
    found = find_recordings(inputs, recipe.job.layout.episodes.files)
    refuse_recordings_inside(found, output)
    held = {
        source
        for path, source in found
        if options.held(path) and not standing.knows(path, source)
    }
    waiting = tuple(path for path, source in found if source in held)
    progress = Progress()

    def looked(done: int, of: int) -> None:
        progress.files_done, progress.files = done, of
        options.watch(progress)

    plan = plan_files(
        [file for file in found if file[1] not in held],
        recipe.job,
        pool=workers,
        episodes=recipe.chosen,
        skip_bad=options.skip_bad,
        edits=recipe.edits,
        progress=looked,
        known=standing.known if recipe.takes_known else _unknown,
    )
    plan = standing.with_kept(plan, held, keep_missing=options.keep_missing)
    if not plan.episodes:
        raise RecordingError(
            "no episode is left",
            place=Place(file=output),
            expected="recordings of the dataset, or new ones",
            found=f"{len(plan.left_out)} that are left out",
            next_step="see whether the recordings are where they were; nothing was changed",
        )
    if not recipe.current:
        plan = replace(plan, notes=(_OTHER_VERSION, *plan.notes))
    return _Round(standing, plan, waiting)


def _unknown(
    path: Path,
    source: str,
    size: int,
    mtime_ns: int,
) -> None:
    """Every recording is to be looked at."""

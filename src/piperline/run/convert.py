"""convert: plan -> stage -> assemble."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from piperline.encode import EncodeSettings
from piperline.errors import (
    LayoutError,
    PiperlineError,
    RecordingError,
    TaskFailed,
    UsageError,
    is_utf8,
    printable,
)
from piperline.features import BOOKKEEPING
from piperline.layout import Color, Layout, load_layout
from piperline.lerobot import WRITERS
from piperline.process import usable_cpus
from piperline.run.assemble import assemble, sweep
from piperline.run.local import Failure, WorkerPool
from piperline.run.plan import NOTHING_LEFT, Job, LeftOut, Plan, PlannedEpisode, brief, load_plan, make_plan
from piperline.run.stage import PLAN, staging_area, work_folder
from piperline.transfer.place import check_free, check_limits, check_name
from piperline.video import MODES, Mode

__all__ = ["ConvertResult", "Progress", "Watcher", "convert", "make_job", "plan_run", "without_failures"]

_HIGHEST_FPS = 1000
_LONGEST_SIDE = 8192


@dataclass
class Progress:
    """How far a run is; `convert` calls back with it when it changes.

    Attributes:
        phase: `plan`, `stage` or `assemble`.
        files, files_done: recordings to look at, and looked at.
        episodes, episodes_done: episodes to encode in this run, and encoded.
        images, images_done: images (frames of all cameras) to encode in this run, and encoded.
        size_done: recorded bytes read.
    """

    phase: str = "plan"
    files: int = 0
    files_done: int = 0
    episodes: int = 0
    episodes_done: int = 0
    images: int = 0
    images_done: int = 0
    size_done: int = 0


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
        recorded_bytes, dataset_bytes: sizes of the recordings and of the dataset.
        seconds: how long the run took.
    """

    output: Path
    format: str
    episodes: int
    frames: int
    cameras: int
    tasks: tuple[str, ...]
    reused: int
    left_out: tuple[LeftOut, ...]
    recorded_bytes: int
    dataset_bytes: int
    seconds: float


Watcher = Callable[[Progress], None]


def make_job(
    *,
    layout: str | Path | Layout = "piper",
    video: Mode = "h264",
    fps: float | None = None,
    robot_type: str | None = None,
    task: str | None = None,
    color: Color | None = None,
    resize: tuple[int, int] | None = None,
    format: str = "v2.1",  # noqa: A002 - the option's name
    groot: bool = True,
    data_mb: float = 100,
    video_mb: float = 200,
) -> Job:
    """What a run shall do, from its options; those of None come from the layout.

    Raises:
        LayoutError: there is no such layout.
        UsageError: an option cannot be.
    """
    rules = layout if isinstance(layout, Layout) else load_layout(layout)
    if color:
        cameras = {name: replace(rule, color=color) for name, rule in rules.cameras.items()}
        rules = replace(rules, cameras=cameras)
    rate = rules.fps if fps is None else fps
    if not (math.isfinite(rate) and rate == int(rate) and 1 <= rate <= _HIGHEST_FPS):
        raise UsageError(
            f"the frame rate is not a whole number from 1 to {_HIGHEST_FPS}",
            expected="a whole number of frames a second: LeRobot's tools cut off the rest, and frames drift",
            found=str(rate),
            next_step="give the whole rate that was meant, for example --fps 30",
        )
    if resize and any(side % 2 or not 2 <= side <= _LONGEST_SIDE for side in resize):  # noqa: PLR2004
        width, height = (min(max(2, round(side / 2) * 2), _LONGEST_SIDE) for side in resize)
        raise UsageError(
            "video of 4:2:0 colour has even sides",
            expected=f"even numbers of pixels, up to {_LONGEST_SIDE}",
            found=f"{resize[0]}x{resize[1]}",
            next_step=f"for example --resize {width}x{height}",
        )
    if format not in WRITERS:
        raise UsageError(f"there is no format {format}", expected=" or ".join(WRITERS))
    check_limits(data_mb, video_mb)
    if taken := sorted(rules.vectors.keys() & BOOKKEEPING.keys()):
        raise LayoutError(
            f"the layout {rules.name} has a vector of a name that every LeRobot dataset has: {', '.join(taken)}",
            expected="other names, such as observation.time",
            next_step="rename it in the layout",
        )
    text = task.strip() if task else None
    if task is not None and (not text or not is_utf8(text)):
        raise UsageError(
            "the task text is empty, or not UTF-8",
            expected="words for the robot: --task 'pick up the apple'",
            found=printable(task) or "nothing",
        )
    settings = EncodeSettings(MODES[video], int(rate), resize)
    return Job(rules, settings, format, robot_type or rules.robot_type, text, groot, data_mb, video_mb)


def plan_run(
    inputs: Sequence[Path | str],
    job: Job,
    *,
    episodes: str | None = None,
    skip_bad: bool = False,
    watch: Watcher = lambda _: None,
    previous: Plan | None = None,
) -> Plan:
    """Look at every recording and decide what a run does; nothing is written.

    A `previous` plan is taken as it is, without a look inside the recordings, if nothing has changed since.

    Raises:
        RecordingError: something cannot be converted and is not to be left out, or there is nothing to do.
        VideoError: images cannot be kept as they are, as `copy` would.
    """
    progress = Progress()

    def looked(done: int, files: int) -> None:
        progress.files_done, progress.files = done, files
        watch(progress)

    return make_plan(inputs, job, episodes=episodes, skip_bad=skip_bad, progress=looked, previous=previous)


def convert(
    inputs: Sequence[Path | str],
    output: Path | str,
    job: Job,
    *,
    episodes: str | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    resume: bool = True,
    watch: Watcher = lambda _: None,
    pool: WorkerPool | None = None,
) -> ConvertResult:
    """Turn recordings into a LeRobot dataset.

    Args:
        inputs: HDF5 files, and folders of them.
        output: the dataset's folder; it is absent until it is complete. Beside it lies `OUTPUT.work` meanwhile.
        job: what is to be done, from `make_job`.
        episodes: which episodes; see `make_plan`.
        workers: how many processes; None takes the CPUs that this process may use.
        skip_bad: leave out episodes that cannot be converted.
        overwrite: replace a dataset that piperline made.
        resume: use what an earlier run has staged.
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
    check_free(output, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        pool = pool or stack.enter_context(WorkerPool(usable_cpus() if workers is None else workers))
        previous = load_plan(work_folder(output) / PLAN) if resume else None
        plan = plan_run(inputs, job, episodes=episodes, skip_bad=skip_bad, watch=watch, previous=previous)
        staging = stack.enter_context(staging_area(output, plan, resume=resume))
        todo = [episode for episode in plan.episodes if not staging.is_staged(episode)]
        reused = len(plan.episodes) - len(todo)
        progress = _Counter(plan, len(todo), sum(e.length * len(e.cameras) for e in todo), watch)
        failures = pool.stage(todo, job, staging.root, moved=progress.moved, done=progress.done)
        plan = without_failures(plan, failures, skip_bad=skip_bad)
        progress.phase("assemble")
        made = assemble(staging, plan, output, overwrite=overwrite)
    return ConvertResult(
        output=output,
        format=job.format,
        episodes=len(plan.episodes),
        frames=plan.frames,
        cameras=len(made.cameras),
        tasks=tuple(dict.fromkeys(episode.task for episode in plan.episodes)),
        reused=reused,
        left_out=plan.left_out,
        recorded_bytes=sum({episode.file: episode.size for episode in plan.episodes}.values()),
        dataset_bytes=sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
        seconds=time.monotonic() - started,
    )


@dataclass
class _Counter:
    """Keeps count for the watcher."""

    plan: Plan
    episodes: int
    images: int
    watch: Watcher
    state: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.state = Progress("stage", episodes=self.episodes, images=self.images)
        self.watch(self.state)

    def moved(self, frames: int, size: int) -> None:
        self.state.images_done += frames
        self.state.size_done += size
        self.watch(self.state)

    def done(self, _episode: PlannedEpisode) -> None:
        self.state.episodes_done += 1
        self.watch(self.state)

    def phase(self, name: str) -> None:
        self.state.phase = name
        self.watch(self.state)


def without_failures(plan: Plan, failures: Sequence[Failure], *, skip_bad: bool) -> Plan:
    """The plan less the episodes that failed.

    Raises:
        PiperlineError: they are not to be left out, or nothing would be left.
    """
    bad = {f.episode.key: f.error for f in failures if isinstance(f.error, RecordingError)}
    nothing_left = skip_bad and len(bad) == len(plan.episodes)
    if nothing_left or (failures and not (skip_bad and len(bad) == len(failures))):
        raise _failed(failures, plan, nothing_left=nothing_left)
    for key, error in bad.items():
        plan = plan.without(key, brief(error))
    return plan


def _failed(failures: Sequence[Failure], plan: Plan, *, nothing_left: bool) -> PiperlineError:
    kept = f"{len(plan.episodes) - len(failures)} of {len(plan.episodes)} episodes are done and kept"
    first = failures[0].error
    if len(failures) == 1 and not nothing_left:
        first.add_note(f"{kept}; the same command goes on from there.")
        return first
    step = "mend or leave them out (--skip-bad), then run the same command again: it does only what is missing"
    kind = RecordingError if all(isinstance(f.error, RecordingError) for f in failures) else TaskFailed
    error = kind(
        f"{len(failures)} episodes could not be converted",
        place=first.place,
        expected=first.expected,
        found=brief(first),
        next_step=NOTHING_LEFT if nothing_left else step,
    )
    error.add_note("\n".join([kept, *(f"- {f.episode.place}: {brief(f.error)}" for f in failures)]))
    return error

"""convert: plan -> stage -> assemble."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from piperline import __version__
from piperline.encode import EncodeSettings
from piperline.episode import EncodedEpisode, sync
from piperline.errors import OutputExists, PiperlineError, Place, RecordingError, TaskFailed, UsageError, output_error
from piperline.features import Schema, layout_schema
from piperline.groot.modality import write_modality
from piperline.layout import Color, Layout, load_layout
from piperline.lerobot import WRITERS
from piperline.run.local import Failure, WorkerPool, usable_cpus
from piperline.run.plan import Job, LeftOut, Plan, brief, make_plan
from piperline.run.stage import Staging
from piperline.video import MODES, Mode

__all__ = ["PROVENANCE", "ConvertResult", "Progress", "assemble", "convert", "make_job", "plan_run"]

PROVENANCE = Path("meta") / "piperline.json"
"""How a dataset was made: LeRobot's tools lose what they do not know in info.json, so it has a file of its own."""


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
) -> Job:
    """What a run shall do, from its options; those of None come from the layout.

    Raises:
        LayoutError: there is no such layout.
        UsageError: an option cannot be.
    """
    rules = layout if isinstance(layout, Layout) else load_layout(layout)
    if color:
        cameras = {name: rule.model_copy(update={"color": color}) for name, rule in rules.cameras.items()}
        rules = rules.model_copy(update={"cameras": cameras})
    rate = rules.fps if fps is None else fps
    if rate != int(rate) or rate < 1:
        raise UsageError(
            "the frame rate is not a whole number",
            expected="a whole number of frames a second: LeRobot's tools cut off the rest, and frames drift",
            found=str(rate),
            next_step="give the whole rate that was meant, for example --fps 30",
        )
    if resize and any(side < 2 or side % 2 for side in resize):  # noqa: PLR2004
        raise UsageError("video of 4:2:0 colour has even sides", expected="even numbers", found=f"{resize}")
    if format not in WRITERS:
        raise UsageError(f"there is no format {format}", expected=" or ".join(WRITERS))
    return Job(rules, EncodeSettings(MODES[video], int(rate), resize), format, robot_type or rules.robot_type, task)


def plan_run(
    inputs: Sequence[Path],
    job: Job,
    *,
    episodes: str | None = None,
    skip_bad: bool = False,
    watch: Watcher = lambda _: None,
) -> Plan:
    """Look at every recording and decide what a run does; nothing is written.

    Raises:
        RecordingError: something cannot be converted and is not to be left out, or there is nothing to do.
        VideoError: images cannot be kept as they are, as `copy` would.
    """
    progress = Progress()

    def looked(done: int, files: int) -> None:
        progress.files_done, progress.files = done, files
        watch(progress)

    return make_plan(inputs, job, episodes=episodes, skip_bad=skip_bad, progress=looked)


def convert(
    inputs: Sequence[Path],
    output: Path,
    job: Job,
    *,
    episodes: str | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    resume: bool = True,
    watch: Watcher = lambda _: None,
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

    Raises:
        RecordingError: recordings cannot be converted. What could be is staged and kept.
        OutputExists: there is something at `output`.
        OutputError: the output cannot be written.
        TaskFailed: workers died, or several episodes cannot be converted.
    """
    started = time.monotonic()
    _check_output(output, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(WorkerPool(workers or usable_cpus()))
        plan = plan_run(inputs, job, episodes=episodes, skip_bad=skip_bad, watch=watch)
        staging = stack.enter_context(staging_area(output, plan, resume=resume))
        todo = [episode for episode in plan.episodes if not staging.is_staged(episode)]
        reused = len(plan.episodes) - len(todo)
        progress = _Counter(plan, len(todo), sum(e.length * len(e.cameras) for e in todo), watch)
        failures = pool.stage(todo, job, staging.root, moved=progress.moved, done=progress.done)
        plan = _without_failures(plan, failures, skip_bad=skip_bad)
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

    def done(self) -> None:
        self.state.episodes_done += 1
        self.watch(self.state)

    def phase(self, name: str) -> None:
        self.state.phase = name
        self.watch(self.state)


def _check_output(output: Path, *, overwrite: bool) -> None:
    if not output.exists() and not output.is_symlink():
        return
    if output.is_dir() and not any(output.iterdir()):
        return
    ours = (output / PROVENANCE).is_file()
    if overwrite and ours:
        return
    raise OutputExists(
        "there is something at the place of the output; it is kept",
        place=Place(file=output),
        found="a dataset that piperline made" if ours else "something that piperline did not make",
        next_step="name another place" + (", or replace it with --overwrite" if ours else ", or move it away"),
    )


@contextlib.contextmanager
def staging_area(output: Path, plan: Plan, *, resume: bool = True) -> Iterator[Staging]:
    """`OUTPUT.work`, for this process alone, with the plan in it.

    Raises:
        OutputExists: there is a folder of that name that piperline did not make, or another run is at work in it.
        OutputError: it cannot be written.
    """
    staging = Staging(output.with_name(output.name + ".work"))
    try:
        if staging.root.exists() and not staging.plan_file.exists() and any(staging.root.iterdir()):
            raise OutputExists(
                "there is a folder in the place of the staging folder",
                place=Place(file=staging.root),
                next_step="move it away, or name another output",
            )
        staging.root.mkdir(parents=True, exist_ok=True)
        with (staging.root / "lock").open("w") as lock:
            _lock(lock.fileno(), staging.root)
            if not resume:
                for name in ("episodes", "pieces"):
                    shutil.rmtree(staging.root / name, ignore_errors=True)
            write_whole(staging.plan_file, plan.to_json())
            yield staging
    except OSError as error:
        known = output_error(error, output)
        if known is None:
            raise
        raise known from error


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputExists(
            "another run is at work on this output", place=Place(file=root), next_step="wait until it has ended"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    own = path.with_name(f".{path.name}.{os.getpid()}")
    own.write_text(text, encoding="utf-8", errors="surrogatepass")
    sync(own)
    own.replace(path)


def _without_failures(plan: Plan, failures: Sequence[Failure], *, skip_bad: bool) -> Plan:
    """The plan less the bad episodes; raises where failures are not to be left out."""
    bad = {f.episode.key: f.error for f in failures if isinstance(f.error, RecordingError)}
    if failures and not (skip_bad and len(bad) == len(failures) and len(bad) < len(plan.episodes)):
        raise _failed(failures, plan)
    for key, error in bad.items():
        plan = plan.without(key, brief(error))
    return plan


def _failed(failures: Sequence[Failure], plan: Plan) -> PiperlineError:
    kept = f"{len(plan.episodes) - len(failures)} of {len(plan.episodes)} episodes are done and kept"
    first = failures[0].error
    if len(failures) == 1:
        first.add_note(f"{kept}; the same command goes on from there.")
        return first
    error = TaskFailed(
        f"{len(failures)} episodes could not be converted",
        place=first.place,
        found=first.message,
        next_step="mend or leave them out (--skip-bad), then run the same command again: it does only what is missing",
    )
    error.add_note("\n".join([kept, *(f"- {f.episode.place}: {brief(f.error)}" for f in failures)]))
    return error


def assemble(staging: Staging, plan: Plan, output: Path, *, overwrite: bool = False) -> Schema:
    """Make the dataset of a plan whose episodes are all staged: one ordered pass, then one rename.

    Returns:
        The dataset's schema.

    Raises:
        TaskFailed: an episode is not staged.
        OutputExists: something came to lie at `output` meanwhile.
    """
    shutil.rmtree(staging.dataset, ignore_errors=True)
    staging.dataset.mkdir()
    schema = _schema(plan, _staged(staging, plan, 0))
    writer = WRITERS[plan.job.format](staging.dataset, schema, link=True)
    for number in range(len(plan.episodes)):
        writer.add(_staged(staging, plan, number))
    writer.finish()
    if schema.groups:
        write_modality(staging.dataset, schema)
    write_whole(staging.dataset / PROVENANCE, json.dumps(_provenance(plan), indent=2, ensure_ascii=False) + "\n")
    for path in (*sorted(staging.dataset.rglob("*"), reverse=True), staging.dataset):
        sync(path)
    write_whole(staging.plan_file, plan.to_json())
    _publish(staging.dataset, output, overwrite=overwrite)
    shutil.rmtree(staging.root)
    return schema


def _staged(staging: Staging, plan: Plan, number: int) -> EncodedEpisode:
    planned = plan.episodes[number]
    episode = staging.load(planned.key)
    if episode is None or episode.length != planned.length:
        raise TaskFailed("an episode is not staged", place=planned.place, next_step="run the same command again")
    return episode


def _schema(plan: Plan, first: EncodedEpisode) -> Schema:
    cameras = {name: clip.info for name, clip in zip(plan.episodes[0].cameras, first.clips.values(), strict=True)}
    return layout_schema(plan.job.layout, cameras=cameras, fps=plan.job.settings.fps, robot_type=plan.job.robot_type)


def _provenance(plan: Plan) -> dict[str, Any]:
    settings = plan.job.settings
    return {
        "made_by": f"piperline {__version__}",
        "format": plan.job.format,
        "layout": plan.job.layout.model_dump(mode="json"),
        "video": asdict(settings.video),
        "fps": settings.fps,
        "size": settings.size,
        "episodes": [{"source": e.source, "episode": e.name, "length": e.length} for e in plan.episodes],
        "left_out": [
            {"source": left.file.name, "episode": left.episode, "reason": left.reason} for left in plan.left_out
        ],
    }


def _publish(dataset: Path, output: Path, *, overwrite: bool) -> None:
    """Give the finished dataset its name, by one rename; one that it replaces is moved aside first."""
    _check_output(output, overwrite=overwrite)
    replaced = None
    if (output / PROVENANCE).is_file():
        replaced = dataset.with_name("replaced")
        output.rename(replaced)
    dataset.rename(output)
    sync(output.parent)

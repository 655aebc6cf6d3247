"""The plan of a run: which episodes, in which order, under which keys; what is left out."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from piperline.convert.edits import carried_out
from piperline.convert.encode import refuse_video
from piperline.convert.job import Job
from piperline.convert.keys import MADE_BY, keyed
from piperline.convert.messages import (
    Done,
    Look,
    LookSetup,
    Names,
    Planned,
    Refused,
)
from piperline.convert.pool import WorkerPool, error_of
from piperline.convert.problems import all_problems, brief
from piperline.convert.selection import Selection
from piperline.errors import (
    LayoutMismatch,
    PiperlineError,
    Place,
    RecordingError,
    UsageError,
    VideoError,
)
from piperline.plan import NO_EDITS, EditPlan, fingerprint
from piperline.recordings.beside import Beside
from piperline.recordings.detect import settle
from piperline.recordings.find import Inputs, find_recordings
from piperline.recordings.images import CameraHeader
from piperline.recordings.instructions import Spans, texts_in
from piperline.text import printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MOST_DEATHS = 8  # of workers, over one file


@dataclass(frozen=True)
class PlannedEpisode:
    """One episode of a plan.

    Attributes:
        file: its recording.
        source: the file as it is told from others: relative to the folder that was named.
        size, mtime_ns: of the file when it was planned, in bytes and nanoseconds.
        name: the episode's name in the file.
        length: how many frames.
        task: its task text.
        cameras: by camera name: how the images are stored and their size.
        key: names its content and how it is encoded; a changed source or setting is another key.
        first: the number of its first frame in the recording: an edit plan may leave out those
            before it.
        swapped: cameras whose red and blue an edit plan exchanges back.
        beside: the files beside the recording that hold its images, if such do.
        spans: when its task text changes, where it does; `task` is the first.
        kept: of an episode that stays in a dataset as it is: what it was made of.
        missing: whether it stays though its recording is gone.
    """

    file: Path
    source: str
    size: int
    mtime_ns: int
    name: str
    length: int
    task: str
    cameras: dict[str, CameraHeader]
    key: str = ""
    first: int = 0
    swapped: tuple[str, ...] = ()
    beside: Beside = field(default=Beside())
    spans: Spans = ()
    kept: str = ""
    missing: bool = False

    @property
    def made_of(self) -> str:
        """What tells whether its recording has changed since; see `piperline.plan`."""
        return self.kept or fingerprint(
            self.source, self.size, self.mtime_ns, self.name
        )

    @property
    def place(self) -> Place:
        """Where it is, for error messages."""
        return Place(file=self.file, episode=self.name)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its task texts, in the order in which they first hold."""
        return texts_in(self.spans) or (self.task,)

    @property
    def images(self) -> int:
        """How many images it has: frames of all cameras."""
        return self.length * len(self.cameras)


@dataclass(frozen=True)
class LeftOut:
    """An episode, or a whole file, that is not converted, and why."""

    file: Path
    episode: str | None
    reason: str


@dataclass(frozen=True)
class Asked:
    """What was asked for, besides the job: of the same, the plan is the same.

    Attributes:
        files: every recording: path, source, size in bytes, time of change in nanoseconds.
        episodes: the selection; see `make_plan`.
        skip_bad: whether what cannot be converted is left out.
        made_by: versions of piperline and of FFmpeg.
        edits: what a person's plan does to single episodes.
    """

    files: tuple[tuple[Path, str, int, int], ...] = ()
    episodes: str | None = None
    skip_bad: bool = False
    made_by: tuple[str, ...] = ()
    edits: EditPlan = field(default=NO_EDITS)


@dataclass(frozen=True)
class Plan:
    """What a run does: `episodes` in the order of the dataset, what is left out.

    And what it follows from.

    `notes` tell once each what is worth knowing: datasets that are not used, rows left out, rates
    that disagree.
    """

    job: Job
    episodes: tuple[PlannedEpisode, ...]
    left_out: tuple[LeftOut, ...] = field(default=())
    asked: Asked = field(default=Asked())
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many time steps."""
        return sum(episode.length for episode in self.episodes)

    @property
    def key(self) -> str:
        """Names what the plan makes: the same key, the same dataset."""
        job: bytes = _adapter(Job).dump_json(self.job)
        return hashlib.sha256(
            job + "".join(episode.key for episode in self.episodes).encode()
        ).hexdigest()[:32]

    def without(self, key: str, reason: str) -> "Plan":
        """The plan less one episode."""
        gone = next(episode for episode in self.episodes if episode.key == key)
        kept = tuple(
            episode for episode in self.episodes if episode is not gone
        )
        return replace(
            self,
            episodes=kept,
            left_out=(
                *self.left_out,
                LeftOut(
                    gone.file,
                    gone.name,
                    reason,
                ),
            ),
        )

    def to_json(self) -> str:
        """The plan as JSON text."""
        text: bytes = _adapter(Plan).dump_json(self, indent=1)
        return text.decode()


class Looker(Protocol):
    """Looks at recordings; see `WorkerPool.look`."""

    def look(self, look: Look, setup: LookSetup) -> Iterator[Any]:
        """Look at a recording."""


@cache
def _adapter(kind: type) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def load_plan(path: Path) -> Plan | None:
    """Read a plan; None where there is none that this version understands."""
    try:
        plan: Plan = _adapter(Plan).validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return plan


def make_plan(
    inputs: Inputs,
    job: Job,
    *,
    pool: WorkerPool,
    episodes: str | None = None,
    skip_bad: bool = False,
    edits: EditPlan = NO_EDITS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    previous: Plan | None = None,
) -> Plan:
    """Look at every episode, without reading its frames, and decide what a run does.

    Args:
        inputs: files and folders.
        job: what is to be done.
        pool: of workers; one of them looks.
        episodes: which of the episodes found: numbers from 0 and half-open ranges in their order
            (`0:10,15`), or names with wildcards (`episode_1*`); None takes all.
        skip_bad: leave out what cannot be converted, instead of raising.
        edits: what is done to single episodes before they are converted.
        progress: told how many of how many files were looked at.
        previous: a plan of an earlier run; used if it was made for the same job and files.

    Raises:
        RecordingError: something cannot be converted and is not to be left out, or nothing is left;
            or a recording has changed since `edits` were made.
        UsageError: `edits` name what is not there, or leave nothing.
    """
    files = find_recordings(inputs, job.layout.episodes.files)
    layout = settle(job.layout, inputs, pool.read)
    return plan_files(
        files,
        replace(job, layout=replace(layout, fps=job.layout.fps)),
        pool=pool,
        episodes=episodes,
        skip_bad=skip_bad,
        edits=edits,
        progress=progress,
        previous=previous,
    )


@dataclass(frozen=True)
class KnownFile:
    """What a look at a recording would tell: it was looked at before, and has not changed since.

    Attributes:
        episodes: as they become a part of the dataset.
        left_out: the others, and why.
    """

    episodes: tuple[PlannedEpisode, ...]
    left_out: tuple[LeftOut, ...]


class Known(Protocol):
    """Knows recordings that need not be looked at."""

    def __call__(
        self, path: Path, source: str, size: int, mtime_ns: int
    ) -> KnownFile | None:
        """What is known of a recording; None where it has to be looked at."""


def plan_files(
    files: Sequence[tuple[Path, str]],
    job: Job,
    *,
    pool: Looker,
    episodes: str | None = None,
    skip_bad: bool = False,
    edits: EditPlan = NO_EDITS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    previous: Plan | None = None,
    known: Known | None = None,
) -> Plan:
    """As `make_plan`, of files that were found.

    Args:
        files: recordings, and the names by which they are told from others, in order.
        job: what is to be done; its layout leaves nothing to the recordings.
        pool: of workers; one of them looks.
        episodes: which of the episodes found; see `make_plan`.
        skip_bad: leave out what cannot be converted.
        edits: what is done to single episodes.
        progress: told how many of how many files are planned.
        previous: a plan of an earlier run.
        known: tells of recordings that need not be looked at. The episodes that `edits` name need
            not be there then.

    Raises:
        RecordingError, UsageError: see `make_plan`.
    """
    asked = Asked(
        tuple(_identity(path, source) for path, source in files),
        episodes,
        skip_bad,
        MADE_BY,
        edits,
    )
    if previous and _still_holds(previous, job, asked):
        return previous
    planner = _Planner(job, episodes, pool)
    standing: list[PlannedEpisode] = []
    for done, file in enumerate(asked.files, 1):
        found = known(*file) if known else None
        if found:
            standing += found.episodes
            planner.filtered += found.left_out
        else:
            planner.take(file[0], file[1])
        progress(done, len(files))
    planned, dropped, problems = _edited(
        planner, edits, job, some=known is not None
    )
    for episode in planned if standing else ():
        try:
            _same_cameras(episode, standing[0], job)
        except LayoutMismatch as error:
            problems.append(error)
            planned = [other for other in planned if other is not episode]
    planned = _in_order(standing, planned, asked)
    if problems and not (skip_bad and planned):
        raise all_problems(
            problems, len(planned) + len(problems), skip_bad=skip_bad
        )
    planner.refuse_unmatched()
    left_out = (*planner.filtered, *dropped, *map(_left_out, problems))
    return Plan(
        job, tuple(keyed(planned, job)), left_out, asked, tuple(planner.notes)
    )


def _edited(
    planner: "_Planner", edits: EditPlan, job: Job, *, some: bool
) -> tuple[list[PlannedEpisode], list[LeftOut], list[PiperlineError]]:
    """The episodes that were looked at as `edits` want them, what these leave out, and problems."""
    if edits == NO_EDITS or not planner.planned:
        return planner.planned, [], planner.problems
    made = carried_out(planner.planned, edits, some=some)
    _refuse_exchanged(made.kept, job)
    dropped = [
        LeftOut(episode.file, printable(episode.name), reason)
        for episode, reason in made.dropped
    ]
    return made.kept, dropped, [*planner.problems, *made.refused]


def _in_order(
    standing: Sequence[PlannedEpisode],
    planned: list[PlannedEpisode],
    asked: Asked,
) -> list[PlannedEpisode]:
    """All episodes in the order of their files."""
    if not standing:
        return planned
    order = {file[0]: number for number, file in enumerate(asked.files)}
    return sorted(
        (*standing, *planned), key=lambda episode: order[episode.file]
    )


def _still_holds(plan: Plan, job: Job, asked: Asked) -> bool:
    """Whether a look would find the same. Files beside recordings tell only when looked at."""
    looks_beside = job.layout.looks_beside or any(
        episode.beside != Beside() for episode in plan.episodes
    )
    return (plan.job, plan.asked) == (job, asked) and not looks_beside


def _refuse_exchanged(planned: Sequence[PlannedEpisode], job: Job) -> None:
    """See that cameras whose colours are put right can become the video that is asked for."""
    for episode in planned:
        for camera in episode.swapped:
            place = replace(episode.place, camera=camera)
            refuse_video(job.settings, place, episode.cameras[camera])


def _identity(
    path: Path,
    source: str,
) -> tuple[Path, str, int, int]:
    stat = path.stat()
    return path, source, stat.st_size, stat.st_mtime_ns


class _Planner:
    """Collects the episodes of file after file, and what is wrong with others."""

    def __init__(self, job: Job, episodes: str | None, pool: Looker) -> None:
        self.planned: list[PlannedEpisode] = []
        self.problems: list[PiperlineError] = []
        self.filtered: list[LeftOut] = []
        self.notes: list[str] = []
        self.seen = 0
        self.selection = Selection(episodes)
        self._job, self._pool = job, pool
        self._setup = LookSetup(job, episodes)

    def take(self, path: Path, source: str) -> None:
        """Look at a file, in a worker: if it crashes or hangs, that costs one episode."""
        before, chosen, answered, known = self.seen, list[str](), 0, 0
        for _ in range(_MOST_DEATHS):
            end: object = None
            for message in self._pool.look(
                Look(path, source, before, answered), self._setup
            ):
                if isinstance(message, Names):
                    chosen = self._chosen(message.names, before)
                    self.filtered += [
                        LeftOut(path, *item)
                        for item in message.filtered[known:]
                    ]
                    known = len(message.filtered)
                elif isinstance(message, Planned | Refused):
                    answered += 1
                    self._answer(message)
                else:
                    end = message
            if isinstance(end, Done):
                return
            at = chosen[answered] if answered < len(chosen) else None
            self._problem(error_of(end, Place(file=path, episode=at)))
            answered += 1
            if answered >= len(chosen):
                return
        self._problem(_crashes_again_and_again(path))

    def refuse_unmatched(self) -> None:
        """See that every part of the selection chose an episode.

        Raises:
            UsageError: one did not.
        """
        if self.selection.unmatched and self.seen:
            raise UsageError(
                "a part of --episodes matches no episode",
                expected=f"numbers from 0 to {self.seen - 1}, half-open ranges of them, or names",
                found=printable(", ".join(self.selection.unmatched)),
                next_step="see which there are: "
                "the same command with --dry-run and without --episodes",
            )

    def _chosen(
        self,
        names: Sequence[str],
        before: int,
    ) -> list[str]:
        self.seen = before + len(names)
        return [
            name
            for i, name in enumerate(names, before)
            if self.selection(i, name)
        ]

    def _answer(self, message: Planned | Refused) -> None:
        if isinstance(message, Refused):
            self._problem(message.error)
            return
        try:
            if self.planned:
                _same_cameras(message.episode, self.planned[0], self._job)
            notes = (
                message.notes
                if self.planned
                else (*message.unused, *message.notes)
            )
            self.notes += [note for note in notes if note not in self.notes]
            self.planned.append(message.episode)
        except LayoutMismatch as error:
            self._problem(error)

    def _problem(self, error: PiperlineError) -> None:
        if not isinstance(error, RecordingError | VideoError):
            raise error
        self.problems.append(error)


def _crashes_again_and_again(path: Path) -> RecordingError:
    return RecordingError(
        "reading the file crashes again and again",
        place=Place(file=path),
        expected="an undamaged file",
        found=f"{_MOST_DEATHS} crashes; the rest of it was not looked at",
        next_step="copy or record it again",
    )


def _left_out(error: PiperlineError) -> LeftOut:
    place = error.place or Place()
    return LeftOut(
        Path(place.file or ""),
        printable(place.episode) if place.episode else None,
        brief(error),
    )


def _same_cameras(
    episode: PlannedEpisode, first: PlannedEpisode, job: Job
) -> None:
    def described(cameras: dict[str, CameraHeader]) -> str:
        sizes = {
            name: f" {c.width}x{c.height}" if job.settings.size is None else ""
            for name, c in cameras.items()
        }
        kinds = {
            name: f" depth in {c.depth}" if c.depth else ""
            for name, c in cameras.items()
        }
        known = [name + size + kinds[name] for name, size in sizes.items()]
        return ", ".join(known) or "none"

    if described(episode.cameras) != described(first.cameras):
        raise LayoutMismatch(
            "the cameras differ from those of the first episode",
            place=episode.place,
            expected=described(first.cameras),
            found=described(episode.cameras),
            next_step="convert them into a dataset of their own, or scale all with --resize WxH",
        )

"""The plan of a run: which episodes, in which order, under which keys; what is left out."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from piperline.convert.selection import Selection
from piperline.edits.document import plan_document
from piperline.edits.pieces import Piece
from piperline.edits.plan import NO_EDITS, DatasetEdit, EditPlan
from piperline.errors import (
    LayoutMismatch,
    PiperlineError,
    Place,
    RecordingError,
    UsageError,
    VideoError,
)
from piperline.recordings.beside import Beside
from piperline.recordings.detect import settle
from piperline.recordings.find import Inputs, find_recordings
from piperline.recordings.images import CameraHeader
from piperline.recordings.instructions import Spans, spans_from, texts_in
from piperline.text import printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

NOTHING_LEFT = (
    "repair the recordings: if all bad episodes are left out, none is left"
)

_SHOWN = 10
_MOST_DEATHS = 8  # of workers, over one file


@dataclass(frozen=True)
class PlannedEpisode:
    """One episode of a plan.

    Attributes:
        file: its recording.
        source: the file as it is told from others: relative to the folder that was named.
        size, mtime_ns: of the file when it was planned, in bytes and nanoseconds.
        name: the episode's name in the file.
        length: how many frames are staged of it.
        task: its task text.
        cameras: by camera name: how the images are stored and their size.
        key: names its content and how it is encoded; a changed source or setting is another key.
        taken: which recorded frames are staged where an edit plan takes every n-th: the first, the
            one behind the last, and n.
        swapped: cameras whose red and blue an edit plan exchanges back.
        pieces: what an edit plan leaves of what is staged; none for all of it.
        beside: the files beside the recording that hold its images, if such do.
        spans: when its task text changes, where it does; `task` is the first.
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
    taken: tuple[int, int, int] | None = None
    swapped: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    beside: Beside = field(default=Beside())
    spans: Spans = ()

    @property
    def frames(self) -> range:
        """The recorded frames that are staged."""
        return range(*self.taken) if self.taken else range(self.length)

    @property
    def made(self) -> tuple[Piece, ...]:
        """The episodes that the dataset has of it."""
        return self.pieces or (Piece(0, 0, self.length, whole=True),)

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
        edits: a person's edit plan, as JSON; see `edits.document`.
    """

    files: tuple[tuple[Path, str, int, int], ...] = ()
    episodes: str | None = None
    skip_bad: bool = False
    made_by: tuple[str, ...] = ()
    edits: str = ""


@dataclass(frozen=True)
class MadeEpisode:
    """An episode that the dataset will have.

    Attributes:
        planned: what is staged.
        piece: which frames of that.
        length: how many frames it has in the dataset.
        tasks: its task texts, in the order in which they first hold.
    """

    planned: PlannedEpisode
    piece: Piece
    length: int
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a run does: `episodes` in the order of the dataset, what is left out.

    And what it follows from.

    `notes` tell once each what is worth knowing: datasets that are not used, rows left out, rates
    that disagree. `edit` is done to all episodes when the dataset is put together.
    """

    job: Job
    episodes: tuple[PlannedEpisode, ...]
    left_out: tuple[LeftOut, ...] = field(default=())
    asked: Asked = field(default=Asked())
    notes: tuple[str, ...] = ()
    edit: DatasetEdit = field(default=DatasetEdit())

    @property
    def frames(self) -> int:
        """How many time steps the dataset has."""
        return sum(made.length for made in self.made)

    @property
    def made(self) -> Iterator[MadeEpisode]:
        """The episodes of the dataset, in order."""
        names = self.edit.rename_instructions
        for planned in self.episodes:
            for piece in planned.made:
                frames = range(piece.start, piece.stop, self.edit.every)
                told = [names.get(task, task) for task in _told(planned, piece)]
                tasks = tuple(dict.fromkeys(told))
                yield MadeEpisode(planned, piece, len(frames), tasks)

    @property
    def fps(self) -> int:
        """Frames a second of what is staged."""
        step = self.episodes[0].frames.step if self.episodes else 1
        return self.job.settings.fps // step

    @property
    def key(self) -> str:
        """Names what the plan makes: the same key, the same dataset."""
        job: bytes = _adapter(Job).dump_json(self.job)
        keys = "".join(episode.key for episode in self.episodes)
        text = job + keys.encode() + self.asked.edits.encode()
        return hashlib.sha256(text).hexdigest()[:32]

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


def _told(planned: PlannedEpisode, piece: Piece) -> tuple[str, ...]:
    """The task texts of a piece of an episode."""
    if piece.instruction:
        return (piece.instruction,)
    spans = spans_from(planned.spans, piece.start, piece.stop - piece.start)
    return texts_in(spans) or (planned.task,)


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
        edits: an edit plan.
        progress: told how many of how many files were looked at.
        previous: a plan of an earlier run; used if it was made for the same job and files.

    Raises:
        RecordingError: something cannot be converted and is not to be left out, or nothing is left;
            or a recording has changed since `edits` were made.
        UsageError: `edits` name what is not there, or leave nothing.
    """
    files = find_recordings(inputs, job.layout.episodes.files)
    job = replace(
        job,
        layout=replace(
            settle(job.layout, inputs, pool.read),
            fps=job.layout.fps,
        ),
    )
    asked = Asked(
        tuple(_identity(path, source) for path, source in files),
        episodes,
        skip_bad,
        MADE_BY,
        json.dumps(plan_document(edits), sort_keys=True) if edits else "",
    )
    if previous and _still_holds(previous, job, asked):
        return previous
    planner = _Planner(job, episodes, pool)
    for count, (path, source) in enumerate(files, 1):
        planner.take(path, source)
        progress(count, len(files))
    planned, problems = planner.planned, planner.problems
    dropped: list[LeftOut] = []
    edit = DatasetEdit()
    if edits and planned:
        done = carried_out(planned, edits, job)
        planned, edit = done.kept, done.edit
        _refuse_exchanged(planned, job)
        dropped = [
            LeftOut(episode.file, printable(episode.name), reason)
            for episode, reason in done.dropped
        ]
    if problems and not (skip_bad and planned):
        raise _all_problems(
            problems, len(planned) + len(problems), skip_bad=skip_bad
        )
    if planner.selection.unmatched and planner.seen:
        raise UsageError(
            "a part of --episodes matches no episode",
            expected=f"numbers from 0 to {planner.seen - 1}, half-open ranges of them, or names",
            found=printable(", ".join(planner.selection.unmatched)),
            next_step="see which there are: the same command with --dry-run and without --episodes",
        )
    left_out = (*planner.filtered, *dropped, *map(_left_out, problems))
    return Plan(
        job,
        tuple(keyed(planned, job)),
        left_out,
        asked,
        tuple(planner.notes),
        edit,
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

    def __init__(
        self, job: Job, episodes: str | None, pool: WorkerPool
    ) -> None:
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


def brief(error: PiperlineError) -> str:
    """An error in one line: what is wrong, where in the episode, and what was found."""
    inside = (
        replace(error.place, file=None, episode=None)
        if error.place
        else Place()
    )
    where = f" ({inside})" if str(inside) else ""
    return printable(
        error.message + where + (f": {error.found}" if error.found else "")
    )


def _episode_of(error: PiperlineError) -> Place:
    place = error.place or Place()
    return Place(file=place.file, episode=place.episode)


def _all_problems(
    problems: Sequence[PiperlineError], total: int, *, skip_bad: bool
) -> PiperlineError:
    first = problems[0]
    step = NOTHING_LEFT if skip_bad else first.next_step
    error = type(first)(
        first.message,
        place=first.place,
        expected=first.expected,
        found=first.found,
        next_step=step,
    )
    if len(problems) > 1:
        lines = [
            f"{_episode_of(error)}: {brief(error)}"
            for error in problems[1:_SHOWN]
        ]
        more = (
            [f"... and {len(problems) - _SHOWN} more"]
            if len(problems) > _SHOWN
            else []
        )
        error.add_note(
            "\n".join(
                [
                    f"{len(problems)} of {total} cannot be converted; the others:",
                    *lines,
                    *more,
                ]
            )
        )
    return error

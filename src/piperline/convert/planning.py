"""Planning a run: a look at every recording, and what follows from it."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

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
from piperline.convert.plan import Asked, LeftOut, Plan, PlannedEpisode
from piperline.convert.pool import WorkerPool, error_of
from piperline.convert.problems import all_problems, brief
from piperline.convert.selection import Selection
from piperline.edits.document import plan_document
from piperline.edits.plan import (
    NO_EDITS,
    DatasetEdit,
    EditPlan,
    address,
)
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
from piperline.recordings.limits import MOST_DEATHS
from piperline.text import printable

_COMMON = ("file", "source", "task", "cameras", "beside", "spans")
"""Of an episode, what it may have in common with the one before."""


class Looker(Protocol):
    """Looks at recordings; see `WorkerPool.look`."""

    def look(
        self, looks: Sequence[Look], setup: LookSetup
    ) -> Iterator[tuple[Look, Any]]:
        """Look at recordings."""


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
        pool: of workers; they look.
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
    pool.expect((path for path, _ in files), job)
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


class KnownRecordings(Protocol):
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
    known: KnownRecordings | None = None,
) -> Plan:
    """As `make_plan`, of files that were found.

    Args:
        files: recordings, and the names by which they are told from others, in order.
        job: what is to be done; its layout leaves nothing to the recordings.
        pool: of workers; they look.
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
        json.dumps(plan_document(edits), sort_keys=True) if edits else "",
    )
    if previous and _still_holds(previous, job, asked):
        return previous
    planner = _Planner(job, episodes, pool)
    standing: list[PlannedEpisode] = []
    new: list[tuple[Path, str]] = []
    for file in asked.files:
        found = known(*file) if known else None
        if found:
            standing += found.episodes
            planner.filtered += found.left_out
        else:
            new.append(file[:2])
    planner.take_all(new, lambda done: progress(done, len(files)))
    order = {path: number for number, (path, _) in enumerate(files)}
    planner.filtered.sort(key=lambda one: order[one.file])
    if known:  # recordings that the plan names may be gone
        edits = _of_those(planner.planned, edits)
    planned, dropped, edit = _edited(planner.planned, edits, job)
    problems = planner.problems
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
        job,
        tuple(keyed(planned, job)),
        left_out,
        asked,
        tuple(planner.notes),
        edit,
    )


def _of_those(planned: Sequence[PlannedEpisode], edits: EditPlan) -> EditPlan:
    """What a plan says of episodes that are there, and of those that it numbers."""
    there = {address(each.source, each.name) for each in planned}
    return replace(
        edits,
        episodes={
            name: edit
            for name, edit in edits.episodes.items()
            if isinstance(name, int) or name in there
        },
        keep=edits.keep
        and tuple(
            name
            for name in edits.keep
            if isinstance(name, int) or name in there
        ),
    )


def _edited(
    planned: list[PlannedEpisode], edits: EditPlan, job: Job
) -> tuple[list[PlannedEpisode], list[LeftOut], DatasetEdit]:
    """The episodes as `edits` want them, what these leave out, and what is done to all of them."""
    if not (edits and planned):
        return planned, [], DatasetEdit()
    made = carried_out(planned, edits, job)
    _refuse_exchanged(made.kept, job)
    dropped = [
        LeftOut(episode.file, printable(episode.name), reason)
        for episode, reason in made.dropped
    ]
    return made.kept, dropped, made.edit


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

    def take_all(
        self,
        files: Sequence[tuple[Path, str]],
        progress: Callable[[int], None],
    ) -> None:
        """Look at files, in workers; at several at a time where that does not choose episodes."""
        looks = [Look(path, source, 0, 0) for path, source in files]
        if not looks:
            return
        if self._setup.episodes is not None:
            for done, look in enumerate(looks, 1):
                self._take(look, None)
                progress(done)
            return
        told: dict[Look, list[Any]] = {look: [] for look in looks}
        done = 0
        for look, message in self._pool.look(looks, self._setup):
            told[look].append(message)
            if not isinstance(message, Names | Planned | Refused):
                done += 1
                progress(done)
        for look, messages in told.items():
            self._take(look, messages)

    def _looked(self, look: Look) -> list[Any]:
        return [message for _, message in self._pool.look([look], self._setup)]

    def _take(self, look: Look, told: Sequence[Any] | None) -> None:
        """Take what a look at a file tells: if it crashes or hangs, that costs one episode.

        Args:
            look: at the file.
            told: by the first look; None where there was none yet.
        """
        before, chosen, answered, known = self.seen, list[str](), 0, 0
        path = look.file
        for _ in range(MOST_DEATHS):
            end: object = None
            again = replace(look, before=before, answered=answered)
            messages = self._looked(again) if told is None else told
            told = None
            for message in messages:
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
            before = self.planned[-1:]
            self.planned.append(_sharing(message.episode, *before))
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
        found=f"{MOST_DEATHS} crashes; the rest of it was not looked at",
        next_step="copy or record it again",
    )


def _left_out(error: PiperlineError) -> LeftOut:
    place = error.place or Place()
    return LeftOut(
        Path(place.file or ""),
        printable(place.episode) if place.episode else None,
        brief(error),
    )


def _sharing(
    episode: PlannedEpisode, before: PlannedEpisode | None = None
) -> PlannedEpisode:
    """An episode that shares what it has in common with the one before.

    A message brings all of it anew: most of what a plan of many episodes would hold in memory.
    """
    same = {
        name: getattr(before, name)
        for name in _COMMON
        if before and getattr(before, name) == getattr(episode, name)
    }
    return replace(episode, **same)


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

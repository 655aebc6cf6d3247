"""The plan of a run: which episodes, in which order, under which keys; what is left out."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piperline import __version__
from piperline.convert.encode import refuse_video
from piperline.convert.job import Job
from piperline.errors import (
    BadEpisode,
    LayoutMismatch,
    PiperlineError,
    Place,
    RecordingError,
    UsageError,
    VideoError,
)
from piperline.lerobot.info import LONGEST_SECONDS
from piperline.recordings.detect import settle
from piperline.recordings.find import Inputs, find_recordings
from piperline.recordings.images import CameraHeader
from piperline.recordings.recorded_episode import EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.recordings.unused import unused_notes
from piperline.text import printable
from piperline.video.encoder import LIBRARY

if TYPE_CHECKING:
    from pydantic import TypeAdapter

NOTHING_LEFT = "repair the recordings: if all bad episodes are left out, none is left"

_SHOWN = 10
_MADE_BY = (__version__, LIBRARY)


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

    @property
    def place(self) -> Place:
        """Where it is, for error messages."""
        return Place(file=self.file, episode=self.name)

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
    """

    files: tuple[tuple[Path, str, int, int], ...] = ()
    episodes: str | None = None
    skip_bad: bool = False
    made_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a run does: `episodes` in the order of the dataset, what is left out, and what it follows from.

    `notes` tell once each what is worth knowing: datasets that are not used, rows left out, rates that disagree.
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
        kept = tuple(episode for episode in self.episodes if episode is not gone)
        return replace(
            self, episodes=kept, left_out=(*self.left_out, LeftOut(gone.file, gone.name, reason))
        )

    def to_json(self) -> str:
        """The plan as JSON text."""
        text: bytes = _adapter(Plan).dump_json(self, indent=1)
        return text.decode()


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
    episodes: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    previous: Plan | None = None,
) -> Plan:
    """Look at every episode, without reading its frames, and decide what a run does.

    Args:
        inputs: files and folders.
        job: what is to be done.
        episodes: which of the episodes found: numbers from 0 and half-open ranges in their order
            (`0:10,15`), or names with wildcards (`episode_1*`); None takes all.
        skip_bad: leave out what cannot be converted, instead of raising.
        progress: told how many of how many files were looked at.
        previous: a plan of an earlier run; used if it was made for the same job and files.

    Raises:
        RecordingError: something cannot be converted and is not to be left out, or nothing is left.
    """
    files = find_recordings(inputs, job.layout.episodes.files)
    job = replace(job, layout=replace(settle(job.layout, inputs), fps=job.layout.fps))
    asked = Asked(
        tuple(_identity(path, source) for path, source in files), episodes, skip_bad, _MADE_BY
    )
    if previous and (previous.job, previous.asked) == (job, asked):
        return previous
    selection = _Selection(episodes)
    planner = _Planner(job, selection)
    for done, (path, source) in enumerate(files, 1):
        planner.take(path, source)
        progress(done, len(files))
    planned, problems = planner.planned, planner.problems
    if problems and not (skip_bad and planned):
        raise _all_problems(problems, len(planned) + len(problems), skip_bad=skip_bad)
    if selection.unmatched and planner.seen:
        raise UsageError(
            "a part of --episodes matches no episode",
            expected=f"numbers from 0 to {planner.seen - 1}, half-open ranges of them, or names",
            found=", ".join(selection.unmatched),
            next_step="see which there are: the same command with --dry-run and without --episodes",
        )
    left_out = (*planner.filtered, *map(_left_out, problems))
    return Plan(job, tuple(_keyed(planned, job)), left_out, asked, tuple(planner.notes))


def _identity(path: Path, source: str) -> tuple[Path, str, int, int]:
    stat = path.stat()
    return path, source, stat.st_size, stat.st_mtime_ns


class _Planner:
    """Collects the episodes of file after file, and what is wrong with others."""

    def __init__(self, job: Job, wanted: Callable[[int, str], bool]) -> None:
        self.planned: list[PlannedEpisode] = []
        self.problems: list[PiperlineError] = []
        self.filtered: list[LeftOut] = []
        self.notes: list[str] = []
        self.seen = 0
        self._job, self._wanted = job, wanted

    def take(self, path: Path, source: str) -> None:
        try:
            with Recording(path, self._job.layout) as recording:
                names = recording.episodes()
                self.filtered += [LeftOut(path, *item) for item in recording.left_out().items()]
                for name in names:
                    if self._wanted(self.seen, name):
                        self._episode(recording, name, source)
                    self.seen += 1
        except RecordingError as error:
            self.problems.append(error)

    def _episode(self, recording: Recording, name: str, source: str) -> None:
        try:
            header = recording.episode(name).header()
            episode = _planned(recording, name, source, self._job, header)
            if not self.planned:
                self.notes += unused_notes(recording.episode(name), self._job.layout)
            self.notes += [note for note in header.notes if note not in self.notes]
            if self.planned:
                _same_cameras(episode, self.planned[0], self._job)
            self.planned.append(episode)
        except (RecordingError, VideoError) as error:
            self.problems.append(error)


def _left_out(error: PiperlineError) -> LeftOut:
    place = error.place or Place()
    return LeftOut(
        Path(place.file or ""), printable(place.episode) if place.episode else None, brief(error)
    )


def _planned(
    recording: Recording, name: str, source: str, job: Job, header: EpisodeHeader
) -> PlannedEpisode:
    place = Place(file=recording.path, episode=name)
    stat = recording.path.stat()
    _check_seconds(header, place, job)
    for camera, found in header.cameras.items():
        refuse_video(job.settings, replace(place, camera=camera), found)
    task = header.task or job.task
    if not task:
        sources = [rule.described for rule in job.layout.tasks]
        raise BadEpisode(
            "the episode has no task text",
            place=place,
            expected=f"text in {' or '.join(sources)}" if sources else "the option --task",
            found=header.no_task,
            next_step="give one for all such episodes: --task 'pick up the apple'",
        )
    return PlannedEpisode(
        recording.path,
        source,
        stat.st_size,
        stat.st_mtime_ns,
        name,
        header.length,
        task,
        dict(header.cameras),
    )


def _check_seconds(header: EpisodeHeader, place: Place, job: Job) -> None:
    seconds = LONGEST_SECONDS[job.format]
    limit = seconds * job.settings.fps
    if header.length > limit:
        raise BadEpisode(
            f"the episode is longer than LeRobot {job.format} can hold",
            place=place,
            expected=f"at most {limit} frames ({seconds} s at {job.settings.fps} frames a second)",
            found=f"{header.length} frames",
            next_step="record shorter episodes, or cut this one in the recording; "
            "or leave it out with --skip-bad",
        )


def _same_cameras(episode: PlannedEpisode, first: PlannedEpisode, job: Job) -> None:
    def described(cameras: dict[str, CameraHeader]) -> str:
        sizes = {
            name: f" {c.width}x{c.height}" if job.settings.size is None else ""
            for name, c in cameras.items()
        }
        return ", ".join(name + size for name, size in sizes.items()) or "none"

    if described(episode.cameras) != described(first.cameras):
        raise LayoutMismatch(
            "the cameras differ from those of the first episode",
            place=episode.place,
            expected=described(first.cameras),
            found=described(episode.cameras),
            next_step="convert them into a dataset of their own, or scale all with --resize WxH",
        )


class _Selection:
    """Tells of each episode whether it is chosen; `unmatched` are parts that chose none."""

    def __init__(self, text: str | None) -> None:
        self._all = text is None
        self._tokens = [token.strip() for token in (text or "").split(",")]
        self.unmatched = [] if self._all else list(self._tokens)

    def __call__(self, number: int, name: str) -> bool:
        matching = [token for token in self._tokens if _matches(token, number, name)]
        self.unmatched = [token for token in self.unmatched if token not in matching]
        return self._all or bool(matching)


def _matches(token: str, number: int, name: str) -> bool:
    span = re.fullmatch(r"(\d*):(\d*)", token)
    if span:
        start, stop = (int(part) if part else None for part in span.groups())
        return number >= (start or 0) and (stop is None or number < stop)
    return number == int(token) if token.isdecimal() else fnmatchcase(name, token)


def _keyed(planned: Sequence[PlannedEpisode], job: Job) -> Iterator[PlannedEpisode]:
    settings = _what_makes_bytes(job)
    seen: set[str] = set()
    for episode in planned:
        key = _key(settings, episode, episode.source)
        if key in seen:  # two files of one name, size and time: their full paths tell them apart
            key = _key(settings, episode, str(episode.file.resolve()))
        seen.add(key)
        yield replace(episode, key=key)


def _what_makes_bytes(job: Job) -> dict[str, Any]:
    """Of a job, what the bytes of a staged episode follow from: no descriptions, no other names."""
    settings = job.settings
    return {
        "layout": job.layout.content,
        "codec": settings.video.codec,
        "options": dict(settings.video.options),
        "threads": settings.video.threads,
        "fps": settings.fps,
        "size": settings.size,
        "verify": settings.verify,
        "made by": _MADE_BY,
    }


def _key(settings: dict[str, Any], episode: PlannedEpisode, source: str) -> str:
    identity = [source, episode.size, episode.mtime_ns, episode.name, episode.length, episode.task]
    text = json.dumps([settings, identity], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def brief(error: PiperlineError) -> str:
    """An error in one line: what is wrong, where in the episode, and what was found."""
    inside = replace(error.place, file=None, episode=None) if error.place else Place()
    where = f" ({inside})" if str(inside) else ""
    return printable(error.message + where + (f": {error.found}" if error.found else ""))


def _episode_of(error: PiperlineError) -> Place:
    place = error.place or Place()
    return Place(file=place.file, episode=place.episode)


def _all_problems(
    problems: Sequence[PiperlineError], total: int, *, skip_bad: bool
) -> PiperlineError:
    first = problems[0]
    step = NOTHING_LEFT if skip_bad else first.next_step
    error = type(first)(
        first.message, place=first.place, expected=first.expected, found=first.found, next_step=step
    )
    if len(problems) > 1:
        lines = [f"{_episode_of(error)}: {brief(error)}" for error in problems[1:_SHOWN]]
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        error.add_note(
            "\n".join(
                [f"{len(problems)} of {total} cannot be converted; the others:", *lines, *more]
            )
        )
    return error

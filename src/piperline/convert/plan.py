"""The plan of a run: which episodes, in which order, under which keys; what is left out."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from piperline.convert.job import Job
from piperline.edits.pieces import Piece
from piperline.edits.plan import (
    DatasetEdit,
    fingerprint,
)
from piperline.errors import (
    Place,
)
from piperline.recordings.beside import Beside
from piperline.recordings.images import CameraHeader
from piperline.recordings.instructions import Spans, spans_from, texts_in

if TYPE_CHECKING:
    from pydantic import TypeAdapter


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
        kept: of an episode that stays in a dataset as it is: what the record tells of it, as JSON.
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
    taken: tuple[int, int, int] | None = None
    swapped: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    beside: Beside = field(default=Beside())
    spans: Spans = ()
    kept: str = ""
    missing: bool = False

    @property
    def made_of(self) -> str:
        """What tells whether its recording has changed since; see `edits.plan`."""
        return fingerprint(self.source, self.size, self.mtime_ns, self.name)

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

    @cached_property
    def made(self) -> tuple[MadeEpisode, ...]:
        """The episodes of the dataset, in order."""
        return tuple(chain.from_iterable(map(self.made_of, self.episodes)))

    def made_of(self, planned: PlannedEpisode) -> Iterator[MadeEpisode]:
        """What becomes of one of the episodes, in order."""
        names = self.edit.rename_instructions
        for piece in planned.made:
            every = 1 if planned.kept else self.edit.every
            frames = range(piece.start, piece.stop, every)
            told = [names.get(task, task) for task in _told(planned, piece)]
            tasks = tuple(dict.fromkeys(told))
            yield MadeEpisode(planned, piece, len(frames), tasks)

    @property
    def fps(self) -> int:
        """Frames a second of what is staged."""
        steps = [each.frames.step for each in self.episodes if not each.kept]
        return self.job.settings.fps // (steps[0] if steps else 1)

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
        own = {name: getattr(self, name) for name in Plan.__dataclass_fields__}
        return json.dumps(own, default=_plain)


def _told(planned: PlannedEpisode, piece: Piece) -> tuple[str, ...]:
    """The task texts of a piece of an episode."""
    if piece.instruction:
        return (piece.instruction,)
    spans = spans_from(planned.spans, piece.start, piece.stop - piece.start)
    return texts_in(spans) or (planned.task,)


def _plain(value: object) -> object:
    """A part of a plan as JSON has it: a dataclass, or a path.

    pydantic could tell it too; to load it takes a sixth of a second.
    """
    return (
        vars(value) if is_dataclass(value) else os.fspath(cast("Path", value))
    )


@cache
def _adapter(kind: type) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def load_plan(path: Path) -> Plan | None:
    """Read a plan; None where there is none that this version understands."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        plan: Plan = _adapter(Plan).validate_json(text)
    except ValueError:
        return None
    return plan

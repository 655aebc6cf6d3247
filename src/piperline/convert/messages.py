"""What a run and its workers say to each other. Light to import: workers are started before all else is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from piperline.errors import PiperlineError

if TYPE_CHECKING:
    from piperline.convert.job import Job
    from piperline.convert.plan import PlannedEpisode


@dataclass(frozen=True)
class Setup:
    """The first message to a worker."""

    job: "Job"
    staging: Path


@dataclass(frozen=True)
class Task:
    """Stage an episode, or with `camera`, that piece of it."""

    episode: "PlannedEpisode"
    camera: str | None = None


@dataclass(frozen=True)
class Moved:
    """So many frames and recorded bytes since the last report."""

    frames: int
    size: int


@dataclass(frozen=True)
class Staged:
    """A rank has done one more episode."""


@dataclass(frozen=True)
class Done:
    """The task is done."""


@dataclass(frozen=True)
class Failed:
    """The task failed in a way that the user can mend."""

    error: PiperlineError


@dataclass(frozen=True)
class Crashed:
    """The task failed by a fault of the program."""

    trace: str

"""What a run and its workers say to each other. Light to import: workers start before all else."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from piperline.errors import PiperlineError

if TYPE_CHECKING:
    from piperline.convert.job import Job
    from piperline.convert.plan import PlannedEpisode


@dataclass(frozen=True)
class WorkerSetup:
    """What each worker is told first."""

    job: "Job"
    staging: Path


@dataclass(frozen=True)
class Unit:
    """Stage an episode, or with `camera`, that part of it."""

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
    """The unit is done."""


@dataclass(frozen=True)
class Failed:
    """The unit failed in a way that the user can mend."""

    error: PiperlineError


@dataclass(frozen=True)
class Crashed:
    """The unit failed by a fault of the program."""

    trace: str

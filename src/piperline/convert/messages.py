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
    measured: frozenset[str] = frozenset()
    """The keys of the episodes whose signals are kept too."""


@dataclass(frozen=True)
class StageUnit:
    """Stage an episode, or with `camera`, that part of it."""

    episode: "PlannedEpisode"
    camera: str | None = None


@dataclass(frozen=True)
class LookSetup:
    """What a worker is told before it looks at recordings.

    Attributes:
        job: what is to be done.
        episodes: which episodes; see `make_plan`.
    """

    job: "Job"
    episodes: str | None


@dataclass(frozen=True)
class Look:
    """Look at the episodes of a recording.

    Attributes:
        file: the recording.
        source: as it is told from others.
        before: how many episodes the recordings before it have.
        answered: how many of its chosen episodes an earlier process has looked at.
    """

    file: Path
    source: str
    before: int
    answered: int = 0


@dataclass(frozen=True)
class Names:
    """The episodes of a recording.

    Attributes:
        names: of all that the layout wants.
        filtered: names of others, and why the layout leaves them out.
    """

    names: tuple[str, ...]
    filtered: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Planned:
    """A chosen episode can be converted, as far as can be seen.

    Attributes:
        episode: what is planned.
        notes: what is worth knowing of it.
        unused: datasets that the layout does not use; told of one episode of each recording.
    """

    episode: "PlannedEpisode"
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A chosen episode cannot be converted."""

    error: PiperlineError


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

"""How far a run is."""

from collections.abc import Callable
from dataclasses import dataclass, field

from piperline.convert.plan import Plan, PlannedEpisode


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


Watcher = Callable[[Progress], None]


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

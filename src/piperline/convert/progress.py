"""How far a run is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from piperline.convert.plan import PlannedEpisode


@dataclass
class Progress:
    """How far a run is; `convert` calls back with it when it changes.

    Attributes:
        phase: `plan`, `check` (whether the dataset that is to be replaced is as it was made),
            `stage` or `assemble`.
        files, files_done: recordings to look at, and looked at.
        episodes, episodes_done: episodes to encode in this run, and encoded.
        images, images_done: images (frames of all cameras) to encode in this run, and encoded.
        size_done: recorded bytes read; of a check, bytes of the dataset that is there.
        size: of a check, all bytes of that dataset.
    """

    phase: str = "plan"
    files: int = 0
    files_done: int = 0
    episodes: int = 0
    episodes_done: int = 0
    images: int = 0
    images_done: int = 0
    size_done: int = 0
    size: int = 0


Watcher = Callable[[Progress], None]


def checking(watch: Watcher) -> Callable[[int, int], None]:
    """Tells a watcher how many bytes of how many are read of a dataset that is to be replaced."""

    def checked(done: int, size: int) -> None:
        watch(Progress("check", size_done=done, size=size))

    return checked


class Counter:
    """Counts what is staged, for a watcher.

    Args:
        episodes: those that are to be staged.
        watch: told of every change.
    """

    def __init__(
        self, episodes: Iterable[PlannedEpisode], watch: Watcher
    ) -> None:
        images = [episode.images for episode in episodes]
        self._state = Progress(
            "stage", episodes=len(images), images=sum(images)
        )
        self._watch = watch
        watch(self._state)

    def moved(self, images: int, size: int) -> None:
        """So many more images and recorded bytes were gone through."""
        self._state.images_done += images
        self._state.size_done += size
        self._watch(self._state)

    def staged(self) -> None:
        """One more episode is done."""
        self._state.episodes_done += 1
        self._watch(self._state)

    def assembling(self) -> None:
        """All episodes are done."""
        self._state.phase = "assemble"
        self._watch(self._state)

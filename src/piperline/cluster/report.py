"""What a rank reports while it works: to its log, to whoever listens, and in its record."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from piperline.cluster.job_folder import JobFolder, RankRecord
from piperline.convert.plan import LeftOut, PlannedEpisode
from piperline.text import printable


def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """Who is told what a rank does.

    Attributes:
        say: takes a line for its log.
        moved: told how many images and recorded bytes were gone through.
        staged: told of each episode that is done.
    """

    say: Callable[[str], None] = _silent
    moved: Callable[[int, int], None] = _silent
    staged: Callable[[], None] = _silent


NOBODY = Listener()


@dataclass
class RankReport:
    """Keeps the record of a rank, and tells a listener.

    Args:
        folder: of the job.
        rank: its number.
        listener: who is told.
        record: how it fares; replaced as it goes on.
    """

    folder: JobFolder
    rank: int
    listener: Listener
    record: RankRecord

    def say(self, line: str) -> None:
        """Put a line into the log."""
        self.listener.say(line)

    def begin(self, episodes: int, todo: int, frames: int) -> None:
        """The rank knows what it has to do."""
        kept = (
            f", {episodes - todo} of them are staged already"
            if todo < episodes
            else ""
        )
        self.say(f"{episodes} episodes, {frames} frames{kept}")
        self._began, self._todo = time.monotonic(), todo

    def staged(self, episode: PlannedEpisode) -> None:
        """An episode is done."""
        self.record = self.record.more(episode.images)
        self.listener.staged()
        rate = self.record.images / max(
            time.monotonic() - self._began,
            1e-3,
        )
        self.say(
            f"episode {self.record.episodes}/{self._todo}: {episode.place}: "
            f"{episode.length} frames, {len(episode.cameras)} cameras; {rate:.0f} images/s so far"
        )
        self._note()

    def left_out(self, episodes: Sequence[LeftOut]) -> None:
        """Episodes are left out."""
        lines = tuple(
            printable(f"{left.file}, episode {left.episode}: {left.reason}")
            for left in episodes
        )
        for line in lines:
            self.say(f"left out: {line}")
        self.record = replace(self.record, left_out=lines)
        self._note()

    def made(self, fingerprint: str) -> None:
        """A dataset is complete and about to get its name; `fingerprint` tells it from others."""
        self.record = replace(self.record, made=fingerprint)
        self._note()

    def _note(self) -> None:
        self.folder.note(self.rank, self.record)

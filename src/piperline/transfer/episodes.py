"""The episodes that are taken over, one after the other, and those that cannot be."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from piperline.edits.pictures import Pictures
from piperline.episode import EncodedEpisode
from piperline.errors import FETCH_AGAIN, DatasetError, Place
from piperline.lerobot.dataset import Dataset
from piperline.transfer.selection import DatasetPart


@dataclass(frozen=True)
class SkippedEpisode:
    """An episode that cannot be taken over.

    Attributes:
        dataset: it is of.
        index: its number there.
        error: why.
    """

    dataset: Dataset
    index: int
    error: DatasetError

    def __str__(self) -> str:
        """What is wrong, in a line."""
        place = f" ({self.error.place})" if self.error.place else ""
        return f"{self.dataset.root}, episode {self.index}: {self.error.message}{place}"


class EpisodeSource(Protocol):
    """Episodes on their way into a new dataset.

    Attributes:
        parts: what was asked for.
        total: how many episodes that makes.
        kept: for each part, the number there of each episode that was handed out.
    """

    parts: Sequence[DatasetPart]
    total: int
    kept: list[list[int]]

    def __iter__(self) -> Iterator[EncodedEpisode]:
        """The episodes, in order."""


class Episodes:
    """Reads episodes and completes them.

    Args:
        parts: which.
        pictures: completes them.
        skip_bad: leave out those that cannot be taken over.

    Attributes:
        parts: which were asked for.
        total: how many there are of them.
        kept: for each part, the numbers of the episodes that were handed out.
        left_out: those that cannot be taken over.
    """

    def __init__(
        self,
        parts: Sequence[DatasetPart],
        pictures: Pictures,
        *,
        skip_bad: bool,
    ) -> None:
        self.parts = parts
        self._pictures = pictures
        self._skip_bad = skip_bad
        self.total = sum(len(part.indices) for part in parts)
        self.kept: list[list[int]] = [[] for _ in parts]
        self.left_out: list[SkippedEpisode] = []

    def __iter__(self) -> Iterator[EncodedEpisode]:
        """The episodes, in order.

        Raises:
            DatasetError: some cannot be taken over; all of them are named.
        """
        for part, kept in zip(self.parts, self.kept, strict=True):
            for index, reading in read_ahead(part):
                episode = self._completed(part.dataset, index, reading)
                # Behind a bad one, the others are only looked at, to tell all that is wrong.
                if episode is not None and (
                    self._skip_bad or not self.left_out
                ):
                    kept.append(index)
                    yield episode
        if self.left_out and (not self._skip_bad or not any(self.kept)):
            raise self._all_errors()

    def _completed(
        self, dataset: Dataset, index: int, reading: Future[EncodedEpisode]
    ) -> EncodedEpisode | None:
        place = Place(file=dataset.root, episode=str(index))
        try:
            return self._pictures.complete(
                reading.result(), place, dataset.version
            )
        except DatasetError as error:
            if error.place is None or error.place.episode is None:
                error.place = replace(
                    error.place or place, episode=place.episode
                )
            self.left_out.append(SkippedEpisode(dataset, index, error))
            return None

    def _all_errors(self) -> DatasetError:
        """What is wrong with all of them; the next step is one that was not taken yet."""
        first, *others = self.left_out
        error, whom, mend = first.error, "this episode", None
        if others:
            bad = "\n".join(f"  - {left}" for left in self.left_out)
            whom, mend = "the episodes", "mend these datasets"
            advised = [
                left
                for left in self.left_out
                if left.error.next_step != FETCH_AGAIN
            ]
            error = DatasetError(
                f"{len(self.left_out)} episodes cannot be taken over",
                found="\n" + bad,
                expected="episodes that can be read",
            )
            for left in advised[:1]:
                mend += f" (of episode {left.index}: {left.error.next_step})"
        leave = f"leave {whom} out with `--skip-bad`"
        steps = [mend or error.next_step, None if self._skip_bad else leave]
        error.next_step = "; or ".join(step for step in steps if step) or None
        return error


def read_ahead(
    part: DatasetPart,
) -> Iterator[tuple[int, Future[EncodedEpisode]]]:
    """The episodes of a part; the next one is read while the caller copies bytes."""
    with ThreadPoolExecutor(1) as pool:
        waiting: list[tuple[int, Future[EncodedEpisode]]] = []
        for index in part.indices:
            waiting.append(
                (
                    index,
                    pool.submit(
                        part.dataset.episode,
                        index,
                    ),
                )
            )
            if len(waiting) > 1:
                yield waiting.pop(0)
        yield from waiting

"""Workers on this machine: they stage what they are told, and one that dies costs its episode."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from piperline.convert.messages import (
    Done,
    Failed,
    Look,
    LookSetup,
    Moved,
    StageUnit,
    WorkerSetup,
)
from piperline.errors import (
    OutputError,
    PiperlineError,
    Place,
    check_workers,
)
from piperline.process import Died, Pool, Silent, usable_cpus
from piperline.recordings.limits import (
    READER_SECONDS,
    WORKER_MEMORY,
    WORKER_SECONDS,
    lost,
)
from piperline.recordings.reader import Caller, Crashed

if TYPE_CHECKING:
    from piperline.convert.job import Job
    from piperline.convert.plan import PlannedEpisode


LOOK_SECONDS = READER_SECONDS
"""For how long a worker may say nothing while it looks: it speaks after each episode."""


_LAST = 2
"""Cameras of the longest length for each worker, among which the longest come first."""

_LOOKS = 200
"""For how many recordings a process is worth its start."""

_IMAGES_ENCODED, _IMAGES_KEPT = 60, 600
"""For how many images a process is worth its start: it takes as long as encoding, or keeping, half
of them."""

_LARGE_IMAGE, _CAMERAS = 100_000, 2
"""Bytes of an image, and cameras of a recording, as they are expected before one was looked at."""


class Failure(NamedTuple):
    """An episode that could not be staged."""

    episode: "PlannedEpisode"
    error: PiperlineError


class _Queue:
    """The cameras of each episode one by one, so that none waits long for the last; then itself.

    They come in the order of the dataset, in which they are put together meanwhile. Of the last
    ones the longest come first, so that no worker is left with a long one at the end.

    Args:
        episodes: in the order of the dataset.
        workers: how many processes there are.
    """

    def __init__(
        self, episodes: "Sequence[PlannedEpisode]", workers: int
    ) -> None:
        ordered = _ordered(episodes, workers)
        self._units = deque(
            StageUnit(episode, camera)
            for episode in ordered
            for camera in episode.cameras
        )
        self._units.extend(
            StageUnit(episode) for episode in ordered if not episode.cameras
        )
        self._cameras_left = {
            episode.key: len(episode.cameras) for episode in ordered
        }
        self.failures: dict[str, Failure] = {}
        self._failed_at: dict[str, int] = {}

    def take(self) -> StageUnit | None:
        """The next unit; those of an episode that failed are passed over."""
        while self._units:
            unit = self._units.popleft()
            if unit.episode.key not in self.failures:
                return unit
        return None

    def done(self, unit: StageUnit) -> bool:
        """Take note that a unit is done; whether its episode is."""
        if unit.camera is None:
            return True
        key = unit.episode.key
        self._cameras_left[key] -= 1
        if not self._cameras_left[key]:
            self._units.appendleft(StageUnit(unit.episode))
        return False

    def fail(self, unit: StageUnit, error: PiperlineError) -> None:
        """Take note that an episode cannot be staged.

        Cameras are begun in their order and end in any; of several errors the first by that order
        counts, so that the reason does not depend on who was faster.
        """
        episode = unit.episode
        order = [*episode.cameras, None].index(unit.camera)
        if order <= self._failed_at.get(episode.key, order):
            self._failed_at[episode.key] = order
            self.failures[episode.key] = Failure(episode, error)


def _ordered(
    episodes: "Sequence[PlannedEpisode]", workers: int
) -> "list[PlannedEpisode]":
    """The episodes as they are begun: the last ones by their length.

    Of these there are so many that each worker has several cameras of the longest length to do.
    """
    longest = max((episode.length for episode in episodes), default=0)
    first, images = len(episodes), _LAST * workers * longest
    while first and images > 0:
        first -= 1
        images -= episodes[first].images
    last = sorted(episodes[first:], key=lambda episode: -episode.length)
    return [*episodes[:first], *last]


class WorkerPool:
    """Worker processes: one loads its libraries while the run is planned, the others follow.

    A context manager; leaving it ends them.

    Args:
        count: how many, at most one for each camera of an episode; None: up to as many as there are
            CPUs, as far as they bring more than their start costs.

    Attributes:
        read: lets one of them call a function that reads a recording.

    Raises:
        UsageError: `count` is less than 1.
    """

    def __init__(self, count: int | None) -> None:
        check_workers(count)
        self._count = count
        self._pool = Pool[Any]("piperline.convert.worker", memory=WORKER_MEMORY)
        self._pool.start(1)
        self.read = Caller(self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.end()

    def expect(self, files: Iterable[Path], job: "Job") -> None:
        """Start processes while the run is planned, if `files` are so large that they are needed.

        As many as are sure to have work: each file holds a camera at least.
        """
        found = list(files)
        most = min(self._count or usable_cpus(), max(len(found), _CAMERAS))
        each = _images_for_a_process(job) * _LARGE_IMAGE
        size = 0
        for file in found:
            if size >= most * each:
                break
            with suppress(OSError):  # it is told when it is read
                size += file.stat().st_size
        self._pool.start(min(most, size // each))

    def look(
        self, looks: Sequence[Look], setup: LookSetup
    ) -> Iterator[tuple[Look, Any]]:
        """Let workers look at recordings: several where there are many of them.

        Args:
            looks: the recordings.
            setup: what is asked of all of them.

        Yields:
            A look, and of each in this order `Names`, then `Planned` or `Refused` for each chosen
            episode, at last `Done`, or what `error_of` takes.
        """
        todo = deque(looks)
        most = usable_cpus() if self._count is None else self._count
        self._pool.start(min(most, len(looks) // _LOOKS))
        yield from self._pool.run(
            lambda: todo.popleft() if todo else None, setup, LOOK_SECONDS
        )

    def stage(
        self,
        episodes: "Sequence[PlannedEpisode]",
        job: "Job",
        root: Path,
        *,
        moved: Callable[[int, int], None],
        done: "Callable[[PlannedEpisode], None]",
        measured: frozenset[str] = frozenset(),
    ) -> list[Failure]:
        """Stage `episodes` below `root`; once, the workers end with it.

        Args:
            episodes: what is to be staged.
            job: how.
            root: the staging folder.
            moved: told the frames and recorded bytes that were gone through since the last call.
            done: told of each episode that is complete.
            measured: keys of the episodes whose signals are kept too, for a review.

        Returns:
            The episodes that could not be staged, in their order; all others are.

        Raises:
            OutputError: nothing more can be written.
            RuntimeError: a fault of the program, with the worker's traceback.
        """
        workers = self._count_for(episodes, job)
        queue = _Queue(episodes, workers)
        self._pool.start(workers)
        for unit, message in self._pool.run(
            queue.take, WorkerSetup(job, root, measured), WORKER_SECONDS
        ):
            if isinstance(message, Moved):
                moved(message.frames, message.size)
            elif isinstance(message, Done):
                if queue.done(unit):
                    done(unit.episode)
            else:
                queue.fail(unit, error_of(message, unit.episode.place))
        self._pool.hang_up()  # the workers end while the caller goes on
        failed = queue.failures
        return [
            failed[episode.key] for episode in episodes if episode.key in failed
        ]

    def _count_for(
        self, episodes: "Sequence[PlannedEpisode]", job: "Job"
    ) -> int:
        """How many processes are at work on `episodes`: a camera is done by one of them."""
        units = sum(max(1, len(episode.cameras)) for episode in episodes)
        if self._count is not None:
            return min(self._count, units)
        images = sum(episode.images for episode in episodes)
        return min(usable_cpus(), units, images // _images_for_a_process(job))


def _images_for_a_process(job: "Job") -> int:
    keeps = job.settings.video.codec is None
    return _IMAGES_KEPT if keeps else _IMAGES_ENCODED


def error_of(message: Any, place: Place) -> PiperlineError:  # noqa: ANN401 - whatever comes
    """The error of a unit that failed.

    Raises:
        OutputError: nothing more can be written.
        RuntimeError: a fault of the program.
    """
    match message:
        case Failed(OutputError() as error):
            raise error
        case Failed(error):
            return error
        case Died() | Silent():
            return lost(message, place)
        case Crashed():
            raise message.error()
    raise AssertionError(message)

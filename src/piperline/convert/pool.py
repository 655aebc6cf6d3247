"""Workers on this machine: they stage what they are told, and one that dies costs its episode."""

import signal
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from piperline.convert.messages import Crashed, Done, Failed, Moved, Unit, WorkerSetup
from piperline.errors import OutputError, PiperlineError, Place, TaskFailed, UsageError
from piperline.process import Died, Pool

if TYPE_CHECKING:
    from piperline.convert.job import Job
    from piperline.convert.plan import PlannedEpisode


class Failure(NamedTuple):
    """An episode that could not be staged."""

    episode: "PlannedEpisode"
    error: PiperlineError


class _Queue:
    """The cameras of each episode one by one, so that none waits long for the last; then itself.

    The longest episodes come first, so that no worker is left with a long one at the end.
    """

    def __init__(self, episodes: "Sequence[PlannedEpisode]") -> None:
        ordered = sorted(episodes, key=lambda episode: -episode.length)
        self._units = deque(
            Unit(episode, camera) for episode in ordered for camera in episode.cameras
        )
        self._units.extend(Unit(episode) for episode in ordered if not episode.cameras)
        self._cameras_left = {episode.key: len(episode.cameras) for episode in ordered}
        self.failures: dict[str, Failure] = {}

    def take(self) -> Unit | None:
        """The next unit; those of an episode that failed are passed over."""
        while self._units:
            unit = self._units.popleft()
            if unit.episode.key not in self.failures:
                return unit
        return None

    def done(self, unit: Unit) -> bool:
        """Take note that a unit is done; whether its episode is."""
        if unit.camera is None:
            return True
        key = unit.episode.key
        self._cameras_left[key] -= 1
        if not self._cameras_left[key]:
            self._units.appendleft(Unit(unit.episode))
        return False

    def fail(self, unit: Unit, error: PiperlineError) -> None:
        """Take note that an episode cannot be staged."""
        self.failures.setdefault(unit.episode.key, Failure(unit.episode, error))


class WorkerPool:
    """Worker processes, started at once: they load their libraries while the run is planned.

    A context manager; leaving it ends them.

    Args:
        count: how many.

    Raises:
        UsageError: `count` is less than 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise UsageError(
                "there must be at least one worker process", found=f"--workers {count}"
            )
        self._pool = Pool[Unit]("piperline.convert.worker")
        self._pool.start(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.end()

    def stage(
        self,
        episodes: "Sequence[PlannedEpisode]",
        job: "Job",
        root: Path,
        *,
        moved: Callable[[int, int], None],
        done: "Callable[[PlannedEpisode], None]",
    ) -> list[Failure]:
        """Stage `episodes` below `root`; once, the workers end with it.

        Args:
            episodes: what is to be staged.
            job: how.
            root: the staging folder.
            moved: told the frames and recorded bytes that were gone through since the last call.
            done: told of each episode that is complete.

        Returns:
            The episodes that could not be staged, in their order; all others are.

        Raises:
            OutputError: nothing more can be written.
            RuntimeError: a fault of the program, with the worker's traceback.
        """
        queue = _Queue(episodes)
        for unit, message in self._pool.run(queue.take, WorkerSetup(job, root)):
            if isinstance(message, Moved):
                moved(message.frames, message.size)
            elif isinstance(message, Done):
                if queue.done(unit):
                    done(unit.episode)
            else:
                queue.fail(unit, _error_of(message, unit.episode.place))
        self._pool.hang_up()  # the workers end while the caller goes on
        failed = queue.failures
        return [failed[episode.key] for episode in episodes if episode.key in failed]


def _error_of(message: Any, place: Place) -> PiperlineError:
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
        case Died(code):
            return died(code, place)
        case Crashed(trace):
            raise RuntimeError(f"a fault in piperline, please report it:\n{trace}")
    raise AssertionError(message)


def died(code: int, place: Place) -> TaskFailed:
    """The error for a worker process that ended while it was at work on `place`.

    Args:
        code: its exit code; negative, a signal.
        place: what it was at work on.
    """
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    step = "run the same command again: it does only what is missing"
    if code == -signal.SIGKILL:
        step += "; if memory was short, with fewer --workers"
    return TaskFailed("a worker process died", place=place, found=how, next_step=step)

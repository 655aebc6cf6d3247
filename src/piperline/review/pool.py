"""Episodes measured by several processes; one that dies or hangs costs only its episode."""

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from piperline.errors import OutputError, PiperlineError, Place
from piperline.process import Died, Pool, Silent
from piperline.recordings.limits import WORKER_MEMORY, WORKER_SECONDS, lost
from piperline.recordings.reader import Caller, Crashed
from piperline.review.source import ReviewUnit
from piperline.review.worker import Setup


class MeasuringPool:
    """Processes that read recordings and measure them.

    A context manager; leaving it ends them. One is started at once, more when there is something
    to measure.

    Attributes:
        read: lets one of them call a function that reads a recording.
    """

    def __init__(self) -> None:
        self._pool = Pool[Any]("piperline.review.worker", memory=WORKER_MEMORY)
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

    def measure_all(
        self,
        units: Sequence[ReviewUnit],
        setup: Setup,
        workers: int,
        done: Callable[[ReviewUnit], None],
    ) -> dict[str, PiperlineError]:
        """Measure episodes and keep their signals; once, the processes end with it.

        Args:
            units: what is to do.
            setup: how.
            workers: processes.
            done: told of each episode, also of those that cannot be read.

        Returns:
            Why some cannot be read, by their keys.

        Raises:
            OutputError: the folder cannot be written.
            RuntimeError: a fault of the program, with the worker's traceback.
        """
        queue, failed = deque(units), dict[str, PiperlineError]()
        self._pool.start(min(workers, len(units)))
        todo = self._pool.run(
            lambda: queue.popleft() if queue else None, setup, WORKER_SECONDS
        )
        for unit, answer in todo:
            match answer:
                case Crashed():
                    raise answer.error()
                case Died() | Silent():
                    failed[unit.key] = lost(
                        answer, Place(file=unit.file, episode=unit.name)
                    )
                case OutputError():  # of the folder, not of the episode
                    raise answer
                case PiperlineError():
                    failed[unit.key] = answer
            done(unit)
        self._pool.hang_up()  # the processes end while the caller goes on
        return failed

"""Episodes measured by several processes; one that dies or hangs costs only its episode."""

from collections import deque
from collections.abc import Callable, Sequence

from piperline.errors import PiperlineError, Place
from piperline.process import Died, Pool, Silent
from piperline.recordings.limits import WORKER_MEMORY, WORKER_SECONDS, lost
from piperline.review.source import Unit
from piperline.review.worker import Crashed, Setup


def measure_all(
    units: Sequence[Unit],
    setup: Setup,
    workers: int,
    done: Callable[[Unit], None],
) -> dict[str, PiperlineError]:
    """Measure episodes and keep their signals.

    Args:
        units: what is to do.
        setup: how.
        workers: processes.
        done: told of each episode, also of those that cannot be read.

    Returns:
        Why some cannot be read, by their keys.

    Raises:
        RuntimeError: a fault of the program, with the worker's traceback.
    """
    queue, failed = deque(units), dict[str, PiperlineError]()
    with Pool[Unit]("piperline.review.worker", memory=WORKER_MEMORY) as pool:
        pool.start(min(workers, len(units)))
        todo = pool.run(
            lambda: queue.popleft() if queue else None, setup, WORKER_SECONDS
        )
        for unit, answer in todo:
            match answer:
                case Crashed(trace):
                    raise RuntimeError(
                        f"a fault in piperline, please report it:\n{trace}"
                    )
                case Died() | Silent():
                    failed[unit.key] = lost(
                        answer, Place(file=unit.file, episode=unit.name)
                    )
                case PiperlineError():
                    failed[unit.key] = answer
            done(unit)
    return failed

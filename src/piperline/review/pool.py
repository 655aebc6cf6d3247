"""Episodes measured by several processes; one that dies costs only its episode."""

from collections import deque
from collections.abc import Callable, Sequence

from piperline.errors import PiperlineError, TaskFailed
from piperline.process import Child, ChildDied, heard_from
from piperline.review.source import Unit
from piperline.review.worker import Answer, Crashed, Setup

_MODULE = "piperline.review.worker"


class _Worker(Child):
    unit: Unit | None = None


def measure_all(
    units: Sequence[Unit], setup: Setup, workers: int, done: Callable[[Unit], None]
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
    crew = [_start(setup, queue) for _ in range(min(workers, len(units)))]
    try:
        while busy := [worker for worker in crew if worker.unit]:
            for worker in heard_from(busy):
                unit, answer = worker.unit, _answer(worker)
                if unit is None:  # only busy workers answer
                    continue
                if isinstance(answer, Crashed):
                    trace = answer.trace
                    raise RuntimeError(  # noqa: TRY004 - no wrong type: a fault of the program
                        f"a fault in piperline, please report it:\n{trace}"
                    )
                if answer is not None:
                    failed[unit.key] = answer
                done(unit)
                if isinstance(answer, TaskFailed):
                    worker.end()
                    crew[crew.index(worker)] = _start(setup, queue)
                else:
                    _next(worker, queue)
    finally:
        for worker in crew:
            worker.end(at_once=worker.unit is not None)
    return failed


def _start(setup: Setup, queue: deque[Unit]) -> _Worker:
    worker = _Worker(_MODULE)
    worker.send(setup)
    _next(worker, queue)
    return worker


def _next(worker: _Worker, queue: deque[Unit]) -> None:
    worker.unit = queue.popleft() if queue else None
    if worker.unit:
        worker.send(worker.unit)


def _answer(worker: _Worker) -> Answer:
    try:
        answer: Answer = worker.receive()
    except ChildDied as death:
        return TaskFailed("the process that read the episode died", found=f"exit code {death.code}")
    return answer

"""Worker processes on this machine: they stage what they are told, and one that dies costs only its episode."""

import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from piperline.convert.messages import Crashed, Done, Failed, Moved, Setup, Task
from piperline.errors import OutputError, PiperlineError, Place, TaskFailed, UsageError
from piperline.process import Child, ChildDied, heard_from

if TYPE_CHECKING:
    from piperline.convert.job import Job
    from piperline.convert.plan import PlannedEpisode


_MODULE = "piperline.convert.worker"


@dataclass(frozen=True)
class Failure:
    """An episode that could not be staged."""

    episode: "PlannedEpisode"
    error: PiperlineError


class _Worker(Child):
    task: Task | None = None


@dataclass
class _Queue:
    """What is still to do: the cameras of an episode one by one, so that none waits long for the last, then itself."""

    tasks: deque[Task]
    waiting: dict[str, int] = field(
        default_factory=dict
    )  # cameras under way or to come, by episode key
    failed: dict[str, Failure] = field(default_factory=dict)

    @classmethod
    def of(cls, episodes: "Sequence[PlannedEpisode]") -> Self:
        """Longest episodes first, so that no worker is left with a long one at the end."""
        ordered = sorted(episodes, key=lambda episode: -episode.length)
        cameras = [Task(episode, camera) for episode in ordered for camera in episode.cameras]
        bare = [Task(episode) for episode in ordered if not episode.cameras]
        return cls(
            deque(cameras + bare), {episode.key: len(episode.cameras) for episode in ordered}
        )

    def pop(self) -> Task | None:
        while self.tasks:
            task = self.tasks.popleft()
            if task.episode.key not in self.failed:
                return task
        return None

    def done(self, task: Task) -> bool:
        """Take note that a task is done; whether its episode is."""
        if task.camera is None:
            return True
        self.waiting[task.episode.key] -= 1
        if self.waiting[task.episode.key] == 0:
            self.tasks.appendleft(Task(task.episode))
        return False

    def fail(self, task: Task, error: PiperlineError) -> None:
        self.failed.setdefault(task.episode.key, Failure(task.episode, error))


class WorkerPool:
    """Worker processes, started at once so that they load their libraries while the run is planned.

    A context manager; leaving it ends them.

    Args:
        count: how many.

    Raises:
        UsageError: there are to be none.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise UsageError(
                "there must be at least one worker process", found=f"--workers {count}"
            )
        self._setup: Setup | None = None
        self._workers = [_Worker(_MODULE) for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.end(at_once=worker.task is not None)

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
            episodes: what is to do.
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
        self._setup = Setup(job, root)
        queue = _Queue.of(episodes)
        for worker in self._workers:
            worker.send(self._setup)
            self._next(worker, queue)
        while busy := [worker for worker in self._workers if worker.task]:
            for worker in heard_from(busy):
                self._answer(worker, queue, moved, done)
        for worker in self._workers:
            worker.hang_up()  # they end while the caller goes on
        order = {episode.key: number for number, episode in enumerate(episodes)}
        return sorted(queue.failed.values(), key=lambda failure: order[failure.episode.key])

    def _answer(
        self,
        worker: _Worker,
        queue: _Queue,
        moved: Callable[[int, int], None],
        done: "Callable[[PlannedEpisode], None]",
    ) -> None:
        task = worker.task
        if task is None:
            raise AssertionError("only busy workers answer")
        try:
            message = worker.receive()
        except ChildDied as death:
            queue.fail(task, died(death.code, task.episode.place))
            self._next(self._replace(worker), queue)
            return
        match message:
            case Moved(frames, size):
                moved(frames, size)
                return
            case Done():
                if queue.done(task):
                    done(task.episode)
            case Failed(error):
                if isinstance(error, OutputError):
                    raise error
                queue.fail(task, error)
            case Crashed(trace):
                raise RuntimeError(f"a fault in piperline, please report it:\n{trace}")
        # A camera that was the last of its episode makes work for an idle worker as well.
        for idle in (
            worker,
            *(other for other in self._workers if not other.task and other is not worker),
        ):
            self._next(idle, queue)

    def _next(self, worker: _Worker, queue: _Queue) -> None:
        worker.task = queue.pop()
        if worker.task:
            worker.send(worker.task)

    def _replace(self, worker: _Worker) -> _Worker:
        worker.hang_up()
        fresh = self._workers[self._workers.index(worker)] = _Worker(_MODULE)
        fresh.send(self._setup)
        return fresh


def died(code: int, place: Place) -> TaskFailed:
    """The error for a worker process that ended with `code` (negative: a signal) while it was at work on `place`."""
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return TaskFailed(
        "a worker process died",
        place=place,
        found=how,
        next_step="run the same command again: it does only what is missing"
        + ("; if memory was short, with fewer --workers" if code == -signal.SIGKILL else ""),
    )

"""Processes of our own. Light to import: they are started before all else is loaded."""

import ctypes
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from piperline.garbage import about_to_end, loading
from piperline.memory import limit_memory

_SECONDS_TO_END = 5
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TICK = 1.0  # seconds
# Threads of a library for sums would only spin.
_THREADS = {"OPENBLAS_NUM_THREADS": "1"}
_ONE_THREAD = {
    **_THREADS,
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # Arrow's allocator
}


@contextmanager
def one_thread() -> Iterator[None]:
    """The body loads numpy, whose OpenBLAS starts no threads then; later processes may."""
    new = _THREADS.keys() - os.environ.keys()
    os.environ.update({name: _THREADS[name] for name in new})
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


class ChildDied(Exception):
    """A process ended where it should have answered.

    Attributes:
        code: its exit code; negative, the signal that ended it.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Child:
    """A Python process that runs `main(descriptor)` of a module, at the other end of a socket.

    It may die at any moment, also while something is sent to it: that is told when it should
    answer, and only then.
    Ctrl-C is not for it, but for this process, which then ends it.

    Args:
        module: its name.
        log: the descriptor of a file that takes what the process prints; None: where ours goes.
        outlives: if this process is killed, it may do what it was told to its end.
        memory: how many bytes of address space it may take; None: as many as this process.
        forks: it forks: no library starts a thread in it, whatever the user has set.
    """

    def __init__(
        self,
        module: str,
        log: int | None = None,
        *,
        outlives: bool = False,
        memory: int | None = None,
        forks: bool = False,
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs, _interrupts_blocked():
            parent = None if outlives else os.getpid()
            task = f"serve({module!r}, {theirs.fileno()}, {parent}, {memory})"
            command = [
                sys.executable,
                "-c",
                f"from piperline.process import serve; {task}",
            ]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_THREADS | os.environ | (_ONE_THREAD if forks else {}),
            )
        self._connection = Connection(ours.detach())

    def fileno(self) -> int:
        """The socket, for `heard_from`."""
        return self._connection.fileno()

    def send(self, message: object) -> None:
        """Send a message."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def receive(self) -> Any:  # noqa: ANN401 - whatever comes
        """Wait for the next message.

        Raises:
            ChildDied: there will be none.
        """
        try:
            return self._connection.recv()
        except (
            EOFError,
            OSError,
        ) as error:
            # OSError: in the middle of a message
            raise ChildDied(self._process.wait()) from error

    def hang_up(self) -> None:
        """Close the socket: the process ends by itself when it has done what it was told."""
        self._connection.close()

    def end(self, *, at_once: bool = False) -> None:
        """End the process: when it has done what it was told, if that is soon, or at once."""
        self.hang_up()
        if at_once:
            self._process.kill()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_Kind = TypeVar("_Kind", bound=Child)


def heard_from(
    children: Sequence[_Kind], seconds: float | None = None
) -> list[_Kind]:
    """Wait until some of `children` have said something, or died, for some time at most; which."""
    # All that it needs is fileno().
    heard: list[Any] = wait(children, seconds)  # type: ignore[arg-type]
    return heard


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT; a process that is started meanwhile has it blocked for ever."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(
    module: str, descriptor: int, parent: int | None, memory: int | None
) -> None:
    """In the process: run `main(descriptor)` of `module`. The kernel ends it with `parent`."""
    if memory is not None:
        limit_memory(memory)
    if parent is not None:
        end_with(parent)
    with loading():
        main = importlib.import_module(module).main
    main(descriptor)
    about_to_end()


def end_with(parent: int) -> None:
    """Have the kernel end this process when `parent`, which started it, ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os._exit(0)


@contextmanager
def parent(descriptor: int) -> Iterator[Connection]:
    """In the process: the socket; the body ends when the parent has closed it, or died."""
    with (
        Connection(descriptor) as connection,
        suppress(EOFError, BrokenPipeError, ConnectionResetError),
    ):
        yield connection


Unit = TypeVar("Unit")
_NOTHING = object()


@dataclass(frozen=True)
class Died:
    """What a pool tells of a unit whose process ended in the middle of it.

    Attributes:
        code: the exit code; negative, the signal that ended it.
    """

    code: int


@dataclass(frozen=True)
class Silent:
    """What a pool tells of a unit whose process was ended since it had said nothing for too long.

    Attributes:
        seconds: how long.
    """

    seconds: float


class _Worker(Child, Generic[Unit]):
    """A process of a pool, and the units that it is at work on, by number.

    Attributes:
        setup: what it was told last of what units share.
        has_begun: whether it has loaded its libraries.
        waited: for how many seconds it was waited for since then, or since it last said something.
    """

    def __init__(
        self,
        module: str,
        log: int | None,
        *,
        outlives: bool,
        memory: int | None,
    ) -> None:
        super().__init__(module, log, outlives=outlives, memory=memory)
        self.units: dict[int, Unit] = {}
        self.setup: object = _NOTHING
        self.has_begun = False
        self.waited = 0.0


class Pool(Generic[Unit]):
    """Processes that work on units; one that dies costs only the units that it was at work on.

    A context manager: leaving it ends the processes, at once those that are still at work.

    Args:
        module: its `main(descriptor)` is `serve_units`, with the function that does a unit.
        log: the descriptor of a file that takes what the processes print.
        outlives: if this process is killed, they may do what they were told to its end.
        at_once: how many units a process works on at the same time.
        memory: how many bytes of address space each may take.
    """

    def __init__(
        self,
        module: str,
        *,
        log: int | None = None,
        outlives: bool = False,
        at_once: int = 1,
        memory: int | None = None,
    ) -> None:
        self._module, self._log, self._memory = module, log, memory
        self._outlives, self._at_once = outlives, at_once
        self._workers: list[_Worker[Unit]] = []
        self._count = self._given = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def start(self, count: int) -> None:
        """See that there are at least `count` processes: they load their libraries meanwhile."""
        self._count = max(self._count, count)
        while len(self._workers) < self._count:
            self._add()

    def run(
        self,
        take: Callable[[], Unit | None],
        setup: object = None,
        patience: float | None = None,
        watched: Callable[[Unit], bool] = lambda _unit: True,
    ) -> Iterator[tuple[Unit, Any]]:
        """Work on units until there are no more.

        Args:
            take: gives the next unit; None if there is none now. It is asked again after each
                unit that ends, so units may follow from others.
            setup: sent to each process before its first unit of this run.
            patience: for how many seconds a process that is at work may say nothing; None: for
                ever. While this process is stopped no time passes.
            watched: whether that holds for a unit, now.

        Yields:
            A unit and what is told of it: messages on the way, at the end the result, or `Died`, or
            `Silent`.
        """
        self._fill(take, setup)
        while busy := [worker for worker in self._workers if worker.units]:
            loading = [
                worker
                for worker in self._workers
                if not (worker.has_begun or worker.units)
            ]
            began = time.monotonic()
            heard = heard_from(
                [*busy, *loading], None if patience is None else _TICK
            )
            passed = min(time.monotonic() - began, _TICK)
            for worker in busy:
                silent = worker.has_begun and worker not in heard
                silent &= any(map(watched, worker.units.values()))
                worker.waited = worker.waited + passed if silent else 0
            for worker in heard:
                yield from self._messages(worker)
            for worker in busy:
                if patience is not None and worker.waited > patience:
                    yield from self._give_up(worker, Silent(patience))
            self._fill(take, setup)

    def hang_up(self) -> None:
        """Tell the processes that no unit will follow: they end while the caller goes on."""
        for worker in self._workers:
            worker.hang_up()

    def end(self) -> list[Unit]:
        """End all processes; gives the units that some were still at work on."""
        self.hang_up()
        for worker in self._workers:
            is_idle = worker.has_begun and not worker.units
            worker.end(at_once=not is_idle)
        lost = [
            unit for worker in self._workers for unit in worker.units.values()
        ]
        self._workers = []
        return lost

    def _add(self) -> None:
        self._workers.append(
            _Worker(
                self._module,
                self._log,
                outlives=self._outlives,
                memory=self._memory,
            )
        )

    def _fill(
        self,
        take: Callable[[], Unit | None],
        setup: object,
    ) -> None:
        """Give units to processes that have room."""
        while (worker := self._with_room()) and (unit := take()) is not None:
            if worker.setup is not setup:
                worker.send((None, setup))
                worker.setup = setup
            worker.units[self._given], worker.waited = unit, 0
            worker.send((self._given, unit))
            self._given += 1

    def _with_room(self) -> _Worker[Unit] | None:
        """The process that the next unit goes to; None while all are busy.

        Where some have loaded their libraries, it is one of those: a unit does not wait for a
        process that is still being started while another could do it. In the stead of one that
        died, another is started.
        """
        begun = [worker for worker in self._workers if worker.has_begun]
        room = [
            worker
            for worker in begun or self._workers
            if len(worker.units) < self._at_once
        ]
        if not room and len(self._workers) < self._count:
            self._add()
            room = self._workers[-1:]
        return min(room, key=lambda worker: len(worker.units), default=None)

    def _messages(
        self,
        worker: _Worker[Unit],
    ) -> Iterator[tuple[Unit, Any]]:
        try:
            number, message, is_last = worker.receive()
        except ChildDied as death:
            yield from self._give_up(worker, Died(death.code))
            return
        if number is None:
            worker.has_begun = True
            return
        yield (
            worker.units.pop(number) if is_last else worker.units[number],
            message,
        )

    def _give_up(
        self, worker: _Worker[Unit], why: object
    ) -> Iterator[tuple[Unit, Any]]:
        worker.end(at_once=True)
        self._workers.remove(worker)
        for unit in worker.units.values():
            yield unit, why


def serve_units(
    descriptor: int,
    work: Callable[
        [
            Any,
            Any,
            Callable[[object], None],
        ],
        object,
    ],
    *,
    at_once: int = 1,
) -> None:
    """In a process of a pool: do what comes over the socket, until it is closed.

    Args:
        descriptor: the socket.
        work: called with the setup, a unit, and a function that sends a message on the way;
            what it returns is the result. It raises nothing.
        at_once: as the pool's; more than one work in threads.
    """
    sending = Lock()
    with parent(descriptor) as connection:

        def send(number: int, message: object, *, is_last: bool) -> None:
            with sending:
                connection.send((number, message, is_last))

        def do(setup: object, number: int, unit: object) -> None:
            result = work(
                setup,
                unit,
                lambda message: send(number, message, is_last=False),
            )
            send(number, result, is_last=True)

        connection.send((None, None, False))
        if at_once == 1:
            for order in _orders(connection):
                do(*order)
        _serve_in_threads(connection, do, at_once)


def _orders(connection: Connection) -> Iterator[tuple[object, int, object]]:
    """What a pool sends: units, each with the setup that was sent last, and their numbers."""
    setup = None
    while True:
        number, content = connection.recv()
        if number is None:
            setup = content
        else:
            yield setup, number, content


def _serve_in_threads(
    connection: Connection,
    do: Callable[[object, int, object], None],
    count: int,
) -> None:
    # most processes need none
    from concurrent.futures import (
        ThreadPoolExecutor,
    )

    def quietly(*order: Any) -> None:  # noqa: ANN401 - whatever comes
        # nobody waits for the answer
        with suppress(BrokenPipeError, ConnectionResetError):
            do(*order)

    with ThreadPoolExecutor(count) as threads:
        for order in _orders(connection):
            threads.submit(quietly, *order)


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))

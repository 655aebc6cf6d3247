"""Processes of our own. Light to import: they are started before all else is loaded."""

import ctypes
import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

_SECONDS_TO_END = 5
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


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

    It may die at any moment, also while something is sent to it: that is told when it should answer, and only then.
    Ctrl-C is not for it, but for this process, which then ends it.

    Args:
        module: its name.
        log: the descriptor of a file that takes what the process prints; None leaves it where ours goes.
        outlives: if this process is killed, it may do what it was told to its end.
    """

    def __init__(self, module: str, log: int | None = None, *, outlives: bool = False) -> None:
        ours, theirs = socket.socketpair()
        with theirs, _interrupts_blocked():
            task = f"serve({module!r}, {theirs.fileno()}, {None if outlives else os.getpid()})"
            command = [sys.executable, "-c", f"from piperline.process import serve; {task}"]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,  # its threads would only spin
            )
        self._connection = Connection(ours.detach())

    def fileno(self) -> int:
        """The socket, for `heard_from`."""
        return self._connection.fileno()

    def send(self, message: object) -> None:
        """Send a message."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def receive(self) -> Any:
        """Wait for the next message.

        Raises:
            ChildDied: there will be none.
        """
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:  # OSError: in the middle of a message
            raise ChildDied(self._process.wait()) from error

    def hang_up(self) -> None:
        """Close the socket: the process ends by itself when it has done what it was told."""
        self._connection.close()

    def end(self, *, at_once: bool = False) -> None:
        """See that the process has ended: after what it was told, if it does not take too long, or at once."""
        self.hang_up()
        if at_once:
            self._process.kill()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_Kind = TypeVar("_Kind", bound=Child)


def heard_from(children: Sequence[_Kind]) -> list[_Kind]:
    """Wait until some of `children` have said something, or died; which."""
    heard: list[Any] = wait(children)  # type: ignore[arg-type]  # all that it needs is fileno()
    return heard


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT; a process that is started meanwhile has it blocked for ever, from its first moment on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(module: str, descriptor: int, parent: int | None) -> None:
    """In the process: run `main(descriptor)` of `module`; the kernel ends it with `parent`, however that ends."""
    if parent is not None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the request
            sys.exit(0)
    importlib.import_module(module).main(descriptor)


@contextmanager
def parent(descriptor: int) -> Iterator[Connection]:
    """In the process: the socket; what is done with it ends when the parent has closed it, or died."""
    with (
        Connection(descriptor) as connection,
        suppress(EOFError, BrokenPipeError, ConnectionResetError),
    ):
        yield connection


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))

"""Untrusted files are read in a process of its own: what they can do to it ends with it.

Light to import: the process is started before all else is loaded.
"""

import importlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, cast

from piperline.errors import BadEpisode, PiperlineError, Place
from piperline.garbage import loading
from piperline.memory import limited_memory
from piperline.process import Died, Pool, Silent, serve_units
from piperline.recordings.limits import (
    MOST_DEATHS,
    READER_MEMORY,
    READER_SECONDS,
    WORKER_MEMORY,
    lost,
    out_of_memory,
)

_BEAT = 1.0  # seconds

P = ParamSpec("P")
T = TypeVar("T")


class Read(Protocol):
    """Calls a function that reads a file; see `Reader` and `here`."""

    def __call__(
        self,
        path: Path,
        function: Callable[P, T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """What `function` returns, or raises; `path` is the file that it reads."""
        ...


def here(
    path: Path,  # noqa: ARG001 - as of every `Read`
    function: Callable[P, T],
    *arguments: P.args,
    **options: P.kwargs,
) -> T:
    """Call it in this process: for files that are trusted, and in a process of a reader."""
    return function(*arguments, **options)


@dataclass(eq=False)
class Call:
    """A function that reads a file, and what it is given; all of it can be pickled.

    Attributes:
        path: the file.
        function: of a module.
        arguments: for it.
        options: for it.
        place: where it is at work.
        watched: whether it may hang there.
        found: what came of it.
    """

    path: Path
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    place: Place
    watched: bool = True
    found: object = None


@dataclass(frozen=True)
class _At:
    """What the process is about to read, or reads; whether it may hang over it."""

    place: Place
    watched: bool = True


@dataclass(frozen=True)
class _Said:
    """What a function says before it returns."""

    message: object


@dataclass(frozen=True)
class _Value(Generic[T]):
    """What a function returned."""

    value: T


@dataclass(frozen=True)
class Crashed:
    """A fault of the program, with its traceback."""

    trace: str

    def error(self) -> RuntimeError:
        """To be raised where the process was asked."""
        return RuntimeError(
            f"a fault in piperline, please report it:\n{self.trace}"
        )


class Caller:
    """Lets the processes of a pool call functions that read files.

    A file over which one hung is not read again: it would hang again.

    Args:
        pool: of processes whose work is `answer`, or that leave a `Call` to it.
        heard: told of what functions say; see `say`.
    """

    def __init__(
        self,
        pool: Pool[Any],
        heard: Callable[[Any], None] = lambda _message: None,
    ) -> None:
        self._pool, self._heard = pool, heard
        self._waiting: list[Call] = []
        self._hung: dict[Path, PiperlineError] = {}

    def __call__(
        self,
        path: Path,
        function: Callable[P, T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Call a function in a process.

        Args:
            path: the file that it reads.
            function: of a module, so that the process finds it by its name.
            arguments: for it.
            options: for it.

        Raises:
            BadEpisode: the process crashed, hung or took too much memory; its place names the
                episode if it had come to one.
            RuntimeError: a fault of the program.
            Exception: what the function raises.
        """
        return self.later(path, function, *arguments, **options)()

    def later(
        self,
        path: Path,
        function: Callable[P, T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> Callable[[], T]:
        """As a call; what this gives returns, or raises, what came of it.

        Calls that wait are done together when the first is asked for: by several processes side by
        side.
        """
        call = Call(path, function, arguments, options, Place(file=path))
        self._waiting.append(call)

        def get() -> T:
            if call in self._waiting:
                self._work()
            return cast("T", _value(call.found))

        return get

    def _work(self) -> None:
        """Do all calls that wait."""
        try:
            for call, message in self._pool.run(
                self._take,
                patience=READER_SECONDS,
                watched=lambda call: call.watched,
            ):
                if isinstance(message, _At):
                    call.place, call.watched = message.place, message.watched
                    continue
                if isinstance(message, _Said):
                    self._heard(message.message)
                    continue
                call.found = message
                if isinstance(message, Died | Silent):
                    call.found = lost(message, call.place)
                hung = isinstance(message, Silent)
                if hung and str(call.place.file) == str(call.path):
                    self._hung[call.path] = lost(message, call.place)
        except BaseException:
            self._waiting = []
            self._pool.end()  # Ctrl-C: nobody waits for the answers any more
            raise

    def _take(self) -> Call | None:
        while self._waiting:
            call = self._waiting.pop(0)
            call.found = self._hung.get(call.path)
            if call.found is None:
                return call
        return None


def _value(found: object) -> object:
    """What a call returned, or the error of one that failed."""
    match found:
        case _Value(value):
            return value
        case Crashed():
            raise found.error()
        case Exception():
            raise found
    raise AssertionError(found)


class Reader(Caller):
    """A process that reads files for this one.

    A context manager; leaving it ends the process. It is started at once, to load its libraries
    while this one loads its own.

    Args:
        processes: how many, for calls side by side.
        memory: how many bytes of address space each may take; None: what `untrusted` says.
        heard: told of what functions say; see `say`.
    """

    def __init__(
        self,
        processes: int = 1,
        *,
        memory: int | None = READER_MEMORY,
        heard: Callable[[Any], None] = lambda _message: None,
    ) -> None:
        pool = Pool[Call](__name__, memory=memory)
        pool.start(processes)
        super().__init__(pool, heard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.end()


def over_parts(
    read: Read,
    path: Path,
    function: Callable[..., T],
    *arguments: object,
) -> T:
    """Call a function that goes over the parts of a file; one that crashes costs only itself.

    Args:
        read: calls it.
        path: the file.
        function: its last argument is why some parts cannot be read, by their HDF5 paths, or of
            episodes by their names: those it passes over.
        arguments: its others.

    Raises:
        RecordingError: the file cannot be read at all.
    """
    bad: dict[str, PiperlineError] = {}
    while True:
        try:
            return read(path, function, *arguments, dict(bad))
        except BadEpisode as error:
            place = error.place or Place()
            name = place.hdf5_path or place.episode
            if name is None or name in bad or len(bad) >= MOST_DEATHS:
                raise
            bad[name] = error


# --- in the process -------------------------------------------------------------------------------

_tell: ContextVar[Callable[[_At | _Said | None], None]] = ContextVar("_tell")


def reading_at(place: Place) -> None:
    """Say what is about to be read, so that a crash is told with its name."""
    _send(_At(place))


def still_reading() -> None:
    """Say that what is read is long, and does not hang."""
    _send(None)


def say(message: object) -> None:
    """Say something to `heard` of the reader; as every word, it tells that nothing hangs."""
    _send(_Said(message))


def _send(message: _At | _Said | None) -> None:
    tell = _tell.get(None)
    if tell is not None:
        tell(message)


@contextmanager
def untrusted(trusted: Path) -> Iterator[None]:
    """The body reads untrusted files: only there a reader's process may hang, and is limited.

    For functions that do much else, which takes what time and memory it needs.

    Args:
        trusted: what is read before and afterwards.
    """
    if _tell.get(None) is None:
        yield
        return
    reading_at(Place(file=trusted))
    with limited_memory(WORKER_MEMORY):
        yield
    # Not in a `finally`: what is raised is told with the place where it was raised.
    elsewhere(trusted)


def elsewhere(trusted: Path) -> None:
    """Say that no untrusted file is read: it takes as long as it takes."""
    _send(_At(Place(file=trusted), watched=False))


def answer(
    _setup: object, call: Call, send: Callable[[object], None]
) -> object:
    """Do a call; what is said of it, for `Caller`."""
    at, told = _At(call.place), time.monotonic()

    def tell(message: _At | _Said | None) -> None:
        nonlocal at, told
        quiet = time.monotonic() - told < _BEAT
        if message == at or (message is None and quiet):
            return
        if isinstance(message, _At):
            at = message
        told = time.monotonic()
        send(message or at)

    token = _tell.set(tell)
    try:
        return _Value(call.function(*call.arguments, **call.options))
    except (PiperlineError, OSError) as error:
        return error
    except MemoryError:
        return out_of_memory(at.place)
    except Exception:  # noqa: BLE001 - it is told with its traceback
        return Crashed(traceback.format_exc())
    finally:
        _tell.reset(token)


def main(descriptor: int) -> None:
    """Serve a reader over the socket `descriptor`, until it closes it."""
    # What most functions need is loaded before the first is waited for.
    with loading():
        importlib.import_module("piperline.recordings.recording")
    serve_units(descriptor, answer)

"""Write files in processes of their own. Light to import: they start before all else is loaded.

HDF5 2.0 crashes in the middle of a copy when the disk fills up or a limit is reached, and a damaged
source may do the same to it. So a copying process may die: this one lives on, clears up, and says
what happened.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from piperline.errors import OutputError, Place
from piperline.hdf5.plan import NewFile, partial_path
from piperline.process import Died, Pool, Silent, serve_units, usable_cpus
from piperline.recordings.limits import READER_SECONDS, WORKER_MEMORY, lost
from piperline.recordings.reader import Call, Caller, answer

_AT_ONCE = 2  # files of a process: one is copied while the other is on its way to the disk
# bytes to copy; for less, one more process costs more than it brings
_WORTH_A_PROCESS = 512 << 20
_SLOWEST = 1 << 20  # bytes a second, of a disk that is waited for


class Writers:
    """Processes that write files; a context manager, leaving it ends them.

    They load their libraries while the caller makes a plan; more are started when there is much to
    copy.

    Args:
        count: how many are started at once, of as many as there are CPUs.

    Attributes:
        read: lets one of them call a function that reads a file.
    """

    def __init__(self, count: int = 1) -> None:
        self._pool = Pool[Any](
            __name__, outlives=True, at_once=_AT_ONCE, memory=WORKER_MEMORY
        )
        self._pool.start(min(count, usable_cpus()))
        self.read = Caller(self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for order in self._pool.end():
            if isinstance(order, _Order):
                order.remove_partial()

    def write(
        self, files: Sequence[NewFile], *, allow_external: bool = False
    ) -> Iterator[NewFile]:
        """Write files; gives each, in order, when it is complete.

        Args:
            files: what to write.
            allow_external: see `piperline.hdf5.copy.write_file`.

        Raises:
            RecordingError: a source cannot be copied; the files before it are complete.
            OutputError: there is no room or no permission, or a copying process died.
        """
        worth = 1 + sum(new.stored_bytes for new in files) // _WORTH_A_PROCESS
        self._pool.start(min(worth, len(files), usable_cpus()))
        orders = deque(
            _Order(number, new, allow_external)
            for number, new in enumerate(files)
        )
        results: dict[int, Exception | None] = {}

        def take() -> _Order | None:
            return (
                orders.popleft()
                if orders and not any(results.values())
                else None
            )

        told = 0
        largest = max((new.stored_bytes for new in files), default=0)
        patience = READER_SECONDS + largest / _SLOWEST
        for order, result in self._pool.run(take, patience=patience):
            results[order.number] = order.error(result)
            while told in results and results[told] is None:
                yield files[told]
                told += 1
        failed = next(
            (error for _, error in sorted(results.items()) if error), None
        )
        if failed:
            raise failed


@dataclass(frozen=True)
class _Order:
    """Write a file, the one of that number."""

    number: int
    new: NewFile
    allow_external: bool

    def remove_partial(self) -> None:
        """Remove what is left of it when its process has ended in the middle."""
        partial_path(self.new.path).unlink(missing_ok=True)

    def error(
        self, result: "Died | Silent | Exception | None"
    ) -> Exception | None:
        """Why it was not written; None if it was. Of a file that is not whole nothing is left."""
        if isinstance(result, Died):
            return self._died(result.code)
        if isinstance(result, Silent):
            self.remove_partial()
            return lost(result, Place(file=self.new.groups[0].source.path))
        return result

    def _died(self, code: int) -> OutputError:
        self.remove_partial()
        return OutputError(
            "the process that wrote this file died; nothing is left of it",
            place=Place(file=self.new.path),
            expected="room for the file, and a source that HDF5 can read",
            found=signal.Signals(-code).name
            if code < 0
            else f"exit code {code}",
            next_step="make room (see `df` and `ulimit -f`), or leave out a damaged source, "
            "and run the same command again",
        )


def main(descriptor: int) -> None:
    """The process: what to write comes over a socket, and what came of it goes back."""
    from piperline.hdf5.copy import write_file

    def write(
        setup: None, order: "_Order | Call", send: Callable[[object], None]
    ) -> object:
        if isinstance(order, Call):
            return answer(setup, order, send)
        try:
            write_file(order.new, allow_external=order.allow_external)
        except Exception as error:  # noqa: BLE001 - it is told with its traceback
            return error
        return None

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    serve_units(descriptor, write, at_once=_AT_ONCE)

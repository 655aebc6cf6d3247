"""Write files in processes of their own, several at once. Light to import: they start before all else is loaded.

HDF5 2.0 crashes in the middle of a copy when the disk fills up or a limit is reached, and a damaged source may do
the same to it. So a copying process may die: this one lives on, clears up, and says what happened.
"""

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from piperline.errors import OutputError, Place
from piperline.process import Child, ChildDied, heard_from, parent, usable_cpus

if TYPE_CHECKING:
    from piperline.hdf5.copy import NewFile


_AT_ONCE = 2  # files of a process: one is copied while the other is on its way to the disk
_WORTH_A_PROCESS = 512 << 20  # bytes to copy; for less, one more process costs more than it brings


class _Writer(Child):
    """A process and the files that it is writing, by number."""

    def __init__(self) -> None:
        super().__init__(__name__, outlives=True)
        self.files: dict[int, NewFile] = {}

    def begin(self, number: int, new: "NewFile", *, allow_external: bool) -> None:
        self.files[number] = new
        self.send((number, new, allow_external))

    def answers(self) -> dict[int, Exception | None]:
        """What came of a file: None if it is written; of all its files, if the process died."""
        try:
            number, error = self.receive()
        except ChildDied as death:
            self.give_up()
            lost, self.files = self.files, {}
            return {number: _died(death.code, new) for number, new in lost.items()}
        del self.files[number]
        return {number: error}

    def give_up(self) -> None:
        """End the process in the middle of its files, of which nothing is left."""
        from piperline.hdf5.copy import partial_path

        self.end(at_once=True)
        for new in self.files.values():
            partial_path(new.path).unlink(missing_ok=True)


class Writers:
    """Processes that write files; a context manager, leaving it ends them.

    One is started at once, to load its libraries while the caller makes a plan; more when there is much to copy.
    """

    def __init__(self) -> None:
        self._writers = [_Writer()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in self._writers:
            writer.hang_up()
        for writer in self._writers:
            if writer.files:
                writer.give_up()
            else:
                writer.end()

    def write(
        self, files: "Sequence[NewFile]", *, allow_external: bool = False
    ) -> Iterator["NewFile"]:
        """Write files; gives each, in order, when it is complete.

        Args:
            files: what to write.
            allow_external: see `piperline.hdf5.copy.write_file`.

        Raises:
            RecordingError: a source cannot be copied; the files before it are complete.
            OutputError: there is no room or no permission, or a copying process died.
        """
        worth = 1 + sum(new.stored_bytes for new in files) // _WORTH_A_PROCESS
        while len(self._writers) < min(worth, len(files), usable_cpus()):
            self._writers.append(_Writer())
        todo, told = deque(enumerate(files)), 0
        answers: dict[int, Exception | None] = {}
        while True:
            for writer in self._writers * _AT_ONCE:
                if todo and len(writer.files) < _AT_ONCE and not any(answers.values()):
                    writer.begin(*todo.popleft(), allow_external=allow_external)
            busy = [writer for writer in self._writers if writer.files]
            if not busy:
                break
            for writer in heard_from(busy):
                answers |= writer.answers()
            while told in answers and answers[told] is None:
                yield files[told]
                told += 1
        failed = next((error for _, error in sorted(answers.items()) if error), None)
        if failed:
            raise failed


def _died(code: int, new: "NewFile") -> OutputError:
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return OutputError(
        "the process that wrote this file died; nothing is left of it",
        place=Place(file=new.path),
        found=how,
        next_step="HDF5 dies like this when the disk or a size limit is full, or when a source is damaged",
    )


def main(descriptor: int) -> None:
    """The process: what to write comes over a socket, and what came of it goes back."""
    from piperline.hdf5.copy import write_file

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with parent(descriptor) as connection, ThreadPoolExecutor(_AT_ONCE) as pool:

        def write(number: int, new: "NewFile", allow_external: bool) -> None:
            answer = None
            try:
                write_file(new, allow_external=allow_external)
            except Exception as error:
                answer = error
            with sending, suppress(BrokenPipeError, ConnectionResetError):
                connection.send((number, answer))

        sending = Lock()
        while True:
            pool.submit(write, *connection.recv())

"""Write files in a process of its own.

HDF5 2.0 crashes in the middle of a copy when the disk fills up or a limit is reached, and a damaged source may do
the same to it. So the copying process may die: this one lives on, clears up, and says what happened.
"""

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

from piperline.errors import OutputError, Place
from piperline.hdf5.copy import NewFile, partial_path, write_file

__all__ = ["write_files"]


def write_files(files: Sequence[NewFile], *, allow_external: bool = False) -> Iterator[NewFile]:
    """Write files one after another; gives each when it is complete.

    Args:
        files: what to write.
        allow_external: see `piperline.hdf5.copy.write_file`.

    Raises:
        RecordingError: a source cannot be copied; the files before it are complete.
        OutputError: there is no room or no permission, or the copying process died.
    """
    if not files:
        return
    command = [sys.executable, "-m", "piperline.hdf5.writer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        ended = False
        try:
            yield from _answers(process, files, allow_external=allow_external)
            ended = True
        finally:
            if not ended:
                process.kill()


def _answers(
    process: "subprocess.Popen[bytes]", files: Sequence[NewFile], *, allow_external: bool
) -> Iterator[NewFile]:
    """Each file, when the process says that it is written."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError
    with suppress(BrokenPipeError), process.stdin:
        pickle.dump((files, allow_external), process.stdin)
    for new in files:
        finished = False
        try:
            answer = pickle.load(process.stdout)  # noqa: S301 - our own process wrote it
            finished = True
        except EOFError:
            raise _died(process.wait(), new) from None
        finally:
            if not finished:
                process.kill()
                process.wait()
                partial_path(new.path).unlink(missing_ok=True)
        if isinstance(answer, Exception):
            process.wait()
            raise answer
        if new is files[-1]:
            process.wait()
        yield new


def _died(code: int, new: NewFile) -> OutputError:
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return OutputError(
        "the process that wrote this file died; nothing is left of it",
        place=Place(file=new.path),
        found=how,
        next_step="HDF5 dies like this when the disk or a size limit is full, or when a source is damaged",
    )


def _main() -> None:
    """The process: a plan comes on standard input, an answer for each file goes to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    files, allow_external = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    for new in files:
        answer = None
        try:
            write_file(new, allow_external=allow_external)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        if answer is not None:
            return


if __name__ == "__main__":
    _main()

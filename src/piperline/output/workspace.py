"""Where something is made before it gets its name: a folder for one process alone.

`OUTPUT.partial/` lies beside the output while a dataset is copied or downloaded:

    lock       held by the process at work; also the mark that the folder is ours
    dataset/   the new dataset
    pieces/    videos that had to be encoded again
    new        while a dataset is replaced: which folder is the new one
    swap/      while a dataset is replaced: the new one, and after one atomic exchange the old one
"""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from piperline.errors import OutputExists, Place, output_error
from piperline.files import identity, write_whole
from piperline.output.publish import backup_name

_FOLDERS = ("dataset", "dataset.replaced", "pieces")


@contextlib.contextmanager
def exclusive(
    file: Path,
    *,
    message: str = "another process is at work on this output",
    next_step: str = "wait until it has ended",
) -> Iterator[None]:
    """Hold a lock file, which stays; the folder that it lies in belongs to this process alone.

    Raises:
        OutputExists: another process holds it; `message` and `next_step` are what is told then.
    """
    with file.open("a") as lock:
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputExists(
                message, place=Place(file=file.parent), next_step=next_step
            ) from error
        yield


def _has_lock(folder: Path) -> bool:
    return (folder / "lock").is_file()


@contextlib.contextmanager
def workspace(
    folder: Path,
    output: Path,
    *,
    is_ours: Callable[[Path], bool] = _has_lock,
    no_room: str | None = None,
) -> Iterator[None]:
    """The folder in which `output` is prepared, made if there is none, for this process alone.

    Args:
        folder: `OUTPUT.work`, `OUTPUT.partial` or `OUTPUT.download`.
        output: named where something cannot be written.
        is_ours: whether a folder that exists and is not empty was made by piperline.
        no_room: what to do if it cannot be written; None: what is done is kept for the next run.

    Raises:
        OutputExists: piperline did not make the folder, or another process is at work in it.
        OutputError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not is_ours(folder):
            raise OutputExists(
                f"{folder.name} exists, and piperline did not make it",
                place=Place(file=folder),
                expected="nothing, or the working folder of an earlier run",
                found="a folder of something else",
                next_step="move it away, or name another output",
            )
        with exclusive(folder / "lock"):
            yield
    except OSError as error:
        known = output_error(error, output)
        if known is None:
            raise
        known.next_step = no_room or known.next_step
        raise known from error


@contextlib.contextmanager
def workplace(output: Path) -> Iterator[Path]:
    """`OUTPUT.partial`, for this process alone, with an empty folder `dataset`; gone when left.

    What a process left there that was killed is removed first; a swap that it began is finished.

    Raises:
        OutputExists: piperline did not make the folder, or another process is at work in it.
        OutputError: it cannot be written.
    """
    folder = output.with_name(output.name + ".partial")
    no_room = "make room, or name another output; nothing was changed"
    with workspace(folder, output, no_room=no_room):
        _finish_swap(folder, output)
        for name in _FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "dataset").mkdir()
        (folder / "pieces").mkdir()
        try:
            yield folder / "dataset"
        finally:
            _finish_swap(folder, output)
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the folder, the lock last: after a kill on the way it can still be told as ours."""
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("new", "lock"):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another process has begun, or a user's file lies there
        folder.rmdir()


def _finish_swap(folder: Path, output: Path) -> None:
    """Finish a swap after a kill: before the exchange it holds the new dataset, then the old one.

    Each case takes one rename, so that a kill during it leaves what can be told apart.
    """
    swap, new = folder / "swap", folder / "new"
    if not swap.exists():
        return
    if new.is_file() and new.read_text(encoding="utf-8") == identity(swap):
        swap.rename(folder / "dataset")  # the caller clears this name
    else:
        swap.rename(backup_name(swap, output))


@contextlib.contextmanager
def downloading(output: Path, what: str) -> Iterator[Path]:
    """`OUTPUT.download`, for this process alone; its folder `dataset` stays until it is moved away.

    What an interrupted process left there is still there, if it was of the same `what`.

    Raises:
        OutputExists: piperline did not make the folder, or another process is at work in it.
        OutputError: it cannot be written.
    """
    folder = output.with_name(output.name + ".download")
    dataset, source = folder / "dataset", folder / "of"
    with workspace(folder, output):
        if not source.is_file() or source.read_text(encoding="utf-8") != what:
            shutil.rmtree(dataset, ignore_errors=True)
            write_whole(source, what)
        dataset.mkdir(exist_ok=True)
        yield dataset
        if not dataset.exists():
            for name in ("of", "lock"):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()

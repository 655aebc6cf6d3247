"""Where a dataset is made, and how it comes into its place: absent or complete, old or new, never half.

`OUTPUT.partial/` lies beside the output while it is made:

    lock       held by the process at work; also the mark that the folder is ours
    dataset/   the new dataset
    pieces/    videos that had to be encoded again
    new        while a dataset is replaced: which folder is the new one
    swap/      while a dataset is replaced: first the new one, and after one atomic exchange the old one
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from piperline.errors import OutputExists, Place, output_error
from piperline.files import identity, write_whole
from piperline.output.publish import backup_name

_FOLDERS = ("dataset", "dataset.replaced", "pieces")


@contextlib.contextmanager
def workplace(output: Path) -> Iterator[Path]:
    """`OUTPUT.partial`, for this process alone, with an empty folder `dataset`; gone when left.

    What an earlier process left there when it was killed is removed first; a swap that it had begun is finished.

    Raises:
        OutputExists: there is a folder of that name that piperline did not make, or another process works in it.
        OutputError: it cannot be written.
    """
    place = output.with_name(output.name + ".partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not (place / "lock").is_file() and any(place.iterdir()):
            raise OutputExists(
                "there is a folder in the place where the output would be made",
                place=Place(file=place),
                next_step="move it away, or name another output",
            )
        place.mkdir(exist_ok=True)
        with (place / "lock").open("a") as lock:
            _lock(lock.fileno(), place)
            _finish_swap(place, output)
            for name in _FOLDERS:
                shutil.rmtree(place / name, ignore_errors=True)
            (place / "dataset").mkdir()
            (place / "pieces").mkdir()
            try:
                yield place / "dataset"
            finally:
                _finish_swap(place, output)
                _remove(place)
    except OSError as error:
        known = output_error(error, output)
        if known is None:
            raise
        known.next_step = "make room, or name another place; nothing was changed"
        raise known from error


def _lock(descriptor: int, place: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputExists(
            "another process is at work on this output",
            place=Place(file=place),
            next_step="wait until it has ended",
        ) from error


def _remove(place: Path) -> None:
    """Remove a workplace, the lock last: a kill on the way leaves one that the next process knows as ours."""
    for name in _FOLDERS:
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("new", "lock"):
        (place / name).unlink(missing_ok=True)
    with contextlib.suppress(
        OSError
    ):  # something else lies there: another process has begun, or a user's file
        place.rmdir()


def _finish_swap(place: Path, output: Path) -> None:
    """Tidy `swap` after a kill: before the exchange it holds the new dataset, after it the old one.

    Each by one rename, so that a kill here as well leaves what can be told apart.
    """
    swap, new = place / "swap", place / "new"
    if not swap.exists():
        return
    if new.is_file() and new.read_text(encoding="utf-8") == identity(swap):
        swap.rename(place / "dataset")  # its place when it is not wanted: the caller clears it
    else:
        swap.rename(backup_name(swap, output))


@contextlib.contextmanager
def downloading(output: Path, what: str) -> Iterator[Path]:
    """`OUTPUT.download`, for this process alone, with a folder `dataset`, which is kept until it is moved away.

    What an earlier process left there when it broke off is there still, if it was of the same `what`.

    Raises:
        OutputExists: there is a folder of that name that piperline did not make, or another process works in it.
        OutputError: it cannot be written.
    """
    place = output.with_name(output.name + ".download")
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "lock").is_file() and any(place.iterdir()):
            raise OutputExists(
                "there is a folder in the place where the download would lie",
                place=Place(file=place),
                next_step="move it away, or name another output",
            )
        with (place / "lock").open("a") as lock:
            _lock(lock.fileno(), place)
            of = place / "of"
            if not of.is_file() or of.read_text(encoding="utf-8") != what:
                shutil.rmtree(place / "dataset", ignore_errors=True)
                write_whole(of, what)
            (place / "dataset").mkdir(exist_ok=True)
            yield place / "dataset"
            if not (place / "dataset").exists():
                for name in ("of", "lock"):
                    (place / name).unlink(missing_ok=True)
                place.rmdir()
    except OSError as error:
        known = output_error(error, output)
        if known is None:
            raise
        raise known from error

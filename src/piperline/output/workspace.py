"""Where something is made before it gets its name: a folder for one process alone.

`OUTPUT.partial/` lies beside the output while a dataset is copied or downloaded:

    lock       held by the process at work; also the mark that the folder is ours
    dataset/   the new dataset
    pieces/    videos that had to be encoded again
    new        which folder is the new dataset, when it is about to get its name
    swap/      while a dataset is replaced: the new one, and after one atomic exchange the old one
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from piperline.errors import OutputError, OutputExists, Place, output_error
from piperline.files import (
    identity,
    mount_point,
    remove,
    remove_tree,
    sweep_removed,
    write_whole,
)
from piperline.output.publish import (
    REPLACED,
    backup_name,
    check_name,
    exchange,
    give_name,
    is_mount_point,
    last_backup,
    restore_replaced,
)
from piperline.text import printable

_FOLDERS = ("dataset", "pieces")
_NEW, _SWAP = "new", "swap"
_NAMES = (*_FOLDERS, _NEW, _SWAP, f"*{REPLACED}")
_DOWNLOADED = ("dataset", "of")
_SHOWN = 10


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
                message,
                place=Place(file=file.parent),
                expected="no other process at work on it",
                next_step=next_step,
            ) from error
        yield


def foreign_names(folder: Path, names: Sequence[str]) -> list[str]:
    """What lies in a folder and is no lock, nor of `names`, nor a half-written file of ours."""
    known = ("lock", ".*.tmp-*", *names)
    found = sorted(path.name for path in folder.iterdir())
    return [
        name
        for name in found
        if not any(fnmatchcase(name, pattern) for pattern in known)
    ]


def remove_workspace(folder: Path, names: Sequence[str]) -> None:
    """Remove the folder, in one step for whoever still works in it, but not a user's files."""
    if not folder.is_dir() or not foreign_names(folder, names):
        remove_tree(folder)
        return
    for pattern in (*names, ".*.tmp-*", "lock"):
        for path in folder.glob(pattern):
            remove(path)


@contextlib.contextmanager
def workspace(
    folder: Path,
    output: Path,
    names: Sequence[str],
    *,
    no_room: str | None = None,
) -> Iterator[None]:
    """The folder in which `output` is prepared, made if there is none, for this process alone.

    Args:
        folder: `OUTPUT.work`, `OUTPUT.partial` or `OUTPUT.download`.
        output: named where something cannot be written.
        names: what piperline puts there, as patterns: anything else is somebody's, and stops the
            command.
        no_room: what to do if it cannot be written; None: what is done is kept for the next run.

    Raises:
        OutputExists: there is something else in it, or another process is at work in it.
        OutputError: it cannot be written, or lies on another file system than the output.
    """
    try:
        _refuse_mount_point(output)
        folder.mkdir(parents=True, exist_ok=True)
        _check_file_system(folder, output)
        foreign = foreign_names(folder, names)
        if foreign:
            raise OutputExists(
                f"{folder.name} holds what piperline did not put there (not changed)",
                place=Place(file=folder),
                expected="nothing, or the working folder of an earlier run",
                found=printable(", ".join(foreign[:_SHOWN])),
                next_step="move it away, or name another output",
            )
        with exclusive(folder / "lock"):
            yield
    except OSError as error:
        raise output_error(error, output, no_room) or error from error


def _refuse_mount_point(output: Path) -> None:
    if is_mount_point(output):
        raise OutputError(
            "this is a mount point: a dataset cannot take its place",
            place=Place(file=output),
            expected="a folder that can be renamed",
            found="a file system, or a part of one, mounted there",
            next_step="name another output (--output), such as a folder in it",
        )


def _check_file_system(folder: Path, output: Path) -> None:
    if mount_point(folder) != mount_point(output.parent):
        raise OutputError(
            f"{folder.name} lies on another file system: what is made there cannot get its name",
            place=Place(file=folder),
            expected=f"a folder on the file system of {output.parent}",
            found=f"one on that of {mount_point(folder)}",
            next_step="move it away; to work on another disk, name an output there",
        )


@dataclass(frozen=True)
class Workplace:
    """`OUTPUT.partial`, in which a dataset is made.

    Attributes:
        folder: its path.
        output: the name that the dataset gets.
        request: names what is asked for.
        backup: where the old dataset lies if an earlier process was killed when it had just put
            the new one in its place; the work is done then.
        finished: whether an earlier process, of the same request, was killed when the dataset had
            just got its name.
    """

    folder: Path
    output: Path
    request: str = ""
    backup: Path | None = None
    finished: bool = False

    @property
    def dataset(self) -> Path:
        """The new dataset: an empty folder at first."""
        return self.folder / "dataset"

    @property
    def pieces(self) -> Path:
        """A folder for videos that have to be encoded again."""
        return self.folder / "pieces"

    def publish(self, *, replaces: str | None = None) -> None:
        """Give the dataset its name; see `give_name`."""
        self._note_new()
        give_name(self.dataset, self.output, replaces=replaces)

    def exchange(self) -> Path:
        """Put the dataset in the place of the one that has its name, which is kept beside it.

        At every moment either the old or the new dataset has the name, where the file system can
        exchange names; elsewhere, after a kill between two renames, the next process gives it to
        the new one.

        Returns:
            Where the old one is.
        """
        swap = self.folder / _SWAP
        self._note_new()
        self.dataset.rename(swap)
        return exchange(swap, self.output)

    def _note_new(self) -> None:
        write_whole(
            self.folder / _NEW, f"{identity(self.dataset)}\n{self.request}"
        )


@contextlib.contextmanager
def workplace(output: Path, request: str = "") -> Iterator[Workplace]:
    """`OUTPUT.partial`, for this process alone; gone when left.

    What an earlier process left there that was killed is finished or removed first.

    Args:
        output: the name that the dataset will get.
        request: names what is asked for: only the same request is finished already.

    Raises:
        UsageError: `output` is no name for a folder to make.
        OutputExists: piperline did not make the folder, or another process is at work in it.
        OutputError: it cannot be written.
    """
    folder = _partial(output)
    sweep_removed(folder)
    no_room = "make room, or name another output; nothing was changed"
    with workspace(folder, output, _NAMES, no_room=no_room):
        backup = _finish_swap(folder, output)
        restore_replaced(folder, output)
        finished = was_published(output, request)
        place = Workplace(folder, output, request, backup, finished)
        for name in _FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        place.dataset.mkdir()
        place.pieces.mkdir()
        try:
            yield place
        except OSError as error:
            # Told before what was made, and took the room, is removed.
            raise output_error(error, output, no_room) or error from error
        finally:
            _finish_swap(folder, output)
            remove_workspace(folder, _NAMES)


def _partial(output: Path) -> Path:
    check_name(output)
    return output.with_name(output.name + ".partial")


def was_published(output: Path, request: str) -> bool:
    """Whether a process of the same request was killed when the dataset had just got its name.

    Raises:
        UsageError: `output` is no name for a folder to make.
    """
    sweep_removed(_partial(output))
    new, known_request = _noted(_partial(output))
    return bool(new) and (new, known_request) == (identity(output), request)


def _noted(folder: Path) -> tuple[str, str]:
    """The identity of the new dataset, and the request; empty where nothing is noted."""
    try:
        new, _, request = (
            (folder / _NEW).read_text(encoding="utf-8").partition("\n")
        )
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    return new, request


def _finish_swap(folder: Path, output: Path) -> Path | None:
    """Finish a swap after a kill; gives the place of the old dataset if the new one has its name.

    `swap` holds the new dataset before the exchange, and the old one after it. Each case takes one
    rename, so that a kill during it leaves what can be told apart.
    """
    swap = folder / _SWAP
    if not swap.exists():
        return None
    if _noted(folder)[0] != identity(swap):
        backup = backup_name(swap, output)
        swap.rename(backup)
        return backup
    if output.exists():
        swap.rename(folder / "dataset")  # the caller clears this name
        return None
    swap.rename(output)  # the old dataset had been moved to its backup already
    return last_backup(output)


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
    sweep_removed(folder)
    with workspace(folder, output, _DOWNLOADED):
        if not source.is_file() or source.read_text(encoding="utf-8") != what:
            shutil.rmtree(dataset, ignore_errors=True)
            write_whole(source, what)
        dataset.mkdir(exist_ok=True)
        yield dataset
        if not dataset.exists():
            remove_workspace(folder, _DOWNLOADED)

"""Where a dataset is made, and how it comes into its place: absent or complete, old or new, never half.

`OUTPUT.partial/` lies beside the output while it is made:

    lock       held by the process at work; also the mark that the folder is ours
    dataset/   the new dataset
    pieces/    videos that had to be encoded again
    new        while a dataset is replaced: which folder is the new one
    swap/      while a dataset is replaced: first the new one, and after one atomic exchange the old one
"""

import contextlib
import ctypes
import errno
import fcntl
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from piperline.disk import identity, sync, write_whole
from piperline.errors import DatasetError, OutputExists, Place, UsageError, is_utf8, output_error, printable
from piperline.lerobot.info import PROVENANCE, Info

__all__ = [
    "backup_name",
    "check_free",
    "check_limits",
    "check_name",
    "check_output",
    "downloading",
    "give_name",
    "replace_dataset",
    "sync_tree",
    "syncing",
    "workplace",
]

_FOLDERS = ("dataset", "dataset.replaced", "pieces")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def check_name(output: Path) -> None:
    """See that `output` names a folder that can be made, and is no other name for one that is there.

    Raises:
        UsageError: it is `.`, `/` or the like, or not UTF-8.
    """
    if output.name in {"", ".."} or not is_utf8(str(output)):
        raise UsageError(
            "the output has no name of its own",
            expected="the folder to make, such as out/apples",
            found=printable(str(output)),
        )


def check_limits(data_mb: float, video_mb: float) -> None:
    """See that the sizes at which files of v3.0 end, in MiB, are some.

    Raises:
        UsageError: they are not.
    """
    if not (math.isfinite(data_mb) and math.isfinite(video_mb) and min(data_mb, video_mb) > 0):
        raise UsageError(
            "a file size limit is not positive",
            expected="MiB, for example --video-mb 200",
            found=f"{data_mb:g} and {video_mb:g}",
            next_step="give a positive number",
        )


def check_free(output: Path, *, overwrite: bool | None = None) -> None:
    """See that a dataset can be put at `output`: nothing is there, or one of ours that is to be replaced.

    `overwrite` tells whether to replace one; None where that is not for the caller to choose.

    Raises:
        UsageError: it is no name for a folder to make.
        OutputExists: something is there.
    """
    check_name(output)
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or output.is_mount():
        raise OutputExists(
            "there is a link, or a mount point, at the place of the output: a dataset cannot take its name",
            place=Place(file=output),
            expected="nothing, or an empty folder",
            found=f"a link to {printable(str(output.readlink()))}" if output.is_symlink() else "a mount point",
            next_step="name a folder in it, or where it leads to",
        )
    if output.is_dir() and not any(output.iterdir()):
        return
    ours = (output / PROVENANCE).is_file()
    if overwrite and ours:
        return
    raise OutputExists(
        "there is something at the place of the output; it is kept",
        place=Place(file=output),
        expected="nothing, or an empty folder",
        found="a dataset that piperline made" if ours else "something that piperline did not make",
        next_step="name another place, or "
        + ("replace it with --overwrite" if ours and overwrite is False else "move it away"),
    )


def check_output(output: Path, inputs: Sequence[Path], *, overwrite: bool | None = None) -> None:
    """As `check_free`; and see that `output` is apart from the inputs.

    Raises:
        UsageError: it is one of the inputs, or lies in one.
        OutputExists: something is there.
    """
    place = output.resolve()
    for path in (path.resolve() for path in inputs):
        if place == path or path in place.parents or place in path.parents:
            raise UsageError(
                "the output and an input are in each other's place",
                expected="a folder of its own for the output",
                found=f"{output} and {path}",
            )
    check_free(output, overwrite=overwrite)


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
            "another process is at work on this output", place=Place(file=place), next_step="wait until it has ended"
        ) from error


def _remove(place: Path) -> None:
    """Remove a workplace, the lock last: a kill on the way leaves one that the next process knows as ours."""
    for name in _FOLDERS:
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("new", "lock"):
        (place / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else lies there: another process has begun, or a user's file
        place.rmdir()


@contextlib.contextmanager
def syncing(root: Path) -> Iterator[None]:
    """See that everything that is below `root` now is on the disk when this is left; the body runs meanwhile."""
    with ThreadPoolExecutor(8) as pool:  # a disk takes many requests at once better than one after the other
        under_way = [pool.submit(sync, path) for path in (*root.rglob("*"), root)]
        yield
    for done in under_way:
        done.result()


def sync_tree(root: Path) -> None:
    """See that everything below `root` is on the disk."""
    with syncing(root):
        pass


def give_name(made: Path, output: Path) -> None:
    """Rename the dataset `made` to `output`; one that is there is replaced in one step, and removed."""
    replaced = made
    if not output.exists() or not any(output.iterdir()):
        made.rename(output)
    elif not _exchange(made, output):  # the two renames are as near to it as can be
        replaced = made.with_name(f"{made.name}.replaced")
        output.rename(replaced)
        made.rename(output)
    sync(output.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def backup_name(old: Path, path: Path) -> Path:
    """The first free name of `NAME_v30`, `NAME_v30_2`, ... for the v3.0 dataset `old`, whose place at `path` is taken.

    What is no dataset becomes `NAME_old`.
    """
    try:
        suffix = Info.from_disk(old).version.replace(".", "")
    except DatasetError:
        suffix = "old"
    first = path.with_name(f"{path.name}_{suffix}")
    number, name = 1, first
    while name.exists() or name.is_symlink():
        number += 1
        name = first.with_name(f"{first.name}_{number}")
    return name


def replace_dataset(made: Path, path: Path) -> Path:
    """Put the dataset `made` in the place of the one at `path`, which is kept beside it.

    At every moment either the old or the new dataset is at `path`.

    Returns:
        Where the old one is.
    """
    backup = backup_name(path, path)
    swap = made.with_name("swap")
    write_whole(made.with_name("new"), identity(made))
    made.rename(swap)
    if not _exchange(swap, path):
        # This file system has no exchange: the two renames are as near to it as can be.
        path.rename(backup)
        swap.rename(path)
        return backup
    swap.rename(backup)
    sync(path.parent)
    return backup


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS}:
        return False
    raise OSError(code, os.strerror(code), str(other))


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

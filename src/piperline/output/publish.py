"""How a dataset gets its name: absent or complete, old or new, never half."""

import ctypes
import errno
import math
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from itertools import count, takewhile
from pathlib import Path

from piperline.errors import DatasetError, OutputExists, Place, UsageError
from piperline.files import mount_point, sync, sync_tree
from piperline.lerobot.info import Info
from piperline.output.ours import (
    Watch,
    check_bytes,
    check_names,
    is_ours,
    state,
)
from piperline.text import is_utf8, printable

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
REPLACED = ".replaced"
"""The end of the name of a dataset that is being replaced."""


def check_name(output: Path) -> None:
    """See that `output` names a folder that can be made.

    Raises:
        UsageError: it is `.`, `/` or the like, not UTF-8, or holds a zero byte.
    """
    name = str(output.absolute())
    if output.name in {"", ".."} or not is_utf8(name) or "\0" in name:
        raise UsageError(
            "the output has no name of its own, or one that is not UTF-8",
            expected="the folder to make, such as out/apples",
            found=printable(name if output.name else str(output)),
            next_step="give a path that ends in the folder's name, in UTF-8",
        )


def check_limits(data_mb: float, video_mb: float) -> None:
    """See that the sizes at which files of v3.0 end, in MiB, are some.

    Raises:
        UsageError: they are not.
    """
    if not (
        math.isfinite(data_mb)
        and math.isfinite(video_mb)
        and min(data_mb, video_mb) > 0
    ):
        raise UsageError(
            "a file size limit is not positive",
            expected="MiB, for example --video-mb 200",
            found=f"{data_mb:g} and {video_mb:g}",
            next_step="give a positive number",
        )


def check_free(
    output: Path,
    *,
    overwrite: bool | None = None,
    thorough: bool = True,
    watch: Watch = lambda _done, _all: None,
) -> str | None:
    """See that a dataset can be put at `output`: nothing is there, or one of ours to be replaced.

    Args:
        output: the folder to make.
        overwrite: whether to replace a dataset; None where that is not for the caller to choose.
        thorough: read all of a dataset that is to be replaced; else its names and sizes must do.
        watch: told how many bytes of how many were read.

    Returns:
        The state of the dataset that is to be replaced, for `give_name`; None if nothing is there,
        or it was not read.

    Raises:
        UsageError: it is no name for a folder to make.
        OutputExists: something is there.
    """
    check_name(output)
    if not output.exists() and not output.is_symlink():
        return None
    if output.is_symlink() or is_mount_point(output):
        target = (
            f"a link to {output.readlink()}"
            if output.is_symlink()
            else "a mount point"
        )
        raise OutputExists(
            "the output is a link or a mount point: a dataset cannot take its name",
            place=Place(file=output),
            expected="nothing, or an empty folder",
            found=printable(target),
            next_step="name a folder in it, or where it leads to",
        )
    if output.is_dir() and not any(output.iterdir()):
        return None
    ours = is_ours(output)
    if overwrite and ours:
        if thorough:
            return check_bytes(output, watch)
        check_names(output)
        return None
    replaceable = ours and overwrite is False
    remedy = "replace it with --overwrite" if replaceable else "move it away"
    raise OutputExists(
        "the output already exists (not changed)",
        place=Place(file=output),
        expected="nothing, or an empty folder",
        found="a dataset that piperline made"
        if ours
        else "something that piperline did not make",
        next_step=f"name another output, or {remedy}",
    )


def is_mount_point(folder: Path) -> bool:
    """Whether something is mounted at a folder: its name cannot be given to another one then."""
    return folder.exists() and mount_point(folder) == folder.resolve()


def check_output(
    output: Path,
    inputs: Sequence[Path],
    *,
    overwrite: bool | None = None,
    thorough: bool = True,
) -> str | None:
    """As `check_free`; and see that `output` is apart from the inputs.

    Raises:
        UsageError: it is one of the inputs, or lies in one.
        OutputExists: something is there.
    """
    resolved = output.resolve()
    for path in (path.resolve() for path in inputs):
        if (
            resolved == path
            or path in resolved.parents
            or resolved in path.parents
        ):
            raise UsageError(
                "the output and an input overlap",
                expected="a folder of its own for the output",
                found=f"{output} and {path}",
                next_step="name another output, outside of what is read",
            )
    return check_free(output, overwrite=overwrite, thorough=thorough)


def give_name(
    made: Path,
    output: Path,
    *,
    replaces: str | None = None,
) -> None:
    """Rename the dataset `made` to `output`, in one step; the one that it replaces is removed.

    Args:
        made: the new dataset, complete and on the disk.
        output: the name that it gets.
        replaces: the state of the dataset that is there and is to be replaced, from `check_free`.
            Anything else that came to be there meanwhile is kept.

    Raises:
        OutputExists: there is something else at `output`.
    """
    if replaces is None:
        _take(made, output)
    elif state(output) != replaces:
        raise _came_meanwhile(output)
    elif _exchange(made, output):
        if state(made) != replaces:  # it was changed between the two looks
            _exchange(made, output)
            raise _came_meanwhile(output)
        sync(output.parent)
        shutil.rmtree(made, ignore_errors=True)
    else:  # a file system without exchange: `restore_replaced` goes on after a kill between the two
        replaced = made.with_name(f"{made.name}{REPLACED}")
        output.rename(replaced)
        _take(made, output)
        sync(output.parent)
        shutil.rmtree(replaced, ignore_errors=True)


def _take(made: Path, output: Path) -> None:
    """Give a folder a name that nobody has: an empty folder is replaced, and nothing else."""
    try:
        made.rename(output)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise _came_meanwhile(output) from error
        raise
    sync(output.parent)


def _came_meanwhile(output: Path) -> OutputExists:
    return OutputExists(
        "something came to be at the output while the dataset was made (not changed)",
        place=Place(file=output),
        expected="what was there when the command began",
        found="something else, which another program put there",
        next_step="move it away, and run the same command again",
    )


def restore_replaced(folder: Path, output: Path) -> None:
    """Finish a replacement that was killed where names cannot be exchanged.

    Args:
        folder: where the new dataset was made.
        output: the old dataset gets this name back if the new one had not taken it.
    """
    for replaced in folder.glob(f"*{REPLACED}"):
        if not output.exists():
            replaced.rename(output)
            sync(output.parent)
        else:
            shutil.rmtree(replaced, ignore_errors=True)


def backup_name(old: Path, path: Path) -> Path:
    """The first free name of `NAME_v30`, `NAME_v30_2`, ... for a v3.0 dataset.

    Args:
        old: the dataset; what is none becomes `NAME_old`.
        path: its former path, which names it.
    """
    try:
        suffix = Info.from_disk(old).version.replace(".", "")
    except DatasetError:
        suffix = "old"
    names = _backup_names(path, suffix)
    return next(
        name for name in names if not (name.exists() or name.is_symlink())
    )


def _backup_names(path: Path, suffix: str) -> Iterator[Path]:
    yield path.with_name(f"{path.name}_{suffix}")
    for number in count(2):
        yield path.with_name(f"{path.name}_{suffix}_{number}")


def last_backup(path: Path) -> Path | None:
    """The backup of `path` that was made last; None if there is none."""
    backups: list[Path] = []
    for suffix in ("v20", "v21", "v30", "old"):
        backups += takewhile(Path.exists, _backup_names(path, suffix))
    return max(
        backups, key=lambda backup: backup.stat().st_ctime_ns, default=None
    )


def exchange(swap: Path, path: Path) -> Path:
    """Put the dataset `swap` in the place of the one at `path`, which is kept beside it.

    Returns:
        Where the old one is.
    """
    backup = backup_name(path, path)
    if _exchange(swap, path):
        swap.rename(backup)
    else:  # a file system without exchange: the two renames are as near to it as can be
        path.rename(backup)
        _take(swap, path)
    sync(path.parent)
    return backup


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if (
        rename(
            _AT_FDCWD,
            os.fsencode(one),
            _AT_FDCWD,
            os.fsencode(other),
            _RENAME_EXCHANGE,
        )
        == 0
    ):
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
        return False
    raise OSError(code, os.strerror(code), str(other))


def publish(
    folder: Path,
    output: Path,
    *,
    replaces: str | None = None,
    known: Collection[str] = (),
) -> None:
    """Bring a finished dataset to the disk, and give it its name as `give_name` does.

    Args:
        folder: the dataset.
        output: its name.
        replaces: see `give_name`.
        known: its files that were on the disk before; see `files.syncing`.

    Raises:
        OutputExists: there is something at `output` that is not to be replaced.
    """
    sync_tree(folder, known)
    output.parent.mkdir(parents=True, exist_ok=True)
    give_name(folder, output, replaces=replaces)

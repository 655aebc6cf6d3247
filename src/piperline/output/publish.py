"""How a dataset gets its name: absent or complete, old or new, never half."""

import ctypes
import errno
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from piperline.errors import DatasetError, OutputExists, Place, UsageError
from piperline.files import identity, sync, sync_tree, write_whole
from piperline.lerobot.info import PROVENANCE, Info
from piperline.text import is_utf8, printable

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def check_name(output: Path) -> None:
    """See that `output` names a folder that can be made.

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
    """See that a dataset can get the name `output`.

    `overwrite` tells whether to replace one that piperline made; None where the user cannot choose.

    Raises:
        UsageError: it is no name for a folder to make.
        OutputExists: something is there.
    """
    check_name(output)
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or output.is_mount():
        raise OutputExists(
            "the output is a link or a mount point: a dataset cannot take its name",
            place=Place(file=output),
            expected="nothing, or an empty folder",
            found=_what_is_mounted(output),
            next_step="name a folder in it, or where it leads to",
        )
    if output.is_dir() and not any(output.iterdir()):
        return
    ours = (output / PROVENANCE).is_file()
    if overwrite and ours:
        return
    step = "replace it with --overwrite" if ours and overwrite is False else "move it away"
    raise OutputExists(
        "the output already exists (not changed)",
        place=Place(file=output),
        expected="nothing, or an empty folder",
        found="a dataset that piperline made" if ours else "something that piperline did not make",
        next_step=f"name another output, or {step}",
    )


def _what_is_mounted(output: Path) -> str:
    if output.is_symlink():
        return f"a link to {printable(str(output.readlink()))}"
    return "a mount point"


def check_output(output: Path, inputs: Sequence[Path], *, overwrite: bool | None = None) -> None:
    """As `check_free`; and see that `output` is apart from the inputs.

    Raises:
        UsageError: it is one of the inputs, or lies in one.
        OutputExists: something is there.
    """
    resolved = output.resolve()
    for path in (path.resolve() for path in inputs):
        if resolved == path or path in resolved.parents or resolved in path.parents:
            raise UsageError(
                "the output and an input overlap",
                expected="a folder of its own for the output",
                found=f"{output} and {path}",
            )
    check_free(output, overwrite=overwrite)


def give_name(made: Path, output: Path) -> None:
    """Rename the dataset `made` to `output`; an older one is replaced in one step, and removed."""
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
    """The first free name of `NAME_v30`, `NAME_v30_2`, ... for a v3.0 dataset.

    Args:
        old: the dataset; what is none becomes `NAME_old`.
        path: its former path, which names it.
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
    """Give the dataset `made` the name of the one at `path`, which is kept beside it.

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


def publish(folder: Path, output: Path, *, overwrite: bool = False) -> None:
    """Give a finished dataset its name, in one step; one that it replaces is removed.

    Raises:
        OutputExists: there is something at `output` that is not to be replaced.
    """
    sync_tree(folder)
    check_free(output, overwrite=overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    give_name(folder, output)

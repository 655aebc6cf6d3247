"""What is written is on the disk, whole, under a name that nobody else takes."""

import contextlib
import errno
import glob
import json
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_CANNOT_COPY = {
    errno.EXDEV,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EPERM,
}
"""What `copy_file_range` says where only `sendfile` can copy."""
_THREADS = 8
"""How many requests a disk gets at once."""
_BATCH = 32
"""Files of a request: one by one they take longer to hand out than to bring to the disk."""
_ESCAPED = re.compile(
    rb"\\([0-7]{3})"
)  # proc_pid_mountinfo(5): a space is \040

LARGEST_DOCUMENT = 64 << 20
"""Bytes of a file that describes a dataset."""
LARGEST_TABLE = 1 << 30
"""Bytes of a file that tells something of each of its episodes, or files."""


def sync(path: Path | str) -> None:
    """See that a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def identity(folder: Path) -> str:
    """What tells a folder from all others, and stays when it is renamed; empty if there is none."""
    try:
        stat = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{stat.st_dev} {stat.st_ino}"


def mount_point(path: Path) -> Path:
    """The mount point below which something lies, links followed: names move within one only.

    A folder that is one lies below itself, also where it shows a part of the same file system.
    """
    points = _mount_points()
    resolved = path.resolve()
    return next(
        level for level in (resolved, *resolved.parents) if level in points
    )


def _mount_points() -> set[Path]:
    """Where something is mounted, as this process sees it; / in any case."""
    points = {Path("/")}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
            name = _ESCAPED.sub(
                lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4]
            )
            points.add(Path(os.fsdecode(name)))
    return points


def own_name() -> str:
    """A name for a temporary file or folder that no other process takes, on any machine."""
    return f"tmp-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def make_below(root: Path, folder: Path) -> None:
    """Make `folder` and what is missing between it and `root`, but not `root`.

    So a process that was taken for dead does not bring back what another has cleared away.

    Raises:
        FileNotFoundError: there is no `root`.
    """
    below = folder.relative_to(root)
    for level in (*reversed(below.parents), below):
        if level.name:
            # `exist_ok` would look again, and might find the root gone.
            with contextlib.suppress(FileExistsError):
                (root / level).mkdir()


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_tree(root: Path) -> None:
    """Remove a folder that others may still write into: it is first renamed.

    So nothing that they make comes to lie in it, or under its name. What a kill leaves of it is
    removed by `sweep_removed`.
    """
    gone = root.with_name(f"{root.name}.{own_name()}")
    try:
        root.rename(gone)
    except FileNotFoundError:
        return
    for folder in gone.iterdir():
        _clear(folder)
    shutil.rmtree(gone, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Remove the folders in a folder, of which there may be many; a link is not followed.

    A disk takes many requests at once better than one by one.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, flags)
        with ThreadPoolExecutor(_THREADS) as pool:
            for name in os.listdir(descriptor):  # noqa: PTH208 - of what was opened
                pool.submit(
                    shutil.rmtree,
                    name,
                    ignore_errors=True,
                    dir_fd=descriptor,
                )
        os.close(descriptor)


def sweep_removed(root: Path) -> None:
    """Remove what `remove_tree` left of earlier folders at `root` when it was killed."""
    for path in root.parent.glob(f"{glob.escape(root.name)}.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    """What tells whether anything below `root` has changed since: links are not followed.

    Returns:
        By path below `root`: the size of each file, when it was changed, and its inode.
    """
    found: dict[str, tuple[int, int, int]] = {}
    for folder, _, names in os.walk(root):
        below = os.path.relpath(
            folder, root
        )  # asked once: there are many files
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it has just gone
                stat = os.lstat(f"{folder}/{name}")
                seen = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
                found[f"{below}/{name}".removeprefix("./")] = seen
    return found


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say which file it is where the system does not: of a full disk it names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, and never in the place of another.

    Raises:
        FileExistsError: there is something of this name.
    """
    if path.exists() or path.is_symlink():
        raise FileExistsError(
            errno.EEXIST, os.strerror(errno.EEXIST), str(path)
        )
    own = path.with_name(f".{path.name}.{own_name()}")
    try:
        with _writing(path):
            own.write_bytes(data)
            sync(own)
        link_or_copy(own, path)
    finally:
        own.unlink(missing_ok=True)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file of ours a second name.

    It is copied where that cannot be: another file system, one without links, too many names. What
    belongs to somebody else is copied too: who may write into it is not for us to say.

    Raises:
        FileNotFoundError: there is no such file, or no folder for the target.
    """
    real = source
    try:
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode):
            real, status = os.path.realpath(source), Path(source).stat()
        if status.st_uid == os.geteuid():
            os.link(real, target)
            return
    except FileExistsError:
        raise
    except OSError:
        pass
    copy_file(real, target)
    sync(target)


def copy_file(source: Path | str, target: Path | str) -> None:
    """Copy the bytes of a file; blocks are shared where the file system can."""
    with Path(source).open("rb") as read, Path(target).open("wb") as written:
        size, copied = os.fstat(read.fileno()).st_size, 0
        while copied < size:
            done = _copy_some(
                read.fileno(), written.fileno(), copied, size - copied
            )
            if not done:  # it has become shorter
                break
            copied += done


def _copy_some(source: int, target: int, offset: int, length: int) -> int:
    """Copy some bytes without a detour through Python where the system can; how many."""
    try:
        return os.copy_file_range(source, target, length, offset)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    return os.sendfile(target, source, offset, length)


def read_plain(path: Path, largest: int = LARGEST_DOCUMENT) -> bytes:
    """All of a file that somebody else wrote.

    Raises:
        OSError: it is not there, no plain file (a pipe would be waited for), or larger.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    if status.st_size > largest:
        raise OSError(errno.EFBIG, "larger than such a file can be", str(path))
    return path.read_bytes()


def read_json(path: Path, largest: int = LARGEST_DOCUMENT) -> Any:  # noqa: ANN401 - whatever it is
    """The JSON of a file that somebody else wrote.

    Raises:
        OSError: as `read_plain`.
        ValueError: it is no JSON, or nested too deep.
    """
    try:
        return json.loads(read_plain(path, largest))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Write a file that is there whole or not at all; `text` may come in pieces."""
    pieces = (text,) if isinstance(text, str) else text
    own = path.with_name(f".{path.name}.{own_name()}")
    try:
        with _writing(path):
            with own.open(
                "w", encoding="utf-8", errors="surrogatepass"
            ) as file:
                file.writelines(pieces)
            sync(own)
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)


@contextlib.contextmanager
def syncing(root: Path, known: Collection[str] = ()) -> Iterator[None]:
    """See that what is below `root` now is on the disk when this ends; the body runs meanwhile.

    Args:
        root: a folder.
        known: files below it that were on the disk before they got their names there.
    """
    there = {f"{root}/{name}" for name in known}
    paths = [
        path
        for folder, _, names in os.walk(root)
        for name in (*names, "")
        if (path := f"{folder}/{name}") not in there
    ]
    batches = [
        paths[first : first + _BATCH] for first in range(0, len(paths), _BATCH)
    ]
    # A disk takes many requests at once better than one after the other.
    with ThreadPoolExecutor(_THREADS) as pool:
        under_way = [pool.submit(_sync_all, batch) for batch in batches]
        yield
    for done in under_way:
        done.result()


def _sync_all(paths: list[str]) -> None:
    for path in paths:
        sync(path)


def sync_tree(root: Path, known: Collection[str] = ()) -> None:
    """See that everything below `root` is on the disk; see `syncing`."""
    with syncing(root, known):
        pass

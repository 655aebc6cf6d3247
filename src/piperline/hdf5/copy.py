"""Groups of HDF5 files into new files, on HDF5's own object copy (H5Ocopy).

Raw chunks are copied as they lie, so filters need not even be known; fill values, attributes, hard links and
creation order survive; references are made anew. An output file is absent or complete.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Self

import h5py

from piperline.errors import OutputError, Place, RecordingError, output_error
from piperline.files import sync
from piperline.hdf5.describe import facts
from piperline.hdf5.objects import FAULTS, Group, Member, members, shown, walk
from piperline.hdf5.references import renew_references
from piperline.hdf5.root_attributes import SOURCES, common, root_attributes, write_attributes
from piperline.recordings.hdf5 import open_file, text
from piperline.text import printable

_METADATA_CACHE = 256 << 10  # bytes
_COPYING = (
    Lock()
)  # HDF5 does one thing at a time anyhow: better a whole file, so that it is on its way to the disk


@dataclass(frozen=True)
class SourceFile:
    """A file that groups are copied from.

    Attributes:
        path: where it is.
        name: what it is called in the record of sources: relative to the folder that was named.
        size, mtime_ns: in bytes, and its time of change in nanoseconds.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, folder: Path | None = None) -> Self:
        """The file at `path`, named as seen from `folder`, or from the folder that it lies in."""
        stat = path.stat()
        return cls(
            path, path.relative_to(folder or path.parent).as_posix(), stat.st_size, stat.st_mtime_ns
        )


@dataclass(frozen=True)
class GroupCopy:
    """One group to be copied.

    Attributes:
        source: the file that holds it.
        group: its name there, as stored.
        name: its name in the output.
        stored_bytes: what its datasets take in the source.
    """

    source: SourceFile
    group: bytes
    name: bytes
    stored_bytes: int

    @property
    def place(self) -> Place:
        """Where it is, for error messages."""
        return Place(file=self.source.path, hdf5_path="/" + shown(self.group))


@dataclass(frozen=True)
class NewFile:
    """A file to be written.

    Attributes:
        path: where.
        groups: what goes into it, in order.
    """

    path: Path
    groups: Sequence[GroupCopy]

    @property
    def stored_bytes(self) -> int:
        """About how large it will be."""
        return sum(group.stored_bytes for group in self.groups)


def sources_text(groups: Sequence[GroupCopy]) -> str:
    """Where the groups of a file come from, as it is kept in the file (`SOURCES`)."""
    return json.dumps(
        {
            text(item.name): [
                item.source.name,
                text(item.group),
                item.source.size,
                item.source.mtime_ns,
            ]
            for item in groups
        }
    )


def group_bytes(group: Group) -> int:
    """What the datasets of a group take in the file, as `inspect` tells it."""
    return sum(facts(entry.object).stored_bytes for entry in walk(group) if entry.kind == "dataset")


def leaks(group: Group, name: bytes) -> Iterator[str]:
    """What of a top-level group lies outside of it: one line for each link or dataset."""
    for entry in walk(group, "/" + shown(name)):
        if entry.kind == "unreadable":
            raise RecordingError(
                "an object cannot be copied", place=Place(hdf5_path=entry.path), found=entry.text
            )
        if entry.kind == "dataset":
            storage = facts(entry.object).storage
            if storage.startswith(("external", "virtual")):
                yield f"{entry.path}: its values lie elsewhere ({storage})"
        if entry.kind == "group":
            yield from _leaking_links(entry.object, entry.path, name)


def _leaking_links(group: Group, path: str, name: bytes) -> Iterator[str]:
    for member in members(group):
        where = f"{path}/{shown(member.name)}"
        if (
            member.kind == "soft"
            and member.target[0].startswith(b"/")
            and not _inside(member.target[0], name)
        ):
            yield f"{where}: a link to {shown(member.target[0])}, outside of its group"
        if member.kind in {"external", "other"}:
            yield f"{where}: a link into another file ({':'.join(map(shown, member.target))})"


def _inside(target: bytes, name: bytes) -> bool:
    return target.lstrip(b"/").split(b"/")[0] == name


def write_file(new: NewFile, *, allow_external: bool = False) -> None:
    """Copy the groups of a plan into their new file, which appears whole or not at all; an older one is replaced.

    Args:
        new: the plan.
        allow_external: copy links and storage that lie outside of a group as they are, instead of refusing them.

    Raises:
        RecordingError: a source cannot be read, or a group reaches outside of itself.
        OutputError: no space, no permission, or another process writes the same file.
    """
    try:
        with _aside(new.path) as (partial, flush), _COPYING:
            _write(partial, new, flush, allow_external=allow_external)
    except FAULTS as error:
        cause = _copy_error(error, Place(file=new.path))
        raise (
            output_error(cause, new.path) if isinstance(cause, OSError) else cause
        ) or error from error


def partial_path(path: Path) -> Path:
    """Where a file lies while it is written: beside its place, and never mistaken for an HDF5 file."""
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return path.with_name(f".piperline-{digest}.part")


@contextmanager
def _aside(path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A temporary name in the same folder, renamed to `path` at the end. A killed run's is taken over.

    Gives with it what to call now and then: what is written by then goes to the disk while more is written.
    """
    partial = partial_path(path)
    lock = _lock(partial, path)
    try:
        with ThreadPoolExecutor(1) as pool:
            flushes = [pool.submit(os.fdatasync, lock)]

            def flush() -> None:
                if flushes[-1].done():
                    flushes.append(pool.submit(os.fdatasync, lock))

            yield partial, flush
        for done in flushes:
            done.result()
        os.fsync(lock)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)
    sync(path.parent)


def _lock(partial: Path, path: Path) -> int:
    """Open and lock the temporary file, unless another process has it, or has just renamed it."""
    lock = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == partial.stat().st_ino:
            return lock
    os.close(lock)
    raise OutputError("another process is writing this file", place=Place(file=path))


def _write(partial: Path, new: NewFile, flush: Callable[[], None], *, allow_external: bool) -> None:
    output = h5py.File(partial, "w", track_order=True, locking=False)
    _keep_little(output)
    try:
        output.attrs[SOURCES] = sources_text(new.groups)
        sources = list(dict.fromkeys(item.source for item in new.groups))
        attributes = {source: root_attributes(source.path) for source in sources}
        shared = common(list(attributes.values()))
        write_attributes(output.id, shared)
        for source in sources:
            own = {
                f"file:{shown(name)}".encode(): a
                for name, a in attributes[source].items()
                if name not in shared
            }
            copied: dict[int, bytes] = {}
            with open_file(source.path) as file:
                _keep_little(file)
                for item in (item for item in new.groups if item.source == source):
                    twin = copied.setdefault(_address(file, item), item.name)
                    if twin != item.name:
                        output.id.links.create_hard(item.name, output.id, twin)
                        continue
                    _copy_group(file, output, item, allow_external=allow_external)
                    write_attributes(h5py.h5o.open(output.id, item.name), own, keep=True)
                    flush()
        output.flush()
    except BaseException:
        with suppress(*FAULTS):
            output.close()
        raise
    output.close()


def _keep_little(file: h5py.File) -> None:
    """Give HDF5's metadata cache a size that stays in the processor's.

    Values of variable length pass through it. In its usual 32 MB, each image takes a way through memory.
    """
    config = file.id.get_mdc_config()
    config.set_initial_size, config.initial_size, config.min_size, config.max_size = (
        True,
        *[_METADATA_CACHE] * 3,
    )
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0  # neither grow nor shrink
    file.id.set_mdc_config(config)


def _address(file: h5py.File, item: GroupCopy) -> int:
    try:
        return int(h5py.h5o.get_info(h5py.h5o.open(file.id, item.group)).addr)
    except FAULTS as error:
        raise _copy_error(error, item.place) from error


def _copy_group(
    file: h5py.File, output: h5py.File, item: GroupCopy, *, allow_external: bool
) -> None:
    try:
        source = h5py.h5o.open(file.id, item.group)
        outside = list(leaks(source, item.group))
        if not outside or allow_external:
            h5py.h5o.copy(file.id, item.group, output.id, item.name)
            path = "/" + shown(item.group)
            outside += renew_references(source, h5py.h5o.open(output.id, item.name), path)
            if item.name != item.group:
                _follow_rename(output.id, item)
    except FAULTS as error:
        raise _copy_error(error, item.place) from error
    if outside and not allow_external:
        raise _reaches_outside(item, outside)


def refuse_leaks(items: Iterable[GroupCopy]) -> None:
    """See that groups do not reach outside of themselves by links or storage; without copying, for a dry run.

    Raises:
        RecordingError: one does, or cannot be read.
    """
    for item in items:
        with open_file(item.source.path) as file:
            try:
                outside = list(leaks(h5py.h5o.open(file.id, item.group), item.group))
            except FAULTS as error:
                raise _copy_error(error, item.place) from error
        if outside:
            raise _reaches_outside(item, outside)


def _reaches_outside(item: GroupCopy, outside: Sequence[str]) -> RecordingError:
    return RecordingError(
        "the group reaches outside of itself, which is not followed",
        place=item.place,
        found="; ".join(outside[:5])
        + (f"; and {len(outside) - 5} more" if len(outside) > 5 else ""),
        next_step="if you trust the file: --allow-external keeps such links and storage as they are",
    )


def _copy_error(error: Exception, place: Place) -> Exception:
    if isinstance(error, OSError) and error.errno:
        return error
    if written := re.search(r"write failed.*errno = (\d+)", str(error), re.DOTALL):
        number = int(written[1])
        return OSError(number, os.strerror(number))
    words = printable(str(error))
    return RecordingError(
        "this cannot be copied",
        place=place,
        found=words,
        next_step="the file is damaged: repair it",
    )


def _follow_rename(root: Group, item: GroupCopy) -> None:
    """Let absolute links within a renamed group lead to the copy, not to a group of the old name."""
    for group in [
        entry.object for entry in walk(h5py.h5o.open(root, item.name)) if entry.kind == "group"
    ]:
        targets = {
            member.name: b"/" + item.name + member.target[0].lstrip(b"/")[len(item.group) :]
            for member in members(group)
            if member.kind == "soft"
            and member.target[0].startswith(b"/")
            and _inside(member.target[0], item.group)
        }
        for member in _made_since(group, targets) if targets else ():
            _make_again(group, member, targets)


def _made_since(group: Group, names: Collection[bytes]) -> list[Member]:
    """The links `names` of a group; where it keeps the order of creation, also all that were made after the first."""
    found = {member.name: member for member in members(group)}
    if not group.get_create_plist().get_link_creation_order():
        return [found[name] for name in names]
    order: list[bytes] = []
    group.links.iterate(order.append, idx_type=h5py.h5.INDEX_CRT_ORDER)
    return [found[name] for name in order[min(order.index(name) for name in names) :]]


def _make_again(group: Group, member: Member, targets: Mapping[bytes, bytes]) -> None:
    """Put a link of a group behind its other links, with a new target if `targets` has one."""
    if member.kind == "other":  # nobody else knows how it was made
        return
    thing = h5py.h5o.open(group, member.name) if member.kind == "hard" else None
    group.unlink(member.name)
    if member.kind == "hard":
        h5py.h5o.link(thing, group, member.name)
    elif member.kind == "soft":
        group.links.create_soft(member.name, targets.get(member.name, member.target[0]))
    else:
        group.links.create_external(member.name, *member.target)

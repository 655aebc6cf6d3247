"""Groups of HDF5 files into new files, on HDF5's own object copy (H5Ocopy).

Raw chunks are copied as they lie, so filters need not even be known; fill values, attributes, hard
links and creation order survive; references are made anew. An output file is absent or complete.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import h5py

from piperline.errors import OutputError, Place, RecordingError, output_error
from piperline.files import sync
from piperline.hdf5.describe import facts
from piperline.hdf5.objects import (
    FAULTS,
    Group,
    Unreadable,
    address,
    members,
    open_member,
    walk,
)
from piperline.hdf5.plan import (
    GroupCopy,
    NewFile,
    SourceFile,
    partial_path,
    sources_text,
)
from piperline.hdf5.references import leads_into, rename_links, renew_references
from piperline.hdf5.root_attributes import (
    SOURCES,
    Attribute,
    common,
    root_attributes,
    write_attribute,
)
from piperline.recordings.hdf5 import open_file
from piperline.text import printable, shown

_METADATA_CACHE = 256 << 10  # bytes
_LEAVE_OUT = (
    "record or copy the file again, or leave it out with --groups or --pattern"
)
_MOST_OUTSIDE = 5

_COPYING = Lock()
"""HDF5 does one thing at a time anyhow: better a whole file, then the next."""


def group_bytes(group: Group) -> int:
    """What the datasets of a group take in the file, as `inspect` tells it.

    Raises:
        Unreadable: a dataset is damaged.
    """
    datasets = (
        entry.object for entry in walk(group) if entry.kind == "dataset"
    )
    return sum(facts(dataset).stored_bytes for dataset in datasets)


def leaks(group: Group, name: bytes) -> Iterator[str]:
    """What of a top-level group lies outside of it: one line for each link or dataset.

    Raises:
        RecordingError: an object of the group cannot be read.
    """
    for entry in walk(group, "/" + shown(name)):
        if entry.kind == "unreadable":
            place = Place(hdf5_path=entry.path)
            raise RecordingError(
                "an object cannot be copied",
                place=place,
                expected="an object that HDF5 can open",
                found=entry.text,
                next_step=_LEAVE_OUT,
            )
        if entry.kind == "dataset":
            storage = facts(entry.object).storage
            if storage.startswith(("external", "virtual")):
                yield f"{entry.path}: its values lie elsewhere ({storage})"
        if entry.kind == "group":
            yield from _leaking_links(entry.object, entry.path, name)


def _leaking_links(
    group: Group,
    path: str,
    name: bytes,
) -> Iterator[str]:
    for member in members(group):
        where = f"{path}/{shown(member.name)}"
        if member.is_absolute and not leads_into(member, name):
            yield f"{where}: a link to {shown(member.target[0])}, outside of its group"
        if member.kind in {"external", "other"}:
            yield f"{where}: a link into another file ({':'.join(map(shown, member.target))})"


def write_file(new: NewFile, *, allow_external: bool = False) -> None:
    """Copy the groups of a plan into their new file.

    It appears whole or not at all; an older one is replaced.

    Args:
        new: the plan.
        allow_external: copy links and storage that lie outside of a group as they are, instead of
            refusing them.

    Raises:
        RecordingError: a source cannot be read, or a group reaches outside of itself.
        OutputError: no space, no permission, or another process writes the same file.
    """
    try:
        with _aside(new.path) as (partial, flush), _COPYING:
            _write(partial, new, flush, allow_external=allow_external)
    except OSError as error:
        raise output_error(error, new.path) or error from error


@contextmanager
def _aside(path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A temporary name in the same folder, renamed to `path` at the end.

    That of a killed run is taken over. With it comes what to call now and then, so that what is
    written goes to the disk while more is written.
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
    lock = os.open(
        partial,
        os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW,
        0o666,
    )
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == partial.stat().st_ino:
            return lock
    os.close(lock)
    raise OutputError(
        "another process is writing this file",
        place=Place(file=path),
        expected="no other process at this output",
        found=f"a lock on {printable(partial.name)}",
        next_step="wait until it has ended, and run the same command again",
    )


def _write(
    partial: Path,
    new: NewFile,
    flush: Callable[[], None],
    *,
    allow_external: bool,
) -> None:
    place = Place(file=new.path)
    with _copying(place):
        output = h5py.File(partial, "w", track_order=True, locking=False)
    try:
        _keep_little(output)
        _fill(output, new, flush, allow_external=allow_external)
        with _copying(place):
            output.flush()
    except BaseException:
        with suppress(*FAULTS):
            output.close()
        raise
    with _copying(place):
        output.close()


def _fill(
    output: h5py.File,
    new: NewFile,
    flush: Callable[[], None],
    *,
    allow_external: bool,
) -> None:
    sources = list(dict.fromkeys(item.source for item in new.groups))
    attributes = {source: root_attributes(source.path) for source in sources}
    shared = common(list(attributes.values()))
    with _copying(Place(file=new.path)):
        output.attrs[SOURCES] = sources_text(new.groups)
        for name, attribute in shared.items():
            write_attribute(output.id, name, attribute)
    for source in sources:
        items = [item for item in new.groups if item.source == source]
        _copy_groups(
            output, source, items, flush, allow_external=allow_external
        )
        own = {
            name: a
            for name, a in attributes[source].items()
            if name not in shared
        }
        with _copying(Place(file=source.path, hdf5_path="/")):
            _write_own(output, source, items, own)


def _copy_groups(
    output: h5py.File,
    source: SourceFile,
    items: Sequence[GroupCopy],
    flush: Callable[[], None],
    *,
    allow_external: bool,
) -> None:
    """Copy groups of one source; one that has two names there is stored once."""
    copied: dict[int, bytes] = {}
    with open_file(source.path) as file:
        _keep_little(file)
        for item in items:
            with _located(item.place):
                here = address(open_member(file.id, item.group))
            twin = copied.setdefault(here, item.name)
            if twin == item.name:
                _copy_group(file, output, item, allow_external=allow_external)
            else:
                output.id.links.create_hard(item.name, output.id, twin)
            flush()


def _write_own(
    output: h5py.File,
    source: SourceFile,
    items: Sequence[GroupCopy],
    own: Mapping[bytes, Attribute],
) -> None:
    """Keep what one source alone says of itself: with each of its groups, as `file:NAME`.

    What is too large for the header of a group is kept once, at the top, as `file:SOURCE:NAME`.
    """
    for name, attribute in own.items():
        if attribute.fits_any_object:
            for item in items:
                group = h5py.h5o.open(output.id, item.name)
                write_attribute(group, b"file:" + name, attribute, keep=True)
        else:
            prefix = f"file:{source.name}:".encode("utf-8", "surrogateescape")
            write_attribute(output.id, prefix + name, attribute)


@contextmanager
def _copying(place: Place) -> Iterator[None]:
    """Turn what h5py raises while it copies into an error with a place; around its calls only."""
    try:
        yield
    except FAULTS as error:
        raise _copy_error(error, place) from error


@contextmanager
def _located(place: Place) -> Iterator[None]:
    """Turn `Unreadable` into an error that tells where."""
    try:
        yield
    except Unreadable as error:
        cause = (
            error.__cause__ if isinstance(error.__cause__, FAULTS) else error
        )
        raise _copy_error(cause, place) from error


def _keep_little(file: h5py.File) -> None:
    """Give HDF5's metadata cache a size that stays in the processor's.

    Values of variable length pass through it. In its usual 32 MB, each image takes a way through
    memory.
    """
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = _METADATA_CACHE
    config.incr_mode = config.flash_incr_mode = config.decr_mode = (
        0  # neither grow nor shrink
    )
    file.id.set_mdc_config(config)


def _copy_group(
    file: h5py.File, output: h5py.File, item: GroupCopy, *, allow_external: bool
) -> None:
    outside = _leaks(file, item)
    if not outside or allow_external:
        with _copying(item.place):
            h5py.h5o.copy(
                file.id,
                item.group,
                output.id,
                item.name,
            )
        with _located(item.place):
            outside += _renew(file, output, item)
    if outside and not allow_external:
        raise _reaches_outside(item, outside)


def _leaks(file: h5py.File, item: GroupCopy) -> list[str]:
    with _located(item.place):
        return list(
            leaks(
                open_member(file.id, item.group),
                item.group,
            )
        )


def _renew(
    file: h5py.File,
    output: h5py.File,
    item: GroupCopy,
) -> list[str]:
    """Let references and links lead to the copy; what leads out of the group, a line each."""
    source, copy = (
        open_member(file.id, item.group),
        open_member(output.id, item.name),
    )
    outside = list(renew_references(source, copy, "/" + shown(item.group)))
    if item.name != item.group:
        rename_links(copy, item.group, item.name)
    return outside


def refuse_leaks(items: Iterable[GroupCopy]) -> None:
    """See that groups do not reach outside of themselves by links or storage, without copying.

    Raises:
        RecordingError: one does, or cannot be read.
    """
    for item in items:
        with open_file(item.source.path) as file:
            outside = _leaks(file, item)
        if outside:
            raise _reaches_outside(item, outside)


def _reaches_outside(item: GroupCopy, outside: Sequence[str]) -> RecordingError:
    found = "; ".join(outside[:_MOST_OUTSIDE])
    if len(outside) > _MOST_OUTSIDE:
        found += f"; and {len(outside) - _MOST_OUTSIDE} more"
    return RecordingError(
        "the group reaches outside of itself, which is not followed",
        place=item.place,
        expected="links and values that lie within the group",
        found=found,
        next_step="if you trust the file, add --allow-external: links and storage are copied as is",
    )


def _copy_error(error: Exception, place: Place) -> Exception:
    """What h5py's error means: an error of the system where it tells one, else a damaged source."""
    if isinstance(error, OSError) and error.errno:
        return error
    if written := re.search(
        r"write failed.*errno = (\d+)", str(error), re.DOTALL
    ):
        number = int(written[1])
        return OSError(number, os.strerror(number))
    return RecordingError(
        "this cannot be copied",
        place=place,
        expected="a group that HDF5 can read to its end",
        found=printable(str(error)),
        next_step=_LEAVE_OUT,
    )

"""The door to untrusted HDF5 files: how they are opened, walked and read.

Nothing outside a file is ever followed.
What h5py raises for a damaged file becomes an error with a place here, and nowhere else: a call of
h5py stands alone in `reading`, so that an error of piperline's own code keeps its traceback.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - its import registers blosc, zstd and other filters

from piperline.errors import BadEpisode, Place, RecordingError
from piperline.memory import at_most_more
from piperline.recordings.limits import READ_MEMORY, out_of_memory
from piperline.text import natural_key, printable, stored, text

_NO_MEMORY = "memory allocation failed"
READ_ERRORS = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
)
"""What h5py raises for damaged files."""

_LFS = b"version https://git-lfs"
_MAX_LINKS = 16
_MAX_VALUE_BYTES = 64 << 20
_MOST_OBJECTS = 1000
_SLACK, _OVERHEAD = 16, 4096
"""Data that compress badly grow a little: by a sixteenth, and so many bytes, at most."""
_DEEPEST = 16
MAX_CHUNK_BYTES = 512 << 20
"""Chunks are unfolded whole; no recording has larger ones."""


def open_file(path: Path) -> h5py.File:
    """Open an HDF5 file to read.

    Raises:
        RecordingError: it is missing, a folder, not HDF5, cut short, damaged, or open for writing
            elsewhere.
    """
    place = Place(file=path)
    if not path.is_file():
        there = (
            "a folder" if path.is_dir() else "something that is no regular file"
        )
        found = there if path.exists() else "nothing of that name"
        raise RecordingError(
            "there is no such file",
            place=place,
            expected="an HDF5 file",
            found=found,
            next_step="check the path",
        )
    try:
        return h5py.File(path, "r")
    except READ_ERRORS as error:
        raise _cannot_open(error, place) from error


def _cannot_open(error: Exception, place: Place) -> RecordingError:
    """Say what h5py's error means for the user."""
    words = printable(str(error))
    if isinstance(error, PermissionError):
        message, expected = (
            "there is no permission to read the file",
            "a file that this user can read",
        )
        step = "give the permission, or run this as its owner"
    elif isinstance(error, BlockingIOError):
        message, expected = (
            "the file is being written by another program",
            "a file that is closed",
        )
        step = "wait until it is closed"
    elif "already open for write" in words:
        message = "the file was not closed by the program that wrote it, or is still being written"
        expected, step = (
            "a file that is closed",
            "wait until it is closed; if that program has died: `h5clear -s FILE`",
        )
    elif "truncated" in words:
        message, expected = (
            "the file is cut short",
            "as many bytes as its header says",
        )
        step = "copy or record it again"
    elif "signature not found" in words and _is_lfs_pointer(place):
        message = "the file is a pointer of Git LFS, not the recording itself"
        expected, step = (
            "an HDF5 file",
            "fetch what it stands for: git lfs pull",
        )
    elif "signature not found" in words:
        message, expected = "this is not an HDF5 file", "an HDF5 file"
        step = "name the recordings themselves; if this is one, copy or record it again"
    else:
        message, expected, step = (
            "the file cannot be opened",
            "a whole HDF5 file",
            "copy or record it again",
        )
    return RecordingError(
        message, place=place, expected=expected, found=words, next_step=step
    )


def _is_lfs_pointer(place: Place) -> bool:
    """Whether a file is what Git LFS leaves where the file itself was not fetched."""
    with Path(place.file or "").open("rb") as file:
        return file.read(len(_LFS)) == _LFS


@contextmanager
def reading(
    place: Place, kind: type[RecordingError] = RecordingError
) -> Iterator[None]:
    """Turn what h5py raises into an error with a place."""
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(place) from error
    except READ_ERRORS as error:
        words = printable(str(error))
        if _NO_MEMORY in words:
            raise out_of_memory(place) from error
        step = "copy or record it again, or leave it out with --skip-bad"
        message, expected = "the file cannot be read here", "undamaged data"
        raise kind(
            message, place=place, expected=expected, found=words, next_step=step
        ) from error


def resolve(
    root: h5py.Group, path: str, place: Place
) -> h5py.Group | h5py.Dataset | h5py.Datatype | None:
    """What lies at `path` below `root`, or None; soft links are followed inside the file.

    Raises:
        BadEpisode: a link leads out of the file, or in circles.
    """
    node: Any = root
    parts = _parts(path)
    links = 0
    while parts:
        part = parts.pop(0)
        if not isinstance(node, h5py.Group):
            return None
        try:
            found = follow(node, part)
        except READ_ERRORS:
            with reading(_below(node, part, place), BadEpisode):
                raise
        if isinstance(found, h5py.ExternalLink):
            raise _foreign(
                "an external link", found.filename, _below(node, part, place)
            )
        if isinstance(found, h5py.SoftLink):
            links += 1
            if links > _MAX_LINKS:
                raise _circles(_below(node, part, place), found.path)
            node = node.file if found.path.startswith("/") else node
            parts = _parts(found.path) + parts
            continue
        node = found
    return (
        node
        if isinstance(node, (h5py.Group, h5py.Dataset, h5py.Datatype))
        else None
    )


def member_names(group: h5py.Group, place: Place) -> list[str]:
    """The names of what lies in a group, in the order of the file.

    Raises:
        RecordingError: the group is damaged.
    """
    with reading(place):
        names = list(group)
    return [text(name) for name in names]


def attribute(node: h5py.HLObject, name: str, place: Place) -> object:
    """The value of an attribute; None where there is none, or an empty one.

    Raises:
        BadEpisode: it cannot be read.
    """
    with reading(place, BadEpisode), at_most_more(READ_MEMORY):
        value = node.attrs.get(name)
    return None if isinstance(value, h5py.Empty) else value


def is_link(
    group: h5py.Group,
    name: str,
    place: Place,
) -> str | None:
    """Where a soft link leads; None for anything else."""
    with reading(place, BadEpisode):
        link = group.get(stored(name), getlink=True)
    return str(link.path) if isinstance(link, h5py.SoftLink) else None


def is_there(root: h5py.Group, reference: str, place: Place) -> bool:
    """Whether there is what a reference names (see `piperline.recordings.rules`)."""
    node, name = _referred(root, reference, place)
    if node is None or not name:
        return node is not None
    with reading(place, BadEpisode):
        return name in node.attrs


def lookup(root: h5py.Group, reference: str, place: Place) -> object:
    """The value that a reference names: an attribute, or a whole small dataset, or None.

    Raises:
        BadEpisode: it cannot be read, leaves the file, or is absurdly large.
    """
    node, name = _referred(root, reference, place)
    if name:
        return None if node is None else attribute(node, name, place)
    if not isinstance(node, h5py.Dataset) or node.shape is None:
        return None
    refuse_foreign_storage(node, place)
    with reading(place, BadEpisode):
        size = node.dtype.itemsize * math.prod(node.shape)
    if size > _MAX_VALUE_BYTES:
        raise absurd(node, place, size, _MAX_VALUE_BYTES)
    with reading(place, BadEpisode), at_most_more(READ_MEMORY):
        value: object = node[()]
    return value


def _referred(
    root: h5py.Group, reference: str, place: Place
) -> tuple[Any, str]:
    path, _, name = reference.partition("@")
    start = root.file if path.startswith("/") else root
    inside = path.strip("/")
    return (resolve(start, inside, place) if inside else start), name


def matching(
    root: h5py.Group, pattern: str, place: Place
) -> list[tuple[str, str]]:
    """What there is at a path with one `*`, in natural order: what `*` stands for, and the path.

    Raises:
        BadEpisode: a link on the way leaves the file, or the file is damaged.
    """
    parts = pattern.split("/")
    index = next(number for number, part in enumerate(parts) if "*" in part)
    group = (
        resolve(
            root,
            "/".join(parts[:index]),
            place,
        )
        if index
        else root
    )
    if not isinstance(group, h5py.Group):
        return []
    before, _, behind = parts[index].partition("*")
    found = []
    for name in sorted(member_names(group, place), key=natural_key):
        inner = name.removeprefix(before).removesuffix(behind)
        path = "/".join(
            [
                *parts[:index],
                name,
                *parts[index + 1 :],
            ]
        )
        if before + inner + behind == name and inner and "/" not in name:
            found.append((inner, path))
    return [
        (inner, path)
        for inner, path in found
        if not parts[index + 1 :] or _is_there(root, path)
    ]


def _is_there(root: h5py.Group, path: str) -> bool:
    return resolve(root, path, Place()) is not None


def datasets_below(
    root: h5py.Group,
    place: Place,
) -> Iterator[h5py.Dataset]:
    """The datasets below a group, level by level, of the first thousand objects.

    What leads out of the file or cannot be read is not among them.
    """
    waiting: list[tuple[h5py.Group, int]] = [(root, 0)]
    seen = 0
    while waiting:
        group, depth = waiting.pop(0)
        for name in _names_if_readable(group, place):
            seen += 1
            node = _member_if_readable(group, name, place)
            if seen > _MOST_OBJECTS:
                return
            if isinstance(node, h5py.Dataset):
                yield node
            elif isinstance(node, h5py.Group) and depth < _DEEPEST:
                waiting.append((node, depth + 1))


def _names_if_readable(group: h5py.Group, place: Place) -> list[str]:
    try:
        return member_names(group, place)
    except RecordingError:
        return []


def _member_if_readable(group: h5py.Group, name: str, place: Place) -> object:
    try:
        return resolve(group, name, place)
    except RecordingError:
        return None


def absurd(
    data: h5py.Dataset, place: Place, size: int, limit: int
) -> BadEpisode:
    """The error for a dataset of which `size` bytes would have to be in memory at once."""
    return BadEpisode(
        "a dataset claims a size that no recording has",
        place=place,
        expected=f"at most {limit >> 20} MiB at once",
        found=f"{size >> 20} MiB: {describe(data)}",
        next_step="leave the episode out with --skip-bad",
    )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def follow(
    group: h5py.Group, name: str
) -> h5py.HLObject | h5py.ExternalLink | h5py.SoftLink | None:
    """A member of a group: a group, a dataset, a named type, a link that is not followed, or None.

    By low-level calls: they are faster, and take names that are not UTF-8.
    """
    links = group.id.links
    try:
        kind = links.get_info(stored(name)).type
    except READ_ERRORS:
        if not links.exists(stored(name)):
            return None
        raise
    if kind == h5py.h5l.TYPE_SOFT:
        return h5py.SoftLink(text(links.get_val(stored(name))))
    if kind != h5py.h5l.TYPE_HARD:
        known = kind == h5py.h5l.TYPE_EXTERNAL
        return (
            h5py.ExternalLink(*map(text, links.get_val(stored(name))))
            if known
            else None
        )
    opened = h5py.h5o.open(group.id, stored(name))
    if isinstance(opened, h5py.h5g.GroupID):
        return h5py.Group(opened)
    if isinstance(opened, h5py.h5d.DatasetID):
        # its shape is asked for once
        return h5py.Dataset(opened, readonly=True)
    return h5py.Datatype(opened)


def _below(group: h5py.Group, name: str, place: Place) -> Place:
    return Place(
        file=place.file,
        hdf5_path=f"{group.name.rstrip('/')}/{name}",
        episode=place.episode,
    )


def _circles(place: Place, target: str) -> BadEpisode:
    return BadEpisode(
        "links go in circles",
        place=place,
        expected="a dataset, or a link to one",
        found=f"a link to {printable(target)}, and so on",
        next_step="repair the recording, or leave the episode out with --skip-bad",
    )


def refuse_foreign_storage(data: h5py.Dataset, place: Place) -> None:
    """See that a dataset lies in its own file and can be decompressed.

    Raises:
        BadEpisode: it is virtual, stored in another file, compressed twice by one filter, or needs
            a filter that is not installed.
    """
    filters = data.id.get_create_plist()
    if filters.get_layout() == h5py.h5d.VIRTUAL:
        raise _foreign(
            "a virtual dataset", data.virtual_sources()[0].file_name, place
        )
    if filters.get_external_count():
        raise _foreign("external storage", str(data.external[0][0]), place)
    used = [
        filters.get_filter(index) for index in range(filters.get_nfilters())
    ]
    if len({code for code, *_ in used}) < len(used):
        raise BadEpisode(
            "the dataset is compressed twice",
            place=place,
            expected="each filter once: twice, some bytes become gigabytes",
            found="filters " + ", ".join(str(code) for code, *_ in used),
            next_step="leave the episode out with --skip-bad",
        )
    if used and filters.get_layout() == h5py.h5d.CHUNKED:
        _refuse_large_chunks(data, place)
    for code, _, _, name in used:
        if not h5py.h5z.filter_avail(code):
            named = printable(name.decode(errors="replace")) or "without a name"
            raise BadEpisode(
                "a filter that the dataset was written with is not installed",
                place=place,
                expected="gzip, szip, lzf, or a filter of the package hdf5plugin",
                found=f"filter {code} ({named})",
                next_step="install the HDF5 plugin of that filter and set HDF5_PLUGIN_PATH",
            )


def _refuse_large_chunks(data: h5py.Dataset, place: Place) -> None:
    """See that no compressed chunk takes more than it unfolds to: else it claims too little."""
    most = math.prod(data.chunks) * data.dtype.itemsize
    most += most // _SLACK + _OVERHEAD
    largest = 0

    def see(chunk: h5py.h5d.StoreInfo) -> None:
        nonlocal largest
        largest = max(largest, chunk.size)

    with reading(place, BadEpisode):
        data.id.chunk_iter(see)
    if largest > most:
        raise BadEpisode(
            "a compressed chunk is larger than what it claims to hold",
            place=place,
            expected=f"at most {most} bytes in the file",
            found=f"{largest} bytes, which may unfold to any size",
            next_step="leave the episode out with --skip-bad",
        )


def _foreign(what: str, target: str, place: Place) -> BadEpisode:
    return BadEpisode(
        f"{what} leaves the file, which is not followed",
        place=place,
        expected="data inside the file",
        found=f"{what} to {printable(target)}",
        next_step="copy the data into the file, or leave the episode out with --skip-bad",
    )


def describe(node: h5py.Group | h5py.Dataset | h5py.Datatype | None) -> str:
    """What an object is, in a few words for error messages."""
    if isinstance(node, h5py.Dataset):
        try:
            return (
                f"{node.dtype} of shape {node.shape}"
                if node.shape is not None
                else "a dataset without a dataspace"
            )
        except READ_ERRORS:
            return "values of a type that is not known here"
    if isinstance(node, h5py.Datatype):
        return "a named type"
    return "a group" if node is not None else "nothing"

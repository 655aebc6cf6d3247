"""How untrusted HDF5 files are opened and walked: nothing outside a file is ever followed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - its import registers blosc, zstd and other filters
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, Place, RecordingError
from piperline.text import printable

READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError)
"""What h5py raises for damaged files."""

_MAX_LINKS = 16


def open_file(path: Path) -> h5py.File:
    """Open an HDF5 file to read.

    Raises:
        RecordingError: it is missing, a folder, not HDF5, cut short, damaged, or open for writing elsewhere.
    """
    place = Place(file=path)
    if not path.is_file():
        there = "a folder" if path.is_dir() else "something that is no regular file"
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
        message, expected = "the file is being written by another program", "a file that is closed"
        step = "wait until it is closed"
    elif "already open for write" in words:
        message = "the file was not closed by the program that wrote it, or is still being written"
        expected, step = (
            "a file that is closed",
            "wait until it is closed; if that program has died: `h5clear -s FILE`",
        )
    elif "truncated" in words:
        message, expected = "the file is cut short", "as many bytes as its header says"
        step = "copy or record it again"
    elif "signature not found" in words:
        message, expected = "this is not an HDF5 file", "an HDF5 file"
        step = "name the recordings themselves; if this is one, copy or record it again"
    else:
        message, expected, step = (
            "the file cannot be opened",
            "a whole HDF5 file",
            "copy or record it again",
        )
    return RecordingError(message, place=place, expected=expected, found=words, next_step=step)


@contextmanager
def reading(place: Place, kind: type[RecordingError] = RecordingError) -> Iterator[None]:
    """Turn what h5py raises into an error with a place."""
    try:
        yield
    except READ_ERRORS as error:
        words = printable(str(error))
        step = "copy or record it again, or leave it out with --skip-bad"
        message, expected = "the file cannot be read here", "undamaged data"
        raise kind(message, place=place, expected=expected, found=words, next_step=step) from error


def resolve(
    root: h5py.Group, path: str, place: Place
) -> h5py.Group | h5py.Dataset | h5py.Datatype | None:
    """What lies at `path` below `root`, or None; soft links are followed inside the file, nothing leaves it.

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
            raise _foreign("an external link", found.filename, _below(node, part, place))
        if isinstance(found, h5py.SoftLink):
            links += 1
            if links > _MAX_LINKS:
                raise _circles(_below(node, part, place), found.path)
            node = node.file if found.path.startswith("/") else node
            parts = _parts(found.path) + parts
            continue
        node = found
    return node if isinstance(node, (h5py.Group, h5py.Dataset, h5py.Datatype)) else None


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def follow(group: h5py.Group, name: str) -> Any:
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
        return h5py.ExternalLink(*map(text, links.get_val(stored(name)))) if known else None
    opened = h5py.h5o.open(group.id, stored(name))
    if isinstance(opened, h5py.h5g.GroupID):
        return h5py.Group(opened)
    if isinstance(opened, h5py.h5d.DatasetID):
        return h5py.Dataset(opened, readonly=True)  # its shape is asked for once
    return h5py.Datatype(opened)


def _below(group: h5py.Group, name: str, place: Place) -> Place:
    return Place(
        file=place.file, hdf5_path=f"{group.name.rstrip('/')}/{name}", episode=place.episode
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
        raise _foreign("a virtual dataset", data.virtual_sources()[0].file_name, place)
    if filters.get_external_count():
        raise _foreign("external storage", str(data.external[0][0]), place)
    used = [filters.get_filter(index) for index in range(filters.get_nfilters())]
    if len({code for code, *_ in used}) < len(used):
        raise BadEpisode(
            "the dataset is compressed twice",
            place=place,
            expected="each filter once: twice, some bytes become gigabytes",
            found="filters " + ", ".join(str(code) for code, *_ in used),
            next_step="leave the episode out with --skip-bad",
        )
    for code, _, _, name in used:
        if not h5py.h5z.filter_avail(code):
            raise BadEpisode(
                "a filter that the dataset was written with is not installed",
                place=place,
                expected="gzip, szip, lzf, or a filter of the package hdf5plugin",
                found=f"filter {code} ({printable(name.decode(errors='replace')) or 'without a name'})",
                next_step="install the HDF5 plugin of that filter and set HDF5_PLUGIN_PATH",
            )


def _foreign(what: str, target: str, place: Place) -> BadEpisode:
    return BadEpisode(
        f"{what} leaves the file, which is not followed",
        place=place,
        expected="data inside the file",
        found=f"{what} to {printable(target)}",
        next_step="copy the data into the file, or leave the episode out with --skip-bad",
    )


def read_rows(
    data: h5py.h5d.DatasetID, dtype: np.dtype[Any], start: int, stop: int
) -> NDArray[Any]:
    """Some rows of a dataset of `dtype`, by HDF5's own calls.

    They are several times faster than h5py's indexing, which counts with thousands of cameras.
    """
    count = (stop - start, *data.shape[1:])
    space = data.get_space()
    space.select_hyperslab((start, *[0] * (len(count) - 1)), count)
    values = np.empty(count, dtype)
    data.read(h5py.h5s.create_simple(count), space, values)
    return values


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


def text(name: str | bytes) -> str:
    """A name as text; h5py gives names that are not UTF-8 as bytes."""
    return name if isinstance(name, str) else name.decode("utf-8", errors="surrogateescape")


def stored(name: str) -> bytes:
    """A name as it is stored; of what `text` gave."""
    return name.encode("utf-8", errors="surrogateescape")


def listed(names: list[str], most: int = 8) -> str:
    """Some names for an error message."""
    shown = ", ".join(printable(name) for name in names[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown or "nothing"

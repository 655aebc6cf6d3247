"""What a dataset is and holds, read within limits: never more than is shown, whatever the file claims."""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from piperline.errors import RecordingError
from piperline.hdf5.cells import clipped
from piperline.hdf5.image_text import Picture, read_picture
from piperline.hdf5.objects import FAULTS, Dataset, Thing, shown
from piperline.recordings.hdf5 import read_rows
from piperline.text import printable, size_text

MOST_BYTES = 64 << 20
"""The most that one look reads: the chunk that holds a value is decompressed as a whole."""

Selection = int | slice | tuple[int | slice, ...]
Value = Any
"""What h5py makes of values: a numpy array or scalar, bytes, a reference."""

_MOST_VALUES = 1000
_FILTERS = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    32000: "lzf",
}
_FILTERS |= {
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
_RGB = (3, 4)  # the last of a raw image's dimensions
_RAW_DIMENSIONS = 4
_HEAP_ENTRY = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
WIDTH = 76
"""Of what is shown of values, in cells of a terminal."""


@dataclass(frozen=True)
class Facts:
    """What a dataset is.

    Attributes:
        shape: None for a dataset without a dataspace.
        dtype: its type in words.
        storage: `contiguous`, `compact`, `chunks (1, 480, 640, 3)`, `virtual`, `external FILE`.
        filters: in the order in which they are applied.
        logical_bytes: of its values, uncompressed.
        stored_bytes: that it takes in the file, variable-length values included.
        estimated: both sizes are estimated from a few of its variable-length values.
    """

    shape: tuple[int, ...] | None
    dtype: str
    storage: str
    filters: tuple[str, ...]
    logical_bytes: int
    stored_bytes: int
    estimated: bool = False

    def __str__(self) -> str:
        """All that is known, on one line."""
        shape = "empty" if self.shape is None else str(self.shape) if self.shape else "scalar"
        stored, logical = size_text(self.stored_bytes), size_text(self.logical_bytes)
        size = f"{stored} stored of {logical}" if self.stored_bytes < self.logical_bytes else stored
        about = "about " if self.estimated else ""
        return "  ".join(
            [
                f"{shape} {self.dtype}",
                self.storage,
                *filter(None, [" ".join(self.filters)]),
                about + size,
            ]
        )


def facts(dataset: Dataset) -> Facts:
    """Describe a dataset without reading its values."""
    return _facts(dataset, _dtype(dataset))


def facts_and_picture(dataset: Dataset) -> tuple[Facts, Picture | str | None]:
    """What a dataset is, and what its rows show; the first row is read."""
    dtype = _dtype(dataset)
    return _facts(dataset, dtype), _picture(dataset, dtype)


def _facts(dataset: Dataset, dtype: np.dtype[Any] | None) -> Facts:
    properties, space = dataset.get_create_plist(), dataset.get_space()
    shape = None if space.get_simple_extent_type() == h5py.h5s.NULL else tuple(space.shape)
    filters = tuple(
        _filter_text(*properties.get_filter(place)) for place in range(properties.get_nfilters())
    )
    stored = dataset.get_storage_size()
    count = 0 if shape is None else math.prod(shape)
    logical, estimated = count * dataset.get_type().get_size(), False
    base = _vlen_base(dtype)
    if base is not None and not _elsewhere(properties):
        values, estimated = _vlen_bytes(dataset, count, base)
        most = h5py.h5i.get_file_id(
            dataset
        ).get_filesize()  # whatever a few rows, or a table, claim
        logical, stored = min(values, most), min(stored + values, most)
    return Facts(
        shape, _type_text(dtype), _storage(properties), filters, logical, stored, estimated
    )


def _dtype(dataset: Dataset) -> np.dtype[Any] | None:
    try:
        return dataset.dtype  # type: ignore[no-any-return]
    except FAULTS:
        return None


def _type_text(dtype: np.dtype[Any] | None) -> str:
    if dtype is None:
        return "unknown type"
    if string := h5py.check_string_dtype(dtype):
        return "string" if string.length is None else f"string[{string.length}]"
    return _special_type_text(dtype) or _plain_type_text(dtype)


def _special_type_text(dtype: np.dtype[Any]) -> str | None:
    """The types that h5py marks in a numpy type's metadata."""
    if (base := h5py.check_vlen_dtype(dtype)) is not None:
        return f"vlen {_type_text(np.dtype(base))}"
    if (reference := h5py.check_ref_dtype(dtype)) is not None:
        return "reference" if reference is h5py.Reference else "region reference"
    names = h5py.check_enum_dtype(dtype)
    return None if names is None else "enum " + printable("/".join(list(names)[:4]))


def _plain_type_text(dtype: np.dtype[Any]) -> str:
    if dtype.subdtype is not None:
        return f"{_type_text(dtype.subdtype[0])}{dtype.subdtype[1]}"
    if dtype.names is not None:
        return printable(
            "{" + ", ".join(f"{name}: {_type_text(dtype[name])}" for name in dtype.names) + "}"
        )
    return f"opaque[{dtype.itemsize}]" if dtype.kind == "V" else dtype.name


def _storage(properties: h5py.h5p.PropDCID) -> str:
    if properties.get_external_count():
        return "external " + shown(properties.get_external(0)[0])
    layout = properties.get_layout()
    if layout == h5py.h5d.CHUNKED:
        return f"chunks {tuple(properties.get_chunk())}"
    names = {h5py.h5d.COMPACT: "compact", h5py.h5d.VIRTUAL: "virtual"}
    return names.get(layout, "contiguous")


def _filter_text(code: int, _flags: int, values: tuple[int, ...], name: bytes) -> str:
    text = _FILTERS.get(code) or shown(name) or f"filter {code}"
    level = f"-{values[0]}" if code == h5py.h5z.FILTER_DEFLATE and values else ""
    return text + level + ("" if h5py.h5z.filter_avail(code) else " (cannot be decoded here)")


def _elsewhere(properties: h5py.h5p.PropDCID) -> str | None:
    """Why the values are not in this file."""
    if properties.get_external_count():
        return f"its values lie in another file, {shown(properties.get_external(0)[0])}"
    return (
        "its values lie in other datasets" if properties.get_layout() == h5py.h5d.VIRTUAL else None
    )


def _vlen_base(dtype: np.dtype[Any] | None) -> int | None:
    """Bytes of one item of a variable-length value, or None."""
    if dtype is None:
        return None
    string = h5py.check_string_dtype(dtype)
    if string is not None:
        return 1 if string.length is None else None
    base = h5py.check_vlen_dtype(dtype)
    return None if base is None else np.dtype(base).itemsize


def _vlen_bytes(dataset: Dataset, count: int, base: int) -> tuple[int, bool]:
    """Bytes of all variable-length values, and whether that is an estimate.

    A contiguous dataset is a table of lengths and heap addresses (HDF5 file format specification, III.D and
    IV.A.2.d): the lengths are read from there. Of others, the first and the middle value tell.
    """
    offset, size = dataset.get_offset(), count * _HEAP_ENTRY.itemsize
    if offset is not None and dataset.get_storage_size() == size <= MOST_BYTES:
        table = os.pread(h5py.h5i.get_file_id(dataset).get_vfd_handle(), size, offset)
        if len(table) == size:
            return int(
                np.frombuffer(table, _HEAP_ENTRY)["length"].sum(dtype=np.uint64)
            ) * base, False
    if not count or not dataset.get_storage_size():
        return 0, False
    try:
        lengths = [
            len(value)
            for value in (_one(dataset, 0), _one(dataset, count // 2))
            if value is not None
        ]
    except (RecordingError, *FAULTS):
        lengths = []
    return int(sum(lengths) / max(len(lengths), 1) * count * base), True


def _one(dataset: Dataset, number: int) -> Value:
    """The value at a flat index."""
    return read(dataset, tuple(int(i) for i in np.unravel_index(number, dataset.shape)))


def read(dataset: Dataset, selection: Selection, *, most: int | None = None) -> Value:
    """Read a part of a dataset.

    Args:
        dataset: what to read.
        selection: which part.
        most: how many values at most; otherwise only their bytes are limited.

    Raises:
        RecordingError: the values lie in another file, are too many or too large to look at, or damaged.
    """
    _refuse(dataset)
    try:
        asked = int(np.broadcast_to(np.uint8(0), dataset.shape)[selection].size)  # takes no memory
        if asked > (most or asked) or asked * dataset.get_type().get_size() > MOST_BYTES:
            raise RecordingError(
                f"not read: {asked:,} values are too many", next_step="ask for fewer: NAME[10:20]"
            )
        return h5py.Dataset(dataset)[selection]
    except (IndexError, *FAULTS) as error:
        raise RecordingError(f"cannot be read: {error}") from error


def _refuse(dataset: Dataset) -> None:
    """Refuse values in other files, and chunks that would fill the memory when they are decompressed."""
    properties = dataset.get_create_plist()
    if elsewhere := _elsewhere(properties):
        raise RecordingError(f"not read: {elsewhere}")
    if properties.get_layout() == h5py.h5d.CHUNKED:
        chunk = math.prod(properties.get_chunk()) * dataset.get_type().get_size()
        if chunk > MOST_BYTES and properties.get_nfilters():
            raise RecordingError(f"not read: one of its chunks claims {size_text(chunk)}")


def _row(dataset: Dataset, dtype: np.dtype[Any], number: int) -> Value:
    """One row.

    Raises:
        RecordingError: as `read`.
    """
    _refuse(dataset)
    rows, *row = dataset.shape
    if math.prod(row) * dtype.itemsize > MOST_BYTES:
        raise RecordingError("not read: one row is too large")
    try:
        return read_rows(dataset, dtype, number % rows, number % rows + 1)[0]
    except FAULTS as error:
        raise RecordingError(f"cannot be read: {error}") from error


def picture_bytes(dataset: Dataset, frame: int = 0) -> bytes | None:
    """The bytes of one row, if the rows of the dataset are byte strings: variable-length, fixed or padded."""
    return _picture_bytes(dataset, _dtype(dataset), frame)


def _picture_bytes(dataset: Dataset, dtype: np.dtype[Any] | None, frame: int = 0) -> bytes | None:
    shape = dataset.shape
    if not shape or dtype is None or not -shape[0] <= frame < shape[0]:
        return None
    padded = len(shape) == 2 and dtype == np.uint8
    if not padded and (len(shape) != 1 or dtype.kind not in "SVO" or dtype.names is not None):
        return None
    if h5py.check_ref_dtype(dtype) is not None:
        return None
    value = _row(dataset, dtype, frame)
    if isinstance(value, np.ndarray | np.void):
        return value.tobytes()
    return bytes(value) if isinstance(value, bytes) else None


def _picture(dataset: Dataset, dtype: np.dtype[Any] | None) -> Picture | str | None:
    """What the rows of a dataset show, told by the first: an encoded picture, `raw WxH`, or None: no pictures."""
    shape = dataset.shape
    if (
        dtype == np.uint8
        and shape is not None
        and len(shape) == _RAW_DIMENSIONS
        and shape[-1] in _RGB
    ):
        return f"raw {shape[2]}x{shape[1]}"
    try:
        data = _picture_bytes(dataset, dtype)
    except RecordingError:
        return None
    return read_picture(data) if data else None


def preview(dataset: Dataset, selection: str = "", *, width: int = WIDTH) -> list[str]:
    """Lines with a few values of a dataset.

    Args:
        dataset: what to look at.
        selection: which, in Python's words: `5`, `10:20`, `0, 2:4`, `-1`; by default the first few.
        width: of the lines.

    Raises:
        RecordingError: there is no such selection, or `read` refuses it.
    """
    if dataset.shape is None or dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return ["empty"]
    wanted = (
        _selection(selection)
        if selection
        else tuple(slice(0, most) for most in _most(dataset.shape))
    )
    return _lines(read(dataset, wanted, most=_MOST_VALUES), width)


def _most(shape: tuple[int, ...]) -> Iterator[int]:
    """How many of each dimension a preview shows: 3 rows of 8 numbers, or 6 of a flat list."""
    yield from [1] * max(len(shape) - 2, 0)
    yield from [3, 8] if len(shape) > 1 else [6] * len(shape)


def _selection(text: str) -> tuple[int | slice, ...]:
    if not re.fullmatch(r"[-\d:,\s]{0,200}", text):
        raise RecordingError(
            "this is not a selection", found=printable(text), expected="like 5, 10:20 or 0:3, 2"
        )
    try:
        return tuple(_axis(part.strip()) for part in text.split(","))
    except (TypeError, ValueError) as error:
        raise RecordingError(
            f"this is not a selection: {error}", found=text, expected="like 5, 10:20 or 0:3, 2"
        ) from None


def _axis(text: str) -> int | slice:
    return (
        slice(*(int(part) if part.strip() else None for part in text.split(":")))
        if ":" in text
        else int(text)
    )


def _lines(value: Value, width: int) -> list[str]:
    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.ndim in {1, 2}
        and value.size
    ):
        rows = np.atleast_2d(value)
        if read_picture(rows[0].tobytes()):
            return [_item(row, width) for row in rows]
    if isinstance(value, np.ndarray) and value.dtype != object and value.dtype.kind not in "SV":
        return np.array2string(
            value, max_line_width=width, precision=5, threshold=_MOST_VALUES
        ).splitlines()
    items = value.ravel()[:_MOST_VALUES] if isinstance(value, np.ndarray) else [value]
    return [_item(item, width) for item in items] or ["no values"]


def _item(value: Value, width: int) -> str:
    data = (
        value.tobytes()
        if isinstance(value, np.void | np.ndarray)
        else value
        if isinstance(value, bytes)
        else b""
    )
    if found := read_picture(data):
        return f"{found}, {size_text(len(data))}"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    text = printable(" ".join(str(value).split()) if isinstance(value, np.ndarray) else str(value))
    return clipped(text, width)


def attributes(thing: Thing) -> dict[str, str]:
    """The attributes of an object as text; large ones by shape and type only."""
    found = {}
    for number in range(h5py.h5a.get_num_attrs(thing)):
        name = f"? {number}"
        try:
            attribute = h5py.h5a.open(thing, index=number)
            name = shown(attribute.name)
            found[name] = _attribute_text(attribute)
        except FAULTS as error:
            found[name] = f"unreadable: {error}"
    return found


def _attribute_text(attribute: h5py.h5a.AttrID) -> str:
    if attribute.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return "empty"
    if math.prod(attribute.shape) > _MOST_VALUES:
        return f"{attribute.shape} {_type_text(attribute.dtype)}"
    value = np.empty(attribute.shape, attribute.dtype)
    attribute.read(value)
    lines = _lines(value if value.ndim else value[()], WIDTH)
    return (
        ", ".join(lines)
        if len(lines) < 4
        else ", ".join([*lines[:3], f"and {len(lines) - 3} more lines"])
    )

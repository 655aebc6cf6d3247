"""What a dataset is: shape, type, storage, filters and sizes, found without reading its values."""

import math
import os
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from piperline.errors import RecordingError
from piperline.hdf5.objects import Dataset, Unreadable, reading_h5py
from piperline.hdf5.values import MOST_BYTES, Value, elsewhere, read
from piperline.text import printable, shown

_FILTERS = {
    1: "gzip",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scaleoffset",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
"""The numbers that the HDF Group has registered for filters."""

_HEAP_ENTRY = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
_MOST_ENUM_NAMES = 4


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


@dataclass(frozen=True)
class _Stored:
    """What HDF5 says of a dataset.

    Attributes:
        shape: None for a dataset without a dataspace.
        item_bytes: of a value; of a variable-length value, those of its entry in the table.
        stored_bytes: variable-length values aside.
        file_bytes: the size of the whole file.
        offset: where contiguous values begin.
    """

    shape: tuple[int, ...] | None
    item_bytes: int
    stored_bytes: int
    file_bytes: int
    offset: int | None

    @property
    def count(self) -> int:
        """How many values there are."""
        return 0 if self.shape is None else math.prod(self.shape)


def facts(dataset: Dataset) -> Facts:
    """Describe a dataset.

    Raises:
        Unreadable: its header is damaged.
    """
    dtype = dtype_of(dataset)
    with reading_h5py():
        properties = dataset.get_create_plist()
    stored = _stored(dataset)
    logical, on_disk, estimated = (
        stored.count * stored.item_bytes,
        stored.stored_bytes,
        False,
    )
    base = _vlen_base(dtype)
    if base is not None and not elsewhere(dataset):
        values, estimated = _vlen_bytes(dataset, stored, base)
        # whatever a few rows, or a table, claim
        logical = min(values, stored.file_bytes)
        on_disk = min(on_disk + values, stored.file_bytes)
    return Facts(
        shape=stored.shape,
        dtype=type_text(dtype),
        storage=_storage(properties),
        filters=_filters(properties),
        logical_bytes=logical,
        stored_bytes=on_disk,
        estimated=estimated,
    )


def _stored(dataset: Dataset) -> _Stored:
    with reading_h5py():
        space = dataset.get_space()
        has_shape = space.get_simple_extent_type() != h5py.h5s.NULL
        return _Stored(
            shape=tuple(space.shape) if has_shape else None,
            item_bytes=dataset.get_type().get_size(),
            stored_bytes=dataset.get_storage_size(),
            file_bytes=h5py.h5i.get_file_id(dataset).get_filesize(),
            offset=dataset.get_offset(),
        )


def dtype_of(thing: Dataset | h5py.h5a.AttrID) -> np.dtype[Any] | None:
    """The type of a dataset or attribute; None if it is none that numpy can tell."""
    try:
        with reading_h5py():
            dtype: np.dtype[Any] = thing.dtype
    except Unreadable:
        return None
    return dtype


def type_text(dtype: np.dtype[Any] | None) -> str:
    """A type in words."""
    if dtype is None:
        return "unknown type"
    if string := h5py.check_string_dtype(dtype):
        return "string" if string.length is None else f"string[{string.length}]"
    return _special_type_text(dtype) or _plain_type_text(dtype)


def _special_type_text(dtype: np.dtype[Any]) -> str | None:
    """The types that h5py marks in a numpy type's metadata."""
    if (base := h5py.check_vlen_dtype(dtype)) is not None:
        return f"vlen {type_text(np.dtype(base))}"
    if (reference := h5py.check_ref_dtype(dtype)) is not None:
        return (
            "reference" if reference is h5py.Reference else "region reference"
        )
    names = h5py.check_enum_dtype(dtype)
    if names is None:
        return None
    return "enum " + printable("/".join(list(names)[:_MOST_ENUM_NAMES]))


def _plain_type_text(dtype: np.dtype[Any]) -> str:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"{type_text(base)}{shape}"
    if dtype.names is not None:
        members = [f"{name}: {type_text(dtype[name])}" for name in dtype.names]
        return printable("{" + ", ".join(members) + "}")
    return f"opaque[{dtype.itemsize}]" if dtype.kind == "V" else dtype.name


def _storage(properties: h5py.h5p.PropDCID) -> str:
    with reading_h5py():
        if properties.get_external_count():
            return "external " + shown(properties.get_external(0)[0])
        layout = properties.get_layout()
        if layout == h5py.h5d.CHUNKED:
            return f"chunks {tuple(properties.get_chunk())}"
    names = {h5py.h5d.COMPACT: "compact", h5py.h5d.VIRTUAL: "virtual"}
    return names.get(layout, "contiguous")


def _filters(properties: h5py.h5p.PropDCID) -> tuple[str, ...]:
    with reading_h5py():
        count = properties.get_nfilters()
        filters = [properties.get_filter(index) for index in range(count)]
    return tuple(_filter_text(*each) for each in filters)


def _filter_text(
    code: int, _flags: int, values: tuple[int, ...], name: bytes
) -> str:
    text = _FILTERS.get(code) or shown(name) or f"filter {code}"
    if code == h5py.h5z.FILTER_DEFLATE and values:
        text += f"-{values[0]}"
    if not h5py.h5z.filter_avail(code):
        text += " (cannot be decoded here)"
    return text


def _vlen_base(dtype: np.dtype[Any] | None) -> int | None:
    """Bytes of one item of a variable-length value, or None."""
    if dtype is None:
        return None
    string = h5py.check_string_dtype(dtype)
    if string is not None:
        return 1 if string.length is None else None
    base = h5py.check_vlen_dtype(dtype)
    return None if base is None else np.dtype(base).itemsize


def _vlen_bytes(
    dataset: Dataset, stored: _Stored, base: int
) -> tuple[int, bool]:
    """Bytes of all variable-length values, and whether that is an estimate.

    A contiguous dataset is a table of lengths and heap addresses (HDF5 file format specification,
    III.D and IV.A.2.d): the lengths are read from there. Of others, the first and the middle value
    tell.
    """
    size = stored.count * _HEAP_ENTRY.itemsize
    if stored.offset is not None and stored.stored_bytes == size <= MOST_BYTES:
        with reading_h5py():
            descriptor = h5py.h5i.get_file_id(dataset).get_vfd_handle()
        table = os.pread(descriptor, size, stored.offset)
        if len(table) == size:
            lengths = np.frombuffer(table, _HEAP_ENTRY)["length"]
            return int(lengths.sum(dtype=np.uint64)) * base, False
    if not stored.count or not stored.stored_bytes:
        return 0, False
    return int(_mean_length(dataset, stored) * stored.count * base), True


def _mean_length(dataset: Dataset, stored: _Stored) -> float:
    """The mean length of the first and the middle value; 0 if they cannot be read."""
    try:
        values = [
            _value(dataset, stored, index) for index in (0, stored.count // 2)
        ]
    except RecordingError:
        return 0
    lengths = [len(value) for value in values if value is not None]
    return sum(lengths) / max(len(lengths), 1)


def _value(dataset: Dataset, stored: _Stored, index: int) -> Value:
    """The value at a flat index."""
    place = np.unravel_index(index, stored.shape or ())
    return read(dataset, tuple(int(i) for i in place))

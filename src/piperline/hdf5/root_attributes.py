"""The attributes of a file's root: what a recorder said of the whole file, kept with its groups."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place, RecordingError
from piperline.hdf5.objects import (
    Thing,
    Unreadable,
    attribute_names,
    reading_h5py,
)
from piperline.memory import at_most_more
from piperline.recordings.hdf5 import open_file
from piperline.recordings.limits import READ_MEMORY

SOURCES = "piperline_sources"
"""The root attribute that tells where each group of an output came from.

JSON: {group: [file, group there, size of the file in bytes, its time of change in nanoseconds]}.
"""

_MOST_IN_A_HEADER = 60_000
"""Bytes. An object header of the first version takes messages of less than 64 KiB (HDF5 file format
specification, IV.A.1.a); a copied group may have one. The root of our outputs has not."""


@dataclass(frozen=True)
class Attribute:
    """One attribute, apart from its file.

    Attributes:
        dtype, space: HDF5's own descriptions of its type and its shape.
        value: of the numpy type that h5py makes of it; None if the attribute is empty.
        stored_bytes: that its value takes, variable-length parts aside.
    """

    dtype: bytes
    space: bytes
    value: NDArray[Any] | None
    stored_bytes: int

    @property
    def fits_any_object(self) -> bool:
        """Whether any object can have it; a larger one needs an object header of a newer kind."""
        return (
            self.stored_bytes + len(self.dtype) + len(self.space)
            < _MOST_IN_A_HEADER
        )

    def equals(self, other: "Attribute | None") -> bool:
        """Whether type, shape and value are the same."""
        if other is None or (self.dtype, self.space) != (
            other.dtype,
            other.space,
        ):
            return False
        mine, theirs = np.asarray(self.value), np.asarray(other.value)
        return bool(mine.tolist() == theirs.tolist())


def root_attributes(path: Path) -> dict[bytes, Attribute]:
    """The attributes of a file's root by name, in the order of creation where the file keeps it.

    Without references, which lead nowhere in another file, and without `SOURCES`.

    Raises:
        RecordingError: they cannot be read.
    """
    with open_file(path) as file:
        try:
            named = {name: _read(file.id, name) for name in _names(file.id)}
        except Unreadable as error:
            raise RecordingError(
                "the attributes of the file cannot be read",
                place=Place(file=path, hdf5_path="/"),
                expected="attributes that HDF5 can read",
                found=error.message,
                next_step="copy or record the file again",
            ) from error
    return {
        name: attribute
        for name, attribute in named.items()
        if attribute is not None
    }


def _names(root: Thing) -> list[bytes]:
    with reading_h5py():
        tracked = (
            h5py.h5g.open(root, b"/")
            .get_create_plist()
            .get_attr_creation_order()
        )
    names = attribute_names(root, in_order_of_creation=bool(tracked))
    return [name for name in names if name != SOURCES.encode()]


def _read(root: Thing, name: bytes) -> Attribute | None:
    with reading_h5py():
        attribute = h5py.h5a.open(root, name)
        dtype, space = attribute.get_type(), attribute.get_space()
        if dtype.detect_class(h5py.h5t.REFERENCE):  # however deep
            return None
        if space.get_simple_extent_type() == h5py.h5s.NULL:
            return Attribute(dtype.encode(), space.encode(), None, 0)
        value = np.empty(attribute.shape, attribute.dtype)
        with at_most_more(READ_MEMORY):
            attribute.read(value)
        size = dtype.get_size() * math.prod(attribute.shape)
        return Attribute(dtype.encode(), space.encode(), value, size)


def common(
    files: Sequence[Mapping[bytes, Attribute]],
) -> dict[bytes, Attribute]:
    """The attributes on which all files agree."""
    first, *others = files
    return {
        name: attribute
        for name, attribute in first.items()
        if all(attribute.equals(other.get(name)) for other in others)
    }


def write_attribute(
    thing: Thing, name: bytes, attribute: Attribute, *, keep: bool = False
) -> None:
    """Write an attribute to an object; with `keep`, one that it has already stays as it is.

    What h5py raises is not caught here.
    """
    if keep and h5py.h5a.exists(thing, name):
        return
    dtype, space = (
        h5py.h5t.decode(attribute.dtype),
        h5py.h5s.decode(attribute.space),
    )
    made = h5py.h5a.create(thing, name, dtype, space)
    if attribute.value is not None:
        made.write(attribute.value)

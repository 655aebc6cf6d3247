"""The attributes of a file's root: what a recorder said of the whole file, which its groups should not lose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place, RecordingError
from piperline.hdf5.objects import FAULTS, Thing
from piperline.recordings.hdf5 import open_file
from piperline.text import printable

SOURCES = "piperline_sources"
"""The root attribute that tells where each group of an output came from: JSON, {group: [file, group there, size of the
file in bytes, its time of change in nanoseconds]}."""


@dataclass(frozen=True)
class Attribute:
    """One attribute, apart from its file.

    Attributes:
        dtype, space: HDF5's own descriptions of its type and its shape.
        value: of the numpy type that h5py makes of it; None if the attribute is empty.
    """

    dtype: bytes
    space: bytes
    value: NDArray[Any] | None

    def equals(self, other: "Attribute | None") -> bool:
        """Whether type, shape and value are the same."""
        if other is None or (self.dtype, self.space) != (other.dtype, other.space):
            return False
        return bool(np.asarray(self.value).tolist() == np.asarray(other.value).tolist())


def root_attributes(path: Path) -> dict[bytes, Attribute]:
    """The attributes of a file's root by name, in the order of their making where the file keeps it.

    Without references, which lead nowhere in another file, and without `SOURCES`.

    Raises:
        RecordingError: they cannot be read.
    """
    found = {}
    with open_file(path) as file:
        try:
            tracked = h5py.h5g.open(file.id, b"/").get_create_plist().get_attr_creation_order()
            order = h5py.h5.INDEX_CRT_ORDER if tracked else h5py.h5.INDEX_NAME
            for number in range(h5py.h5a.get_num_attrs(file.id)):
                attribute = h5py.h5a.open(file.id, index=number, index_type=order)
                refers = attribute.get_type().detect_class(h5py.h5t.REFERENCE)  # however deep
                if attribute.name != SOURCES.encode() and not refers:
                    found[attribute.name] = _read(attribute)
        except FAULTS as error:
            place = Place(file=path, hdf5_path="/")
            raise RecordingError(
                "the attributes of the file cannot be read",
                place=place,
                found=printable(str(error)),
            ) from error
    return found


def _read(attribute: h5py.h5a.AttrID) -> Attribute:
    space = attribute.get_space()
    value = None
    if space.get_simple_extent_type() != h5py.h5s.NULL:
        value = np.empty(attribute.shape, attribute.dtype)
        attribute.read(value)
    return Attribute(attribute.get_type().encode(), space.encode(), value)


def common(files: Sequence[Mapping[bytes, Attribute]]) -> dict[bytes, Attribute]:
    """The attributes on which all files agree."""
    first, *others = files
    return {
        name: a for name, a in first.items() if all(a.equals(other.get(name)) for other in others)
    }


def write_attributes(
    thing: Thing, attributes: Mapping[bytes, Attribute], *, keep: bool = False
) -> None:
    """Write attributes to an object; with `keep`, those that it has already stay as they are."""
    for name, attribute in attributes.items():
        if keep and h5py.h5a.exists(thing, name):
            continue
        dtype, space = h5py.h5t.decode(attribute.dtype), h5py.h5s.decode(attribute.space)
        made = h5py.h5a.create(thing, name, dtype, space)
        if attribute.value is not None:
            made.write(attribute.value)

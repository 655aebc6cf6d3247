"""References within a copied group: they hold addresses, so in another file each must be made anew.

H5Ocopy leaves plain references null, and carries the addresses of the old file over where they lie in variable-length
or compound values (as those of dimension scales do). So all are read from the source and written for the copy.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place, RecordingError
from piperline.hdf5.describe import MOST_BYTES
from piperline.hdf5.objects import FAULTS, Dataset, Group, Thing, shown, walk

Reference: TypeAlias = h5py.Reference | h5py.RegionReference


def renew_references(source: Group, copy: Group, path: str) -> Iterator[str]:
    """Let every reference in a copied group lead to what it led to in the source; null where that was not copied.

    Args:
        source: the group that was copied.
        copy: its copy, which is written to.
        path: of the source, as it is shown.

    Yields:
        The path of each object or attribute with a reference that leads out of the group.
    """
    pairs = [
        (old, new)
        for old, new in zip(walk(source, path), walk(copy), strict=True)
        if new.object is not None
    ]
    copies = {h5py.h5o.get_info(old.object).addr: new.object for old, new in pairs}
    for old, new in pairs:
        for name, value, write in _holders(old.object, new.object):
            renewal = _Renewal(source, copies)
            write(renewal.renewed(value))
            if renewal.outside:
                yield f"{old.path}{name}: a reference to something outside of its group"


def _holders(
    old: Thing, new: Thing
) -> Iterator[tuple[str, NDArray[Any], Callable[[NDArray[Any]], None]]]:
    """The values of an object and of its attributes that have references in them, and how to write them."""
    for number in range(h5py.h5a.get_num_attrs(old)):
        attribute = h5py.h5a.open(old, index=number)
        if _refers(attribute.get_type(), attribute.get_space()):
            value = np.empty(attribute.shape, attribute.dtype)
            attribute.read(value)
            yield f"/@{shown(attribute.name)}", value, h5py.h5a.open(new, attribute.name).write
    if isinstance(old, h5py.h5d.DatasetID) and _refers(old.get_type(), old.get_space()):
        yield "", _values(old), lambda values: new.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def _refers(dtype: h5py.h5t.TypeID, space: h5py.h5s.SpaceID) -> bool:
    return (
        bool(dtype.detect_class(h5py.h5t.REFERENCE))
        and space.get_simple_extent_type() != h5py.h5s.NULL
    )


def _values(dataset: Dataset) -> NDArray[Any]:
    if dataset.get_space().get_simple_extent_npoints() * dataset.get_type().get_size() > MOST_BYTES:
        path = h5py.h5i.get_name(dataset).decode("utf-8", "surrogateescape")
        raise RecordingError("a dataset of references is too large", place=Place(hdf5_path=path))
    value = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    return value


class _Renewal:
    """Makes new references of old ones.

    Args:
        source: a group of the file in which the old ones lead somewhere.
        copies: the copied objects by their addresses there.
    """

    def __init__(self, source: Group, copies: dict[int, Thing]) -> None:
        self.outside = False
        self._source, self._copies = source, copies

    def renewed(self, value: NDArray[Any]) -> NDArray[Any]:
        """An array like `value`, in which the references are new, however deep they lie."""
        made = value.copy()
        if made.dtype.names:
            for name in made.dtype.names:
                if made.dtype[name].hasobject:
                    made[name] = self.renewed(value[name])
            return made
        for place in np.ndindex(made.shape):
            made[place] = self._item(value[place])
        return made

    def _item(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            return self.renewed(value)
        return (
            self._reference(value)
            if isinstance(value, h5py.Reference | h5py.RegionReference)
            else value
        )

    def _reference(self, old: Reference) -> Reference:
        is_region = isinstance(old, h5py.RegionReference)
        null = h5py.RegionReference() if is_region else h5py.Reference()
        try:
            target = h5py.h5r.dereference(old, self._source) if old else None
        except FAULTS:
            target = None
        if target is None:  # null or dangling: null
            return null
        copy = self._copies.get(h5py.h5o.get_info(target).addr)
        if copy is None:
            self.outside = True
            return null
        if is_region:
            return h5py.h5r.create(
                copy, b".", h5py.h5r.DATASET_REGION, h5py.h5r.get_region(old, self._source)
            )
        return h5py.h5r.create(copy, b".", h5py.h5r.OBJECT)

"""References and absolute links within a copied group, made to lead to the copy.

References hold addresses, so in another file each must be made anew. H5Ocopy leaves plain
references null, and carries the addresses of the old file over where they lie in variable-length or
compound values (as those of dimension scales do). So all are read from the source and written for
the copy.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place, RecordingError
from piperline.hdf5.objects import (
    Dataset,
    Group,
    Member,
    Thing,
    Unreadable,
    address,
    attribute_names,
    members,
    reading_h5py,
    walk,
)
from piperline.hdf5.values import MOST_BYTES, Value
from piperline.memory import at_most_more
from piperline.recordings.limits import READ_MEMORY
from piperline.text import shown, size_text

Reference: TypeAlias = h5py.Reference | h5py.RegionReference
Holder: TypeAlias = tuple[str, NDArray[Any], Callable[[NDArray[Any]], None]]
"""What holds references: where, its values, and how to write others."""


def renew_references(
    source: Group,
    copy: Group,
    path: str,
) -> Iterator[str]:
    """Let every reference in a copied group lead to what it led to in the source.

    Where that was not copied, it becomes null.

    Args:
        source: the group that was copied.
        copy: its copy, which is written to.
        path: of the source, as it is shown.

    Yields:
        The path of each object or attribute with a reference that leads out of the group.

    Raises:
        RecordingError: references cannot be read.
    """
    both = zip(walk(source, path), walk(copy), strict=True)
    pairs = [(old, new) for old, new in both if new.object is not None]
    copies = {address(old.object): new.object for old, new in pairs}
    for old, new in pairs:
        for name, value, write in _holders(old.object, new.object):
            renewal = _Renewal(source, copies)
            renewed = renewal.renewed(value)
            with reading_h5py():
                write(renewed)
            if renewal.outside:
                yield f"{old.path}{name}: a reference to something outside of its group"


def _holders(old: Thing, new: Thing) -> Iterator[Holder]:
    """An object and its attributes, as far as they hold references."""
    for name in attribute_names(old):
        value = _attribute(old, name)
        if value is not None:
            with reading_h5py():
                twin = h5py.h5a.open(new, name)
            yield f"/@{shown(name)}", value, twin.write
    if isinstance(old, h5py.h5d.DatasetID):
        values = _values(old)
        if values is not None:
            yield (
                "",
                values,
                lambda given: new.write(
                    h5py.h5s.ALL,
                    h5py.h5s.ALL,
                    given,
                ),
            )


def _attribute(thing: Thing, name: bytes) -> NDArray[Any] | None:
    """The value of an attribute that holds references."""
    with reading_h5py():
        attribute = h5py.h5a.open(thing, name)
        if not _refers(attribute.get_type(), attribute.get_space()):
            return None
        value = np.empty(attribute.shape, attribute.dtype)
        with at_most_more(READ_MEMORY):
            attribute.read(value)
    return value


def _refers(
    dtype: h5py.h5t.TypeID,
    space: h5py.h5s.SpaceID,
) -> bool:
    if space.get_simple_extent_type() == h5py.h5s.NULL:
        return False
    return bool(dtype.detect_class(h5py.h5t.REFERENCE))


def _values(dataset: Dataset) -> NDArray[Any] | None:
    """The values of a dataset that holds references."""
    with reading_h5py():
        dtype, space = dataset.get_type(), dataset.get_space()
        if not _refers(dtype, space):
            return None
        size = space.get_simple_extent_npoints() * dtype.get_size()
        path = h5py.h5i.get_name(dataset)
    if size > MOST_BYTES:
        place = Place(hdf5_path=shown(path))
        raise RecordingError(
            "a dataset of references is too large",
            place=place,
            expected=f"at most {size_text(MOST_BYTES)}",
            found=size_text(size),
            next_step="leave the group out with --groups or --pattern",
        )
    with reading_h5py():
        value = np.empty(dataset.shape, dataset.dtype)
        with at_most_more(READ_MEMORY):
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    return value


class _Renewal:
    """Makes new references of old ones.

    Args:
        source: a group of the file in which the old ones lead somewhere.
        copies: the copied objects by their addresses there.

    Attributes:
        outside: whether one led to something that was not copied.
    """

    def __init__(
        self,
        source: Group,
        copies: dict[int, Thing],
    ) -> None:
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
        for index in np.ndindex(made.shape):
            made[index] = self._item(value[index])
        return made

    def _item(self, value: Value) -> Value:
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            return self.renewed(value)
        if isinstance(value, h5py.Reference | h5py.RegionReference):
            return self._reference(value)
        return value

    def _reference(self, old: Reference) -> Reference:
        is_region = isinstance(old, h5py.RegionReference)
        null = h5py.RegionReference() if is_region else h5py.Reference()
        target = self._target(old)
        if target is None:  # null or dangling: null
            return null
        copy = self._copies.get(address(target))
        if copy is None:
            self.outside = True
            return null
        with reading_h5py():
            if not is_region:
                return h5py.h5r.create(copy, b".", h5py.h5r.OBJECT)
            region = h5py.h5r.get_region(old, self._source)
            return h5py.h5r.create(copy, b".", h5py.h5r.DATASET_REGION, region)

    def _target(self, old: Reference) -> Thing | None:
        if not old:
            return None
        try:
            with reading_h5py():
                return h5py.h5r.dereference(old, self._source)
        except Unreadable:
            return None


# --- links ----------------------------------------------------------------------------------------


def rename_links(copy: Group, old: bytes, new: bytes) -> None:
    """Let absolute links within a copied group lead to the copy, not to the name that it had.

    Args:
        copy: the copied group, which is written to.
        old: its name in the source, at the top.
        new: its name in the copy.

    Raises:
        Unreadable: h5py cannot do it.
    """
    groups = [entry.object for entry in walk(copy) if entry.kind == "group"]
    for group in groups:
        targets = {
            member.name: b"/" + new + member.target[0].lstrip(b"/")[len(old) :]
            for member in members(group)
            if leads_into(member, old)
        }
        for member in _made_since(group, targets) if targets else ():
            with reading_h5py():
                _make_again(group, member, targets)


def leads_into(member: Member, top: bytes) -> bool:
    """Whether a link is absolute and leads into the top-level group `top`."""
    return (
        member.is_absolute
        and member.target[0].lstrip(b"/").split(b"/")[0] == top
    )


def _made_since(group: Group, names: Collection[bytes]) -> list[Member]:
    """The links `names` of a group.

    Where it keeps the order of creation, also all that were made after the first of them.
    """
    found = {member.name: member for member in members(group)}
    order: list[bytes] = []
    with reading_h5py():
        if not group.get_create_plist().get_link_creation_order():
            return [found[name] for name in names]
        group.links.iterate(order.append, idx_type=h5py.h5.INDEX_CRT_ORDER)
    first = min(order.index(name) for name in names)
    return [found[name] for name in order[first:]]


def _make_again(
    group: Group, member: Member, targets: Mapping[bytes, bytes]
) -> None:
    """Put a link of a group behind its other links, with a new target if `targets` has one."""
    if member.kind == "other":  # nobody else knows how it was made
        return
    thing = h5py.h5o.open(group, member.name) if member.kind == "hard" else None
    group.unlink(member.name)
    if member.kind == "hard":
        h5py.h5o.link(thing, group, member.name)
    elif member.kind == "soft":
        group.links.create_soft(
            member.name, targets.get(member.name, member.target[0])
        )
    else:
        group.links.create_external(member.name, *member.target)

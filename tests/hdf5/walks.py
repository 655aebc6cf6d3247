"""A walk of its own over HDF5 trees, for comparing: by h5py alone, without the package."""

from typing import Any

import h5py
import numpy as np


def snapshot(top: h5py.Group) -> dict[str, Any]:
    """Everything below a group that a copy must keep, by relative path; references by targets."""
    found: dict[str, Any] = {}
    _group(top, "", top.name, {}, found)
    return found


def _address(thing: Any) -> int:
    return int(h5py.h5o.get_info(thing.id).addr)


def _group(
    group: h5py.Group,
    path: str,
    top: str,
    seen: dict[int, str],
    found: dict[str, Any],
) -> None:
    seen[_address(group)] = path
    order = group.id.get_create_plist().get_link_creation_order()
    names = list(group) if order else sorted(group, key=repr)
    found[path] = (
        "group",
        order,
        [name.encode() if isinstance(name, str) else name for name in names],
        _attributes(group, top),
    )
    for name in names:
        below = f"{path}/{name!r}"
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            found[below] = ("soft", _relative(link.path, top))
        elif isinstance(link, h5py.ExternalLink):
            found[below] = ("external", link.filename, link.path)
        else:
            _object(group[name], below, top, seen, found)


def _object(
    thing: Any, path: str, top: str, seen: dict[int, str], found: dict[str, Any]
) -> None:
    if _address(thing) in seen:
        found[path] = ("same", seen[_address(thing)])
    elif isinstance(thing, h5py.Group):
        _group(thing, path, top, seen, found)
    else:
        seen[_address(thing)] = path
        is_type = isinstance(thing, h5py.Datatype)
        found[path] = (
            ("type", repr(thing.dtype), _attributes(thing, top))
            if is_type
            else _dataset(thing, top)
        )


def _relative(path: str, top: str) -> str:
    return (
        "TOP" + path[len(top) :]
        if path == top or path.startswith(top + "/")
        else path
    )


def _dataset(data: h5py.Dataset, top: str) -> tuple[Any, ...]:
    properties = data.id.get_create_plist()
    filters = [
        properties.get_filter(number)
        for number in range(properties.get_nfilters())
    ]
    fill = np.zeros(1, data.dtype) if not data.dtype.hasobject else None
    if (
        fill is not None
        and properties.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
    ):
        properties.get_fill_value(fill)
    return (
        "dataset",
        (
            data.shape,
            data.maxshape,
            data.chunks,
            repr(data.dtype),
            data.id.get_type().encode(),
            properties.get_layout(),
        ),
        (
            filters,
            None if fill is None else fill.tobytes(),
            data.external,
            data.is_virtual,
        ),
        (
            data.is_scale,
            [
                [_relative(scale.name, top) for scale in d.values()]
                for d in data.dims
            ]
            if data.shape
            else [],
        ),
        _stored(data) if filters else _plain(data[()], data, top),
        _attributes(data, top, skip=("DIMENSION_LIST", "REFERENCE_LIST")),
    )


def _stored(data: h5py.Dataset) -> list[tuple[Any, ...]]:
    """The chunks as they lie in the file: no filter is asked."""
    if data.dtype.hasobject:
        return [("values", _plain(data[()], data, ""))]
    offsets = [
        data.id.get_chunk_info(number).chunk_offset
        for number in range(data.id.get_num_chunks())
    ]
    return [(offset, *data.id.read_direct_chunk(offset)) for offset in offsets]


def _attributes(
    thing: Any, top: str, skip: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        name: (
            repr(thing.attrs.get_id(name).dtype),
            thing.attrs.get_id(name).shape,
            _plain(value, thing, top),
        )
        for name, value in sorted(thing.attrs.items())
        if name not in skip
    }


def _plain(value: Any, thing: Any, top: str) -> Any:
    """A value without addresses."""
    if isinstance(value, h5py.RegionReference):
        return (
            "region",
            _relative(thing.file[value].name, top),
            thing.file[value][value].tolist(),
        )
    if isinstance(value, h5py.Reference):
        return (
            ("reference", _relative(thing.file[value].name, top))
            if value
            else "null"
        )
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        names = value.dtype.names
        return (
            [_plain(item, thing, top) for item in value.flat]
            if not names
            else _plain(value.tolist(), thing, top)
        )
    if isinstance(value, np.void) and value.dtype.names:
        return [_plain(item, thing, top) for item in value.item()]
    if isinstance(value, list | tuple):
        return [_plain(item, thing, top) for item in value]
    return (
        value.tobytes() if isinstance(value, np.ndarray | np.generic) else value
    )

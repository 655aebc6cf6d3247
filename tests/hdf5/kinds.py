"""One builder for each kind of thing that an HDF5 file may hold."""

from collections.abc import Callable

import h5py
import hdf5plugin
import numpy as np

Builder = Callable[[h5py.Group, str], None]
NUMBERS = np.arange(60, dtype=np.float32).reshape(12, 5)
UNKNOWN_FILTER = 32767


def _dataset(**options: object) -> Builder:
    return lambda group, name: (
        group.create_dataset(name, data=NUMBERS, **options) and None
    )


def images(group: h5py.Group, name: str) -> None:
    rows = group.create_dataset(
        name, shape=(3,), dtype=h5py.vlen_dtype(np.uint8)
    )
    for place in range(3):
        rows[place] = np.arange(200 + place, dtype=np.uint8)


def images_in_chunks(group: h5py.Group, name: str) -> None:
    rows = group.create_dataset(
        name,
        (4,),
        h5py.vlen_dtype(np.uint8),
        chunks=(2,),
        compression="gzip",
        maxshape=(None,),
    )
    for place in range(3):
        rows[place] = np.arange(90 + place, dtype=np.uint8)


def fill_value(group: h5py.Group, name: str) -> None:
    rows = group.create_dataset(
        name, (9, 4), "i4", chunks=(2, 4), maxshape=(None, 4), fillvalue=-7
    )
    rows[2:4] = 5


def unknown_filter(group: h5py.Group, name: str) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(UNKNOWN_FILTER, h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
    space = h5py.h5s.create_simple((8,))
    rows = h5py.h5d.create(
        group.id, name.encode(), h5py.h5t.NATIVE_INT32, space, dcpl=properties
    )
    rows.write_direct_chunk((0,), b"what only its own filter can read")


def compact(group: h5py.Group, name: str) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((4,))
    rows = h5py.h5d.create(
        group.id, name.encode(), h5py.h5t.NATIVE_INT16, space, dcpl=properties
    )
    rows.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype=np.int16))


def compound(group: h5py.Group, name: str) -> None:
    kind = np.dtype(
        [("x", "f8"), ("tag", h5py.string_dtype()), ("pose", "f4", (3,))]
    )
    group[name] = np.array(
        [(1.5, "a", (1, 2, 3)), (2.5, "böse", (4, 5, 6))], dtype=kind
    )


def enum(group: h5py.Group, name: str) -> None:
    group.create_dataset(
        name,
        data=[0, 1, 1],
        dtype=h5py.enum_dtype({"open": 0, "closed": 1}, basetype="i1"),
    )


def committed_type(group: h5py.Group, name: str) -> None:
    group[name] = np.dtype([("a", "i4"), ("b", "f8")])


def hard_link(group: h5py.Group, name: str) -> None:
    group[name] = NUMBERS
    group[name + " again"] = group[name]


def cycle(group: h5py.Group, name: str) -> None:
    group.create_group(name)["back"] = group


def soft_link(group: h5py.Group, name: str) -> None:
    group[name + " target"] = 5
    group[name] = h5py.SoftLink(name + " target")


def absolute_soft_link(group: h5py.Group, name: str) -> None:
    group[name + " target"] = 6
    group[name] = h5py.SoftLink(f"{group.name}/{name} target")


def broken_soft_link(group: h5py.Group, name: str) -> None:
    group[name] = h5py.SoftLink("nothing here")


def references(group: h5py.Group, name: str) -> None:
    group[name + " target"] = NUMBERS
    rows = group.create_dataset(name, (3,), h5py.ref_dtype)
    rows[0], rows[1] = group[name + " target"].ref, group.ref
    regions = group.create_dataset(
        name + " regions", (1,), h5py.regionref_dtype
    )
    regions[0] = group[name + " target"].regionref[2:4]
    group.attrs["see"] = group[name + " target"].ref


def dimension_scale(group: h5py.Group, name: str) -> None:
    group[name] = NUMBERS
    group[name + " time"] = np.arange(12)
    group[name + " time"].make_scale("time")
    group[name].dims[0].attach_scale(group[name + " time"])


def attributes(group: h5py.Group, name: str) -> None:
    inner = group.create_group(name)
    inner.attrs["text"] = "pick the 红 cube"
    inner.attrs["fixed"] = np.bytes_("bytes")
    inner.attrs["numbers"] = np.arange(5)
    inner.attrs["many"] = ["a", "b", "c"]
    inner.attrs["nothing"] = h5py.Empty("f4")
    inner.attrs.create(
        "lengths", [np.arange(2), np.arange(3)], dtype=h5py.vlen_dtype("i4")
    )


def in_order_of_creation(group: h5py.Group, name: str) -> None:
    inner = group.create_group(name, track_order=True)
    for key in "zebra", "apple", "mango":
        inner[key] = 1


KINDS: dict[str, Builder] = {
    "contiguous": _dataset(),
    "chunks": _dataset(chunks=(5, 2)),
    "gzip": _dataset(chunks=(3, 5), compression="gzip", shuffle=True),
    "lzf": _dataset(chunks=(3, 5), compression="lzf"),
    "fletcher32": _dataset(chunks=(3, 5), fletcher32=True),
    "scaleoffset": lambda group, name: (
        group.create_dataset(
            name, data=NUMBERS.astype("i4"), scaleoffset=0, chunks=(3, 5)
        )
        and None
    ),
    "blosc": lambda group, name: (
        group.create_dataset(name, data=NUMBERS, **hdf5plugin.Blosc()) and None
    ),
    "zstd": lambda group, name: (
        group.create_dataset(name, data=NUMBERS, **hdf5plugin.Zstd()) and None
    ),
    "unknown_filter": unknown_filter,
    "images": images,
    "images_in_chunks": images_in_chunks,
    "fill_value": fill_value,
    "compact": compact,
    "compound": compound,
    "enum": enum,
    "boolean": lambda group, name: (
        group.create_dataset(name, data=[True, False]) and None
    ),
    "strings": lambda group, name: (
        group.create_dataset(
            name, data=["a", "", "böse"], dtype=h5py.string_dtype()
        )
        and None
    ),
    "fixed_strings": lambda group, name: (
        group.create_dataset(name, data=np.array([b"abc", b"d"])) and None
    ),
    "opaque": lambda group, name: (
        group.create_dataset(name, data=np.array([b"ab\0", b"c\0d"], "V3"))
        and None
    ),
    "scalar": lambda group, name: group.create_dataset(name, data=3.5) and None,
    "empty": lambda group, name: (
        group.create_dataset(name, data=h5py.Empty("f8")) and None
    ),
    "no_rows": lambda group, name: (
        group.create_dataset(
            name, shape=(0, 14), maxshape=(None, 14), dtype="f4"
        )
        and None
    ),
    "committed_type": committed_type,
    "hard_link": hard_link,
    "cycle": cycle,
    "soft_link": soft_link,
    "absolute_soft_link": absolute_soft_link,
    "broken_soft_link": broken_soft_link,
    "references": references,
    "dimension_scale": dimension_scale,
    "attributes": attributes,
    "in_order_of_creation": in_order_of_creation,
}

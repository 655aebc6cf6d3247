"""Files that mean harm, or that something has gone wrong with: a builder for each."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.helpers.recordings import write_piper

Builder = Callable[[Path], Path]


def _patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def path_in_a_name(folder: Path) -> Path:
    """A link named `../../esc`, and the groups that HDF5 would find there."""
    path = folder / "in.h5"
    with h5py.File(path, "w") as file:
        file["......esc/x"] = 1
        file["../../esc/x"] = 2
        file["good/x"] = 3
    return _patched(path, b"......esc\0", b"../../esc\0")


NAMES = [
    "..",
    "new\nline",
    "\x1b[31mred",
    "back\\slash",
    "n" * 300,
    "红" * 200,
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "EP0",
    "ep0",
    "ep0_2",
    "-dash",
    ".hidden",
    "space ",
    "a/b".replace("/", "\u2044"),
    'con:*?"<>|',
    "  ",
]


def names(folder: Path) -> Path:
    """Groups of every name that is legal and unusable for a file, one of them not UTF-8."""
    path = folder / "in.h5"
    with h5py.File(path, "w") as file:
        for number, name in enumerate(NAMES):
            file.create_group(name)["x"] = number
        file.create_group(b"\xff\xfe")["x"] = -1
    return path


def _one(build: Callable[[h5py.Group, Path], object]) -> Builder:
    def make(folder: Path) -> Path:
        path = folder / "in.h5"
        with h5py.File(path, "w") as file:
            file.create_group("other")["x"] = 5
            build(file.create_group("episode"), folder)
        return path

    return make


def _other_file(folder: Path) -> Path:
    path = folder / "secret.h5"
    with h5py.File(path, "w") as file:
        file["secret"] = np.arange(5)
    return path


def external_link(group: h5py.Group, folder: Path) -> None:
    group["x"] = h5py.ExternalLink(_other_file(folder).name, "/secret")


def external_storage(group: h5py.Group, folder: Path) -> None:
    secret = folder / "secret.bin"
    secret.write_bytes(b"secret!" * 10)
    group.create_dataset("x", (10,), "u1", external=[(str(secret), 0, 10)])


def virtual(group: h5py.Group, folder: Path) -> None:
    layout = h5py.VirtualLayout((5,), "i8")
    layout[:] = h5py.VirtualSource(_other_file(folder), "secret", (5,))
    group.create_virtual_dataset("x", layout)


def outward_soft_link(group: h5py.Group, _: Path) -> None:
    group["x"] = h5py.SoftLink("/other/x")


def outward_reference(group: h5py.Group, _: Path) -> None:
    group.attrs["x"] = group.file["other/x"].ref


LEAKING: dict[str, Builder] = {
    "external_link": _one(external_link),
    "external_storage": _one(external_storage),
    "virtual": _one(virtual),
    "outward_soft_link": _one(outward_soft_link),
    "outward_reference": _one(outward_reference),
}


def link_loop(group: h5py.Group, _: Path) -> None:
    group["x"] = h5py.SoftLink("y")
    group["y"] = h5py.SoftLink("x")


def huge_claim(group: h5py.Group, _: Path) -> None:
    group.create_dataset("x", (10**6, 10**9), "f8", chunks=(1000, 1000))


def bomb(group: h5py.Group, _: Path) -> None:
    rows = group.create_dataset(
        "x", (1 << 10, 1 << 28), "u1", chunks=(1, 1 << 28), compression="gzip"
    )
    rows.id.write_direct_chunk((0, 0), b"not read")


def huge_attribute(group: h5py.Group, _: Path) -> None:
    group.attrs["x"] = np.zeros(5000)


def deep(group: h5py.Group, _: Path) -> None:
    for _level in range(1500):
        group = group.create_group("d")


def digits(group: h5py.Group, _: Path) -> None:
    group["1" * 5000] = 1


HARMLESS: dict[str, Builder] = {
    "link_loop": _one(link_loop),
    "huge_claim": _one(huge_claim),
    "bomb": _one(bomb),
    "huge_attribute": _one(huge_attribute),
    "deep": _one(deep),
    "digits": _one(digits),
}


def missing(folder: Path) -> Path:
    return folder / "missing.h5"


def a_folder(folder: Path) -> Path:
    return folder


def not_hdf5(folder: Path) -> Path:
    path = folder / "in.h5"
    path.write_text("no HDF5")
    return path


def empty(folder: Path) -> Path:
    path = folder / "in.h5"
    path.touch()
    return path


def truncated(folder: Path) -> Path:
    path = write_piper(folder / "in.h5")
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def no_groups(folder: Path) -> Path:
    path = folder / "in.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    return path


UNREADABLE: dict[str, Builder] = {
    "missing": missing,
    "folder": a_folder,
    "not_hdf5": not_hdf5,
    "empty": empty,
    "truncated": truncated,
}


def damaged_group(folder: Path) -> Path:
    """The heap with the names of a group's members is damaged."""
    path = folder / "in.h5"
    with h5py.File(path, "w") as file:
        file.create_group("fine")["x"] = 1
        file.create_group("bad")["y"] = 1
    data = path.read_bytes()
    at = data.rindex(b"HEAP")
    path.write_bytes(data[:at] + b"PAEH" + data[at + 4 :])
    return path

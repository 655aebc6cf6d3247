"""Recordings with depth cameras: every frame has distances of its own."""

import io
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from piperline.errors import Place
from piperline.recordings.layout import Layout, parse_layout
from tests.helpers.recordings import (
    paint,
    states,
    write_bytes,
    write_images,
)

Storage = Literal["arrays", "arrays-1", "metres", "png", "files"]
STORAGES: tuple[Storage, ...] = (
    "arrays",
    "arrays-1",
    "metres",
    "png",
    "files",
)
HEIGHT, WIDTH = 48, 64
LENGTHS = (7, 4)
DEPTH = "observation.images.top_depth"

LAYOUT = """name = "mine"
robot_type = "r"
[episodes]
at = "take_*"
[task]
text = "@task"
[vectors."observation.state"]
path = "q"
[vectors.action]
path = "q"
[cameras.top]
path = "top"
"""
TAKEN = """[cameras."*_depth"]
path = "depth/*"
depth = "{unit}"
"""


def distances(episode: int, frame: int) -> NDArray[np.uint16]:
    """Millimetres, uint16 (48, 64): a slope that no other frame has; a corner without a reading."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth = 400 + 900 * episode + 37 * frame + 11 * rows + 3 * columns
    depth[:4, :4] = 0
    return np.asarray(depth, np.uint16)


def png16(depth: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits, grey."""
    file = io.BytesIO()
    Image.fromarray(depth).save(file, "PNG")
    return file.getvalue()


def write_depth(folder: Path, storage: Storage = "arrays") -> Path:
    """Write a recording of two episodes, a colour and a depth camera."""
    path = folder / "a.hdf5"
    with h5py.File(path, "w") as file:
        for episode, length in enumerate(LENGTHS):
            group = file.create_group(f"take_{episode}")
            group.attrs["task"] = "reach"
            group["q"] = states(episode, length, 3)
            frames = [paint(episode, 0, t) for t in range(length)]
            write_images(group, "top", frames, "jpeg-vlen", "rgb")
            images = [distances(episode, t) for t in range(length)]
            _write(group, images, storage, folder)
    return path


def _write(
    group: h5py.Group,
    images: list[NDArray[np.uint16]],
    storage: Storage,
    folder: Path,
) -> None:
    below = group.create_group("depth")
    arrays: NDArray[Any] = np.stack(images)
    if storage == "arrays":
        below["top"] = arrays
    elif storage == "arrays-1":
        below["top"] = arrays[..., None]
    elif storage == "metres":
        below["top"] = arrays.astype(np.float32) / 1000
    elif storage == "png":
        write_bytes(below, "top", [png16(one) for one in images], "png-vlen")
    else:
        names = []
        for number, one in enumerate(images):
            names.append(f"{group.name.strip('/')}_{number}.png")
            (folder / names[-1]).write_bytes(png16(one))
        below["top"] = np.array(names, dtype="S")


def depth_layout(unit: str = "mm", more: str = "") -> Layout:
    """A layout that takes the depth camera."""
    return parse_layout(LAYOUT + TAKEN.format(unit=unit) + more, Place())

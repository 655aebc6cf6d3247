"""Recordings for tests: real HDF5 files whose frames tell which episode, camera and frame they are.

The upper half of each frame holds 24 blocks, black for 0 and white for 1, large enough to survive
any lossy encoder: 8 bits of episode, 4 of camera, 12 of frame, the highest first. The lower half
holds a red, a green and a blue patch.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Storage = Literal[
    "jpeg-vlen",
    "jpeg-fixed",
    "jpeg-fixed-stripped",
    "jpeg-padded",
    "raw",
    "png-vlen",
]
"""How the images of a camera lie in the file, T rows each.

`jpeg-vlen`, `png-vlen`: (T,) of variable-length uint8.
`jpeg-fixed`: (T,) opaque values of one width, zeros behind the shorter images.
`jpeg-fixed-stripped`: (T,) byte strings of one width: h5py hides the trailing zeros.
`jpeg-padded`: (T, width) uint8, zeros behind the shorter images.
`raw`: (T, H, W, 3) uint8.
"""
Color = Literal["rgb", "bgr", "swapped-jpeg"]

STORAGES: tuple[Storage, ...] = (
    "jpeg-vlen",
    "jpeg-fixed",
    "jpeg-fixed-stripped",
    "jpeg-padded",
    "raw",
    "png-vlen",
)
PIPER_CAMERAS = ("image_left", "image_mid", "image_right")
ALOHA_CAMERAS = ("cam_high", "cam_left_wrist", "cam_right_wrist")
SIZE = (48, 64)
PATCHES = ((200, 40, 40), (40, 180, 60), (40, 60, 200))
"""RGB of the patches, from the left."""

_BITS, _ROWS, _COLUMNS = 24, 6, 8
_SURE = 60


def paint(
    episode: int, camera: int, frame: int, size: tuple[int, int] = SIZE
) -> Pixels:
    """A frame that carries its numbers (below 256, 16 and 4,096).

    Uint8, (height, width, 3), RGB.
    """
    number = episode << 16 | camera << 12 | frame
    bits = np.array(
        [number >> (_BITS - 1 - place) & 1 for place in range(_BITS)],
        dtype=np.uint8,
    )
    height, width = size
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    code = np.repeat(
        (bits * 255).reshape(_ROWS // 2, _COLUMNS)[..., None], 3, axis=2
    )
    patches = np.array(PATCHES, dtype=np.uint8)[
        np.arange(width) * len(PATCHES) // width
    ]
    image = np.empty((height, width, 3), dtype=np.uint8)
    top = int(np.searchsorted(rows, _ROWS // 2))
    image[:top] = code[rows[:top]][:, columns]
    image[top:] = patches
    return image


def read_code(rgb: Pixels) -> tuple[int, int, int]:
    """The numbers of a painted frame of any size: (episode, camera, frame).

    Raises:
        ValueError: a block is neither black nor white.
    """
    height, width = rgb.shape[:2]
    number = 0
    for place in range(_BITS):
        row, column = divmod(place, _COLUMNS)
        y, x = (
            (2 * row + 1) * height // (2 * _ROWS),
            (2 * column + 1) * width // (2 * _COLUMNS),
        )
        grey = float(rgb[y - 1 : y + 2, x - 1 : x + 2].mean())
        if _SURE < grey < 255 - _SURE:
            raise ValueError(f"block {place} is grey: {grey:.0f}")
        number = number << 1 | (grey > 127)
    return number >> 16, number >> 12 & 15, number & 4095


def read_patches(rgb: Pixels) -> NDArray[np.float64]:
    """The mean colours of the three patches, float64 (3, 3): a row for each patch, RGB."""
    height, width = rgb.shape[:2]
    lower = rgb[height * 5 // 8 : height * 7 // 8]
    middles = [(2 * place + 1) * width // 6 for place in range(len(PATCHES))]
    return np.stack(
        [
            lower[:, x - width // 16 : x + width // 16 + 1].mean(axis=(0, 1))
            for x in middles
        ]
    )


def has_true_colors(rgb: Pixels, tolerance: float = 30) -> bool:
    """Whether the patches have their colours; with red and blue exchanged they are 160 off."""
    return bool(
        np.abs(read_patches(rgb) - np.array(PATCHES)).max() <= tolerance
    )


def states(episode: int, length: int, dimensions: int = 14) -> Floats:
    """The state of an episode, float64 (length, dimensions).

    Smooth, in -2 to 2, different in every number.
    """
    time = np.arange(length)[:, None] / 30
    return (
        np.sin(time * (1 + np.arange(dimensions) / 10) + episode) * 1.5
        + np.arange(dimensions) / 40
    )


def actions(episode: int, length: int, dimensions: int = 14) -> Floats:
    """The action of an episode, float64 (length, dimensions): the state three frames later."""
    return states(episode, length + 3, dimensions)[3:]


def jpeg(rgb: Pixels, quality: int = 90) -> bytes:
    """A standard JPEG, by libjpeg."""
    return _by_pillow(rgb, "JPEG", quality=quality)


def png(rgb: Pixels) -> bytes:
    """A PNG, by libpng."""
    return _by_pillow(rgb, "PNG")


def _by_pillow(rgb: Pixels, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, form, **options)
    return file.getvalue()


def write_images(
    group: h5py.Group,
    name: str,
    frames: Sequence[Pixels],
    storage: Storage,
    color: Color,
) -> h5py.Dataset:
    """Store a camera's RGB frames as a recorder would that works in `storage` and `color`."""
    if storage == "raw":
        order = -1 if color == "bgr" else 1
        return group.create_dataset(
            name,
            data=np.stack(frames)[..., ::order],
            chunks=(1, *frames[0].shape),
        )
    order = -1 if color == "swapped-jpeg" else 1
    encode = png if storage == "png-vlen" else jpeg
    return write_bytes(
        group,
        name,
        [encode(np.ascontiguousarray(frame[..., ::order])) for frame in frames],
        storage,
    )


def write_bytes(
    group: h5py.Group, name: str, images: Sequence[bytes], storage: Storage
) -> h5py.Dataset:
    """Store encoded images, whole or not, one in a row."""
    width = max(map(len, images))
    if storage.endswith("-vlen"):
        rows = group.create_dataset(
            name, shape=(len(images),), dtype=h5py.vlen_dtype(np.uint8)
        )
        for place, image in enumerate(images):
            rows[place] = np.frombuffer(image, dtype=np.uint8)
        return rows
    if storage == "jpeg-padded":
        return group.create_dataset(name, data=_padded(images, width))
    if storage == "jpeg-fixed":
        return group.create_dataset(
            name, data=_padded(images, width).view(f"V{width}")[:, 0]
        )
    return group.create_dataset(name, data=np.array(images, dtype=f"S{width}"))


def _padded(images: Sequence[bytes], width: int) -> Pixels:
    return np.frombuffer(
        b"".join(image.ljust(width, b"\0") for image in images), np.uint8
    ).reshape(-1, width)


def write_piper(
    path: Path,
    *,
    episodes: int = 2,
    first: int = 0,
    lengths: int | Sequence[int] = 5,
    names: Sequence[str] | None = None,
    tasks: Sequence[str | None] = ("pick up the cube", "put it into the bowl"),
    storage: Storage = "jpeg-vlen",
    color: Color = "rgb",
    size: tuple[int, int] = SIZE,
    cameras: Sequence[str] = PIPER_CAMERAS,
    dtype: Literal["float16", "float32", "float64"] = "float32",
    extra_rows: int = 0,
) -> Path:
    """Write a file of the Piper layout: a group for each episode.

    Args:
        path: the file; its folder must be there.
        episodes: how many.
        first: the number of the first episode, in the codes, `states` and `actions`.
        lengths: frames of each episode, repeated if too few.
        names: of the groups; `episode_0`, ... from `first` on if not given.
        tasks: `instruction` of each episode, repeated if too few; None leaves the attribute out.
        storage: how the images lie in the file.
        color: what the recorder did to their colours.
        size: height and width.
        cameras: datasets of images; camera number 0 is the first.
        dtype: of state and action.
        extra_rows: rows behind `length`, which nobody may use: not-a-number, and empty or black
            images.
    """
    lengths = (lengths,) if isinstance(lengths, int) else lengths
    with h5py.File(path, "w") as file:
        for place in range(episodes):
            number = first + place
            group = file.create_group(
                names[place] if names else f"episode_{number}", track_order=True
            )
            length, task = (
                lengths[place % len(lengths)],
                tasks[place % len(tasks)],
            )
            group.attrs["length"] = length
            if task is not None:
                group.attrs["instruction"] = task
            for name, values in (
                ("state", states(number, length)),
                ("action", actions(number, length)),
            ):
                rest = np.full((extra_rows, values.shape[1]), np.nan)
                group[name] = np.concatenate([values, rest]).astype(dtype)
            for camera, name in enumerate(cameras):
                frames = [
                    paint(number, camera, frame, size)
                    for frame in range(length)
                ]
                frames += [np.zeros_like(frames[0])] * extra_rows
                write_images(group, name, frames, storage, color)
    return path


def write_aloha(
    path: Path,
    *,
    episode: int = 0,
    length: int = 5,
    compressed: bool = False,
    color: Color = "rgb",
    size: tuple[int, int] = SIZE,
    cameras: Sequence[str] = ALOHA_CAMERAS,
    dtype: Literal["float16", "float32", "float64"] = "float32",
) -> Path:
    """Write a file of the ALOHA layout: one episode, under /observations, without a task text.

    Args:
        path: the file; its folder must be there.
        episode: its number, in the codes, `states` and `actions`.
        length: frames.
        compressed: padded JPEG rows and their lengths in `/compress_len`, as Mobile ALOHA has them,
            instead of raw.
        color: what the recorder did to their colours.
        size: height and width.
        cameras: datasets of images; camera number 0 is the first. The rows of `/compress_len` begin
            with the last.
        dtype: of qpos and action.
    """
    with h5py.File(path, "w") as file:
        file.attrs["sim"] = False
        file.attrs["compress"] = compressed
        file["observations/qpos"] = states(episode, length).astype(dtype)
        file["observations/qvel"] = np.gradient(
            states(episode, length), axis=0
        ).astype(dtype)
        file["action"] = actions(episode, length).astype(dtype)
        images = file.create_group("observations/images")
        painted = [
            [paint(episode, number, frame, size) for frame in range(length)]
            for number in range(len(cameras))
        ]
        if not compressed:
            for name, frames in zip(cameras, painted, strict=True):
                write_images(images, name, frames, "raw", color)
        else:
            file["observations/effort"] = np.zeros((length, 14), dtype)
            file["base_action"] = np.zeros((length, 2), dtype)
            file["compress_len"] = _write_padded(
                images, cameras, painted, color
            )
    return path


def _write_padded(
    group: h5py.Group,
    cameras: Sequence[str],
    painted: Sequence[Sequence[Pixels]],
    color: Color,
) -> Any:
    """Store the cameras' frames as equally wide rows.

    Return the lengths, the last camera's first.
    """
    order = -1 if color == "swapped-jpeg" else 1
    # other qualities, so that cameras have other lengths
    images = [
        [
            jpeg(
                np.ascontiguousarray(frame[..., ::order]),
                quality=50 - 10 * camera,
            )
            for frame in frames
        ]
        for camera, frames in enumerate(painted)
    ]
    width = max(len(image) for rows in images for image in rows)
    for name, rows in zip(cameras, images, strict=True):
        group[name] = _padded(rows, width)
    return np.array(
        [[len(image) for image in rows] for rows in images[::-1]],
        dtype=np.float32,
    )

"""What is measured of the images of one camera of one episode."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.signals.robust import Floats
from piperline.video.decoder import Picture
from piperline.video.preview import PreviewWriter
from piperline.video.thumbnails import (
    HEIGHT,
    WIDTH,
    ThumbnailDecoder,
    luma_of,
    thumbnail_of,
)

Bytes = NDArray[np.uint8]

SHARPNESS_EVERY = 12
"""One image of so many is decoded whole, to see how sharp it is."""

WINDOW = 20
"""Rows between two pictures that are compared to see whether a camera stands still."""

BLOCK_ROWS, BLOCK_COLUMNS = 6, 8
"""Blocks of a thumbnail whose texture is kept."""

_ROWS, _COLUMNS = HEIGHT // BLOCK_ROWS, WIDTH // BLOCK_COLUMNS
_SAMPLED = 4  # colours and textures are taken from one thumbnail of so many
_FIRST = 6  # thumbnails whose median is the view at the start
_SHOWN = 5  # thumbnails kept for people
_WHITE = 248
_MEAN_OF_STANDARD_TABLE = 57.6  # luma quantization, ITU-T T.81 table K.1
_LAPLACIAN_STEP = 2
_WORD, _ODD = 8, 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class CameraSignals:
    """The images of one camera of one episode, T frames.

    Attributes:
        size: (height, width) of the images in pixels; of the first one.
        hashes: of the stored bytes, uint64 (T,).
        mean, contrast: mean and standard deviation of the luma of each thumbnail, float32 (T,).
        motion: mean absolute difference to the thumbnail before, with the mean luma of both
            removed, float32 (T,);
            the first repeats the second.
        change: the same to the thumbnail `WINDOW` frames later, float32 (T - WINDOW,), or empty.
        tear: by how much the upper and the lower half leave the mean of the thumbnails before and
            after: the median
            over the blocks of the half, so that a thing that moves does not count; float32 (2, T -
            2), or empty.
        white, red_blue, chroma: means over the episode: share of white pixels, red less blue by the
            luma, and the
            distance from grey; luma from 0 to 255.
        sharpness: log of the variance of the Laplacian, median over some frames.
        quality: libjpeg's quality from 1 to 100 that the quantization looks like; nan where it is
            not JPEG.
        texture: standard deviation of luma in each block, median over the episode, float32
            (BLOCK_ROWS, BLOCK_COLUMNS).
        activity: mean of what `motion` is made of, in each block, float32 (BLOCK_ROWS,
            BLOCK_COLUMNS).
        dimness: median luma of the episode's median thumbnail.
        view: the median of the first thumbnails, float32 (3, HEIGHT, WIDTH): luma, blue and red
            difference.
        shown: thumbnails over the episode for people, uint8 (n, 3, HEIGHT, WIDTH).
        damaged: the numbers of the images that do not decode, int64.
    """

    size: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    mean: Floats
    contrast: Floats
    motion: Floats
    change: Floats
    tear: Floats
    white: float
    red_blue: float
    chroma: float
    sharpness: float
    quality: float
    texture: Floats
    activity: Floats
    dimness: float
    view: Floats
    shown: Bytes
    damaged: NDArray[np.int64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, by name, to be kept in a file."""
        return {
            field.name: np.asarray(getattr(self, field.name))
            for field in fields(self)
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "CameraSignals":
        """What `arrays` gave."""
        known: dict[str, Any] = {
            field.name: arrays[field.name] for field in fields(cls)
        }
        return cls(
            **{
                name: a.item() if a.ndim == 0 else a
                for name, a in known.items()
            }
        )


def part_of_camera(
    camera: CameraSignals, start: int, stop: int
) -> CameraSignals:
    """What was measured of some frames, half-open; means over the episode stay those of all."""
    damaged = camera.damaged - start
    inside = (damaged >= 0) & (damaged < stop - start)
    return replace(
        camera,
        hashes=camera.hashes[start:stop],
        mean=camera.mean[start:stop],
        contrast=camera.contrast[start:stop],
        motion=camera.motion[start:stop],
        change=camera.change[start : max(stop - WINDOW, start)],
        tear=camera.tear[:, start : max(stop - 2, start)],
        damaged=damaged[inside],
    )


class CameraMeter:
    """Takes the images of a camera one by one and measures them.

    Args:
        height, width: of the images, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = np.array([height, width])
        self._hashes: list[int] = []
        self._lumas: list[NDArray[np.float16]] = []
        self._colored: list[NDArray[np.float16]] = []
        self._sharpness: list[float] = []
        self._qualities: list[float] = []
        self._damaged: list[int] = []

    @property
    def wants_luma(self) -> bool:
        """Whether the next image is one of those of which `add` wants the whole luma."""
        return len(self._hashes) % SHARPNESS_EVERY == 0

    @property
    def wants_color(self) -> bool:
        """Whether `add` wants the colours of the next image too."""
        number = len(self._hashes)
        return number < _FIRST or number % _SAMPLED == 0

    def add(
        self,
        payload: bytes | Bytes,
        thumbnail: Floats,
        luma: Bytes | None = None,
    ) -> None:
        """Take the next image.

        Args:
            payload: as it is stored.
            thumbnail: see `ThumbnailDecoder.small`; its luma is enough, unless `wants_color`.
            luma: uint8 (H, W), where `wants_luma`.
        """
        if luma is not None:
            self._sharpness.append(sharpness(luma))
            self._qualities.append(
                jpeg_quality(payload) if isinstance(payload, bytes) else np.nan
            )
        small = thumbnail.astype(np.float16)
        self._lumas.append(small[0])
        if self.wants_color:
            self._colored.append(small)
        self._hashes.append(_hash(payload))

    def add_picture(
        self, payload: bytes | Bytes, picture: Picture, *, swap: bool = False
    ) -> None:
        """Take the next image, decoded whole.

        Args:
            payload: as it is stored.
            picture: of it, its colours as recorded.
            swap: red and blue were exchanged when it was recorded.
        """
        luma = luma_of(picture) if self.wants_luma else None
        color = self.wants_color
        self.add(payload, thumbnail_of(picture, swap=swap, color=color), luma)

    def add_damaged(self, payload: bytes | Bytes) -> None:
        """Take the next image, which does not decode: the one before stands for it."""
        grey = np.full((3, HEIGHT, WIDTH), 128, dtype=np.float16)
        self._damaged.append(len(self._hashes))
        self._lumas.append(self._lumas[-1] if self._lumas else grey[0])
        if self.wants_color:
            self._colored.append(self._colored[-1] if self._colored else grey)
        self._hashes.append(_hash(payload))

    def result(self) -> CameraSignals:
        """What was measured of all images that were taken; at least one was."""
        luma = np.stack(self._lumas).astype(np.float32)
        colored = np.stack(self._colored).astype(np.float32)
        sampled = [
            place
            for place, number in enumerate(_with_colors(len(luma)))
            if number % _SAMPLED == 0
        ]
        some = colored[sampled]
        shown = np.linspace(0, len(some) - 1, min(_SHOWN, len(some))).astype(
            int
        )
        level = np.clip(np.round(some[shown]), 0, 255)
        return CameraSignals(
            size=self._size,
            hashes=np.array(self._hashes, dtype=np.uint64),
            **_by_frame(luma),
            **_colors(some),
            sharpness=float(np.median(self._sharpness))
            if self._sharpness
            else 0.0,
            quality=float(np.median(self._qualities))
            if self._qualities
            else np.nan,
            texture=np.median(
                _block_deviations(some[:, 0]),
                axis=0,
            ),
            dimness=float(
                np.median(
                    np.median(
                        some[:, 0],
                        axis=0,
                    )
                )
            ),
            view=np.median(colored[:_FIRST], axis=0),
            shown=level.astype(np.uint8),
            damaged=np.array(self._damaged, dtype=np.int64),
        )


def measure(
    payloads: Iterable[bytes | Bytes],
    height: int,
    width: int,
    *,
    swap: bool = False,
    film: PreviewWriter | None = None,
) -> CameraSignals:
    """Measure the recorded images of a camera, each read and decoded once.

    Args:
        payloads: JPEG or PNG, or uint8 (H, W, 3), RGB.
        height: of the images, in pixels.
        width: of the images, in pixels.
        swap: red and blue were exchanged when they were recorded.
        film: makes a small video of them.
    """
    meter = CameraMeter(height, width)
    decoder = ThumbnailDecoder(width, swap=swap)
    for payload in payloads:
        try:
            luma = decoder.luma(payload) if meter.wants_luma else None
            small = decoder.small(payload, color=meter.wants_color)
            meter.add(payload, small, luma)
        except ValueError:
            meter.add_damaged(payload)
            decoder.picture = None
        if film is not None:
            film.add(decoder.picture)
    return meter.result()


def sharpness(luma: Bytes) -> float:
    """The log of the variance of the Laplacian of an image, uint8 (H, W)."""
    values, step = luma.astype(np.int16), _LAPLACIAN_STEP
    middle = values[1:-1:step]
    around = (
        values[:-2:step, 1:-1]
        + values[2::step, 1:-1]
        + middle[:, :-2]
        + middle[:, 2:]
    )
    laplacian = around - 4 * middle[:, 1:-1]
    return float(
        np.log(
            max(
                float(laplacian.var()),
                1e-3,
            )
        )
    )


def jpeg_quality(data: bytes) -> float:
    """The quality of libjpeg whose luma quantization is that of `data` in the mean; else nan."""
    start = data.find(b"\xff\xdb") if data.startswith(b"\xff\xd8") else -1
    table = (
        np.frombuffer(data[start + 5 : start + 69], np.uint8)
        if start >= 0
        else np.empty(0)
    )
    if len(table) < 64:  # a table of 8 x 8
        return np.nan
    scale = 100 * float(table.mean()) / _MEAN_OF_STANDARD_TABLE
    return 5000 / scale if scale > 100 else (200 - scale) / 2  # jcparam.c


def _hash(payload: bytes | Bytes) -> int:
    if not isinstance(payload, bytes):
        return _hash_of_pixels(payload)
    digest = hashlib.blake2b(payload.rstrip(b"\0"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _hash_of_pixels(pixels: Bytes) -> int:
    """A sum of all words, each times an odd number of its own: ten times as fast as a digest."""
    flat = np.ascontiguousarray(pixels).reshape(-1)
    count = len(flat) // _WORD
    words = flat[: count * _WORD].view(np.uint64)
    rest = int.from_bytes(flat[count * _WORD :].tobytes(), "little")
    return (int(words @ _odd_numbers(count)) + rest * _ODD) % (1 << 64)


@lru_cache(maxsize=4)
def _odd_numbers(count: int) -> NDArray[np.uint64]:
    numbers = np.random.default_rng(0).integers(
        1 << 64, size=count, dtype=np.uint64
    )
    return numbers | np.uint64(1)


def _by_frame(luma: Floats) -> dict[str, Any]:
    mean = luma.mean(axis=(1, 2))
    even = luma - mean[:, None, None]
    motion = np.abs(np.diff(even, axis=0)).mean(axis=(1, 2))
    blocks = np.abs(np.diff(even, axis=0)).reshape(
        -1, BLOCK_ROWS, _ROWS, BLOCK_COLUMNS, _COLUMNS
    )
    off = np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2)
    off = off.reshape(-1, BLOCK_ROWS, _ROWS, BLOCK_COLUMNS, _COLUMNS).mean(
        axis=(2, 4)
    )
    upper, lower = off[:, : BLOCK_ROWS // 2], off[:, BLOCK_ROWS // 2 :]
    return {
        "mean": mean,
        "contrast": luma.std(axis=(1, 2)),
        "motion": np.concatenate([motion[:1], motion])
        if len(motion)
        else np.zeros(1, np.float32),
        "activity": blocks.mean(axis=(0, 2, 4))
        if len(motion)
        else np.zeros((BLOCK_ROWS, BLOCK_COLUMNS)),
        "change": np.abs(even[WINDOW:] - even[:-WINDOW]).mean(axis=(1, 2)),
        "tear": np.stack([_middle(upper), _middle(lower)]),
    }


def _with_colors(count: int) -> list[int]:
    """The numbers of the images whose colours are taken, of `count`."""
    return [n for n in range(count) if n < _FIRST or n % _SAMPLED == 0]


def _middle(blocks: Floats) -> Floats:
    """The median over the blocks of each frame, shape (T,), T may be 0."""
    middle: Floats = (
        np.median(blocks, axis=(1, 2))
        if len(blocks)
        else np.zeros(0, np.float32)
    )
    return middle


def _colors(some: Floats) -> dict[str, Any]:
    luma, blue, red = some[:, 0], some[:, 1] - 128, some[:, 2] - 128
    return {
        "white": float((luma > _WHITE).mean()),
        "red_blue": float(
            (1.402 * red - 1.772 * blue).mean()
            / max(
                float(luma.mean()),
                1.0,
            )
        ),
        "chroma": float(np.hypot(blue, red).mean()),
    }


def _block_deviations(luma: Floats) -> Floats:
    blocks = luma.reshape(-1, BLOCK_ROWS, _ROWS, BLOCK_COLUMNS, _COLUMNS)
    deviations: Floats = blocks.std(axis=(2, 4))
    return deviations

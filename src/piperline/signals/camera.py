"""What is measured of the images of one camera of one episode."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.signals.frames import WINDOW, FrameMeter, blocks
from piperline.signals.robust import Floats
from piperline.video.decoder import Picture, directions
from piperline.video.preview import PreviewWriter
from piperline.video.thumbnails import (
    HEIGHT,
    WIDTH,
    LumaRows,
    ThumbnailDecoder,
    chroma_of,
    luma_of,
    thumbnail_of,
)

Bytes = NDArray[np.uint8]
_Waiting = tuple[int, bytes | Bytes, Floats | None]
"""An image whose luma waits: its number, as it is stored, and its chroma where that is kept."""

SHARPNESS_EVERY = 24
"""One image of so many is decoded whole, to see how sharp it is."""

_SAMPLED = 4  # colours and textures are taken from one thumbnail of so many
_MOST = 64  # and from fewer, evenly spread, where they would be so many
_FIRST = 6  # thumbnails whose median is the view at the start
_SHOWN = 5  # thumbnails kept for people
_WHITE = 248
_MEAN_OF_STANDARD_TABLE = 57.6  # luma quantization, ITU-T T.81 table K.1
_LAPLACIAN_STEP = 2
_WORD = 8  # bytes
_AT_ONCE = 8
"""Pictures that are measured in a row."""
_TABLE = 1 << 14  # words: most JPEG images have fewer


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

    Of each its bytes are seen first, then what it shows.

    Args:
        height, width: of the images, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = np.array([height, width])
        self._hashes = array("Q")
        self._frames = FrameMeter()
        self._first: list[Floats] = []
        self._colored: list[Floats] = []
        self._every = _SAMPLED
        self._sharpness = array("d")
        self._qualities = array("d")
        self._damaged: list[int] = []
        self._count = 0
        self._payload: bytes | Bytes = b""
        # Pictures of planes wait, so that several are measured in a row.
        self._rows = LumaRows(height, width, _AT_ONCE)
        self._waiting: list[_Waiting] = []

    @property
    def wants_luma(self) -> bool:
        """Whether the next image is one of those of which `add` wants the whole luma."""
        return self._count % SHARPNESS_EVERY == 0

    @property
    def wants_color(self) -> bool:
        """Whether `add` wants the colours of the next image too."""
        return self._count < _FIRST or self._count % self._every == 0

    def see(self, payload: bytes | Bytes) -> None:
        """See the next image as it is stored; what it shows follows."""
        self._payload = payload

    def add(self, thumbnail: Floats, luma: Bytes | None = None) -> None:
        """Take the image that was seen last.

        Args:
            thumbnail: see `ThumbnailDecoder.small`; its luma is enough, unless `wants_color`.
            luma: uint8 (H, W), where `wants_luma`.
        """
        self._measure_waiting()
        if luma is not None:
            self._add_whole(luma)
        self._frames.add(thumbnail[0])
        if self.wants_color:
            self._add_colored(self._count, thumbnail)
        self._hashes.append(_hash(self._payload))
        self._count += 1

    def _add_whole(self, luma: Bytes) -> None:
        payload = self._payload
        quality = (
            jpeg_quality(payload) if isinstance(payload, bytes) else np.nan
        )
        self._sharpness.append(sharpness(luma))
        self._qualities.append(quality)

    def add_picture(
        self,
        picture: Picture,
        *,
        swap: bool = False,
        mirrored: tuple[bool, bool] = (False, False),
    ) -> None:
        """Take the image that was seen last, decoded whole.

        Args:
            picture: of it, its colours as recorded.
            swap: red and blue were exchanged when it was recorded.
            mirrored: whether its top and bottom, left and right have been exchanged since.
        """
        down, across = directions(mirrored)
        luma = luma_of(picture)[::down, ::across] if self.wants_luma else None
        if any(mirrored) or not self._rows.takes(picture):
            thumbnail = thumbnail_of(picture, swap=swap, color=self.wants_color)
            self.add(thumbnail[:, ::down, ::across], luma)
            return
        if luma is not None:
            self._add_whole(luma)
        self._rows.put(len(self._waiting), picture)
        chroma = chroma_of(picture, swap=swap) if self.wants_color else None
        self._waiting.append((self._count, self._payload, chroma))
        self._count += 1
        if len(self._waiting) == _AT_ONCE:
            self._measure_waiting()

    def _measure_waiting(self) -> None:
        if not self._waiting:
            return
        lumas = self._rows.thumbnails(len(self._waiting))
        self._frames.add_all(lumas)
        for luma, (number, payload, chroma) in zip(
            lumas, self._waiting, strict=True
        ):
            self._hashes.append(_hash(payload))
            if chroma is not None:
                self._add_colored(number, np.concatenate([luma[None], chroma]))
        self._waiting.clear()

    def add_damaged(self) -> None:
        """The image that was seen last does not decode: the one before stands for it."""
        self._measure_waiting()
        grey = np.full((3, HEIGHT, WIDTH), 128, dtype=np.float32)
        self._damaged.append(self._count)
        self._frames.repeat()
        if self.wants_color:
            before = self._colored[-1] if self._colored else grey
            self._add_colored(self._count, before)
        self._hashes.append(_hash(self._payload))
        self._count += 1

    def _add_colored(self, number: int, thumbnail: Floats) -> None:
        """Keep a thumbnail with its colours; every second one is given up where they are many."""
        if number < _FIRST:
            self._first.append(thumbnail)
        if number % self._every:
            return
        self._colored.append(thumbnail)
        if len(self._colored) == _MOST:
            self._colored = self._colored[::2]
            self._every *= 2

    def result(self) -> CameraSignals:
        """What was measured of all images that were taken; at least one was."""
        self._measure_waiting()
        some = np.stack(self._colored)
        shown = np.linspace(0, len(some) - 1, min(_SHOWN, len(some)))
        level = np.clip(np.round(some[shown.astype(int)]), 0, 255)
        view = np.median(np.stack(self._first), axis=0)
        return CameraSignals(
            size=self._size,
            hashes=np.array(self._hashes, dtype=np.uint64),
            **self._frames.result(),
            **_colors(some),
            sharpness=_median(self._sharpness, 0.0),
            quality=_median(self._qualities, np.nan),
            texture=np.median(_block_deviations(some[:, 0]), axis=0),
            dimness=float(np.median(np.median(some[:, 0], axis=0))),
            view=view,
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
        meter.see(payload)
        try:
            luma = decoder.luma(payload) if meter.wants_luma else None
            small = decoder.small(payload, color=meter.wants_color)
            meter.add(small, luma)
        except ValueError:
            meter.add_damaged()
            decoder.picture = None
        if film is not None:
            film.add(decoder.picture)
    return meter.result()


def sharpness(luma: Bytes) -> float:
    """The log of the variance of the Laplacian of an image, uint8 (H, W)."""
    # In place and in small steps: large results of their own take most of the time.
    step = _LAPLACIAN_STEP
    middle = luma[1:-1:step].astype(np.int16)
    around = luma[:-2:step, 1:-1].astype(np.int16)
    around += luma[2::step, 1:-1]
    around += middle[:, :-2]
    around += middle[:, 2:]
    middle *= 4
    around -= middle[:, 1:-1]
    laplacian = around.ravel().astype(np.float32)
    if not len(laplacian):
        return 0.0
    square = float(laplacian @ laplacian) / len(laplacian)
    variance = square - float(laplacian.mean()) ** 2
    return float(np.log(max(variance, 1e-3)))


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
    """A sum of all words, each times an odd number of its own: ten times as fast as a digest.

    Zeros at the end, with which recorders fill up, add nothing.
    """
    flat = (
        np.frombuffer(payload, np.uint8)
        if isinstance(payload, bytes)
        else np.ascontiguousarray(payload).reshape(-1)
    )
    count = len(flat) // _WORD
    words = flat[: count * _WORD].view(np.uint64)
    rest = int.from_bytes(flat[count * _WORD :].tobytes(), "little")
    odd = _odd_numbers((count // _TABLE + 1) * _TABLE)
    # Of whole numbers `einsum` is twice as fast as `@`.
    total = int(np.einsum("i,i->", words, odd[:count]))
    return (total + rest * int(odd[count])) % (1 << 64)


@lru_cache(maxsize=8)
def _odd_numbers(count: int) -> NDArray[np.uint64]:
    numbers = np.random.default_rng(0).integers(
        1 << 64, size=count, dtype=np.uint64
    )
    return numbers | np.uint64(1)


def _median(values: "array[float]", without: float) -> float:
    return float(np.median(values)) if values else without


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
    deviations: Floats = blocks(luma).std(axis=(2, 4))
    return deviations

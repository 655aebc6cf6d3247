"""What cameras may see: the demo's table as it is, and as it is hard for encoders. JPEG of each."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from piperline.demo.motion import plan_motion
from piperline.demo.scene import Scene
from piperline.video.decoder import decode

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator, int], Pixels]
"""What is made of a frame, with a source of chance and its number."""

Footage = Sequence[Sequence[bytes]]
"""Recorded JPEG, frame by frame, for each camera."""

FRAMES, CAMERAS, FPS = 96, 2, 30
_QUALITY, _QUALITY_OF_VIDEOS = 90, 95


def footages(videos: Path | None) -> Iterator[tuple[str, Footage]]:
    """Footage by its name; with `videos`, a folder of MP4, the first frames of those too."""
    full, small = (480, 640), (240, 320)
    yield "demo, 640x480", _scene(full, lambda view, _rng, _time: view)
    yield "strong noise", _scene(full, _noisy)
    yield "dark", _scene(full, _dark)
    yield "fast motion", _scene(full, _shaken, speed=4)
    yield "shadow and flicker, 320x240", _scene(small, _flickering)
    if videos:
        paths = sorted(videos.rglob("*.mp4"))[:CAMERAS]
        yield "videos", [_of_video(path) for path in paths]


def _scene(size: tuple[int, int], change: Change, *, speed: int = 1) -> Footage:
    """Frames of the demo: every `speed`-th of its motion."""
    rng = np.random.default_rng(3)
    motion = plan_motion(rng, frames=FRAMES * speed + 10, fps=FPS, task=0)
    scene = Scene(rng, size)
    times = (
        _views(scene.frame(motion, time * speed, rng)) for time in range(FRAMES)
    )
    changed = [
        [_jpeg(change(view, rng, time), _QUALITY) for view in views]
        for time, views in enumerate(times)
    ]
    return list(zip(*changed, strict=True))


def _views(views: Mapping[str, Pixels]) -> list[Pixels]:
    return list(views.values())[:CAMERAS]


def _of_video(path: Path) -> list[bytes]:
    frames = islice(decode(path), FRAMES)
    return [_jpeg(frame, _QUALITY_OF_VIDEOS) for frame in frames]


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _clipped(values: NDArray[np.floating]) -> Pixels:
    pixels: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return pixels


def _noisy(view: Pixels, rng: np.random.Generator, _time: int) -> Pixels:
    return _clipped(view + rng.normal(0, 9, view.shape))


def _dark(view: Pixels, rng: np.random.Generator, _time: int) -> Pixels:
    return _clipped(view * 0.12 + rng.normal(4, 4, view.shape))


def _shaken(view: Pixels, _rng: np.random.Generator, time: int) -> Pixels:
    """The camera moves 12 pixels a frame to the side, and up and down."""
    moved: Pixels = np.roll(
        view, (round(20 * np.sin(time / 2)), 12 * time), (0, 1)
    )
    return moved


def _flickering(view: Pixels, rng: np.random.Generator, time: int) -> Pixels:
    """A shadow passes, and every second frame is lighter: lamps at half the rate."""
    across = np.linspace(0, 3, view.shape[1])[None, :, None]
    shadow = 1 - 0.35 * np.clip(np.sin(across + time / 8), 0, 1)
    light = 1 + 0.04 * (time % 2)
    return _clipped(view * shadow * light + rng.normal(0, 2, view.shape))

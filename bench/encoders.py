"""Which encoder settings: size, quality, cost of encoding and of reading back, one core."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import cast

import av
import numpy as np

from bench.quality import libjpeg, psnr
from piperline.video.decoder import Picture, PictureDecoder, decode
from piperline.video.encoder import (
    MODES,
    VideoSettings,
    VideoWriter,
    for_encoder,
)

Footage = Sequence[Sequence[bytes]]
"""Recorded JPEG, frame by frame, for each camera."""

Pictures = Sequence[Sequence[Picture]]

FPS, READS = 30, 30
LIMITED = 1  # AVCOL_RANGE_MPEG


def x264(preset: str, crf: int, gop: int = 10) -> VideoSettings:
    """x264 settings as `--video h264` has them, but for these three."""
    options = {
        **MODES["h264"].options,
        "preset": preset,
        "crf": str(crf),
        "g": str(gop),
    }
    return replace(
        MODES["h264"],
        options=options,
        description=f"x264 {preset} crf {crf} g {gop}",
    )


def av1(gop: int) -> VideoSettings:
    """SVT-AV1 settings as `--video av1` has them (LeRobot's defaults, and scm=1), but for this."""
    options = {**MODES["av1"].options, "g": str(gop)}
    return replace(
        MODES["av1"],
        options=options,
        description=f"SVT-AV1 preset 12 crf 30 g {gop}",
    )


SETTINGS = (
    av1(2),
    av1(10),
    x264("ultrafast", 22),
    x264("superfast", 22),
    x264("superfast", 23),
    x264("superfast", 23, gop=2),
    x264("superfast", 23, gop=30),
    x264("superfast", 24),
    x264("veryfast", 21),
    x264("veryfast", 22),
    x264("faster", 22),
    MODES["copy"],
)


@dataclass(frozen=True)
class Row:
    """One line of the table; times are CPU milliseconds per frame on one thread.

    Read with PyAV and torchcodec.
    """

    name: str
    kilobytes: float
    decibels: float
    encode_ms: float
    pyav: tuple[float, float]
    torchcodec: tuple[float, float]


Reader = Callable[[Sequence[Path]], tuple[float, float]]
"""CPU milliseconds per frame, read in order and at random."""


def table(footage: Footage, torchcodec: Reader) -> Iterator[Row]:
    """Measure each of the settings."""
    decoder = PictureDecoder()
    pictures = [
        [for_encoder(decoder.encoded(data)) for data in camera]
        for camera in footage
    ]
    for picture in chain(*pictures):
        picture.color_range = LIMITED  # else the writer converts them once more
    for settings in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            yield _measure(
                settings, footage, pictures, Path(folder), torchcodec
            )


def _measure(
    settings: VideoSettings,
    footage: Footage,
    pictures: Pictures,
    folder: Path,
    torchcodec: Reader,
) -> Row:
    """Make a video of each camera, then read it in order and at random."""
    paths = [folder / f"{camera}.mp4" for camera in range(len(footage))]
    frames = sum(map(len, footage))
    with stopwatch() as encoding:
        for path, images, camera in zip(paths, footage, pictures, strict=True):
            _encode(path, settings, images, camera)
    with stopwatch() as reading:
        for path in paths:
            _read_all(path)
    with stopwatch() as seeking:
        for path, camera in zip(paths, pictures, strict=True):
            _read_at_random(path, len(camera))
    errors = [
        psnr(map(libjpeg, images), decode(path))
        for path, images in zip(paths, footage, strict=True)
    ]
    return Row(
        name=settings.description,
        kilobytes=sum(path.stat().st_size for path in paths) / frames / 1000,
        decibels=float(np.mean(errors)),
        encode_ms=encoding.ms / frames,
        pyav=(reading.ms / frames, seeking.ms / (READS * len(paths))),
        torchcodec=torchcodec(paths),
    )


@dataclass
class Elapsed:
    """CPU milliseconds of this process, all threads."""

    ms: float = 0


@contextmanager
def stopwatch() -> Iterator[Elapsed]:
    """Measure what is done inside."""
    elapsed, start = Elapsed(), time.process_time()
    yield elapsed
    elapsed.ms = (time.process_time() - start) * 1000


def _encode(
    path: Path,
    settings: VideoSettings,
    images: Sequence[bytes],
    pictures: Sequence[Picture],
) -> None:
    with VideoWriter(path, settings, fps=FPS) as writer:
        for image, picture in zip(images, pictures, strict=True):
            if settings.codec:
                writer.add(picture)
            else:
                writer.add_jpeg(image, picture.height, picture.width)


def _read_all(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for picture in container.decode(video=0):
            picture.to_ndarray(format="rgb24")


def _read_at_random(path: Path, frames: int) -> None:
    """What a data loader does: seek to the key frame before, decode up to the frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        step = round(
            1
            / (
                cast("float", stream.average_rate)
                * cast("float", stream.time_base)
            )
        )
        for number in np.random.default_rng(0).integers(0, frames, READS):
            wanted = int(number) * step
            container.seek(wanted, stream=stream)
            picture = next(
                picture
                for picture in container.decode(stream)
                if (picture.pts or 0) >= wanted
            )
            picture.to_ndarray(format="rgb24")

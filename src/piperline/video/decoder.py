"""Decoding: recorded images and video files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import av
import av.logging
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from piperline.episode import VideoInfo
from piperline.errors import DatasetError, Place
from piperline.video.image_header import check_png, is_png

Picture = VideoFrame
"""A decoded image: full-range planes of a JPEG, or packed RGB."""

Bytes = NDArray[np.uint8]


# --- recorded images ---------------------------------------------------------------------------------------------


class PictureDecoder:
    """Decodes recorded images of one camera.

    Args:
        swap: red and blue were exchanged when the image was recorded; they are put right.
    """

    def __init__(self, *, swap: bool = False) -> None:
        self._swap = swap
        self._mjpeg = _image_decoder("mjpeg")

    def encoded(self, data: bytes) -> Picture:
        """Decode a JPEG or PNG.

        Returns:
            The planes of a JPEG, full range; packed RGB where it is PNG or red and blue are to be put right.

        Raises:
            ValueError: it does not decode without an error; FFmpeg's own words are in the message.
        """
        picture = self._decode(data)
        if self._swap:
            return VideoFrame.from_ndarray(rgb(picture), format="bgr24")
        return picture

    def raw(self, pixels: Bytes) -> Picture:
        """Take an image of shape (H, W, 3), uint8, RGB; BGR if red and blue were exchanged."""
        return VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels), format="bgr24" if self._swap else "rgb24"
        )

    def _decode(self, data: bytes) -> Picture:
        if is_png(data):
            check_png(data)
        # FFmpeg's PNG decoder adds an image to the one before it: each PNG gets a decoder of its own.
        context = _image_decoder("png") if is_png(data) else self._mjpeg
        try:
            pictures = context.decode(av.Packet(data))
        except av.FFmpegError as error:
            self._mjpeg = _image_decoder("mjpeg")
            words = _words(
                error,
                lambda: _image_decoder("png" if is_png(data) else "mjpeg").decode(av.Packet(data)),
            )
            raise ValueError(f"does not decode: {words}") from error
        if len(pictures) != 1:
            raise ValueError(f"holds {len(pictures)} images instead of one")
        return pictures[0]


def _image_decoder(codec: str) -> av.VideoCodecContext:
    context = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    # Without "explode" FFmpeg conceals damage: a truncated JPEG would pass as a grey lower half. Of its inverse DCTs
    # "xvid" is the fastest and the nearest to libjpeg's: 1.8 % of the pixels differ, by 1, and their mean does not.
    context.options = {"err_detect": "explode", "idct": "xvid"}
    return context


def rgb(picture: Picture) -> Bytes:
    """The pixels of a picture: uint8 of shape (H, W, 3), RGB."""
    return cast("Bytes", picture.to_ndarray(format="rgb24"))


def resized(picture: Picture, width: int, height: int) -> Picture:
    """`picture` scaled to `width` x `height` pixels, each the mean of those that it covers."""
    return picture.reformat(
        width, height, format=picture.format.name, interpolation=Interpolation.AREA
    )


def _words(error: av.FFmpegError, again: Callable[[], object] = lambda: None) -> str:
    """FFmpeg's own last line about an error, as it says when the same is done again.

    Its log is not heard at other times: its threads can wait for Python's lock, and Python for them.
    """
    log = None
    av.logging.set_level(av.logging.ERROR)
    try:
        again()
    except av.FFmpegError as repeated:
        log = cast("tuple[int, str, str] | None", repeated.log)  # level, component, line
    finally:
        av.logging.set_level(None)
    return f"{error.strerror} ({log[2].strip()})" if log else str(error.strerror)


UNDECODED: Any = [{"skip_frame": "all"}]
"""Stream options with which FFmpeg opens a file without decoding its first frames: four times as fast."""


@contextmanager
def _reading(
    path: Path, *, decoded: bool = True
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    try:
        with av.open(str(path), stream_options=None if decoded else UNDECODED) as container:
            if not container.streams.video:
                raise DatasetError("the file holds no video", place=Place(file=path))
            yield container, container.streams.video[0]
    except FileNotFoundError as error:
        raise DatasetError("the video is missing", place=Place(file=path)) from error
    except av.FFmpegError as error:
        raise DatasetError(
            "the video cannot be read", place=Place(file=path), found=_words(error)
        ) from error


def probe(path: Path, *, pix_fmt: str | None = None) -> tuple[VideoInfo, int]:
    """What a video file is, and how many frames its index counts.

    Args:
        path: the file.
        pix_fmt: its pixel format where that is known: FFmpeg would decode frames to find it.

    Raises:
        DatasetError: it is missing, or not a video.
    """
    with _reading(path, decoded=pix_fmt is None) as (container, stream):
        context = stream.codec_context
        rate = stream.average_rate
        info = VideoInfo(
            codec="av1" if context.name == "libdav1d" else context.name,
            pix_fmt=pix_fmt or context.pix_fmt or "unknown",
            width=context.width,
            height=context.height,
            fps=round(rate) if rate else 0,
        )
        # A fragmented file has no index that counts them.
        return info, stream.frames or sum(1 for packet in container.demux(stream) if packet.size)


def decode(path: Path, first: int = 0, count: int | None = None) -> Iterator[Bytes]:
    """The frames of a video, from number `first` on, all or `count` of them.

    Yields:
        uint8 arrays of shape (H, W, 3), RGB.

    Raises:
        DatasetError: it is missing, not a video, or does not decode.
    """
    with _reading(path) as (container, stream):
        stream.thread_type = "AUTO"
        wanted = range(first, first + count) if count is not None else None
        for number, picture in enumerate(container.decode(stream)):
            if wanted is not None and number >= wanted.stop:
                return
            if number >= first:
                yield rgb(picture)


def decode_at(path: Path, numbers: Sequence[int]) -> Iterator[Bytes]:
    """Single frames of a video, found through its key frames.

    Args:
        path: the video; constant frame rate.
        numbers: the numbers of the frames, rising; those behind the end give nothing.

    Yields:
        uint8 arrays of shape (H, W, 3), RGB.

    Raises:
        DatasetError: it is missing, not a video, or does not decode.
    """
    with _reading(path) as (container, stream):
        if not stream.average_rate or not stream.time_base:
            raise DatasetError("the video tells no frame rate", place=Place(file=path))
        ticks = 1 / (stream.average_rate * stream.time_base)
        for number in numbers:
            pts = (stream.start_time or 0) + round(number * ticks)
            container.seek(pts, stream=stream)
            picture = next(
                (p for p in container.decode(stream) if p.pts is not None and p.pts >= pts), None
            )
            if picture is not None:
                yield rgb(picture)

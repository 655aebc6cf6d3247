"""Video: settings, encoding, JPEG passthrough, decoding. One of the three modules that know FFmpeg (PyAV).

Recorded JPEG is decoded to its own planes; they go to the encoder through a table that maps full to limited range
(ITU-T T.871 to ITU-R BT.601), without a detour over RGB. FFmpeg's own range conversion would add dither, which
costs the encoder time and bytes.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

import av
import av.logging
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from piperline.episode import VideoInfo
from piperline.errors import DatasetError, Place, VideoError
from piperline.payload import is_png, is_whole_png

__all__ = [
    "LIBRARY",
    "MODES",
    "MP4_OPTIONS",
    "Mode",
    "Picture",
    "PictureDecoder",
    "VideoSettings",
    "VideoWriter",
    "decode",
    "decode_at",
    "probe",
    "resized",
    "rgb",
]

# SVT-AV1 writes to standard error by itself; only its errors are of interest.
os.environ.setdefault("SVT_LOG", "1")
logging.getLogger("libav").setLevel(logging.CRITICAL)

Mode = Literal["h264", "av1", "copy"]
Picture = VideoFrame
"""A decoded image: full-range planes of a JPEG, or packed RGB."""

Bytes = NDArray[np.uint8]

LIBRARY = f"PyAV {av.__version__}"
"""What makes the bytes of videos, apart from their settings."""


@dataclass(frozen=True)
class VideoSettings:
    """How the frames of a camera become a video.

    Attributes:
        mode: the name by which users choose it.
        codec: FFmpeg's name of the encoder; None where recorded JPEG is kept.
        options: the encoder's options.
        threads: threads of one encoder. Fixed, since x264's bytes depend on it; the work is spread over
            episodes and cameras instead.
        description: one line for people.
    """

    mode: Mode
    codec: str | None
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    description: str = ""


MODES: Mapping[Mode, VideoSettings] = {
    "h264": VideoSettings(
        "h264",
        "libx264",
        # No B-frames: packets can then be cut and appended without encoding again.
        {"preset": "superfast", "crf": "23", "g": "10", "bf": "0"},
        description="x264 superfast, crf 23, key frame every 10, no B-frames, 1 thread, yuv420p: plays anywhere",
    ),
    "av1": VideoSettings(
        "av1",
        "libsvtav1",
        # LeRobot's defaults, and scm=1: at preset 11 to 13 SVT-AV1 else skips small changes, in every second frame.
        {"preset": "12", "crf": "30", "g": "2", "svtav1-params": "lp=1:scm=1"},
        description="SVT-AV1 preset 12, crf 30, key frame every 2, yuv420p: LeRobot's defaults; and scm=1, so that "
        "small changes are not skipped",
    ),
    "copy": VideoSettings("copy", None, description="the recorded JPEG bytes in MP4 (MJPEG): exact, fast, large"),
}
"""The ways to make a video, the default first."""

MP4_OPTIONS = {"movflags": "+faststart", "write_btrt": "0"}
"""Players can start before they have the whole file. No bit rate, which is a guess: equal packets make equal files."""

_FULL_TO_LIMITED_LUMA = bytes(round(16 + value * 219 / 255) for value in range(256))
_FULL_TO_LIMITED_CHROMA = bytes(round(128 + (value - 128) * 224 / 255) for value in range(256))
_BT601 = 6  # AVCOL_SPC_SMPTE170M: the matrix of JPEG and of swscale's default for RGB
_LIMITED = 1  # AVCOL_RANGE_MPEG


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
        return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24" if self._swap else "rgb24")

    def _decode(self, data: bytes) -> Picture:
        if is_png(data) and not is_whole_png(data):
            raise ValueError("PNG cut short: its last chunk is missing")
        # FFmpeg's PNG decoder adds an image to the one before it: each PNG gets a decoder of its own.
        context = _image_decoder("png") if is_png(data) else self._mjpeg
        try:
            pictures = context.decode(av.Packet(data))
        except av.FFmpegError as error:
            self._mjpeg = _image_decoder("mjpeg")
            words = _words(error, lambda: _image_decoder("png" if is_png(data) else "mjpeg").decode(av.Packet(data)))
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
    return picture.reformat(width, height, format=picture.format.name, interpolation=Interpolation.AREA)


def for_encoder(picture: Picture) -> Picture:
    """`picture` as limited-range yuv420p."""
    if picture.format.name != "yuvj420p":
        return picture.reformat(format="yuv420p", dst_color_range=_LIMITED)
    result = VideoFrame(picture.width, picture.height, "yuv420p")
    tables = (_FULL_TO_LIMITED_LUMA, _FULL_TO_LIMITED_CHROMA, _FULL_TO_LIMITED_CHROMA)
    for source, target, table in zip(picture.planes, result.planes, tables, strict=True):
        data = bytes(source).translate(table)
        if source.line_size != target.line_size:
            rows = np.frombuffer(data, np.uint8).reshape(source.height, source.line_size)[:, : source.width]
            data = np.pad(rows, ((0, 0), (0, target.line_size - source.width))).tobytes()
        target.update(data)
    result.color_range = _LIMITED
    return result


# --- video files -------------------------------------------------------------------------------------------------


class VideoWriter:
    """Writes one video file; a context manager. Left by an exception, it leaves the file unfinished.

    Args:
        path: the mp4 file to make.
        settings: how.
        fps: frames a second.

    Raises:
        VideoError: the encoder is missing or fails.
    """

    def __init__(self, path: Path, settings: VideoSettings, *, fps: int) -> None:
        self.frames = 0
        self._path, self._settings, self._fps = path, settings, fps
        self._stream: av.VideoStream | None = None
        self._container = av.open(str(path), "w", format="mp4", options=MP4_OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._stream is not None and self._settings.codec is not None:
            self._encode(self._stream, None)
        self._container.close()

    def add(self, picture: Picture) -> None:
        """Encode one picture."""
        if self._settings.codec is None:
            raise ValueError("this writer keeps JPEG, it does not encode")
        picture = for_encoder(picture)
        if self._stream is None:
            self._stream = self._open(self._settings.codec, picture.width, picture.height)
        picture.pts = self.frames
        self.frames += 1
        self._encode(self._stream, picture)

    def add_jpeg(self, data: bytes, height: int, width: int) -> None:
        """Keep one recorded JPEG as it is, for `height` x `width` pixels."""
        if self._stream is None:
            kept = self._container.add_mux_stream("mjpeg", rate=self._fps, width=width, height=height)
            self._stream = cast("av.VideoStream", kept)
            self._stream.time_base = Fraction(1, self._fps)  # by default 1/90000, which not every rate divides
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.time_base = Fraction(1, self._fps)
        packet.pts = packet.dts = self.frames
        packet.duration = 1
        packet.is_keyframe = True
        self.frames += 1
        self._container.mux_one(packet)

    def _open(self, codec: str, width: int, height: int) -> av.VideoStream:
        try:
            added = self._container.add_stream(codec, rate=self._fps, options=dict(self._settings.options))
        except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            raise VideoError(
                f"this FFmpeg has no encoder {codec}",
                next_step="install PyAV's own wheel: pip install --force-reinstall --only-binary :all: av",
            ) from error
        stream = cast("av.VideoStream", added)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = self._settings.threads
        stream.codec_context.color_range = _LIMITED
        stream.codec_context.colorspace = _BT601
        return stream

    def _encode(self, stream: av.VideoStream, picture: Picture | None) -> None:
        """Encode a picture, or with None what the encoder still holds back."""
        try:
            for packet in stream.encode(picture):
                self._container.mux_one(packet)
        except OSError:  # the disk is full: not the encoder's fault
            raise
        except av.FFmpegError as error:
            raise VideoError("FFmpeg failed", found=_words(error, lambda: _open_again(stream))) from error


def _open_again(stream: av.VideoStream) -> None:
    """Open an encoder like that of `stream`."""
    known = stream.codec_context
    context = cast("av.VideoCodecContext", av.CodecContext.create(known.codec.name, "w"))
    context.width, context.height, context.pix_fmt = known.width, known.height, known.pix_fmt
    context.time_base, context.options = Fraction(1, 30), known.options
    context.open()


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
def _reading(path: Path, *, decoded: bool = True) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    try:
        with av.open(str(path), stream_options=None if decoded else UNDECODED) as container:
            if not container.streams.video:
                raise DatasetError("the file holds no video", place=Place(file=path))
            yield container, container.streams.video[0]
    except FileNotFoundError as error:
        raise DatasetError("the video is missing", place=Place(file=path)) from error
    except av.FFmpegError as error:
        raise DatasetError("the video cannot be read", place=Place(file=path), found=_words(error)) from error


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
            picture = next((p for p in container.decode(stream) if p.pts is not None and p.pts >= pts), None)
            if picture is not None:
                yield rgb(picture)

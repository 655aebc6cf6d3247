"""Settings of videos, encoding, and JPEG passthrough."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

import av

from piperline.errors import VideoError
from piperline.text import printable
from piperline.video.decoder import Picture
from piperline.video.file import ffmpeg_words
from piperline.video.planes import is_full_range, limited
from piperline.video.priority import usual_priority

# SVT-AV1 writes to standard error by itself; only its errors are of interest.
os.environ.setdefault("SVT_LOG", "1")

Mode = Literal["h264", "av1", "copy"]

LIBRARY = f"PyAV {av.__version__}"
"""What makes the bytes of videos, apart from their settings."""


@dataclass(frozen=True)
class VideoSettings:
    """How the frames of a camera become a video.

    Attributes:
        mode: the name by which users choose it.
        codec: FFmpeg's name of the encoder; None where recorded JPEG is kept.
        options: the encoder's options.
        threads: threads of one encoder. Fixed, since x264's bytes depend on it; the work is spread
            over episodes and cameras instead.
        description: one line for people.
        pix_fmt: FFmpeg's name of the pixel format.
    """

    mode: str
    codec: str | None
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    description: str = ""
    pix_fmt: str = "yuv420p"


MODES: Mapping[Mode, VideoSettings] = {
    "h264": VideoSettings(
        "h264",
        "libx264",
        # No B-frames: packets can then be cut and appended without encoding again. Wide dead zones
        # drop the sensor's noise, which costs bytes and reading; what that and `ultrafast` lose
        # where there is little light or much flicker, the quantizer gives back (bench/README.md).
        {
            "preset": "ultrafast",
            "crf": "22",
            "g": "10",
            "bf": "0",
            "x264-params": "deadzone-inter=27:deadzone-intra=16:qcomp=0.75:ipratio=1.25",
        },
        description="x264 ultrafast, crf 22, key frame every 10, no B-frames, wide dead zones, "
        "1 thread, yuv420p: plays anywhere",
    ),
    "av1": VideoSettings(
        "av1",
        "libsvtav1",
        # LeRobot's defaults, and scm=1: at preset 11 to 13 SVT-AV1 else skips small changes, in
        # every second frame.
        {"preset": "12", "crf": "30", "g": "2", "svtav1-params": "lp=1:scm=1"},
        description="SVT-AV1 preset 12, crf 30, key frame every 2, yuv420p: LeRobot's defaults; "
        "and scm=1, so that small changes are not skipped",
    ),
    "copy": VideoSettings(
        "copy",
        None,
        description="the recorded JPEG bytes in MP4 (MJPEG): exact, fast, large",
    ),
}
"""The ways to make a video, the default first."""

MP4_OPTIONS = {"movflags": "+faststart", "write_btrt": "0"}
"""Players can start before they have the whole file. No bit rate, which is a guess: equal packets
make equal files."""


_BT601 = 6  # AVCOL_SPC_SMPTE170M: the matrix of JPEG and of swscale's default for RGB
_LIMITED = 1  # AVCOL_RANGE_MPEG


def for_encoder(picture: Picture) -> Picture:
    """`picture` as limited-range yuv420p."""
    if is_full_range(picture):
        return limited(picture)
    # FFmpeg would start threads for each picture.
    return picture.reformat(
        format="yuv420p", dst_color_range=_LIMITED, threads=1
    )


class VideoWriter:
    """Writes one video file; a context manager.

    Left by an exception, it leaves the file unfinished.

    Args:
        path: the mp4 file to make.
        settings: how.
        fps: frames a second.

    Raises:
        VideoError: the encoder is missing or fails.
    """

    def __init__(
        self, path: Path, settings: VideoSettings, *, fps: int
    ) -> None:
        self.frames = 0
        self._path, self._settings, self._fps = path, settings, fps
        self._tick = Fraction(1, fps)
        self._stream: av.VideoStream | None = None
        self._container = av.open(
            str(path), "w", format="mp4", options=MP4_OPTIONS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if (
            kind is None
            and self._stream is not None
            and self._settings.codec is not None
        ):
            self._encode(self._stream, None)
        self._container.close()

    def add(self, picture: Picture) -> None:
        """Encode one picture."""
        if self._settings.codec is None:
            raise ValueError("this writer keeps JPEG, it does not encode")
        if self._settings.pix_fmt == "yuv420p":
            picture = for_encoder(picture)
        picture.pts, picture.time_base = self.frames, self._tick
        self.frames += 1
        if self._stream is not None:
            self._encode(self._stream, picture)
            return
        self._stream = self._open(
            self._settings.codec, picture.width, picture.height
        )
        with usual_priority():  # the first picture opens the encoder
            self._encode(self._stream, picture)

    def add_jpeg(self, data: bytes, height: int, width: int) -> None:
        """Keep one recorded JPEG as it is, for `height` x `width` pixels."""
        if self._stream is None:
            kept = self._container.add_mux_stream(
                "mjpeg", rate=self._fps, width=width, height=height
            )
            self._stream = cast("av.VideoStream", kept)
            # By default 1/90000, which not every rate divides.
            self._stream.time_base = self._tick
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.time_base = self._tick
        packet.pts = packet.dts = self.frames
        packet.duration = 1
        packet.is_keyframe = True
        self.frames += 1
        self._container.mux_one(packet)

    def _open(
        self,
        codec: str,
        width: int,
        height: int,
    ) -> av.VideoStream:
        try:
            added = self._container.add_stream(
                codec, rate=self._fps, options=dict(self._settings.options)
            )
        except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            raise VideoError(
                f"this FFmpeg has no encoder {codec}",
                expected=f"PyAV with {codec}, as its wheels from PyPI have it",
                found=printable(f"PyAV {av.__version__}: {error}"),
                next_step="install PyAV's own wheel: "
                "pip install --force-reinstall --only-binary :all: av",
            ) from error
        stream = cast("av.VideoStream", added)
        stream.width, stream.height = width, height
        stream.pix_fmt = self._settings.pix_fmt
        stream.codec_context.thread_count = self._settings.threads
        if stream.pix_fmt != "yuv420p":
            return stream
        stream.codec_context.color_range = _LIMITED
        stream.codec_context.colorspace = _BT601
        return stream

    def _encode(self, stream: av.VideoStream, picture: Picture | None) -> None:
        """Encode a picture, or with None what the encoder still holds back."""
        # An encoder's errors may be OSErrors too: of a GPU that is not there.
        try:
            packets = stream.encode(picture)
        except av.FFmpegError as error:
            words = ffmpeg_words(
                error, lambda: _open_again(stream, self._settings)
            )
            raise _failed(self._settings.codec, words) from error
        try:
            for packet in packets:
                self._container.mux_one(packet)
        except OSError:  # the disk is full: not FFmpeg's fault
            raise
        except av.FFmpegError as error:
            raise _failed(self._settings.codec, ffmpeg_words(error)) from error


def _failed(codec: str | None, words: str) -> VideoError:
    step = (
        "run the same command again; if this comes again, report what was found"
    )
    if codec == "h264_nvenc":
        step = "leave out --encoder: x264 makes the videos"
    return VideoError(
        "FFmpeg failed",
        expected=f"frames that {codec or 'it'} takes",
        found=words,
        next_step=step,
    )


def _open_again(stream: av.VideoStream, settings: VideoSettings) -> None:
    """Open an encoder like that of `stream`, which did not open and has lost its codec."""
    context = cast(
        "av.VideoCodecContext",
        av.CodecContext.create(settings.codec or "", "w"),
    )
    known = stream.codec_context
    context.width, context.height = known.width, known.height
    context.pix_fmt = settings.pix_fmt
    context.time_base = Fraction(1, 30)
    context.options = dict(settings.options)
    with usual_priority():
        context.open()

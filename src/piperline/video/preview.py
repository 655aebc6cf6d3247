"""Small videos for people: H.264 that browsers play, a frame for each recorded image."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from piperline.video.decoder import Picture, rgb
from piperline.video.encoder import VideoSettings, VideoWriter
from piperline.video.image_header import is_png, is_whole_png

Payload = bytes | NDArray[np.uint8]

WIDEST = 320
"""Pixels; wider images are made smaller, in their shape."""

_SETTINGS = VideoSettings(
    "h264",
    "libx264",
    # A key frame every third of a second, so that a browser finds any frame at once.
    {"preset": "superfast", "crf": "30", "g": "10", "bf": "0"},
)
_MOST_REDUCTION = 3  # libavcodec/mjpegdec.c: inverse DCTs of 8, 4, 2 and 1


class PreviewWriter:
    """Writes a small video; a context manager. Left by an exception, it leaves the file unfinished.

    Args:
        path: the mp4 file to make.
        height, width: of the images, in pixels.
        fps: frames a second.
        swap: red and blue were exchanged when an image was recorded; they are put right.
    """

    def __init__(
        self, path: Path, height: int, width: int, *, fps: int, swap: bool = False
    ) -> None:
        self._width, self._height = preview_size(height, width)
        self._swap, self._fps = swap, fps
        self._jpeg = _decoder("mjpeg", _reduction(width, self._width))
        self._writer = VideoWriter(path, _SETTINGS, fps=fps)
        self._last: Picture | None = None

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, value, traceback)

    def add(self, payload: Payload) -> None:
        """Add a recorded image; for one that does not decode the one before is shown again.

        Args:
            payload: JPEG or PNG, or uint8 (H, W, 3), RGB.
        """
        try:
            picture = self._decoded(payload)
        except (av.FFmpegError, ValueError):
            self._add_again()
            return
        if self._swap:
            picture = VideoFrame.from_ndarray(rgb(picture), format="bgr24")
        self.add_picture(picture)

    def add_picture(self, picture: Picture) -> None:
        """Add a decoded picture of any size."""
        self._last = picture.reformat(
            self._width, self._height, format="yuv420p", interpolation=Interpolation.AREA,
            dst_color_range=1, dst_colorspace=5, threads=1,
        )  # fmt: skip
        self._last.time_base = Fraction(1, self._fps)  # not that of the video that it comes from
        self._writer.add(self._last)

    def _decoded(self, payload: Payload) -> Picture:
        if not isinstance(payload, bytes):
            return VideoFrame.from_ndarray(np.ascontiguousarray(payload), format="rgb24")
        if is_png(payload) and not is_whole_png(payload):
            raise ValueError("PNG cut short")
        # FFmpeg's PNG decoder adds an image to the one before it: each gets a decoder of its own.
        context = _decoder("png", 0) if is_png(payload) else self._jpeg
        (picture,) = context.decode(av.Packet(payload))
        return picture

    def _add_again(self) -> None:
        if self._last is None:
            grey = np.full((self._height, self._width, 3), 128, dtype=np.uint8)
            self.add_picture(VideoFrame.from_ndarray(grey, format="rgb24"))
        else:
            self._writer.add(self._last)


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Width and height of the small video of images of this size: even, as 4:2:0 wants them."""
    scale = min(1.0, WIDEST / width)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _reduction(width: int, wanted: int) -> int:
    """How often the sides of a JPEG can be halved while it is decoded."""
    return max(r for r in range(_MOST_REDUCTION + 1) if r == 0 or width >> r >= wanted)


def _decoder(codec: str, reduction: int) -> av.VideoCodecContext:
    context = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    context.options = {"err_detect": "explode", "lowres": str(reduction)}
    return context

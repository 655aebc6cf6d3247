"""Decoding: recorded images and video files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from piperline.episode import VideoInfo
from piperline.errors import DatasetError, Place
from piperline.video.file import VideoFile, ffmpeg_words, reading
from piperline.video.image_header import check_png, is_png
from piperline.video.planes import exchanged, is_full_range

Picture = VideoFrame
"""A decoded image: full-range planes of a JPEG, or packed RGB."""

Bytes = NDArray[np.uint8]


class PictureDecoder:
    """Decodes recorded images of one camera.

    Args:
        swap: red and blue were exchanged when the image was recorded; they are put right.
        mirrored: whether top and bottom, left and right are exchanged; they are put right.
    """

    def __init__(
        self,
        *,
        swap: bool = False,
        mirrored: tuple[bool, bool] = (False, False),
    ) -> None:
        self._swap, self._mirrored = swap, mirrored
        self._mjpeg = _image_decoder("mjpeg")
        self.recorded: Picture | None = None
        """The last image that `encoded` decoded, as it was recorded."""

    def encoded(self, data: bytes) -> Picture:
        """Decode a JPEG or PNG.

        Returns:
            The planes of a JPEG: full range as they are recorded, limited range where red and blue
            are put right. Packed RGB where it is PNG or mirrored.

        Raises:
            ValueError: it does not decode without an error; FFmpeg's own words are in the message.
        """
        picture = self.recorded = self._decode(data)
        if not any(self._mirrored):
            return put_right(picture) if self._swap else picture
        packed = picture.reformat(format="rgb24", threads=1)
        plane = packed.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8)
        pixels = rows.reshape(packed.height, plane.line_size)
        return self.raw(
            pixels[:, : 3 * packed.width].reshape(
                packed.height, packed.width, 3
            )
        )

    def depth(self, payload: bytes | NDArray[Any]) -> NDArray[Any]:
        """The distances of a depth image, (H, W), as they were recorded.

        Raises:
            ValueError: it does not decode, or is no image of one channel.
        """
        if not isinstance(payload, bytes):
            return payload
        picture = self._decode(payload)
        if picture.format.name not in {"gray16be", "gray16le"}:
            raise ValueError(f"holds {picture.format.name}, not distances")
        return picture.to_ndarray(format="gray16le")

    def raw(self, pixels: Bytes) -> Picture:
        """Take an image of shape (H, W, 3), uint8, RGB; BGR if red and blue were exchanged."""
        height, width, _ = pixels.shape
        down, across = directions(self._mirrored)
        if any(self._mirrored):
            # Bytes of a row read backwards are its pixels backwards, blue before red.
            rows = np.ascontiguousarray(pixels).reshape(height, width * 3)
            pixels = rows[::down, ::across]
        pixels = np.ascontiguousarray(pixels).reshape(height, width, 3)
        blue_first = self._swap != (across < 0)
        return _picture_of(pixels, "bgr24" if blue_first else "rgb24")

    def _decode(self, data: bytes) -> Picture:
        if not data:  # the end of all images, to a decoder
            raise ValueError("is empty")
        if is_png(data):
            check_png(data)
        # FFmpeg's PNG decoder adds an image to the one before it: each PNG gets one of its own.
        codec = "png" if is_png(data) else "mjpeg"
        context = _image_decoder("png") if is_png(data) else self._mjpeg
        try:
            pictures = context.decode(av.Packet(data))
        except av.FFmpegError as error:
            self._mjpeg = _image_decoder("mjpeg")
            words = ffmpeg_words(
                error, lambda: _image_decoder(codec).decode(av.Packet(data))
            )
            raise ValueError(f"does not decode: {words}") from error
        if len(pictures) != 1:
            raise ValueError(f"holds {len(pictures)} images instead of one")
        return pictures[0]


def directions(mirrored: tuple[bool, bool]) -> tuple[int, int]:
    """The steps by which rows and columns are read: -1 where they are mirrored, else 1."""
    down, across = mirrored
    return 1 - 2 * down, 1 - 2 * across


def put_right(picture: Picture) -> Picture:
    """A picture recorded with red and blue exchanged, as it should be: see `exchanged`."""
    if is_full_range(picture):
        return exchanged(picture)
    return _picture_of(rgb(picture), "bgr24")


def raw_picture(pixels: Bytes) -> Picture:
    """An image of shape (H, W, 3), uint8, taken for RGB."""
    return _picture_of(np.ascontiguousarray(pixels), "rgb24")


def _picture_of(pixels: Bytes, form: str) -> Picture:
    """A picture of contiguous pixels, which it shares where it may."""
    if not pixels.flags.writeable:
        return VideoFrame.from_ndarray(pixels, format=form)
    return VideoFrame.from_numpy_buffer(pixels, format=form)


def _image_decoder(codec: str) -> av.VideoCodecContext:
    context = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    # Without "explode" FFmpeg conceals damage: a truncated JPEG would pass as a grey lower half. Of
    # its inverse DCTs "xvid" is the fastest and the nearest to libjpeg's: 1.8 % of the pixels
    # differ, by 1, and their mean does not.
    context.options = {"err_detect": "explode", "idct": "xvid"}
    return context


def rgb(picture: Picture) -> Bytes:
    """The pixels of a picture: uint8 of shape (H, W, 3), RGB."""
    # FFmpeg would start threads for each picture, which cost more than the conversion.
    shown = picture.reformat(format="rgb24", threads=1)
    return cast("Bytes", shown.to_ndarray())


def resized(picture: Picture, width: int, height: int) -> Picture:
    """`picture` scaled to `width` x `height` pixels, each the mean of those that it covers."""
    return picture.reformat(
        width,
        height,
        format=picture.format.name,
        interpolation=Interpolation.AREA,
        threads=1,
    )


def probe(
    path: Path,
    *,
    pix_fmt: str | None = None,
) -> tuple[VideoInfo, int]:
    """What a video file is, and how many frames its index counts.

    Args:
        path: the file.
        pix_fmt: its pixel format where that is known: FFmpeg would decode frames to find it.

    Raises:
        DatasetError: it is missing, or not a video.
    """
    with reading(path), VideoFile(path, decoded=pix_fmt is None) as file:
        context = file.stream.codec_context
        rate = file.stream.average_rate
        info = VideoInfo(
            codec="av1" if context.name == "libdav1d" else context.name,
            pix_fmt=pix_fmt or context.pix_fmt or "unknown",
            width=context.width,
            height=context.height,
            fps=round(rate) if rate else 0,
        )
        # A fragmented file has no index that counts them.
        return info, file.stream.frames or len(file.times())


def decode(
    path: Path, first: int = 0, count: int | None = None
) -> Iterator[Bytes]:
    """The frames of a video, from number `first` on, all or `count` of them.

    Yields:
        uint8 arrays of shape (H, W, 3), RGB.

    Raises:
        DatasetError: it is missing, not a video, or does not decode.
    """
    with reading(path), VideoFile(path, decoded=True) as file:
        file.stream.thread_type = "AUTO"
        wanted = range(first, first + count) if count is not None else None
        for number, picture in enumerate(file.container.decode(file.stream)):
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
    with reading(path), VideoFile(path, decoded=True) as file:
        stream = file.stream
        if not stream.average_rate or not stream.time_base:
            raise DatasetError(
                "the video tells no frame rate",
                place=Place(file=path),
                expected="a video with a rate in its header",
                found="none",
            )
        ticks = 1 / (stream.average_rate * stream.time_base)
        for number in numbers:
            pts = (stream.start_time or 0) + round(number * ticks)
            file.container.seek(pts, stream=stream)
            for picture in file.container.decode(stream):
                if picture.pts is not None and picture.pts >= pts:
                    yield rgb(picture)
                    break

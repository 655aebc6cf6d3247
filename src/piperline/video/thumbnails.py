"""Images decoded small: FFmpeg's JPEG decoder leaves out what a small picture does not show."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from piperline.errors import DatasetError, Place
from piperline.video.decoder import raw_picture
from piperline.video.image_header import check_png, is_png, most_pixels

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

HEIGHT, WIDTH = 30, 40
"""Of every thumbnail, whatever the shape of the image."""

DECODED_WIDTH = 320
"""Images are decoded at least so wide, if they are, so that small videos can be made too."""

_TO_YCC = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168736, -0.331264, 0.5],
        [0.5, -0.418688, -0.081312],
    ],
    dtype=np.float32,
)
"""BT.601, full range, as JFIF has it."""

_FULL_LUMA = bytes(
    min(max(round((level - 16) * 255 / 219), 0), 255) for level in range(256)
)
"""Luma of limited range as that of full range."""

_MOST_ROWS = 256  # whose sum fits 16 bits
_MOST_REDUCTION = 3  # libavcodec/mjpegdec.c: inverse DCTs of 8, 4, 2 and 1


class ThumbnailDecoder:
    """Makes thumbnails of the recorded images of one camera.

    Args:
        width: of the images, in pixels: it decides how much smaller they are decoded.
        swap: red and blue were exchanged when an image was recorded; they are put right.
    """

    def __init__(self, width: int, *, swap: bool = False) -> None:
        self._swap = swap
        fitting = (
            r for r in range(_MOST_REDUCTION + 1) if width >> r >= DECODED_WIDTH
        )
        reduction = max(fitting, default=0)
        self._small = _decoder("mjpeg", reduction)
        self._whole = _decoder("mjpeg", 0)
        self.picture: VideoFrame | None = None
        """What the last thumbnail was made of, its colours as recorded."""

    def small(self, data: bytes | Bytes, *, color: bool = True) -> Floats:
        """The thumbnail of an image: luma, blue and red difference, float32 (3, HEIGHT, WIDTH).

        Args:
            data: as it is recorded.
            color: else luma alone, float32 (1, HEIGHT, WIDTH).

        Raises:
            ValueError: it does not decode.
        """
        self.picture = self._picture(data, self._small)
        return thumbnail_of(self.picture, swap=self._swap, color=color)

    def luma(self, data: bytes | Bytes) -> Bytes:
        """The luma of an image in its own size: uint8 (H, W).

        Raises:
            ValueError: it does not decode.
        """
        return luma_of(self._picture(data, self._whole))

    def _picture(
        self, data: bytes | Bytes, jpeg: av.VideoCodecContext
    ) -> VideoFrame:
        if not isinstance(data, bytes):
            return raw_picture(data)
        if not data:  # the end of all images, to a decoder
            raise ValueError("is empty")
        if is_png(data):
            check_png(data)
        # FFmpeg's PNG decoder adds an image to the one before it: each gets a decoder of its own.
        context = _decoder("png", 0) if is_png(data) else jpeg
        try:
            pictures = context.decode(av.Packet(data))
        except av.FFmpegError as error:
            raise ValueError(f"does not decode: {error.strerror}") from error
        if len(pictures) != 1:
            raise ValueError(f"holds {len(pictures)} images instead of one")
        return pictures[0]


def thumbnail_of(
    picture: VideoFrame, *, swap: bool = False, color: bool = True
) -> Floats:
    """The thumbnail of a decoded picture of any size; see `ThumbnailDecoder.small`.

    Of a JPEG decoded whole and small it is the same within half a level of 255: both are means of
    whole blocks.
    """
    if picture.format.name == "rgb24":
        return _of_pixels(picture, swap=swap)[: 3 if color else 1]
    planes = _planes(picture, 3 if color else 1)
    thumbnail = np.empty((len(planes), HEIGHT, WIDTH), np.float32)
    for small, plane in zip(thumbnail, planes, strict=True):
        _shrink(plane, small)
    if _is_limited(picture):
        _widen(thumbnail[0], 16, 219, 0)
        _widen(thumbnail[1:], 128, 224, 128)
    return thumbnail[[0, 2, 1]] if swap and color else thumbnail


class LumaRows:
    """The luma of pictures as sums of rows, of which thumbnails are made some at a time.

    Between two pictures decoders and encoders take the processor's cache: what is done for each of
    them costs twice of what it does for several in a row.

    Args:
        height, width: of the pictures, in pixels.
        most: how many are held.
    """

    def __init__(self, height: int, width: int, most: int) -> None:
        self._shape, self._tall = (height, width), height // HEIGHT
        self._wide = width // WIDTH
        self._rows = np.empty((most, HEIGHT, width), np.uint16)

    def takes(self, picture: VideoFrame) -> bool:
        """Whether a picture has planes of whole blocks of samples, of full range."""
        whole = (self._tall * HEIGHT, self._wide * WIDTH) == self._shape
        fits = whole and 0 < self._tall <= _MOST_ROWS
        same = fits and (picture.height, picture.width) == self._shape
        return same and picture.format.name.startswith("yuvj")

    def put(self, number: int, picture: VideoFrame) -> None:
        """Take a picture as number `number` of those that are held."""
        blocks = _plane(picture, 0).reshape(HEIGHT, self._tall, -1)
        np.add.reduce(blocks, axis=1, dtype=np.uint16, out=self._rows[number])

    def thumbnails(self, count: int) -> Floats:
        """The luma of the thumbnails of the first `count`, float32 (count, HEIGHT, WIDTH)."""
        small = np.empty((count, HEIGHT, WIDTH), np.float32)
        _means_of_rows(self._rows[:count], self._tall * self._wide, small)
        return small


def chroma_of(picture: VideoFrame, *, swap: bool = False) -> Floats:
    """The blue and red difference of a thumbnail of planes of full range: (2, HEIGHT, WIDTH)."""
    small = np.empty((2, HEIGHT, WIDTH), np.float32)
    for number, own in enumerate(small, 1):
        _shrink(_plane(picture, number), own)
    return small[::-1] if swap else small


def _of_pixels(picture: VideoFrame, *, swap: bool) -> Floats:
    """The thumbnail of packed pixels, float32 (3, HEIGHT, WIDTH): colours of their means."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)
    pixels = rows.reshape(plane.height, -1)[:, : 3 * plane.width]
    tall, wide = plane.height // HEIGHT, plane.width // WIDTH
    whole = (plane.height, plane.width) == (tall * HEIGHT, wide * WIDTH)
    if whole and 0 < tall <= _MOST_ROWS:
        tops = pixels.reshape(HEIGHT, tall, -1).sum(axis=1, dtype=np.uint16)
        sums = tops.reshape(HEIGHT, WIDTH, wide, 3).sum(axis=2, dtype=np.uint32)
        means = sums.astype(np.float32) / np.float32(tall * wide)
    else:
        shape = plane.height, plane.width, 3
        channels = pixels.reshape(shape).transpose(2, 0, 1)
        means = np.empty((HEIGHT, WIDTH, 3), np.float32)
        for small, channel in zip(
            means.transpose(2, 0, 1), channels, strict=True
        ):
            _shrink(channel, small)
    matrix = _TO_YCC[:, ::-1] if swap else _TO_YCC
    thumbnail: Floats = (matrix @ means.reshape(-1, 3).T).reshape(
        3, HEIGHT, WIDTH
    )
    thumbnail[1:] += 128
    return thumbnail


@contextmanager
def video_pictures(
    path: Path, first: int, count: int
) -> Iterator[Iterator[VideoFrame]]:
    """The decoded frames of a span of a video file, found through its key frames.

    Raises:
        DatasetError: it is missing, not a video, or does not decode.
    """
    try:
        with av.open(str(path)) as container:
            yield islice(_from(container, first), count)
    except (av.FFmpegError, FileNotFoundError, IndexError) as error:
        message = "the video cannot be read"
        raise DatasetError(
            message,
            place=Place(file=path),
            found=str(error),
            expected="a whole video that FFmpeg reads",
        ) from error


def _from(
    container: av.container.InputContainer, first: int
) -> Iterator[VideoFrame]:
    """The frames of a file from number `first` on; its rate is constant."""
    stream = container.streams.video[0]
    start = 0
    if first and stream.average_rate and stream.time_base:
        start = (stream.start_time or 0) + round(
            first / stream.average_rate / stream.time_base
        )
        container.seek(start, stream=stream)
    return (
        p
        for p in container.decode(stream)
        if not first or (p.pts or 0) >= start
    )


def luma_of(picture: VideoFrame) -> Bytes:
    """The luma of a decoded picture, full range, uint8 (H, W)."""
    luma = _planes(picture, 1)[0]
    if not _is_limited(picture):
        return luma
    full = luma.tobytes().translate(_FULL_LUMA)
    return np.frombuffer(full, np.uint8).reshape(luma.shape)


def colored(thumbnail: NDArray[np.number]) -> Bytes:
    """A thumbnail as RGB: uint8 (HEIGHT, WIDTH, 3); BT.601, full range, as JFIF has it."""
    y, cb, cr = thumbnail.astype(np.float32)
    cb, cr = cb - 128, cr - 128
    channels = [
        y + 1.402 * cr,
        y - 0.344136 * cb - 0.714136 * cr,
        y + 1.772 * cb,
    ]
    return np.clip(
        np.round(np.stack(channels, axis=-1)),
        0,
        255,
    ).astype(np.uint8)


def _decoder(codec: str, reduction: int) -> av.VideoCodecContext:
    context = cast("av.VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    # Without "explode" FFmpeg conceals damage: a truncated JPEG would pass.
    # "xvid": as whole images are decoded elsewhere, so that their luma is the same.
    context.options = {
        "err_detect": "explode",
        "idct": "xvid",
        "lowres": str(reduction),
        "max_pixels": str(most_pixels()),
    }
    return context


def _planes(picture: VideoFrame, count: int) -> list[Bytes]:
    """The first planes of a picture, luma and chroma; chroma of a grey picture is neutral.

    They have full range, unless the picture `_is_limited`.
    """
    name = picture.format.name
    if name.startswith("gray"):
        grey = _plane(
            picture if name == "gray" else picture.reformat(format="gray"), 0
        )
        neutral = np.full((1, 1), 128, dtype=np.uint8)
        return [grey, neutral, neutral][:count]
    if not name.startswith("yuvj") and not _is_limited(picture):
        picture = picture.reformat(format="yuvj420p", threads=1)
    return [_plane(picture, number) for number in range(count)]


def _is_limited(picture: VideoFrame) -> bool:
    """Whether it is what most videos hold, 4:2:0 of limited range: its planes are taken as such."""
    full = picture.color_range == ColorRange.JPEG
    return picture.format.name == "yuv420p" and not full


def _plane(picture: VideoFrame, number: int) -> Bytes:
    plane = picture.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(
        plane.height, plane.line_size
    )
    return rows[:, : plane.width]


def _widen(samples: Floats, lowest: int, steps: int, zero: int) -> None:
    """Samples of limited range become those of full range, in place."""
    if samples.size:
        samples -= lowest
        samples *= np.float32(255 / steps)
        samples += zero


def _shrink(plane: Bytes, small: Floats) -> None:
    """Scale a plane to the shape of `small`, each place the mean of what it covers."""
    height, width = small.shape
    tall, wide = plane.shape[0] // height, plane.shape[1] // width
    whole = plane.shape == (tall * height, wide * width)
    if whole and 0 < tall <= _MOST_ROWS:
        _block_means(plane, tall, small)
        return
    rows, columns = (
        _weights(plane.shape[0], height),
        _weights(plane.shape[1], width),
    )
    small[...] = rows @ plane.astype(np.float32) @ columns.T


def _block_means(plane: Bytes, tall: int, small: Floats) -> None:
    """The mean of each block of pixels, `tall` high; several times as fast as weights are."""
    height, width = small.shape
    rows = plane.reshape(height, tall, -1).sum(axis=1, dtype=np.uint16)
    _means_of_rows(rows, tall * (plane.shape[1] // width), small)


def _means_of_rows(
    rows: NDArray[np.uint16], pixels: int, small: Floats
) -> None:
    """The means of blocks of so many pixels, of the sums of their columns."""
    wide = rows.shape[-1] // small.shape[-1]
    # of all blocks at once: a product for each row of them would take twice the time
    sums = rows.astype(np.float32).reshape(-1, wide) @ _ones(wide)
    np.divide(sums.reshape(small.shape), pixels, out=small)


@lru_cache(maxsize=64)
def _ones(count: int) -> Floats:
    return np.ones(count, np.float32)


@lru_cache(maxsize=64)
def _weights(size: int, places: int) -> Floats:
    """How much each of `size` pixels counts in each place: float32 (places, size)."""
    edges = np.linspace(0, size, places + 1)
    pixels = np.arange(size)
    upper = np.minimum(edges[1:, None], pixels + 1)
    lower = np.maximum(edges[:-1, None], pixels)
    covered = np.clip(upper - lower, 0, None)
    weights: Floats = (
        covered
        / covered.sum(
            axis=1,
            keepdims=True,
        )
    ).astype(np.float32)
    return weights

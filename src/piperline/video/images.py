"""Single images, JPEG and PNG, as bytes and as RGB arrays; and sheets of many.

FFmpeg does the coding. JPEG is the baseline kind of FFmpeg's `mjpeg` encoder: 4:2:0, full range,
BT.601, as JFIF wants it.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import cast

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from piperline.errors import VideoError
from piperline.video.image_header import check_png, is_png, most_pixels

Image = NDArray[np.uint8]

_QSCALE = "2"
"""FFmpeg's measure of quality: at this one the PSNR of a textured, noisy 640x480 image is that of
Pillow's JPEG at libjpeg's quality 92. (FFmpeg scales another base table: it needs fewer bytes.)"""

_UPSAMPLING = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
)
_PAPER = 255


def encode_jpeg(rgb: Image) -> bytes:
    """Encode an image as JPEG of libjpeg's quality 92; the same image gives the same bytes.

    Args:
        rgb: uint8, shape (H, W, 3).

    Raises:
        ValueError: `rgb` is not an image.
    """
    frame = _frame(rgb).reformat(format="yuvj420p", threads=1)
    return _encode("mjpeg", frame, {"qmin": _QSCALE, "qmax": _QSCALE})


def encode_png(rgb: Image) -> bytes:
    """Encode an image as PNG, without loss.

    Args:
        rgb: uint8, shape (H, W, 3).

    Raises:
        ValueError: `rgb` is not an image.
    """
    return _encode("png", _frame(rgb), {})


def decode_image(data: bytes) -> Image:
    """Decode a JPEG or PNG.

    Returns:
        uint8, shape (H, W, 3), RGB. Transparency is dropped.

    Raises:
        VideoError: neither JPEG nor PNG, or damaged, or larger than `most_pixels`.
    """
    codec = "png" if is_png(data) else "mjpeg"
    # Without "explode", half an image comes back with the rest grey.
    options = {"err_detect": "explode", "max_pixels": str(most_pixels())}
    try:
        if is_png(data):
            check_png(data)
        decoder = cast(
            "av.VideoCodecContext", av.CodecContext.create(codec, "r")
        )
        decoder.options, decoder.thread_count = options, 1
        frame = [
            *decoder.decode(av.Packet(data)),
            *decoder.decode(None),
        ][0]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise _unreadable(data, str(error)) from error
    return _pixels(
        frame.reformat(format="rgb24", interpolation=_UPSAMPLING, threads=1)
    )


def contact_sheet(
    rows: Sequence[Sequence[Image]],
    *,
    gap: int = 4,
    max_width: int | None = None,
) -> Image:
    """Lay images out in rows on white, from the left and from the top.

    Args:
        rows: uint8 images of shape (H, W, 3); sizes may differ.
        gap: pixels around each image.
        max_width: make all images smaller by one factor, so that the sheet is at most this many
            pixels wide.

    Returns:
        uint8, shape (H, W, 3), RGB.
    """
    rows = fitted(
        [row for row in rows if row],
        gap=gap,
        max_width=max_width,
    )
    if not rows:
        raise ValueError("a contact sheet needs at least one image")
    heights = [max(map(len, row)) for row in rows]
    width = max(row_width(row, gap) for row in rows) + gap
    sheet = np.full(
        (sum(heights) + gap * (len(rows) + 1), width, 3), _PAPER, dtype=np.uint8
    )
    top = gap
    for row, height in zip(rows, heights, strict=True):
        left = gap
        for image in row:
            sheet[top : top + len(image), left : left + image.shape[1]] = image
            left += image.shape[1] + gap
        top += height + gap
    return sheet


def fitted(
    rows: Sequence[Sequence[Image]],
    *,
    gap: int = 4,
    max_width: int | None = None,
) -> list[list[Image]]:
    """Make images smaller by one factor, so that their rows fit; see `contact_sheet`."""
    scale = _scale(rows, gap, max_width) if rows else 1.0
    smaller = partial(_smaller, scale=scale)
    return [list(map(smaller, row)) for row in rows]


def row_width(row: Sequence[Image], gap: int) -> int:
    """Pixels that a row of images takes, with a gap behind each."""
    return sum(image.shape[1] + gap for image in row)


def _frame(rgb: Image) -> av.VideoFrame:
    if rgb.dtype != np.uint8 or rgb.shape[2:] != (3,) or 0 in rgb.shape:
        raise ValueError(
            f"an image is uint8 of shape (H, W, 3), not {rgb.dtype} of shape {rgb.shape}"
        )
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")


def _pixels(frame: av.VideoFrame) -> Image:
    return cast("Image", frame.to_ndarray())


def _encode(
    codec: str, frame: av.VideoFrame, options: Mapping[str, str]
) -> bytes:
    encoder = cast("av.VideoCodecContext", av.CodecContext.create(codec, "w"))
    # Else FFmpeg writes its version into each JPEG.
    encoder.options = {"flags": "bitexact", **options}
    encoder.width, encoder.height, encoder.pix_fmt = (
        frame.width,
        frame.height,
        frame.format.name,
    )
    encoder.time_base = Fraction(1, 1)
    encoder.thread_count = 1  # slices of threads would change the bytes
    return b"".join(
        bytes(packet)
        for packet in [*encoder.encode(frame), *encoder.encode(None)]
    )


def _unreadable(data: bytes, found: str) -> VideoError:
    return VideoError(
        "this is not an image that can be decoded",
        expected="a whole JPEG or PNG",
        found=f"{len(data)} bytes that begin with {data[:8].hex(' ') or 'nothing'}: {found}",
        next_step="copy or record it again",
    )


def _scale(
    rows: Sequence[Sequence[Image]], gap: int, max_width: int | None
) -> float:
    """The factor, at most 1, that makes the widest row fit."""
    if max_width is None:
        return 1.0
    factors = [_row_scale(row, gap, max_width) for row in rows]
    if min(factors) <= 0:
        raise ValueError(
            f"{max(map(len, rows))} images do not fit beside each other into {max_width} pixels"
        )
    return min(1.0, *factors)


def _row_scale(
    row: Sequence[Image],
    gap: int,
    max_width: int,
) -> float:
    width = sum(image.shape[1] for image in row)
    return float((max_width - gap * (len(row) + 1)) / width)


def _smaller(image: Image, scale: float) -> Image:
    if scale == 1:
        return image
    height, width = (
        max(
            1,
            int(side * scale),
        )
        for side in image.shape[:2]
    )
    frame = _frame(image).reformat(
        width=width, height=height, interpolation="AREA", threads=1
    )
    return _pixels(frame)

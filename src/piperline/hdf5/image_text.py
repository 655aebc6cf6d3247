"""What an encoded image says about itself: a look at its header, nothing is decoded.

JPEG: ITU-T T.81 annex B (markers) and K.1 (the quantization table that libjpeg's quality scales). PNG: RFC 2083.
"""

import struct
from dataclasses import dataclass

from piperline.video.image_header import FRAME_MARKERS, is_png

_SUM_OF_K1 = 3688
"""The sum of the luminance table of T.81 K.1: libjpeg multiplies each of its 64 numbers by one factor."""
_SUM_OF_FIRST, _FIRST, _LARGEST = 132, 10, 255
"""The sum of its first ten, which tell where others have been cut to what fits into a byte."""
_SUBSAMPLING = {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 1): "4:4:4", (1, 2): "4:4:0", (4, 1): "4:1:1"}


@dataclass(frozen=True)
class Picture:
    """An encoded image.

    Attributes:
        encoding: `JPEG` or `PNG`.
        width, height: in pixels.
        quality: about that of libjpeg's scale, 1 to 100; None for PNG.
        subsampling: of the colours, such as `4:2:0`, or `grey`; None for PNG.
    """

    encoding: str
    width: int
    height: int
    quality: int | None = None
    subsampling: str | None = None

    def __str__(self) -> str:
        """All that is known, on one line."""
        quality = f"quality ~{self.quality}" if self.quality else None
        return " ".join(
            filter(None, [self.encoding, f"{self.width}x{self.height}", quality, self.subsampling])
        )


def read_picture(data: bytes) -> Picture | None:
    """Describe a JPEG or PNG by its header; None if it is neither, or damaged before its size is told."""
    if is_png(data) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return Picture("PNG", width, height)
    if data.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(data)
    return None


def _read_jpeg(data: bytes) -> Picture | None:
    quality, place = None, 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        body = data[place + 4 : place + 2 + length]
        if marker == 0xDB and quality is None:
            quality = _quality(body)
        if marker in FRAME_MARKERS:
            return _frame(body, quality)
        place += 2 + max(length, 2)
    return None


def _quality(body: bytes) -> int | None:
    wide = bool(body and body[0] >> 4)
    table = struct.unpack(">64H", body[1:129]) if wide and len(body) > 128 else tuple(body[1:65])
    cut = _LARGEST in table
    scale = 100 * sum(table[:_FIRST]) / _SUM_OF_FIRST if cut else 100 * sum(table) / _SUM_OF_K1
    if scale == 0:
        return None
    return max(1, min(100, round(5000 / scale if scale > 100 else (200 - scale) / 2)))


def _frame(body: bytes, quality: int | None) -> Picture | None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        return None
    height, width = struct.unpack(">HH", body[1:5])
    factors = [(body[7 + 3 * i] >> 4, body[7 + 3 * i] & 15) for i in range(body[5])]
    if len(factors) < 2:
        return Picture("JPEG", width, height, quality, "grey")
    (across, down), (chroma_across, chroma_down) = factors[0], factors[1]
    ratio = (across // max(chroma_across, 1), down // max(chroma_down, 1))
    return Picture("JPEG", width, height, quality, _SUBSAMPLING.get(ratio, "unusual subsampling"))

"""What JPEG and PNG images say in their headers: kind, size, quality, whole or cut short.

Nothing is decoded. JPEG: ITU-T T.81, annex B (markers) and table K.1 (the quantization table that
libjpeg's quality scales). PNG: RFC 2083.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_START, _END, _MARKER = b"\xff\xd8", b"\xff\xd9", 0xFF
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk, with its checksum
_PNG_HEADER_BYTES = 24
_PNG_CHUNK_BYTES = 12
"""Of a chunk without its data: length, kind and checksum."""
_MOST_TEXT = 8 << 20
_MOST_PIXELS = 1 << 26

_PNG_HEADER = 26  # bytes up to the kind of colour
_PNG_GRAY = frozenset({0, 4})  # without and with transparency
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers of JPEG: T.81, table B.1, without DHT (C4), JPG (C8) and DAC (CC)."""
_FRAME_HEADER_BYTES = 6
"""Precision, height, width, number of components; three bytes for each component follow."""
_QUANTIZATION_TABLES = 0xDB
_PLAYABLE = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended sequential and progressive, all with Huffman codes: T.81, table B.1."""
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})

_NUMBERS, _SUM_OF_K1 = 64, 3688
"""Of the luminance table K.1, and their sum: libjpeg multiplies all by one factor."""
_SUM_OF_FIRST, _FIRST = 132, 10
"""The sum of its first ten: they tell the factor where others were cut to what fits into a byte."""
_LARGEST = 255
_SUBSAMPLING = {
    (2, 2): "4:2:0",
    (2, 1): "4:2:2",
    (1, 1): "4:4:4",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
}


@dataclass(frozen=True)
class ImageHeader:
    """What an encoded image says about itself.

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
        parts = [self.encoding, f"{self.width}x{self.height}"]
        if self.quality:
            parts.append(f"quality ~{self.quality}")
        if self.subsampling:
            parts.append(self.subsampling)
        return " ".join(parts)


def read_header(data: bytes) -> ImageHeader | None:
    """Read the header of a JPEG or PNG; None if it is neither, or tells no size."""
    if is_png(data) and len(data) >= _PNG_HEADER_BYTES:
        width, height = struct.unpack(">II", data[16:24])
        return ImageHeader("PNG", width, height)
    if data.startswith(_START):
        return _read_jpeg(data)
    return None


def is_png(data: bytes) -> bool:
    """Whether `data` begins as PNG."""
    return data.startswith(_PNG)


def is_whole_png(data: bytes) -> bool:
    """Whether `data`, which begins as PNG, ends as one, zero padding behind it aside."""
    return data.rstrip(b"\0").endswith(_PNG_END)


def most_pixels() -> int:
    """How many pixels an image may claim: a few bytes can claim any number, and cost that memory.

    2^26 (67 megapixels), or what the environment variable PIPERLINE_MAX_PIXELS says.
    """
    given = os.environ.get("PIPERLINE_MAX_PIXELS", "")
    return int(given) if given.isascii() and given.isdigit() else _MOST_PIXELS


def check_size(width: int, height: int) -> None:
    """See that an image claims a size that it can have.

    Raises:
        ValueError: it claims none, or more pixels than `most_pixels`.
    """
    if not (width and height):
        raise ValueError(
            f"an image that says that it has {width}x{height} pixels"
        )
    if width * height > (most := most_pixels()):
        raise ValueError(
            f"an image that says that it has {width}x{height} pixels, "
            f"more than {most} (PIPERLINE_MAX_PIXELS)"
        )


def check_png(data: bytes) -> None:
    """Check what a PNG says before it is decoded.

    Raises:
        ValueError: it is cut short, claims an absurd size, or holds text and colour profiles
            that expand to more than 8 MiB.
    """
    if len(data) < _PNG_HEADER_BYTES:
        raise ValueError("PNG cut short")
    check_size(*struct.unpack(">II", data[16:_PNG_HEADER_BYTES]))
    if not is_whole_png(data):
        raise ValueError("PNG cut short: its last chunk is missing")
    position, room = len(_PNG), _MOST_TEXT
    while position + _PNG_CHUNK_BYTES <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        room -= _inflated_size(
            kind, data[position + 8 : position + 8 + length], room
        )
        if room < 0:
            raise ValueError(
                f"a PNG with text and profiles of more than {_MOST_TEXT >> 20} MiB"
            )
        position += _PNG_CHUNK_BYTES + length


def _inflated_size(kind: bytes, body: bytes, most: int) -> int:
    """How many bytes of text or profile a chunk holds when it is decompressed, or `most` + 1."""
    if kind not in {b"iCCP", b"zTXt", b"iTXt"}:
        return 0
    _, _, rest = body.partition(b"\0")  # after the keyword
    compressed = rest[1:]
    if kind == b"iTXt":  # a flag, a method, a language and a keyword in it
        compressed = (
            rest[2:].split(b"\0", 2)[-1] if rest.startswith(b"\1") else b""
        )
    try:
        return len(zlib.decompressobj().decompress(compressed, most + 1))
    except zlib.error:  # FFmpeg passes over it, or refuses the image
        return 0


def jpeg_payload(data: bytes) -> tuple[bytes, int, int]:
    """Check that `data` is a whole JPEG, zero padding behind it aside.

    Returns:
        The JPEG without padding, its height and its width in pixels.

    Raises:
        ValueError: it is empty, not JPEG, cut short, tells no size, or an absurd one.
    """
    data = _unpadded(data)
    for marker, body in _segments(data):
        if marker in FRAME_MARKERS and len(body) >= _FRAME_HEADER_BYTES:
            height, width = struct.unpack(">HH", body[1:5])
            check_size(width, height)
            return data, height, width
    raise ValueError("JPEG without a header that tells its size")


def _unpadded(data: bytes) -> bytes:
    if not data.startswith(_START):
        if not data.strip(b"\0"):
            raise ValueError("empty")
        raise ValueError(f"not JPEG: begins with {data[:4].hex(' ')}")
    if not data.endswith(_END):
        data = data.rstrip(b"\0")
    if not data.endswith(_END):
        found = (
            f"{len(data)} bytes that end with {data[-2:].hex(' ')}, not ff d9"
        )
        raise ValueError(f"JPEG cut short: {found}")
    return data


def is_padded(data: bytes, jpeg: bytes) -> bool:
    """Whether `data` is a whole JPEG, `jpeg`, and zero padding, if any: no header is looked at."""
    same = jpeg.endswith(_END) and data.startswith(jpeg)
    return same and not data[len(jpeg) :].strip(b"\0")


def check_playable(data: bytes) -> None:
    """See that players of Motion JPEG can decode a JPEG: `jpeg_payload` has taken it.

    Raises:
        ValueError: it is not of 8 bits, Huffman-coded, baseline or progressive, grey or of three
            components.
    """
    for marker, body in _segments(data):
        if marker in FRAME_MARKERS:
            precision, components = body[0], body[_FRAME_HEADER_BYTES - 1]
            if marker in _PLAYABLE and precision == 8 and components in {1, 3}:  # noqa: PLR2004
                return
            raise ValueError(
                f"JPEG of a kind that players do not know: SOF{marker - 0xC0}, "
                f"{precision} bits, {components} components"
            )


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments of a JPEG up to its first frame header: marker, and what follows the length."""
    position = 2
    while position + 4 <= len(data) and data[position] == _MARKER:
        marker = data[position + 1]
        if marker in _STANDALONE_MARKERS:
            position += 2
            continue
        length = max(
            int.from_bytes(data[position + 2 : position + 4]),
            2,
        )
        yield marker, data[position + 4 : position + 2 + length]
        if marker in FRAME_MARKERS:
            return
        position += 2 + length


def _read_jpeg(data: bytes) -> ImageHeader | None:
    quality = None
    for marker, body in _segments(data):
        if marker == _QUANTIZATION_TABLES and quality is None:
            quality = _quality(body)
        if marker in FRAME_MARKERS:
            return _frame(body, quality)
    return None


def _quality(body: bytes) -> int | None:
    """About the quality on libjpeg's scale at which it writes the first table of a segment."""
    table = tuple(body[1 : 1 + _NUMBERS])
    takes_two_bytes_each = body[:1] > b"\x0f"
    if takes_two_bytes_each and len(body) > 2 * _NUMBERS:
        table = struct.unpack(f">{_NUMBERS}H", body[1 : 1 + 2 * _NUMBERS])
    factor = sum(table) / _SUM_OF_K1
    if _LARGEST in table:
        factor = sum(table[:_FIRST]) / _SUM_OF_FIRST
    if factor == 0:
        return None
    quality = 50 / factor if factor > 1 else 100 - 50 * factor
    return max(1, min(100, round(quality)))


def _frame(body: bytes, quality: int | None) -> ImageHeader | None:
    if len(body) < _FRAME_HEADER_BYTES:
        return None
    height, width, components = struct.unpack(
        ">HHB", body[1:_FRAME_HEADER_BYTES]
    )
    factors = body[_FRAME_HEADER_BYTES + 1 :: 3]
    if len(factors) < components:
        return None
    if components < 2:  # noqa: PLR2004 - luma alone
        return ImageHeader("JPEG", width, height, quality, "grey")
    luma, chroma = factors[:2]
    across = (luma >> 4) // max(chroma >> 4, 1)
    down = (luma & 15) // max(chroma & 15, 1)
    subsampling = _SUBSAMPLING.get((across, down), "unusual subsampling")
    return ImageHeader("JPEG", width, height, quality, subsampling)


@dataclass(frozen=True)
class PngHeader:
    """What the first chunk of a PNG says (PNG specification, section 11.2.1, IHDR).

    Attributes:
        height, width: in pixels.
        bits: of a sample.
        gray: whether there is one colour.
    """

    height: int
    width: int
    bits: int
    gray: bool


def png_header(data: bytes) -> PngHeader:
    """The header of `data`, which begins as PNG.

    Raises:
        ValueError: it is cut short.
    """
    if len(data) < _PNG_HEADER:
        raise ValueError("PNG cut short")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    return PngHeader(
        height,
        width,
        bits=data[24],
        gray=data[25] in _PNG_GRAY,
    )


def image_kind(data: bytes) -> str | None:
    """The name of a kind of image that is not read; None for anything else."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    starts = {b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"GIF8": "GIF"}
    starts[b"\0\0\0\x0cjP  "] = "JPEG 2000"
    return next(
        (name for start, name in starts.items() if data.startswith(start)), None
    )

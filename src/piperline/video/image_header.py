"""Recorded images as they are stored: JPEG and PNG, of which nothing is decoded."""

from dataclasses import dataclass

_START, _END = b"\xff\xd8", b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk, with its checksum
_PNG_HEADER = 26  # bytes up to the kind of colour
_PNG_GRAY = frozenset({0, 4})  # without and with transparency
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers of JPEG: ITU-T T.81, table B.1, without DHT (C4), JPG (C8) and DAC (CC)."""
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})


def is_png(data: bytes) -> bool:
    """Whether `data` begins as PNG."""
    return data.startswith(_PNG)


def is_whole_png(data: bytes) -> bool:
    """Whether `data`, which begins as PNG, ends as one, zero padding behind it aside."""
    return data.rstrip(b"\0").endswith(_PNG_END)


def jpeg_payload(data: bytes) -> tuple[bytes, int, int]:
    """Check that `data` is a whole JPEG, zero padding behind it aside.

    Returns:
        The JPEG without padding, its height and its width in pixels.

    Raises:
        ValueError: it is empty, not JPEG, cut short, or tells no size.
    """
    if not data.startswith(_START):
        raise ValueError(
            "empty" if not data.strip(b"\0") else f"not JPEG: begins with {data[:4].hex(' ')}"
        )
    if not data.endswith(_END):
        data = data.rstrip(b"\0")
        if not data.endswith(_END):
            raise ValueError(
                f"JPEG cut short: {len(data)} bytes that end with {data[-2:].hex(' ')}, not ff d9"
            )
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in FRAME_MARKERS:
            size = data[position + 5 : position + 9]
            return data, int.from_bytes(size[:2]), int.from_bytes(size[2:])
        alone = marker in _STANDALONE_MARKERS
        position += 2 if alone else 2 + int.from_bytes(data[position + 2 : position + 4])
    raise ValueError("JPEG without a header that tells its size")


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
    return PngHeader(height, width, bits=data[24], gray=data[25] in _PNG_GRAY)


def image_kind(data: bytes) -> str | None:
    """The name of a kind of image that is not read; None for anything else."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    starts = {b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"GIF8": "GIF"}
    starts[b"\0\0\0\x0cjP  "] = "JPEG 2000"
    return next((name for start, name in starts.items() if data.startswith(start)), None)

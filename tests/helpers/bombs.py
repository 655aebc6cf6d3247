"""Images of some kB that claim, or unfold to, gigabytes."""

import struct
import zlib


def png_of(width: int, height: int, *more: bytes) -> bytes:
    """A PNG of 1,000 bytes of pixels that claims a size, with more chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        _chunk(b"IHDR", header),
        *more,
        _chunk(b"IDAT", zlib.compress(bytes(1000))),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg_of(image: bytes, width: int, height: int) -> bytes:
    """A baseline JPEG that claims another size."""
    data = bytearray(image)
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _chunk(kind: bytes, body: bytes) -> bytes:
    size, checksum = len(body), zlib.crc32(kind + body)
    return struct.pack(">I", size) + kind + body + struct.pack(">I", checksum)


_BOMB = zlib.compress(bytes(100 << 20), 9)
TEXTS = {
    "zTXt": _chunk(b"zTXt", b"a\0\0" + _BOMB),
    "iTXt": _chunk(b"iTXt", b"a\0\1\0en\0a\0" + _BOMB),
    "iCCP": _chunk(b"iCCP", b"a\0\0" + _BOMB),
    "many": _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20), 9)) * 9,
}
"""Chunks of a PNG with text or a profile of more than 8 MiB."""

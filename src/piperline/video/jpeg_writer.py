"""Writes recorded JPEG into MP4 files (Motion JPEG), as FFmpeg's muxer would, byte for byte.

FFmpeg writes such a file twice, since what comes first in it is known last.
"""

import os
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import av
import numpy as np

from piperline.files import copy_range
from piperline.video.mp4 import (
    JPEG_ENTRY,
    JPEG_ESDS,
    Track,
    box,
)
from piperline.video.mp4_writer import head_of

_HELD = 64 << 20
"""Bytes of frames that are held in memory: no episode of common length has more."""
_AT_ONCE = 512
"""Pieces that the system takes in one call: half of what Linux does."""
_RESOLUTION = 72 << 16


class JpegWriter:
    """Collects the frames of one file, and writes it when it is closed.

    Args:
        path: the mp4 file to make; what is not held in memory lies beside it, without a name.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self._path, self._fps = path, fps
        self._size: tuple[int, int] | None = None
        self._sizes: list[int] = []
        self._held: list[bytes] = []
        self._bytes_held = 0
        self._spool: IO[bytes] | None = None

    def add(self, jpeg: bytes, height: int, width: int) -> None:
        """Add a frame; the first tells the size that all have."""
        self._size = self._size or (height, width)
        self._sizes.append(len(jpeg))
        self._held.append(jpeg)
        self._bytes_held += len(jpeg)
        if self._bytes_held > _HELD:
            self._to_spool()

    def _to_spool(self) -> None:
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(  # noqa: SIM115 - closed with the file
                dir=self._path.parent
            )
        _write_all(self._spool.fileno(), self._held)
        self._held, self._bytes_held = [], 0

    def close(self) -> None:
        """Write the file.

        Raises:
            OSError: the disk is full.
        """
        with self._path.open("wb") as target:
            _write_all(target.fileno(), [self._head()])
            if self._spool is not None:
                self._to_spool()
                size = sum(self._sizes)
                copy_range(self._spool.fileno(), target.fileno(), 0, size)
            _write_all(target.fileno(), self._held)
        self.discard()

    def discard(self) -> None:
        """Give up what was collected."""
        if self._spool is not None:
            self._spool.close()
        self._spool, self._held = None, []

    def _head(self) -> bytes:
        height, width = self._size or (0, 0)
        sizes = np.array(self._sizes, np.int64)
        keys = np.ones(len(sizes), np.bool_)
        track = Track(
            path=self._path,
            entry=_entry(height, width),
            shown=struct.pack(">II", width << 16, height << 16),
            udta=_maker(),
            sizes=sizes,
            offsets=sizes,
            keys=keys,
            on_time=True,
        )
        return head_of(track, sizes, keys, self._fps)


def _write_all(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Write all bytes, many pieces with one call."""
    for start in range(0, len(pieces), _AT_ONCE):
        some = pieces[start : start + _AT_ONCE]
        left = sum(map(len, some))
        written = os.writev(descriptor, some)
        if written < left:  # a signal, or a limit: the rest tells which
            rest = memoryview(b"".join(some))[written:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def _entry(height: int, width: int) -> bytes:
    """The sample entry (ISO/IEC 14496-12, VisualSampleEntry)."""
    fields = struct.pack(
        ">6xH16xHHIIIH32xHh",
        1,
        width,
        height,
        _RESOLUTION,
        _RESOLUTION,
        0,
        1,
        24,
        -1,
    )
    return box(JPEG_ENTRY, fields, box(b"esds", JPEG_ESDS))


def _maker() -> bytes:
    """What FFmpeg tells of itself: `udta`."""
    version = ".".join(map(str, av.library_versions["libavformat"]))
    text = struct.pack(">II", 1, 0) + f"Lavf{version}".encode()
    handler = box(b"hdlr", struct.pack(">8x8s9x", b"mdirappl"))
    told = box(b"ilst", box(b"\xa9too", box(b"data", text)))
    return box(b"meta", bytes(4), handler, told)

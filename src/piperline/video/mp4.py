"""The sample tables of MP4 files, by which frames are cut out and appended as byte ranges.

Boxes and tables are those of ISO/IEC 14496-12; what is written is laid out as FFmpeg's muxer does
with `+faststart`, byte for byte. Only simple files are taken: one H.264, AV1 or Motion JPEG track
without B-frames, frames at n / fps, no edits. All numbers of a file are checked before they are
used; whatever is not simple is left to FFmpeg.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]

ON_TIME_SECONDS = 1e-5
"""How far from n / fps frame n may be shown: lerobot finds it up to 1e-4 s away."""

JPEG_ENTRY = b"mp4v"
"""The sample entry of Motion JPEG, where its `esds` says so."""
CODECS = {b"avc1": "h264", b"av01": "av1", JPEG_ENTRY: "mjpeg"}
"""FFmpeg's names of the sample entries that are taken."""

JPEG_RATES = slice(22, 30)
"""Where the `esds` of Motion JPEG tells the highest and the mean bit rate of the file."""
JPEG_ESDS = bytes.fromhex(
    "00000000 038080801b 0001 00 048080800d 6c 11 000000"
    "00000000 00000000 0680808001 02"
)
"""The `esds` of Motion JPEG (ISO/IEC 14496-1, object type 6C) as FFmpeg writes it, rates of 0."""

LARGEST_MOOV = 64 << 20
# Products of these fit into 64 bits.
_MOST_FRAMES = 1 << 24
_MOST_TICKS = 1 << 40
_HIGHEST_FPS = 1 << 16
_ENTRY = 86  # bytes of a VisualSampleEntry before the boxes in it
_HEAD = 8  # bytes of a box before its content
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LONGEST_UDTA = 4096
_BLOCK = 4 << 20
_SQUARE = struct.pack(">II", 1, 1)
_TABLES = {
    b"stsd",
    b"stts",
    b"stss",
    b"stsc",
    b"stsz",
    b"stco",
    b"co64",
    b"sdtp",
}


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of `kind`."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


# the frames are in this file
DREF = struct.pack(">II", 0, 1) + box(b"url ", b"\0\0\0\1")


class _NotSimpleError(ValueError):
    """Something that is left to FFmpeg."""


@dataclass(frozen=True)
class Track:
    """The video track of a file, or some frames of it.

    Attributes:
        path: the file.
        entry: the sample entry, without the bit rates of the file as a whole.
        shown: width and height of `tkhd`, as there.
        udta: what the file tells of its making, or nothing.
        sizes: bytes of each frame, int64 of shape (frames,).
        offsets: where each begins in the file, likewise.
        keys: whether decoding can begin at it, bool of shape (frames,).
        on_time: whether frame n of the file is shown at n / fps, not just near to it.
    """

    path: Path
    entry: bytes
    shown: bytes
    udta: bytes
    sizes: Numbers
    offsets: Numbers
    keys: NDArray[np.bool_]
    on_time: bool

    @property
    def codec(self) -> str:
        """FFmpeg's name."""
        return CODECS[self.entry[4:8]]

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = struct.unpack_from(">HH", self.entry, 32)
        return width, height

    @cached_property
    def parameters(self) -> bytes:
        """What decoding depends on. Square pixels are the same as none: muxers differ in that."""
        kept = [
            box(kind, body)
            for kind, body in _boxes(self.entry[_ENTRY:])
            if (kind, body) != (b"pasp", _SQUARE)
        ]
        return self.shown + b"".join(kept)

    def piece(self, first: int, count: int) -> "Track | None":
        """`count` frames from number `first` on.

        None where there are not as many, or the first is no key frame.
        """
        if first + count > len(self.sizes) or not self.keys[first]:
            return None
        # Copies, so that the whole file's tables need not be kept.
        return replace(
            self,
            sizes=self.sizes[first:][:count].copy(),
            offsets=self.offsets[first:][:count].copy(),
            keys=self.keys[first:][:count].copy(),
        )

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges of frames that lie one behind the other in the file."""
        ends = self.offsets + self.sizes
        breaks = (np.flatnonzero(self.offsets[1:] != ends[:-1]) + 1).tolist()
        yield from zip([0, *breaks], [*breaks, len(ends)], strict=True)

    @property
    def ranges(self) -> Iterator[tuple[int, int]]:
        """Offset and length of the byte ranges that the frames take, as few as there can be."""
        for start, stop in self._runs():
            begin = int(self.offsets[start])
            end = int(self.offsets[stop - 1] + self.sizes[stop - 1])
            yield begin, end - begin

    def blocks(
        self, at_once: int = _BLOCK
    ) -> Iterator[tuple[bytes, list[int]]]:
        """The bytes of the frames in order, and how many each frame has.

        Args:
            at_once: about so many bytes, or one frame.

        Raises:
            ValueError: the file has become shorter.
        """
        ends = self.offsets + self.sizes
        with self.path.open("rb") as file:
            for first, stop in self._runs():
                start = first
                while start < stop:
                    limit = self.offsets[start] + at_once
                    fitting = np.searchsorted(ends[start:stop], limit, "right")
                    some = slice(start, start + max(1, int(fitting)))
                    begin = int(self.offsets[start])
                    size = int(ends[some.stop - 1]) - begin
                    data = os.pread(file.fileno(), size, begin)
                    if len(data) < size:
                        raise ValueError(
                            "the video became shorter while it was read"
                        )
                    yield data, self.sizes[some].tolist()
                    start = some.stop

    def read_ahead(self) -> None:
        """Have the system fetch the frames from the disk, while others are at work.

        Raises:
            FileNotFoundError: the file is gone.
        """
        with self.path.open("rb") as file:
            for begin, size in self.ranges:
                os.posix_fadvise(
                    file.fileno(), begin, size, os.POSIX_FADV_WILLNEED
                )

    def outer_frames(self) -> tuple[bytes, bytes]:
        """The bytes of the first and the last frame."""
        with self.path.open("rb") as file:
            descriptor = file.fileno()
            first = os.pread(
                descriptor, int(self.sizes[0]), int(self.offsets[0])
            )
            last = os.pread(
                descriptor, int(self.sizes[-1]), int(self.offsets[-1])
            )
        return first, last


def read_track(path: Path, fps: int) -> Track | None:
    """The track of a simple file; None for all others, also for those that are missing or damaged.

    Args:
        path: the file.
        fps: its frames a second: frame n is shown at n / fps, rounded.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _track(path, _moov(file.fileno(), size), size, fps)
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        struct.error,
        OverflowError,
    ):
        return None


def is_whole(path: Path) -> bool:
    """Whether a file is as long as its boxes say; true also of what is no MP4."""
    with path.open("rb") as file:
        size, offset = os.fstat(file.fileno()).st_size, 0
        if (
            os.pread(
                file.fileno(),
                8,
                0,
            )[4:]
            != b"ftyp"
        ):
            return True
        while offset < size:
            length, _ = _box_at(file.fileno(), offset, size)
            offset += max(length, 8)
        return offset == size


def _box_at(
    descriptor: int,
    offset: int,
    size: int,
) -> tuple[int, bytes]:
    """Length and kind of the box that begins at `offset`; a length of 0 reaches to the end."""
    head = os.pread(descriptor, 16, offset).ljust(16, b"\0")
    length, kind, large = struct.unpack(">I4sQ", head)
    if length == 1:
        length = large
    return length or size - offset, kind


def _need(holds: object) -> None:
    if not holds:
        raise _NotSimpleError


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box in `data`."""
    offset = 0
    while offset < len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        _need(_HEAD <= size <= len(data) - offset)
        yield kind, data[offset + 8 : offset + size]
        offset += size


def _children(data: bytes) -> dict[bytes, bytes]:
    """The boxes in `data`, none of them twice."""
    found: dict[bytes, bytes] = {}
    for kind, body in _boxes(data):
        _need(kind not in found)
        found[kind] = body
    return found


def _moov(descriptor: int, size: int) -> dict[bytes, bytes]:
    offset = 0
    while offset < size:
        length, kind = _box_at(descriptor, offset, size)
        _need(_HEAD <= length <= size - offset)
        if kind == b"moov":
            _need(length <= LARGEST_MOOV)
            return _children(os.pread(descriptor, length, offset)[8:])
        offset += length
    raise _NotSimpleError


def _track(
    path: Path,
    moov: dict[bytes, bytes],
    size: int,
    fps: int,
) -> Track:
    _need(b"mvex" not in moov and 0 < fps < _HIGHEST_FPS)
    trak = _children(moov[b"trak"])  # of two tracks, none is simple
    mdia = _children(trak[b"mdia"])
    minf = _children(mdia[b"minf"])
    tkhd = trak[b"tkhd"]
    _need(tkhd[-44:-8] == MATRIX)
    _need(mdia[b"hdlr"][8:12] == b"vide")
    _need(minf[b"dinf"] == box(b"dref", DREF))
    stbl = _children(minf[b"stbl"])
    _need(stbl.keys() <= _TABLES)
    sizes = _sizes(stbl[b"stsz"], size)
    scale = _timescale(mdia[b"mdhd"])
    times = _times(stbl[b"stts"], len(sizes), scale, fps)
    if b"edts" in trak:
        _check_edit(
            trak[b"edts"], int(times[-1]), _timescale(moov[b"mvhd"]) / scale
        )
    offsets = _offsets(stbl, sizes)
    _need(offsets.min() >= 0 and (offsets + sizes).max() <= size)
    udta = moov.get(b"udta", b"")
    return Track(
        path=path,
        entry=_entry(stbl[b"stsd"]),
        shown=tkhd[-8:],
        udta=udta if len(udta) <= _LONGEST_UDTA else b"",
        sizes=sizes,
        offsets=offsets,
        keys=_keys(stbl.get(b"stss"), len(sizes)),
        on_time=_is_on_time(times, scale, fps),
    )


def _table(
    body: bytes,
    columns: int = 1,
    kind: str = ">u4",
) -> Numbers:
    """The rows of a table that begins with version, flags and the number of rows."""
    (count,) = struct.unpack_from(">I", body, 4)
    width = columns * np.dtype(kind).itemsize
    _need(count * width == len(body) - 8)
    return (
        np.frombuffer(body, kind, count * columns, 8)
        .astype(np.int64)
        .reshape(count, columns)
    )


def _sizes(stsz: bytes, size: int) -> Numbers:
    uniform, count = struct.unpack_from(">II", stsz, 4)
    _need(0 < count < _MOST_FRAMES)
    if uniform:
        _need(uniform * count <= size)
        return np.full(count, uniform, np.int64)
    sizes = _table(stsz[4:])[:, 0]
    _need(sizes.min() > 0)
    return sizes


def _timescale(header: bytes) -> int:
    """Ticks a second of `mvhd` or `mdhd`."""
    (scale,) = struct.unpack_from(
        ">I",
        header,
        20 if header[0] else 12,
    )
    _need(scale)
    return int(scale)


def _times(
    stts: bytes,
    count: int,
    scale: int,
    fps: int,
) -> Numbers:
    """When each frame is shown, in ticks: frame n at n / fps, rounded."""
    counts, deltas = _table(stts, 2).T
    _need(counts.sum() == count)
    _need(float(counts.astype(np.float64) @ deltas) < _MOST_TICKS)
    # Times are sums of the durations before; rounded as `VideoFile` does, so drift of joined files
    # does no harm.
    durations = np.repeat(deltas, counts)
    times: Numbers = np.cumsum(durations) - durations
    _need(
        np.array_equal(
            (2 * fps * times + scale) // (2 * scale), np.arange(count)
        )
    )
    return times


def _is_on_time(times: Numbers, scale: int, fps: int) -> bool:
    away = np.abs(times / scale - np.arange(len(times)) / fps)
    return bool(away.max() <= ON_TIME_SECONDS)


def _check_edit(edts: bytes, last: int, ratio: float) -> None:
    """See that the edit list shows the file from its first to its last frame."""
    elst = _children(edts)[b"elst"]
    form = ">QqI" if elst[0] else ">IiI"
    _need(len(elst) == 8 + struct.calcsize(form) and elst[4:8] == b"\0\0\0\1")
    duration, start, rate = struct.unpack_from(form, elst, 8)
    _need(start == 0 and rate == 1 << 16 and duration > last * ratio)


def _offsets(stbl: dict[bytes, bytes], sizes: Numbers) -> Numbers:
    """Where each frame begins, from the chunks and how many frames each has."""
    if b"stco" in stbl:
        chunks = _table(stbl[b"stco"])[:, 0]
    else:
        chunks = _table(stbl[b"co64"], 1, ">i8")[:, 0]
    first, per_chunk, description = _table(stbl[b"stsc"], 3).T
    _need(first[0] == 1 and first[-1] <= len(chunks))
    _need((np.diff(first) > 0).all() and (description == 1).all())
    counts = np.repeat(
        per_chunk,
        np.diff([*first, len(chunks) + 1]),
    )
    _need(counts.min() > 0 and counts.max() <= len(sizes))
    _need(counts.sum() == len(sizes))
    before = np.cumsum(sizes) - sizes
    heads = np.cumsum(counts) - counts
    offsets: Numbers = before + np.repeat(chunks - before[heads], counts)
    return offsets


def _keys(
    stss: bytes | None,
    count: int,
) -> NDArray[np.bool_]:
    if stss is None:
        return np.ones(count, np.bool_)
    numbers = _table(stss)[:, 0] - 1
    keys = np.zeros(count, np.bool_)
    _need(len(numbers) and numbers.min() >= 0)
    keys[numbers] = True
    return keys


def _entry(stsd: bytes) -> bytes:
    """The one sample entry, without bit rates: they are those of the whole file."""
    ((kind, body),) = _boxes(stsd[8:])
    _need(kind in CODECS and len(body) >= _ENTRY - 8)
    boxes = {
        name: content
        for name, content in _boxes(body[_ENTRY - 8 :])
        if name != b"btrt"
    }
    if kind == JPEG_ENTRY:
        esds = bytearray(boxes[b"esds"])
        esds[JPEG_RATES] = bytes(8)
        _need(esds == JPEG_ESDS)
        boxes[b"esds"] = bytes(esds)
    return box(
        kind, body[: _ENTRY - 8], *(box(*item) for item in boxes.items())
    )

"""Writes MP4 files from byte ranges of others: sample tables are made anew, frames copied.

What is written is laid out as FFmpeg's muxer does with `+faststart`, byte for byte.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from piperline.errors import SAME_AGAIN, DatasetError, Place, VideoError
from piperline.files import link_or_copy
from piperline.video.digests import add_payloads
from piperline.video.mp4 import (
    DREF,
    JPEG_ENTRY,
    JPEG_ESDS,
    JPEG_RATES,
    LARGEST_MOOV,
    MATRIX,
    Numbers,
    Track,
    box,
    read_track,
)

_BRANDS = {
    b"avc1": b"isomiso2avc1mp41",
    b"av01": b"isomav01iso2mp41",
    JPEG_ENTRY: b"isomiso2mp41",
}
_CHUNK = 1 << 20  # FFmpeg's, movenc.c: build_chunks
_LEAST_SCALE = 10000  # ticks a second, as FFmpeg has it
_U32 = 0xFFFFFFFF
_MOVIE_SCALE = 1000
_HANDLER = struct.pack(">II4s12x", 0, 0, b"vide") + b"VideoHandler\0"


@dataclass(frozen=True)
class Written:
    """What a file holds that was written of pieces.

    Attributes:
        sha256: of the file, hexadecimal.
        bytes: how many it has.
        packets: of each piece: the SHA-256 of its packets; see `digests`.
    """

    sha256: str
    bytes: int
    packets: tuple[str, ...]


def write_pieces(
    path: Path,
    pieces: Sequence[Track],
    fps: int,
    *,
    link: bool = False,
) -> Written | Path:
    """Write a file of `pieces` of equal parameters, one behind the other, and verify it.

    What is written is hashed by the way: a seal need not read it again.

    Args:
        path: the file to make.
        pieces: in order.
        fps: frames a second.
        link: a file that holds just that already, byte for byte, may be hard-linked.

    Returns:
        What was written; or the file that was taken over whole.

    Raises:
        DatasetError: a file that a piece is from has become shorter or is gone.
        VideoError: what was written is not what was read.
    """
    sizes = np.concatenate([piece.sizes for piece in pieces])
    keys = np.concatenate([piece.keys for piece in pieces])
    head = _head(pieces[0], sizes, keys, fps)
    if link and _is_written(pieces, head):
        link_or_copy(pieces[0].path, path)
        return pieces[0].path
    whole = hashlib.sha256(head)
    with path.open("wb") as target:
        target.write(head)
        packets = tuple(_appended(pieces, target, whole))
        size = target.tell()
        target.flush()
        _verify(path, pieces, fps)  # while it lies in memory
        # begin to bring it to the disk: nobody reads it again soon
        os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return Written(whole.hexdigest(), size, packets)


def _is_written(pieces: Sequence[Track], head: bytes) -> bool:
    """Whether the pieces are all that a file holds, and lie in it behind just this head."""
    path = pieces[0].path
    if any(piece.path != path for piece in pieces):
        return False
    end = len(head)
    for piece in pieces:
        for start, length in piece.ranges:
            if start != end:
                return False
            end += length
    with path.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size == end
        return whole and file.read(len(head)) == head


def _appended(
    pieces: Sequence[Track], target: BinaryIO, whole: "hashlib._Hash"
) -> Iterator[str]:
    """Append pieces, also to the digest of the whole file; the digests of the packets of each."""
    for number, piece in enumerate(pieces):
        for following in pieces[number + 1 : number + 2]:
            with suppress(FileNotFoundError):  # told when its turn comes
                following.read_ahead()
        yield _append(piece, target, whole)


def _append(piece: Track, target: BinaryIO, whole: "hashlib._Hash") -> str:
    """Append the frames of a piece, also to the digest of the whole file; that of its packets."""
    packets = hashlib.sha256()
    try:
        for data, sizes in piece.blocks():
            target.write(data)
            whole.update(data)
            add_payloads(packets, data, sizes)
    except FileNotFoundError as error:
        raise DatasetError(
            "the video is missing",
            place=Place(file=piece.path),
            expected="a file of that name",
            found="nothing",
        ) from error
    except ValueError as error:
        raise DatasetError(
            str(error),
            place=Place(file=piece.path),
            expected=f"{int(piece.sizes.sum())} bytes of frames",
            found="fewer",
            next_step="run the same command again when nothing writes to the dataset",
        ) from error
    return packets.hexdigest()


def _verify(
    path: Path,
    pieces: Sequence[Track],
    fps: int,
) -> None:
    """See that all frames' sizes are there, and the first and last frame of each piece."""
    written = read_track(path, fps)
    start = 0
    for piece in pieces:
        copy = written and written.piece(start, len(piece.sizes))
        start += len(piece.sizes)
        if not copy or not _is_copy(copy, piece):
            raise VideoError(
                "what was written is not what was read",
                place=Place(file=path),
                expected="the sizes, and the first and last frame, of each piece",
                next_step=SAME_AGAIN,
            )
    if written is None or len(written.sizes) != start:
        raise VideoError(
            "what was written has other frames than what was read",
            place=Place(file=path),
            expected=f"{start} frames",
            found=f"{len(written.sizes)} frames" if written else "no video",
            next_step=SAME_AGAIN,
        )


def _is_copy(copy: Track, piece: Track) -> bool:
    same_sizes = np.array_equal(copy.sizes, piece.sizes)
    return same_sizes and copy.outer_frames() == piece.outer_frames()


def _head(
    first: Track, sizes: Numbers, keys: NDArray[np.bool_], fps: int
) -> bytes:
    """Everything before the frames."""
    ftyp = box(
        b"ftyp", b"isom", struct.pack(">I", 512), _BRANDS[first.entry[4:8]]
    )
    total = int(sizes.sum())
    large = total + LARGEST_MOOV > _U32
    begin = (
        len(ftyp)
        + len(
            _movie(
                first,
                sizes,
                keys,
                fps,
                0,
                large=large,
            )
        )
        + 16
    )
    moov = _movie(first, sizes, keys, fps, begin, large=large)
    if large:
        mdat = struct.pack(">I4sQ", 1, b"mdat", total + 16)
    else:
        mdat = struct.pack(">I4sI4s", 8, b"free", total + 8, b"mdat")
    return ftyp + moov + mdat


def _movie(
    first: Track,
    sizes: Numbers,
    keys: NDArray[np.bool_],
    fps: int,
    begin: int,
    *,
    large: bool,
) -> bytes:
    count = len(sizes)
    scale = fps
    while scale < _LEAST_SCALE:
        scale *= 2
    length = -(-count * _MOVIE_SCALE // fps)
    header = struct.pack(
        ">5IIH10x", 0, 0, 0, _MOVIE_SCALE, length, 0x10000, 0x100
    )
    shown = (
        struct.pack(
            ">6I16x",
            3,
            0,
            0,
            1,
            0,
            length,
        )
        + MATRIX
        + first.shown
    )
    edit = box(
        b"elst",
        struct.pack(">5I", 0, 1, length, 0, 0x10000),
    )
    undetermined = 0x55C4  # the language
    ticks = struct.pack(
        ">5IHH", 0, 0, 0, scale, count * scale // fps, undetermined, 0
    )
    tables = box(
        b"stbl",
        *_tables(
            _with_rates(first.entry, sizes, fps),
            sizes,
            keys,
            scale // fps,
            begin,
            large=large,
        ),
    )
    info = box(
        b"minf",
        box(b"vmhd", struct.pack(">I8x", 1)),
        box(b"dinf", box(b"dref", DREF)),
        tables,
    )
    media = box(
        b"mdia",
        box(b"mdhd", ticks),
        box(b"hdlr", _HANDLER),
        info,
    )
    track = box(
        b"trak",
        box(b"tkhd", shown),
        box(b"edts", edit),
        media,
    )
    told = [box(b"udta", first.udta)] if first.udta else []
    return box(
        b"moov",
        box(b"mvhd", header, MATRIX, struct.pack(">24xI", 2)),
        track,
        *told,
    )


def _rows(
    kind: bytes, rows: Sequence[object] | Numbers, form: str = ">u4"
) -> bytes:
    return box(
        kind,
        struct.pack(">II", 0, len(rows)),
        np.asarray(rows).astype(form).tobytes(),
    )


def _with_rates(entry: bytes, sizes: Numbers, fps: int) -> bytes:
    """A sample entry with the bit rates of the file, which that of Motion JPEG tells."""
    start = entry.find(JPEG_ESDS)
    if entry[4:8] != JPEG_ENTRY or start < 0:
        return entry
    rate = int(sizes.sum()) * 8 * fps // len(sizes)
    rates = struct.pack(">II", *[min(rate, _U32)] * 2)
    at = slice(start + JPEG_RATES.start, start + JPEG_RATES.stop)
    return entry[: at.start] + rates + entry[at.stop :]


def _tables(
    entry: bytes,
    sizes: Numbers,
    keys: NDArray[np.bool_],
    delta: int,
    begin: int,
    *,
    large: bool,
) -> Iterator[bytes]:
    yield box(b"stsd", struct.pack(">II", 0, 1), entry)
    yield _rows(b"stts", [(len(sizes), delta)])
    if not keys.all():
        yield _rows(b"stss", np.flatnonzero(keys) + 1)
    heads = _heads(sizes)
    counts = np.diff([*heads, len(sizes)])
    changes = np.flatnonzero(np.diff(counts, prepend=0))
    yield _rows(
        b"stsc",
        [(chunk + 1, counts[chunk], 1) for chunk in changes],
    )
    if (sizes == sizes[0]).all():
        yield box(
            b"stsz",
            struct.pack(">III", 0, sizes[0], len(sizes)),
        )
    else:
        yield box(
            b"stsz",
            struct.pack(">III", 0, 0, len(sizes)),
            sizes.astype(">u4").tobytes(),
        )
    chunks = begin + (np.cumsum(sizes) - sizes)[heads]
    yield _rows(b"co64", chunks, ">u8") if large else _rows(b"stco", chunks)


def _heads(sizes: Numbers) -> list[int]:
    """The first frames of the chunks, each of less than 1 MiB or of a single frame."""
    ends = np.cumsum(sizes)
    heads = [0]
    while True:
        limit = ends[heads[-1]] - sizes[heads[-1]] + _CHUNK
        head = max(
            int(np.searchsorted(ends, limit)),
            heads[-1] + 1,
        )
        if head >= len(sizes):
            return heads
        heads.append(head)

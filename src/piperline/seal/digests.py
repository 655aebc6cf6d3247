"""SHA-256 of files, of the rows of an episode, and of the packets of a clip."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from piperline.lerobot.columns import is_number, unfolded
from piperline.video.mp4 import Track


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows_digest(table: pa.Table) -> str:
    """The SHA-256 of rows: of each column in the order of names its name, type and values.

    Numbers count as the bytes that the file holds for them, row after row; all else as Python
    shows it.
    """
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table.column(name)
        digest.update(f"{name} {column.type} {len(column)}\n".encode())
        digest.update(_bytes(column))
    return digest.hexdigest()


def _bytes(column: pa.ChunkedArray) -> bytes:
    if not is_number(column.type) or column.null_count:
        return repr(column.to_pylist()).encode()
    values = column
    while pa.types.is_nested(values.type):
        values = unfolded(values)
    return np.ascontiguousarray(values.to_numpy()).tobytes()


def payloads_digest(payloads: Iterable[bytes]) -> str:
    """The SHA-256 of packets: each with its length before it, 8 bytes, the lowest first."""
    digest = hashlib.sha256()
    for payload in payloads:
        add_payload(digest, payload)
    return digest.hexdigest()


def frames_digest(track: Track) -> str:
    """`payloads_digest` of the frames of a track, by byte ranges: for a file just written.

    Raises:
        ValueError: the file has become shorter.
    """
    digest = hashlib.sha256()
    for frames in track.blocks():
        # in one piece: hashing is then outside of Python's lock
        digest.update(
            b"".join(
                part
                for frame in frames
                for part in (len(frame).to_bytes(8, "little"), frame)
            )
        )
    return digest.hexdigest()


def add_payload(digest: "hashlib._Hash", payload: bytes) -> None:
    """Add a packet to a digest, as `payloads_digest` does."""
    digest.update(len(payload).to_bytes(8, "little"))
    digest.update(payload)

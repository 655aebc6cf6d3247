"""SHA-256 of the packets of a clip: each with its length before it, 8 bytes, the lowest first."""

import hashlib
from collections.abc import Iterable, Sequence

from piperline.video.mp4 import Track


def payloads_digest(payloads: Iterable[bytes]) -> str:
    """The SHA-256 of packets."""
    digest = hashlib.sha256()
    for payload in payloads:
        add_payload(digest, payload)
    return digest.hexdigest()


def add_payload(digest: "hashlib._Hash", payload: bytes) -> None:
    """Add a packet to a digest."""
    digest.update(len(payload).to_bytes(8, "little"))
    digest.update(payload)


def add_payloads(
    digest: "hashlib._Hash", data: bytes, sizes: Sequence[int]
) -> None:
    """Add packets of `sizes` that lie one behind the other."""
    view, start = memoryview(data), 0
    parts: list[bytes | memoryview] = []
    for size in sizes:
        parts += [size.to_bytes(8, "little"), view[start : start + size]]
        start += size
    # in one piece: hashing is then outside of Python's lock
    digest.update(b"".join(parts))


def frames_digest(track: Track) -> str:
    """The SHA-256 of the packets of a track, by byte ranges: for a file just written.

    Raises:
        ValueError: the file has become shorter.
    """
    digest = hashlib.sha256()
    for data, sizes in track.blocks():
        add_payloads(digest, data, sizes)
    return digest.hexdigest()

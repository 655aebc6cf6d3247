"""SHA-256 of the packets of a clip: each with its length before it, 8 bytes, the lowest first."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from piperline.episode import Digests
from piperline.video.mp4 import Track, read_track

_IN_CACHE = 1 << 19
"""Bytes that are hashed twice while they lie in the processor's cache."""


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


def digests_of(path: Path, fps: int) -> Digests | None:
    """The SHA-256 of a video file and of its packets, which is read once.

    None where its packets do not lie at its end, one behind the other, or frame n is not shown at
    n / fps.

    Raises:
        ValueError: it has become shorter.
    """
    track = read_track(path, fps)
    ranges = list(track.ranges) if track else []
    size = path.stat().st_size
    if track is None or not track.on_time:
        return None
    if len(ranges) != 1 or sum(ranges[0]) != size:
        return None
    with path.open("rb") as file:
        whole = hashlib.sha256(file.read(ranges[0][0]))
    packets = hashlib.sha256()
    for data, sizes in track.blocks(_IN_CACHE):
        whole.update(data)
        add_payloads(packets, data, sizes)
    return Digests(whole.hexdigest(), size, packets.hexdigest())

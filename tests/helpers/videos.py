"""Videos as tests compare them: packet by packet."""

from fractions import Fraction
from pathlib import Path

import av

from piperline.episode import Clip


def timed_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """The packets of a video file in the order of the file, each with its time in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = Fraction(stream.time_base or 0)
        found = [packet for packet in container.demux(stream) if packet.size]
        return [((packet.pts or 0) * base, bytes(packet)) for packet in found]


def packets(path: Path) -> list[bytes]:
    """The packets of a video file, in the order of the file."""
    return [data for _, data in timed_packets(path)]


def clip_packets(clip: Clip) -> list[bytes]:
    """The packets of a clip; in our videos each is a frame, and none is stored out of order."""
    return packets(clip.path)[clip.first : clip.first + clip.count]

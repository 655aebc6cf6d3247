"""Videos as tests compare them: packet by packet."""

from pathlib import Path

import av

from piperline.episode import Clip


def packets(path: Path) -> list[bytes]:
    """The packets of a video file, in the order of the file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def clip_packets(clip: Clip) -> list[bytes]:
    """The packets of a clip; in our videos each is a frame, and none is stored out of order."""
    return packets(clip.path)[clip.first : clip.first + clip.count]

"""Videos as tests compare them, packet by packet.

And files whose frames are shown at other times.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av

from piperline.episode import Clip
from piperline.video.priority import usual_priority
from tests.helpers.episodes import FPS
from tests.helpers.recordings import Pixels


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


def packets_of(path: Path) -> list[bytes]:
    """The packets of a video in the order in which they are shown."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
    return [
        bytes(packet)
        for packet in sorted(found, key=lambda packet: packet.pts or 0)
    ]


def times_of(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
    return sorted((packet.pts or 0) * packet.time_base for packet in found)


def retime(path: Path, times: list[float], scale: int) -> None:
    """Show the frames of a video at other times, in seconds, rounded to ticks of 1 / scale."""
    other = path.with_suffix(".other.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(other), "w", format="mp4") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, scale)
        found = [packet for packet in source.demux(video=0) if packet.size]
        for packet, time in zip(found, times, strict=True):
            packet.stream = stream
            packet.time_base = Fraction(1, scale)
            packet.pts = packet.dts = round(time * scale)
            packet.duration = round(scale / FPS)
            target.mux(packet)
    other.replace(path)


def write_video(
    path: Path,
    frames: Sequence[Pixels],
    *,
    fps: int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    **options: str,
) -> Path:
    """Encode frames as a robot's recorder might: options of the encoder, times in frames.

    Always the same bytes: x264 with its macroblock tree makes others about once in 100 times.
    """
    if codec == "libx264":
        options.setdefault("x264-params", "mbtree=0")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        usual_priority(),
        av.open(str(path), "w", format="mp4") as container,
    ):
        stream = cast(
            "av.VideoStream",
            container.add_stream(codec, rate=fps, options=options),
        )
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

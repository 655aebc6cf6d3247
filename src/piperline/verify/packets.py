"""The packets of an episode against its recorded JPEG, byte for byte."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

from piperline.lerobot.info import Info
from piperline.recordings.image_spans import AskedVideo, kept_clip
from piperline.recordings.images import ImageStream, Payload
from piperline.recordings.reader import still_reading
from piperline.verify.frames import DatasetClip
from piperline.verify.recorded import OpenEpisode, jpegs
from piperline.video.image_header import is_padded
from piperline.video.packets import packets


@dataclass(frozen=True)
class Held:
    """What came of it.

    Attributes:
        compared: how many packets were held against recorded JPEG.
        differing: the numbers of those that are others.
        first_equal: the first packet is the first recorded JPEG.
        text: what the first one that differs is.
    """

    compared: int
    differing: tuple[int, ...]
    first_equal: bool
    text: str = ""


def compare_packets(
    opened: OpenEpisode,
    clip: DatasetClip,
    length: int,
    info: Info,
    moved: Callable[[int], None],
) -> Held:
    """Hold the packets of a clip against the recorded images of its camera.

    Args:
        opened: the recorded episode.
        clip: of the dataset.
        length: how many frames are compared.
        info: of the dataset.
        moved: told of how many frames more were passed.

    Raises:
        DatasetError: the video cannot be read.
        BadEpisode: a recorded image is damaged.
    """
    there = packets(clip.path, info.fps, clip.first, length)
    stream = opened.stream(clip.camera)
    source = stream.clip()
    recorded: Iterable[Payload] = (
        packets(source.path, info.fps, source.first, source.count)
        if source
        else stream
    )
    differing: list[int] = []
    compared = 0
    strange = b""
    for number, (packet, payload) in enumerate(
        zip(there, islice(recorded, length), strict=False)
    ):
        compared += 1
        moved(1)
        same = (
            packet == payload
            if source
            else _is_jpeg(packet, stream, number, payload)
        )
        if not same:
            strange = strange or packet
            differing.append(number)
    text = _described(opened, clip, strange) if differing else ""
    return Held(
        compared, tuple(differing), bool(compared) and 0 not in differing, text
    )


def _described(opened: OpenEpisode, clip: DatasetClip, strange: bytes) -> str:
    wanted = sha256(strange).digest()
    for camera, number, digest in _digests(opened, clip):
        if digest == wanted:
            return f"is the recorded frame {number} of {camera}"
    return "is no JPEG of this recorded episode"


def _digests(
    opened: OpenEpisode, clip: DatasetClip
) -> Iterator[tuple[str, int, bytes]]:
    others = [
        camera for camera in opened.header.cameras if camera != clip.camera
    ]
    for camera in (clip.camera, *others):
        if opened.header.cameras[camera].storage == "jpeg":
            for number, jpeg in enumerate(jpegs(opened.stream(camera))):
                still_reading()
                yield camera, number, sha256(jpeg).digest()


def _is_jpeg(
    packet: bytes, stream: ImageStream, frame: int, payload: Payload
) -> bool:
    """Whether a packet is the recorded JPEG of a frame.

    Raises:
        BadEpisode: the recorded image is not JPEG, or cut short.
    """
    if not isinstance(payload, bytes):
        raise stream.bad(frame, "a raw array, not JPEG")
    return is_padded(payload, packet) or (
        stream.jpeg(frame, payload)[0] == packet
    )


def may_be_kept(opened: OpenEpisode, clip: DatasetClip) -> bool:
    """Whether the packets of a clip can be recorded ones: JPEG, or those of a video."""
    header = opened.header.cameras[clip.camera]
    if header.packets:
        same = header.packets[0] == clip.codec
        return same and opened.stream(clip.camera).clip() is not None
    return header.storage == "jpeg" and clip.codec == "mjpeg"


def were_kept(
    opened: OpenEpisode, clip: DatasetClip, asked: AskedVideo
) -> bool:
    """Whether the packets of a clip have to be those of a recorded video.

    A piece was cut while it was converted, or later: then both it and the whole must be kept.
    """
    header = opened.header.cameras[clip.camera]
    streams = opened.stream(clip.camera), opened.whole(clip.camera)
    return all(kept_clip(stream, header, asked) for stream in streams)

"""The packets and the pictures of a span of a video, by frame number.

A frame's number is its time in the file times the frame rate, rounded, as in `splice`.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av

from piperline.video.decoder import Picture
from piperline.video.file import VideoFile, reading


def packets(
    path: Path,
    fps: int,
    first: int,
    count: int,
) -> Iterator[bytes]:
    """The packets of `count` frames from number `first` on, in the order of decoding.

    Args:
        path: the video.
        fps: its frames a second.
        first: the number of the first frame.
        count: how many frames; fewer packets come where the file ends before.

    Raises:
        DatasetError: the video is missing, not a video, or cannot be read.
    """
    with reading(path), VideoFile(path) as file:
        container, stream = file.container, file.stream
        _seek(container, stream, first, fps)
        base = stream.time_base or Fraction(0)
        ticks, scale = base.numerator * fps, base.denominator
        for packet in container.demux(stream):
            if not packet.size:
                continue
            # rounded in whole numbers: fractions would cost as much as reading the packets
            number = (2 * (packet.pts or 0) * ticks + scale) // (2 * scale)
            if number >= first + count and packet.is_keyframe:
                return
            if first <= number < first + count:
                yield bytes(packet)


def first_number(path: Path, fps: int) -> int:
    """The number of the first frame of a video: more than 0 where it begins late.

    Raises:
        DatasetError: the video is missing, not a video, or cannot be read.
    """
    with reading(path), VideoFile(path) as file:
        base = file.stream.time_base or 0
        return round(min(file.times(), default=0) * base * fps)


def pictures(
    path: Path, fps: int, numbers: Iterable[int]
) -> Iterator[tuple[int, Picture]]:
    """The decoded frames of rising `numbers`, each with its number; missing ones are left out.

    Args:
        path: the video.
        fps: its frames a second.
        numbers: frame numbers in the file, rising.

    Raises:
        DatasetError: the video is missing, not a video, or does not decode.
    """
    with reading(path), VideoFile(path, decoded=True) as file:
        container, stream = file.container, file.stream
        stream.thread_type = "SLICE"
        decoded: Iterator[Picture] = iter(())
        picture: Picture | None = None
        reached = -1
        for wanted in numbers:
            if reached < 0 or _key_before(stream, wanted, fps) > reached:
                _seek(container, stream, wanted, fps)
                decoded = container.decode(stream)
            while reached < wanted and (picture := next(decoded, None)):
                reached = _number(picture, stream, fps)
            if reached == wanted and picture:
                yield wanted, picture


def _number(
    timed: Picture,
    stream: av.VideoStream,
    fps: int,
) -> int:
    base = timed.time_base or stream.time_base
    return round((timed.pts or 0) * base * fps) if base else 0


def _seek(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    frame: int,
    fps: int,
) -> None:
    if stream.time_base:
        container.seek(round(frame / fps / stream.time_base), stream=stream)


def _key_before(stream: av.VideoStream, frame: int, fps: int) -> int:
    """The number of the key frame from which `frame` is decoded; 0 where no index tells it."""
    if not stream.time_base:
        return 0
    ticks = round(frame / fps / stream.time_base)
    index = stream.index_entries.search_timestamp(ticks)
    return (
        round(stream.index_entries[index].timestamp * stream.time_base * fps)
        if index >= 0
        else 0
    )

"""Depth in a dataset against recorded distances: codes are lossless, so each must be its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from piperline.features import Feature
from piperline.recordings.reader import still_reading
from piperline.verify.frames import DatasetClip
from piperline.verify.recorded import OpenEpisode
from piperline.video.depth import codes_of
from piperline.video.depth_codes import Codes, DepthScale
from piperline.video.packets import pictures


@dataclass(frozen=True)
class ComparedDepth:
    """What came of it.

    Attributes:
        looked: how many frames were compared.
        wrong: the numbers of those whose codes are not those of their recorded distances.
        pixels: how many codes of the first of them differ.
        shows: the number of the recorded frame that it shows, if it shows one.
        absent: the numbers of frames that are not there.
    """

    looked: int
    wrong: tuple[int, ...]
    pixels: int
    shows: int | None
    absent: tuple[int, ...]


def compare_depth(
    opened: OpenEpisode,
    clip: DatasetClip,
    feature: Feature,
    frames: Sequence[int],
    fps: int,
) -> ComparedDepth:
    """Hold decoded codes against those of the recorded distances.

    Args:
        opened: the recorded episode.
        clip: of the depth camera.
        feature: of the camera: it tells how distances became codes.
        frames: the numbers of those to look at, rising.
        fps: frames a second.

    Raises:
        DatasetError: the video does not decode.
        BadEpisode: a recorded image is damaged.
        ValueError: the feature tells no scale of depth.
    """
    scale = DepthScale.of_info(feature.info or {})
    numbers = [clip.first + frame for frame in frames]
    recorded = _codes(opened, clip, scale, frames)
    missing = set(frames)
    wrong: list[int] = []
    first: Codes | None = None
    pixels = 0
    for number, picture in pictures(clip.path, fps, numbers):
        frame = number - clip.first
        own = next(codes for known, codes in recorded if known == frame)
        seen = codes_of(picture)
        differing = int((seen != own).sum()) if seen.shape == own.shape else -1
        missing.discard(frame)
        if differing:
            wrong.append(frame)
        if differing and first is None:
            first, pixels = seen, differing
    shows = None if first is None else _like(first, opened, clip, scale)
    return ComparedDepth(
        looked=len(frames) - len(missing),
        wrong=tuple(wrong),
        pixels=pixels,
        shows=shows,
        absent=tuple(sorted(missing)),
    )


def _codes(
    opened: OpenEpisode,
    clip: DatasetClip,
    scale: DepthScale,
    frames: Sequence[int] | None = None,
) -> Iterator[tuple[int, Codes]]:
    """The codes of recorded frames, some or all, in order."""
    images = opened.depth(clip.camera)
    wanted = None if frames is None else frozenset(frames)
    for number, payload in enumerate(opened.stream(clip.camera)):
        still_reading()
        if wanted is None or number in wanted:
            depth = images.distances(number, payload)
            yield number, scale.codes(depth, images.unit)


def _like(
    seen: Codes, opened: OpenEpisode, clip: DatasetClip, scale: DepthScale
) -> int | None:
    """The number of the recorded frame that a frame shows to the bit, if there is one."""
    every = _codes(opened, clip, scale)
    same = (
        number
        for number, codes in every
        if codes.shape == seen.shape and (codes == seen).all()
    )
    return next(same, None)

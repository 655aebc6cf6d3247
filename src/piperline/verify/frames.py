"""The frames of an episode against recorded pictures: which does each show, and how well."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from piperline.verify.decoded import DecodedFrames
from piperline.verify.recorded import OpenEpisode, RecordedPictures
from piperline.verify.report import Looked, Strip
from piperline.video.decoder import Picture, rgb
from piperline.video.likeness import (
    LIKE,
    Blocks,
    View,
    distance,
    floor_of,
    psnr,
    shows,
)
from piperline.video.packets import pictures

_STRIPS = 2
"""So many of the worst frames of a camera of an episode are kept as pictures."""


@dataclass(frozen=True)
class DatasetClip:
    """The frames of a camera of an episode.

    Attributes:
        camera: its name in the recording.
        key: of the feature.
        path: the video.
        first: the number of its first frame there.
        codec: of the video, by FFmpeg's name.
    """

    camera: str
    key: str
    path: Path
    first: int
    codec: str


@dataclass
class Compared:
    """What came of comparing a clip.

    Attributes:
        clip: which.
        looked: frames that were compared.
        bad: frames that show something else, or too badly, with what they show.
        absent: frames that are not there.
        worst: PSNR and number of the worst frames, with their pictures.
    """

    clip: DatasetClip
    looked: int = 0
    bad: list[tuple[int, View]] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    worst: list[Strip] = field(default_factory=list)

    def keep(self, strip: Strip) -> None:
        """Keep a frame if it is among the worst."""
        self.worst = sorted([*self.worst, strip], key=lambda kept: kept.psnr)[
            :_STRIPS
        ]

    def is_worst(self, decibels: float) -> bool:
        """Whether a frame is among the worst."""
        return len(self.worst) < _STRIPS or decibels < self.worst[-1].psnr


def spread(length: int, count: int) -> list[int]:
    """`count` of `length` frames, evenly spread, the first and the last among them."""
    if count >= length:
        return list(range(length))
    return sorted(
        {
            int(frame)
            for frame in np.round(
                np.linspace(
                    0,
                    length - 1,
                    max(2, count),
                )
            )
        }
    )


def compare_frames(
    opened: OpenEpisode,
    clips: Sequence[DatasetClip],
    frames: Sequence[int],
    *,
    episode: int,
    fps: int,
    looked: Looked,
    strips: bool,
    moved: Callable[[int], None],
    decoded: DecodedFrames,
) -> list[Compared]:
    """Hold decoded frames against the recorded ones, the frames beside them and the other cameras.

    Args:
        opened: the recorded episode.
        clips: encoded clips of its cameras.
        frames: numbers of frames in the episode, rising.
        episode: its number in the dataset.
        fps: frames a second.
        looked: counts what is looked at.
        strips: keep pictures of the worst frames.
        moved: told of how many frames of all cameras more were passed.
        decoded: takes down what was decoded.

    Raises:
        DatasetError: a video does not decode.
        BadEpisode: a recorded image is damaged.
    """
    recorded = {clip.camera: opened.pictures(clip.camera) for clip in clips}
    shown = {
        clip.camera: _Decoded(
            pictures(clip.path, fps, [clip.first + frame for frame in frames])
        )
        for clip in clips
    }
    results = [Compared(clip) for clip in clips]
    passed = 0
    for frame in frames:
        around = {
            camera: _Around.of(source, frame)
            for camera, source in recorded.items()
        }
        for result in results:
            camera = result.clip.camera
            number = result.clip.first + frame
            picture = shown[camera].at(number)
            if picture is None:
                result.absent.append(frame)
                continue
            decoded.add(result.clip.path, number)
            others = [
                other.own for name, other in around.items() if name != camera
            ]
            result.looked += 1
            decibels = _compare(result, picture, around[camera], others, looked)
            if strips and result.is_worst(decibels):
                pair = rgb(recorded[camera].picture(frame)), rgb(picture)
                result.keep(
                    Strip(result.clip.key, episode, frame, decibels, *pair)
                )
        moved((frame + 1 - passed) * len(clips))
        passed = frame + 1
    return results


@dataclass(frozen=True)
class _Around:
    """A recorded frame and those beside it."""

    frame: int
    own: View
    beside: tuple[View, ...]

    @classmethod
    def of(cls, recorded: RecordedPictures, frame: int) -> "_Around":
        before = [recorded.view(frame - 1)] if frame else []
        own = recorded.view(frame)
        after = (
            [recorded.view(frame + 1)] if frame + 1 < recorded.length else []
        )
        return cls(frame, own, (*before, *after))


class _Decoded:
    """Decoded frames, asked for by rising numbers."""

    def __init__(self, frames: Iterator[tuple[int, Picture]]) -> None:
        self._frames = frames
        self._next = next(frames, None)

    def at(self, number: int) -> Picture | None:
        while self._next and self._next[0] < number:
            self._next = next(self._frames, None)
        return self._next[1] if self._next and self._next[0] == number else None


def _compare(
    result: Compared,
    picture: Picture,
    around: _Around,
    others: Sequence[View],
    looked: Looked,
) -> float:
    """Take a frame into account; its PSNR in dB, 0 where it is of another size."""
    seen, own, codec = View.of(picture), around.own, result.clip.codec
    beside = [shows(seen, own, view, codec) for view in around.beside]
    elsewhere = [
        shows(
            seen,
            own,
            view,
            codec,
        )
        for view in (*others, own.exchanged)
    ]
    looked.frames += 1
    decibels = psnr(seen, own) if seen.luma.shape == own.luma.shape else 0.0
    if decibels < floor_of(codec) or False in (*beside, *elsewhere):
        result.bad.append((around.frame, seen))
    elif True not in (beside or elsewhere):
        looked.cannot_tell += 1
    return decibels


@dataclass(frozen=True)
class Candidate:
    """What a frame may show: the code of the fault that it is then, in words, and its blocks."""

    code: str
    text: str
    blocks: Blocks


def candidates(
    opened: OpenEpisode,
    clips: Sequence[DatasetClip],
    clip: DatasetClip,
    frame: int,
) -> Iterator[Candidate]:
    """What a frame of a clip may show of its own recorded episode.

    Args:
        opened: the recorded episode.
        clips: of its cameras.
        clip: the one with the frame.
        frame: its number in the episode.
    """
    own = opened.pictures(clip.camera)
    for number in range(own.length):
        view = own.view(number)
        if number != frame:
            text = f"shows the recorded frame {number}"
            yield Candidate("frame-shifted", text, view.blocks)
            continue
        yield Candidate(
            "frame-quality", "shows its recorded frame, but badly", view.blocks
        )
        yield Candidate(
            "frame-colors", "has red and blue exchanged", view.exchanged.blocks
        )
    for other in clips:
        if other.camera != clip.camera:
            view = opened.pictures(other.camera).view(frame)
            yield Candidate(
                "frame-camera", f"shows the camera {other.key}", view.blocks
            )


def most_like(seen: View, among: Iterable[Candidate]) -> Candidate:
    """What a frame shows: the nearest candidate, or nothing that was recorded."""
    best = min(
        among, key=lambda candidate: distance(seen.blocks, candidate.blocks)
    )
    if distance(seen.blocks, best.blocks) > LIKE:
        return Candidate(
            "frame-unlike", "is like nothing that was recorded", best.blocks
        )
    return best

"""Parts of a camera's images, and recorded videos whose packets can be kept."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from piperline.episode import Clip
from piperline.errors import BadEpisode
from piperline.recordings.images import CameraHeader, ImageStream, Payload
from piperline.recordings.rules import Color, Mirrored
from piperline.video.clips import ClipReader


@dataclass(frozen=True)
class AskedVideo:
    """The videos that are asked for of recorded images.

    Attributes:
        mode: `h264`, `av1`, or `copy`: of recorded packets all are taken.
        fps: frames a second.
        size: (width, height) of the frames; None keeps those that were recorded.
    """

    mode: str
    fps: int
    size: tuple[int, int] | None = None


def kept_clip(
    stream: ImageStream, header: CameraHeader, asked: AskedVideo
) -> Clip | None:
    """The span of a recorded video whose packets are the video that is asked for, if there is one.

    That is the rule by which packets are kept, and by which it is known that they were.
    """
    if header.packets is None:
        return None
    codec, fps = header.packets
    changed = stream.color != "rgb" or any(stream.mirrored)
    sizes = {None, (header.width, header.height)}
    same = fps == asked.fps and asked.size in sizes
    same = same and asked.mode in {codec, "copy"}
    return stream.clip() if same and not changed else None


@dataclass(frozen=True)
class ImageSpan:
    """Some of the images of a camera, counted from the first of them.

    Attributes:
        stream: all of them.
        frames: which.
        swap: whether red and blue are exchanged.
    """

    stream: ImageStream
    frames: range
    swap: bool = False

    @property
    def length(self) -> int:
        """How many."""
        return len(self.frames)

    @property
    def color(self) -> Color:
        """How the colours are meant: exchanged once more where they are to be put right."""
        return exchanged(self.stream.color) if self.swap else self.stream.color

    @property
    def mirrored(self) -> Mirrored:
        """How the recorded images are mirrored."""
        return self.stream.mirrored

    def files(self) -> Iterator[Path]:
        """The files beside the recording that hold the images, if such do."""
        return self.stream.files()

    def clip(self) -> Clip | None:
        """The span of a video whose packets are the images, and stand alone, if there is one."""
        clip, first = self.stream.clip(), self.frames.start
        if clip is None or self.frames == range(self.stream.length):
            return clip
        if self.frames.step > 1:
            return None
        span = replace(
            clip, first=clip.first + first, count=self.length, whole=False
        )
        return span if ClipReader().piece(span) else None

    def header(self) -> CameraHeader:
        """How the images are stored and how large they are."""
        return replace(self.stream.header(), color=self.color)

    def __iter__(self) -> Iterator[Payload]:
        """The images in order; those before and between them are read and passed over."""
        frames = self.frames
        return islice(self.stream, frames.start, frames.stop, frames.step)

    def jpeg(
        self,
        frame: int,
        data: bytes,
    ) -> tuple[bytes, int, int]:
        """Check a JPEG; see `ImageStream.jpeg`."""
        return self.stream.jpeg(self.frames[frame], data)

    def bad(self, frame: int, found: str) -> BadEpisode:
        """The error for an image that cannot be used; it tells the frame of the recording."""
        return self.stream.bad(self.frames[frame], found)


def exchanged(color: Color) -> Color:
    """The colour order of images in which red and blue are exchanged once more."""
    return "swapped-jpeg" if color == "rgb" else "rgb"

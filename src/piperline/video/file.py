"""Video files open for reading: the one way to open them, and how FFmpeg's errors are told.

Packets and pictures are found by the numbers of their frames. The number of a packet is its time in
the file times the frame rate, rounded, so the small drift of videos that were joined with times in
microseconds (FFmpeg's concat demuxer) does no harm.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

import av
import av.logging
from av.video.frame import VideoFrame

from piperline.errors import DatasetError, Place
from piperline.video.mp4 import ON_TIME_SECONDS

# FFmpeg's words come with our errors: Python would print them beside these.
logging.getLogger("libav").setLevel(logging.CRITICAL)

Packet: TypeAlias = "av.Packet[av.VideoStream]"

_UNDECODED: Any = [{"skip_frame": "all"}]
"""Stream options: FFmpeg opens a file without decoding its first frames, four times as fast."""


def ffmpeg_words(
    error: av.FFmpegError, again: Callable[[], object] = lambda: None
) -> str:
    """FFmpeg's own last line about an error, as it says when the same is done again.

    Its log is not heard at other times: its threads can wait for Python's lock, and Python for
    them.
    """
    log = None
    av.logging.set_level(av.logging.ERROR)
    try:
        again()
    except av.FFmpegError as repeated:
        # level, component, line
        log = cast("tuple[int, str, str] | None", repeated.log)
    finally:
        av.logging.set_level(None)
    if log is None:
        return str(error.strerror)
    return f"{error.strerror} ({log[2].strip()})"


@contextmanager
def reading(
    path: Path, message: str = "the video cannot be read"
) -> Iterator[None]:
    """Turn what FFmpeg raises about a file into an error with a place.

    Raises:
        DatasetError: the file is missing, or FFmpeg failed.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(
            "the video is missing",
            place=Place(file=path),
            expected="a file of that name",
            found="nothing",
        ) from error
    except av.FFmpegError as error:
        raise DatasetError(
            message,
            place=Place(file=path),
            found=ffmpeg_words(error),
            expected="a whole video that FFmpeg reads",
        ) from error


def _opened(path: Path, options: Any) -> av.container.InputContainer:  # noqa: ANN401 - whatever comes
    """Open a file. What it tells of itself need not be UTF-8.

    Raises:
        DatasetError: it is no plain file, which FFmpeg might wait for for ever, or of a kind that
            tells no streams before it is read.
        av.FFmpegError: it is missing, or damaged.
    """
    if path.exists() and not path.is_file():
        raise DatasetError(
            "the video is no plain file",
            place=Place(file=path),
            expected="an MP4 file",
            found="a folder, a pipe or a device",
        )
    try:
        return av.open(
            str(path), stream_options=options, metadata_errors="replace"
        )
    except av.FFmpegError:
        raise
    except ValueError as error:
        found = str(error).partition("\n")[0]
        raise DatasetError(
            "the file holds no video",
            place=Place(file=path),
            found=found,
            expected="an MP4 file with a video in it",
        ) from error


class VideoFile:
    """A video file, open for reading; a context manager.

    Args:
        path: the file.
        fps: frames a second, by which frames are numbered; None where no numbers are asked for.
        ranked: the file holds one episode: where its times are not n / fps, frames are numbered in
            the order in which they are shown.
        decoded: whether FFmpeg decodes frames while it opens the file, to find their pixel format.

    Attributes:
        path: the file.
        container: FFmpeg's, open.
        stream: its first video stream.

    Raises:
        DatasetError: it is missing, or not a video.
    """

    def __init__(
        self,
        path: Path,
        fps: int | None = None,
        *,
        ranked: bool = False,
        decoded: bool = False,
    ) -> None:
        self.path = path
        self._fps = fps or 1
        self._ranks: dict[int, int] = {}
        options = None if decoded else _UNDECODED
        with reading(path):
            self.container = _opened(path, options)
        try:
            self.stream = self._video()
            self._frames_per_tick = (
                self.stream.time_base or Fraction(1, self._fps)
            ) * self._fps
            # In whole numbers: Fractions would take most of the time that a packet takes.
            self._twice = 2 * self._frames_per_tick.numerator
            self._divisor = 2 * self._frames_per_tick.denominator
            if ranked:
                self._rank()
        except DatasetError:
            self.close()
            raise

    def _video(self) -> av.VideoStream:
        if not self.container.streams.video:
            raise DatasetError(
                "the file holds no video",
                place=Place(file=self.path),
                expected="an MP4 file with a video in it",
                found="no stream of pictures",
            )
        stream = self.container.streams.video[0]
        context: object = stream.codec_context
        if context is None:
            raise DatasetError(
                "the codec of the video is not known",
                place=Place(file=self.path),
                expected="a codec that FFmpeg decodes",
                found="one that it does not know",
            )
        return stream

    def _rank(self) -> None:
        times = self.times()
        if [self.frames(time) for time in times] != list(range(len(times))):
            self._ranks = {time: rank for rank, time in enumerate(times)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self.container.close()

    def frames(self, ticks: int | None) -> int:
        """The number of the frame that is shown at a tick of the file."""
        if self._ranks and ticks in self._ranks:
            return self._ranks[ticks]
        return (
            (ticks or 0) * self._twice + self._divisor // 2
        ) // self._divisor

    def _seek(self, frame: int) -> None:
        ticks = round(frame / self._frames_per_tick)
        if self._ranks:
            ticks = sorted(self._ranks)[
                min(
                    frame,
                    len(self._ranks) - 1,
                )
            ]
        self.container.seek(ticks, stream=self.stream)

    def times(self) -> list[int]:
        """When each frame is shown, in ticks of the file, rising; nothing is decoded.

        Raises:
            DatasetError: the file cannot be read.
        """
        if self.stream.codec_context.name == "mjpeg":
            # Recorded JPEG, shown in the order in which they lie there: the index tells all.
            index = self.stream.index_entries
            if 0 < len(index) == self.stream.frames:
                return sorted(entry.timestamp for entry in index)
        with reading(self.path):
            self.container.seek(0, stream=self.stream)
            packets = self.container.demux(self.stream)
            return sorted(packet.pts or 0 for packet in packets if packet.size)

    def is_on_time(self) -> bool:
        """Whether frame n is shown at n / fps, to a tenth of what LeRobot tolerates.

        Raises:
            DatasetError: the file cannot be read.
        """
        tolerance = ON_TIME_SECONDS * self._fps
        return all(
            abs(time * self._frames_per_tick - number) <= tolerance
            for number, time in enumerate(self.times())
        )

    def steady_rate(self) -> float | None:
        """Frames a second where all frames are shown equally long; None where they are not.

        Raises:
            DatasetError: the file cannot be read.
        """
        times = self.times()
        steps = [after - before for before, after in pairwise(times)]
        if (
            not steps
            or max(steps) - min(steps) > 1
            or not self.stream.time_base
        ):
            return None
        ticks = (times[-1] - times[0]) / len(steps)
        return float(1 / (ticks * self.stream.time_base)) if ticks else None

    @cached_property
    def delay(self) -> int:
        """By how many frames decoding runs ahead of showing; 0 without B-frames."""
        if self._ranks:
            return max(
                index - number
                for index, (number, _) in enumerate(self.packets(0))
            )
        with reading(self.path):
            self._seek(0)
            for packet in self.container.demux(self.stream):
                if packet.pts is not None:
                    return self.frames(packet.pts) - self.frames(packet.dts)
        return 0

    def packets(self, first: int) -> Iterator[tuple[int, Packet]]:
        """Packets in the order of decoding, each with the number of its frame.

        The first one is the key frame at or before frame `first`.

        Raises:
            DatasetError: the file cannot be read.
        """
        with reading(self.path):
            self._seek(first)
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield self.frames(packet.pts), packet

    def packet(self, number: int) -> bytes:
        """The bytes of one frame; empty if there is none."""
        for found, packet in self.packets(number):
            if found == number:
                return bytes(packet)
        return b""

    def pictures(self, first: int, count: int) -> Iterator[VideoFrame]:
        """The decoded frames from number `first` on, in order.

        Raises:
            DatasetError: they do not decode.
        """
        with reading(self.path, "the video does not decode"):
            self.stream.codec_context.skip_frame = "DEFAULT"
            self._seek(first)
            for picture in self.container.decode(self.stream):
                number = self.frames(picture.pts)
                if number >= first:
                    # Encoders would mix the file's ticks with their own frame numbers.
                    picture.time_base = Fraction(1, self._fps)
                    picture.pts = number - first
                    yield picture
                if number >= first + count - 1:
                    return

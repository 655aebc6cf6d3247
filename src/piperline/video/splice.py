"""Cut and append videos by frame number, nothing decoded or encoded.

Simple files (see `mp4`) are cut and appended by byte ranges, all others packet by packet through FFmpeg.

Frame numbers are whole: a packet's number is its time in the file times the frame rate, rounded, so the small drift of
videos that were joined with times in microseconds (FFmpeg's concat demuxer) does no harm. What is written has exact
times: frame n of a file is shown at n / fps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast
from zlib import crc32

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from piperline.episode import Clip
from piperline.errors import DatasetError, Place, VideoError
from piperline.video.decoder import UNDECODED
from piperline.video.encoder import MP4_OPTIONS
from piperline.video.mp4 import Track, read_track, write_pieces

Packet: TypeAlias = "av.Packet[av.VideoStream]"


class NotCuttable(DatasetError):
    """A piece that packets cannot tell apart from its neighbours: it has to be encoded again."""


@dataclass(frozen=True)
class Form:
    """What two videos must have in common to share a file.

    Attributes:
        codec: FFmpeg's name.
        width, height: in pixels.
        extradata: the codec's global headers; of a simple file, all boxes of its sample entry.
        delay: by how many frames decoding runs ahead of showing; 0 without B-frames.
    """

    codec: str
    width: int
    height: int
    extradata: bytes | None
    delay: int


class _File:
    """A video file, open for reading.

    Raises:
        DatasetError: it is missing, or not a video.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self.path = path
        try:
            self.container = av.open(str(path), stream_options=UNDECODED)
        except FileNotFoundError as error:
            raise DatasetError("the video is missing", place=Place(file=path)) from error
        except av.FFmpegError as error:
            raise DatasetError(
                "the video cannot be read", place=Place(file=path), found=str(error)
            ) from error
        if not self.container.streams.video:
            raise DatasetError("the file holds no video", place=Place(file=path))
        self.stream = self.container.streams.video[0]
        self._fps = fps
        self._frames_per_tick = (self.stream.time_base or Fraction(1, fps)) * fps
        # A packet's number in whole numbers: Fractions would take most of the time that a packet takes.
        self._twice, self._divisor = (
            2 * self._frames_per_tick.numerator,
            2 * self._frames_per_tick.denominator,
        )
        self.form = self._form()

    def _form(self) -> Form:
        context = self.stream.codec_context
        first = next(
            (packet for packet in self.container.demux(self.stream) if packet.pts is not None), None
        )
        return Form(
            codec=context.name,
            width=context.width,
            height=context.height,
            extradata=context.extradata,
            delay=self._frames(first.pts) - self._frames(first.dts) if first else 0,
        )

    def _frames(self, ticks: int | None) -> int:
        """Ticks of the file as frames, rounded."""
        return ((ticks or 0) * self._twice + self._divisor // 2) // self._divisor

    def packets(self, first: int) -> Iterator[tuple[int, Packet]]:
        """Packets in the order of decoding, each with its frame's number, from the key frame at or before `first`."""
        self.container.seek(round(first / self._frames_per_tick), stream=self.stream)
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield self._frames(packet.pts), packet
        except av.FFmpegError as error:
            raise DatasetError(
                "the video cannot be read", place=Place(file=self.path), found=str(error)
            ) from error

    def pictures(self, first: int, count: int) -> Iterator[VideoFrame]:
        """The decoded frames from number `first` on, in order."""
        self.stream.codec_context.skip_frame = "DEFAULT"
        self.container.seek(round(first / self._frames_per_tick), stream=self.stream)
        try:
            for picture in self.container.decode(self.stream):
                number = self._frames(picture.pts)
                if number >= first:
                    # Encoders would mix the file's ticks with their own frame numbers.
                    picture.time_base = Fraction(1, self._fps)
                    picture.pts = number - first
                    yield picture
                if number >= first + count - 1:
                    return
        except av.FFmpegError as error:
            raise DatasetError(
                "the video does not decode", place=Place(file=self.path), found=str(error)
            ) from error

    def packet(self, number: int) -> bytes:
        """The bytes of one frame; empty if there is none."""
        return next(
            (bytes(packet) for found, packet in self.packets(number) if found == number), b""
        )

    def piece(self, clip: Clip) -> Iterator[tuple[int, Packet]]:
        """The packets of `clip` in the order of decoding, each with its frame's number in the clip.

        Raises:
            NotCuttable: the clip does not begin at a key frame, or its last frames need later ones.
            DatasetError: frames are missing.
        """
        wanted = set(range(clip.first, clip.first + clip.count))
        reordered = False
        for number, packet in self.packets(clip.first):
            seen = clip.count - len(wanted)
            if number in wanted:
                if not seen and (number != clip.first or not packet.is_keyframe):
                    raise _not_cuttable(clip, number)
                reordered |= number != clip.first + seen
                wanted.remove(number)
                yield number - clip.first, packet
            elif not wanted:
                # With B-frames a piece can end only before a key frame: its last frames may need those that follow.
                if reordered and not packet.is_keyframe:
                    raise _not_cuttable(clip, number)
                return
            elif seen:
                raise _not_cuttable(clip, number)
        if wanted:
            raise DatasetError(
                "the video lacks frames",
                place=Place(file=clip.path, frame=min(wanted)),
                expected=f"frames {clip.first} to {clip.first + clip.count - 1}",
                found=f"{clip.count - len(wanted)} of {clip.count}",
            )


def _not_cuttable(clip: Clip, number: int) -> NotCuttable:
    return NotCuttable(
        "this piece of the video does not begin and end at key frames: it cannot be cut without encoding again",
        place=Place(file=clip.path, frame=number),
        next_step="add `--reencode`: only such pieces are encoded again",
    )


_OPEN_FILES = 8


class Reader:
    """Reads clips; keeps the last few files open, since neighbouring clips often share one."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}
        self._tracks: dict[Path, Track | None] = {}

    def _track(self, clip: Clip) -> Track | None:
        if clip.path not in self._tracks:
            if len(self._tracks) == _OPEN_FILES:
                self._tracks.pop(next(iter(self._tracks)))
            self._tracks[clip.path] = read_track(clip.path, clip.info.fps)
        return self._tracks[clip.path]

    def piece(self, clip: Clip) -> Track | None:
        """The byte ranges of `clip`; None where only FFmpeg can cut it, or tell why it cannot be cut."""
        track = self._track(clip)
        return track and track.piece(clip.first, clip.count)

    def is_simple(self, clip: Clip) -> bool:
        """Whether the clip's file can be cut and appended by byte ranges."""
        return self._track(clip) is not None

    def _file(self, clip: Clip) -> _File:
        file = self._files.pop(clip.path, None) or _File(clip.path, clip.info.fps)
        self._files[clip.path] = file  # the last one used is the last one closed
        if len(self._files) > _OPEN_FILES:
            self._files.pop(next(iter(self._files))).container.close()
        return file

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.container.close()
        self._files.clear()

    def form(self, clip: Clip) -> Form:
        """What other videos must have in common with this one to share a file.

        Raises:
            DatasetError: the file is missing, or not a video.
        """
        track = self._track(clip)
        return (
            Form(track.codec, *track.dimensions, track.parameters, 0)
            if track
            else self._file(clip).form
        )

    def size(self, clip: Clip) -> float:
        """About how many bytes the clip takes: its share of its file."""
        track = self._track(clip)
        if track:
            return clip.path.stat().st_size * clip.count / len(track.sizes)
        frames = self._file(clip).stream.frames or clip.count
        return clip.path.stat().st_size * clip.count / frames

    def template(self, clip: Clip) -> av.VideoStream:
        """The clip's stream: what a new one is modelled on."""
        return self._file(clip).stream

    def packets(self, clip: Clip) -> Iterator[tuple[int, Packet]]:
        """The packets of `clip` in the order of decoding, each with its frame's number in the clip.

        Raises:
            NotCuttable: the clip does not begin at a key frame, or its last frames need later ones.
            DatasetError: frames are missing.
        """
        return self._file(clip).piece(clip)

    def pictures(self, clip: Clip) -> Iterator[VideoFrame]:
        """The decoded frames of `clip`, in order.

        Raises:
            DatasetError: they do not decode.
        """
        return self._file(clip).pictures(clip.first, clip.count)

    def samples(self, clip: Clip, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        """The decoded frames of `numbers`, rising, in `clip`; where the key frames are known, few others are decoded.

        Raises:
            DatasetError: they do not decode.
        """
        track = self._track(clip)
        for run in _runs(numbers, track.keys[clip.first :] if track else None):
            wanted = set(run)
            for picture in self._file(clip).pictures(clip.first + run[0], run[-1] - run[0] + 1):
                if run[0] + (picture.pts or 0) in wanted:
                    yield picture

    def key_frames(self, clip: Clip, count: int) -> list[int]:
        """The numbers of `count` key frames, spread evenly over `clip`; of fewer or none, where it has not so many.

        Raises:
            DatasetError: frames are missing.
        """
        track = self._track(clip)
        keys = (
            np.flatnonzero(track.keys[clip.first : clip.first + clip.count])
            if track
            else np.empty(0, np.intp)
        )
        even = np.linspace(0, len(keys) - 1, min(count, len(keys))).round().astype(int)
        found: list[int] = keys[even].tolist()
        return found

    def is_cuttable(self, clip: Clip) -> bool:
        """Whether `clip` begins and, with B-frames, ends at key frames, so that its packets can stand alone.

        Raises:
            DatasetError: frames are missing.
        """
        if clip.whole or self.piece(clip):
            return True
        pieces = self.packets(clip)
        try:
            next(pieces)
            for _ in pieces if self.form(clip).delay else ():
                pass
        except NotCuttable:
            return False
        return True

    def cut(self, clip: Clip, target: Path) -> None:
        """Write the frames of `clip` as a file of their own, and verify it.

        Raises:
            NotCuttable: it has to be encoded again.
            DatasetError: it lacks frames.
            VideoError: FFmpeg failed, or what it wrote is not the piece.
        """
        joiner = new_file(target, clip, self)
        joiner.add(clip)
        joiner.close()


def _runs(numbers: Sequence[int], keys: NDArray[np.bool_] | None) -> Iterator[Sequence[int]]:
    """`numbers` divided where less is decoded from the next key frame than by going on."""
    start = 0
    for place in range(1, len(numbers)):
        if keys is not None and keys[numbers[place - 1] + 1 : numbers[place] + 1].any():
            yield numbers[start:place]
            start = place
    yield numbers[start:]


@dataclass(frozen=True)
class _Piece:
    """What was appended: where it begins, how long it is, and what its first and last frame look like."""

    first: int
    count: int
    first_crc: int
    last_crc: int


class _NewFile:
    """One mp4 that is made from clips, one behind the other.

    Args:
        path: the file to make.
        first: a clip of the form that all others must have.
        reader: reads the clips.

    Attributes:
        path: the file.
        form: what all its clips have in common.
        frames, bytes: how many there are so far.
    """

    def __init__(self, path: Path, first: Clip, reader: Reader) -> None:
        self.path = path
        self.frames = 0
        self.bytes = 0
        self.form = reader.form(first)
        self._reader = reader
        self._fps = first.info.fps


class Joiner(_NewFile):
    """Writes the file packet by packet."""

    def __init__(self, path: Path, first: Clip, reader: Reader) -> None:
        super().__init__(path, first, reader)
        self._pieces: list[_Piece] = []
        self._container = av.open(str(path), "w", format="mp4", options=MP4_OPTIONS)
        template = reader.template(first)
        if (
            self.form.codec == "mjpeg" and (template.sample_aspect_ratio or 1) == 1
        ):  # as `convert` makes it, to the byte
            size = {"width": self.form.width, "height": self.form.height}
            kept = self._container.add_mux_stream("mjpeg", rate=self._fps, **size)
            self._stream = cast("av.VideoStream", kept)
        else:
            # AV1 has a decoder (libdav1d) of another name than its encoders: opaque copies the parameters alone.
            self._stream = self._container.add_stream_from_template(template, opaque=True)
        self._tick = Fraction(1, self._fps)
        self._stream.time_base = self._tick

    def add(self, clip: Clip) -> None:
        """Append a clip of the same form.

        Raises:
            NotCuttable: it has to be encoded again.
            DatasetError: it lacks frames.
            VideoError: FFmpeg failed.
        """
        first_crc = last_crc = 0
        for place, (number, packet) in enumerate(self._reader.packets(clip)):
            if number == 0:
                first_crc = crc32(packet)
            if number == clip.count - 1:
                last_crc = crc32(packet)
            packet.stream = self._stream
            packet.time_base = self._tick
            packet.pts = self.frames + number
            packet.dts = self.frames + place - self.form.delay
            packet.duration = 1
            self.bytes += packet.size
            self._mux(packet)
        self._pieces.append(_Piece(self.frames, clip.count, first_crc, last_crc))
        self.frames += clip.count

    def _mux(self, packet: Packet) -> None:
        try:
            self._container.mux_one(packet)
        except OSError:  # the disk is full: not FFmpeg's fault
            raise
        except av.FFmpegError as error:
            raise VideoError(
                "FFmpeg failed", place=Place(file=self.path), found=str(error)
            ) from error

    def close(self) -> None:
        """Finish the file, and verify the frame count and the first and last frame of each piece.

        Raises:
            VideoError: FFmpeg failed, or what it wrote is not what was read.
        """
        self._container.close()
        written = _File(self.path, self._fps)
        for piece in self._pieces:
            crcs = (
                crc32(written.packet(piece.first)),
                crc32(written.packet(piece.first + piece.count - 1)),
            )
            if crcs != (piece.first_crc, piece.last_crc) or written.stream.frames != self.frames:
                raise VideoError(
                    "what FFmpeg wrote is not what was read", place=Place(file=self.path)
                )
        written.container.close()


class Splicer(_NewFile):
    """Writes the file from clips of simple files, by byte ranges. They are read when it is closed."""

    def __init__(self, path: Path, first: Clip, reader: Reader) -> None:
        super().__init__(path, first, reader)
        self._pieces: list[Track] = []

    def add(self, clip: Clip) -> None:
        """Append a clip of the same form.

        Raises:
            NotCuttable: it has to be encoded again.
            DatasetError: it lacks frames.
        """
        piece = self._reader.piece(clip)
        if piece is None or self._reader.form(clip) != self.form:
            for _ in self._reader.packets(clip):  # tells what is wrong
                pass
            raise VideoError("videos of two forms cannot share a file", place=Place(file=clip.path))
        self._pieces.append(piece)
        self.frames += clip.count
        self.bytes += int(piece.sizes.sum())

    def close(self) -> None:
        """Write the file, and verify it.

        Raises:
            DatasetError: a clip is gone.
            VideoError: what was written is not what was read.
        """
        write_pieces(self.path, self._pieces, self._fps)


def new_file(path: Path, first: Clip, reader: Reader) -> Joiner | Splicer:
    """What writes the mp4 `path` from clips of the form of `first`: by byte ranges where that is possible."""
    return (Splicer if reader.is_simple(first) else Joiner)(path, first, reader)

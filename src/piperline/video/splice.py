"""Cut and append videos by frame number, nothing decoded or encoded.

What is written has exact times: frame n of a file is shown at n / fps.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast
from zlib import crc32

import av

from piperline.episode import Clip
from piperline.errors import SAME_AGAIN, Place, VideoError
from piperline.text import printable
from piperline.video.clips import ClipReader
from piperline.video.encoder import MP4_OPTIONS
from piperline.video.file import Packet, VideoFile
from piperline.video.mp4 import Track
from piperline.video.mp4_writer import Written, write_pieces


@dataclass(frozen=True)
class _Piece:
    """What was appended: where it begins, how long it is, its first and its last frame."""

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
        written: when it is closed: what is in it, where that was hashed by the way; or the file
            that was taken over whole.
    """

    def __init__(self, path: Path, first: Clip, reader: ClipReader) -> None:
        self.path = path
        self.written: Written | Path | None = None
        self.frames = 0
        self.bytes = 0
        self.form = reader.form(first)
        self._reader = reader
        self._fps = first.info.fps


class Joiner(_NewFile):
    """Writes the file packet by packet."""

    def __init__(self, path: Path, first: Clip, reader: ClipReader) -> None:
        super().__init__(path, first, reader)
        self._pieces: list[_Piece] = []
        self._container = av.open(
            str(path), "w", format="mp4", options=MP4_OPTIONS
        )
        template = reader.template(first)
        square = (template.sample_aspect_ratio or 1) == 1
        # as `convert` makes it, to the byte
        if self.form.codec == "mjpeg" and square:
            size = {"width": self.form.width, "height": self.form.height}
            kept = self._container.add_mux_stream(
                "mjpeg", rate=self._fps, **size
            )
            self._stream = cast("av.VideoStream", kept)
        else:
            # AV1 has a decoder (libdav1d) of another name than its encoders: opaque copies the
            # parameters alone.
            self._stream = self._container.add_stream_from_template(
                template, opaque=True
            )
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
        for index, (number, packet) in enumerate(self._reader.packets(clip)):
            if number == 0:
                first_crc = crc32(packet)
            if number == clip.count - 1:
                last_crc = crc32(packet)
            packet.stream = self._stream
            packet.time_base = self._tick
            packet.pts = self.frames + number
            packet.dts = self.frames + index - self.form.delay
            packet.duration = 1
            self.bytes += packet.size
            self._mux(packet)
        self._pieces.append(
            _Piece(self.frames, clip.count, first_crc, last_crc)
        )
        self.frames += clip.count

    def _mux(self, packet: Packet) -> None:
        try:
            self._container.mux_one(packet)
        except OSError:  # the disk is full: not FFmpeg's fault
            raise
        except av.FFmpegError as error:
            raise VideoError(
                "FFmpeg failed",
                place=Place(file=self.path),
                expected="an mp4 that takes the packets",
                found=printable(str(error)),
                next_step=SAME_AGAIN,
            ) from error

    def close(self) -> None:
        """Finish the file, and verify the frame count and the first and last frame of each piece.

        Raises:
            VideoError: FFmpeg failed, or what it wrote is not what was read.
        """
        self._container.close()
        with VideoFile(self.path, self._fps) as written:
            whole = written.stream.frames == self.frames
            if not whole or not all(
                _holds(written, piece) for piece in self._pieces
            ):
                raise VideoError(
                    "what FFmpeg wrote is not what was read",
                    place=Place(file=self.path),
                    expected=f"{self.frames} frames, the first and last of each piece as read",
                    found=f"{written.stream.frames} frames",
                    next_step=SAME_AGAIN,
                )


def _holds(written: VideoFile, piece: _Piece) -> bool:
    """Whether the first and last frame of a piece are there."""
    first = crc32(written.packet(piece.first))
    last = crc32(written.packet(piece.first + piece.count - 1))
    return (first, last) == (piece.first_crc, piece.last_crc)


class Splicer(_NewFile):
    """Writes the file from clips of simple files, by byte ranges, when it is closed.

    Args:
        path, first, reader: as for all files.
        link: a file that is, byte for byte, what is to be made may be hard-linked.
    """

    def __init__(
        self,
        path: Path,
        first: Clip,
        reader: ClipReader,
        *,
        link: bool = False,
    ) -> None:
        super().__init__(path, first, reader)
        self._link = link
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
            raise VideoError(
                "videos of two forms cannot share a file",
                place=Place(file=clip.path),
                expected=f"{self.form.codec} with the headers of {printable(self.path.name)}",
                found=f"{self._reader.form(clip).codec} with others",
                next_step="see that nothing else changes the videos, "
                "and run the same command again",
            )
        self._pieces.append(piece)
        self.frames += clip.count
        self.bytes += int(piece.sizes.sum())

    def close(self) -> None:
        """Write the file, and verify it.

        Raises:
            DatasetError: a clip is gone.
            VideoError: what was written is not what was read.
        """
        self.written = write_pieces(
            self.path, self._pieces, self._fps, link=self._link
        )


def new_file(
    path: Path,
    first: Clip,
    reader: ClipReader,
    *,
    link: bool = False,
) -> Joiner | Splicer:
    """What writes the mp4 `path` from clips of the form of `first`.

    By byte ranges where that is possible; with `link`, a file that is whole what is to be made may
    be hard-linked.
    """
    if reader.is_simple(first):
        return Splicer(path, first, reader, link=link)
    return Joiner(path, first, reader)


def cut(clip: Clip, target: Path, reader: ClipReader) -> Written | Path | None:
    """Write the frames of `clip` as a file of their own, and verify it.

    Returns:
        What is in it, where that was hashed by the way.

    Raises:
        NotCuttable: it has to be encoded again.
        DatasetError: it lacks frames.
        VideoError: FFmpeg failed, or what it wrote is not the piece.
    """
    joiner = new_file(target, clip, reader)
    joiner.add(clip)
    joiner.close()
    return joiner.written

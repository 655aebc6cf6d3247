"""Makes clips that stand alone of spans that do not: as few frames as can be are encoded again.

A span that begins inside a group of pictures is encoded up to the next key frame; the packets from
there on are copied behind it. The recorded JPEG of MJPEG are all key frames: none is encoded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from piperline.episode import Clip, VideoInfo
from piperline.errors import DatasetError, Place
from piperline.video import depth
from piperline.video.clips import ClipReader
from piperline.video.decoder import probe
from piperline.video.encoder import MODES, VideoSettings, VideoWriter
from piperline.video.splice import new_file

_NEAR = 9
"""Frames before which a key frame of depth is looked for."""
_X264 = "x264-params"
_PLAIN = re.compile(r"[a-z0-9]{1,12}")
_SWITCH = (
    r"((cabac|no-deblock|weightp|aq-mode|psy)=\d"
    r"|deadzone-(inter|intra)=\d\d?|(qcomp|ipratio)=\d\.\d\d?)"
)
_OPTIONS = {
    **dict.fromkeys(("preset", "crf", "g", "bf"), _PLAIN),
    _X264: re.compile(rf"{_SWITCH}(:{_SWITCH})*"),
}
"""Options of the encoder that are taken from a record, and the values that they may have."""
MORE_THAN_8_BITS = re.compile(r".*(9|10|12|14|16|32)(le|be)")
"""Pixel formats that encoding would harm."""


@dataclass(frozen=True)
class Work:
    """What a clip takes.

    Attributes:
        copied: packets that are copied as they are.
        encoded: frames that are encoded again.
    """

    copied: int
    encoded: int

    def __add__(self, other: "Work") -> "Work":
        return Work(self.copied + other.copied, self.encoded + other.encoded)


def settings_of(record: Mapping[str, Any], codec: str) -> VideoSettings:
    """How the videos of a dataset are encoded.

    Args:
        record: how it was made; of its options only those are taken that change no files.
        codec: FFmpeg's name of the codec of its videos.
    """
    usual = MODES["av1" if codec == "av1" else "h264"]
    video = record.get("video")
    if not isinstance(video, dict) or video.get("mode") != usual.mode:
        return usual
    if video.get("codec", usual.codec) != usual.codec:  # a GPU's encoder
        return usual
    options = video.get("options")
    known = options if isinstance(options, dict) else usual.options
    kept = {
        name: value
        for name, value in known.items()
        if name in _OPTIONS
        and isinstance(value, str)
        and _OPTIONS[name].fullmatch(value)
    }
    # Datasets of earlier versions were made without it.
    left_out = {_X264} - known.keys()
    merged = {
        name: value
        for name, value in {**usual.options, **kept}.items()
        if name not in left_out
    }
    return replace(usual, options=merged)


def is_lossless_depth(video: VideoInfo) -> bool:
    """Whether our encoder of depth keeps every bit of a video, and can go on with its packets."""
    return (video.codec, video.pix_fmt) == ("hevc", depth.PIX_FMT)


def encode_clip(
    reader: ClipReader,
    clip: Clip,
    path: Path,
    settings: VideoSettings,
    *,
    every: int = 1,
) -> Clip:
    """Encode every n-th frame of a clip as a file of its own.

    Args:
        reader: reads the clip.
        clip: the span of a video.
        path: the mp4 file to make.
        settings: how.
        every: n, of which its frames a second are a multiple.

    Raises:
        DatasetError: frames are missing, or do not decode.
        VideoError: the encoder is missing or fails.
    """
    expected = len(range(0, clip.count, every))
    fps = clip.info.fps // every
    with VideoWriter(path, settings, fps=fps) as writer:
        for number, picture in enumerate(reader.pictures(clip)):
            if number % every == 0:
                picture.time_base = Fraction(1, fps)
                writer.add(picture)
    info, frames = probe(path)
    if frames != expected:
        raise DatasetError(
            "the video does not have a frame for each row of the episode",
            place=Place(file=clip.path, frame=clip.first),
            expected=f"{expected} frames",
            found=str(frames),
        )
    return Clip(path, 0, frames, info)


class Recutter:
    """Makes clips of spans of videos.

    Args:
        folder: where new files lie; None if only `work` is asked for.
        record: how the dataset was made.
        reencode: whether to encode whole spans again that cannot be cut otherwise.

    Attributes:
        done: what all clips so far took.
    """

    def __init__(
        self,
        folder: Path | None,
        record: Mapping[str, Any],
        *,
        reencode: bool = False,
    ) -> None:
        self._folder, self._record, self._reencode = folder, record, reencode
        self._reader = ClipReader()
        self._files = 0
        self.done = Work(0, 0)

    def close(self) -> None:
        """Close the videos that are still open."""
        self._reader.close()

    def work(self, clip: Clip, every: int = 1) -> Work:
        """What `made` would do, where the encoder's headers are those of the video.

        Raises:
            DatasetError: the video cannot be read, or the clip cannot be made.
        """
        kept = len(range(0, clip.count, every))
        if every > 1:
            return (
                Work(kept, 0) if clip.info.codec == "mjpeg" else Work(0, kept)
            )
        if self._reader.is_cuttable(clip):
            return Work(kept, 0)
        head = self._reader.first_key(clip)
        if head is None and is_lossless_depth(clip.info):
            head = self._to_next_key(clip)
        if head is None:
            self._refuse_or_go_on(clip)
            head = clip.count
        return Work(clip.count - head, head)

    def _to_next_key(self, clip: Clip) -> int:
        """How many frames of depth lie before a key frame: our own has one every two frames."""
        for head in range(1, min(_NEAR, clip.count)):
            rest = replace(
                clip, first=clip.first + head, count=clip.count - head
            )
            if self._reader.is_cuttable(rest):
                return head
        return clip.count

    def take_over(self, clip: Clip) -> None:
        """Count a clip that stays as it is."""
        self.done += Work(clip.count, 0)

    def made(self, clip: Clip, every: int = 1) -> Clip:
        """A clip that can stand alone, of every n-th frame of a span.

        Args:
            clip: the span.
            every: n.

        Returns:
            The span itself where it can be cut, else a new file.

        Raises:
            DatasetError: the clip cannot be cut, or does not decode, or encoding would harm it.
            VideoError: the encoder is missing or fails.
        """
        work = self.work(clip, every)
        made = clip
        if every > 1 and not work.encoded:
            made = self._thinned(clip, every)
        elif not work.copied:
            made = self._encoded(clip, every)
        elif work.encoded:
            made = self._joined(clip, work.encoded)
        self.done += work
        return made

    def _thinned(self, clip: Clip, every: int) -> Clip:
        path = self._next_file()
        info = clip.info
        with VideoWriter(
            path,
            MODES["copy"],
            fps=info.fps // every,
        ) as writer:
            for number, packet in self._reader.packets(clip):
                if number % every == 0:
                    writer.add_jpeg(bytes(packet), info.height, info.width)
        info, frames = probe(path)
        return Clip(path, 0, frames, info)

    def _joined(self, clip: Clip, head: int) -> Clip:
        """The first `head` frames encoded, the packets of the others behind them."""
        encoded = self._encoded(replace(clip, count=head, whole=False))
        rest = replace(
            clip, first=clip.first + head, count=clip.count - head, whole=False
        )
        if self._reader.form(encoded) != self._reader.form(rest):
            self._refuse_or_go_on(clip)
            self.done += Work(head - clip.count, clip.count - head)
            return self._encoded(clip)
        path = self._next_file()
        joiner = new_file(path, encoded, self._reader)
        joiner.add(encoded)
        joiner.add(rest)
        joiner.close()
        return Clip(path, 0, clip.count, encoded.info)

    def _encoded(self, clip: Clip, every: int = 1) -> Clip:
        if is_lossless_depth(clip.info):
            return encode_clip(
                self._reader,
                clip,
                self._next_file(),
                depth.SETTINGS,
                every=every,
            )
        if MORE_THAN_8_BITS.fullmatch(clip.info.pix_fmt):
            raise DatasetError(
                "the frames have to be encoded again, "
                "and their pixels have more than the 8 bits that this would keep",
                place=Place(file=clip.path, frame=clip.first),
                found=f"{clip.info.codec}, {clip.info.pix_fmt}",
                next_step="cut at key frames, or leave the episode out",
                expected="pixels of 8 bits, or a cut at key frames",
            )
        settings = settings_of(self._record, clip.info.codec)
        return encode_clip(
            self._reader, clip, self._next_file(), settings, every=every
        )

    def _refuse_or_go_on(self, clip: Clip) -> None:
        if not self._reencode and not is_lossless_depth(clip.info):
            raise DatasetError(
                "the video cannot be cut here by encoding only the frames before a key frame",
                place=Place(file=clip.path, frame=clip.first),
                expected="a video without B-frames that our encoder can go on with",
                found=f"{clip.info.codec}, {clip.info.pix_fmt}",
                next_step="add `--reencode`: the pieces that are cut are encoded again",
            )

    def _next_file(self) -> Path:
        if self._folder is None:
            raise ValueError("this recutter only tells the work")
        self._files += 1
        return self._folder / f"cut-{self._files}.mp4"

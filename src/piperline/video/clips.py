"""Reads clips: of simple files (see `mp4`) byte ranges, of all others packets through FFmpeg."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from piperline.episode import Clip
from piperline.errors import DatasetError, Place
from piperline.video.file import Packet, VideoFile
from piperline.video.mp4 import Track, read_track

_OPEN_FILES = 8


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


class ClipReader:
    """Reads clips; keeps the last few files open, since neighbouring clips often share one."""

    def __init__(self) -> None:
        self._files: dict[Path, VideoFile] = {}
        self._tracks: dict[Path, Track | None] = {}

    def _track(self, clip: Clip) -> Track | None:
        if clip.path not in self._tracks:
            if len(self._tracks) == _OPEN_FILES:
                self._tracks.pop(next(iter(self._tracks)))
            self._tracks[clip.path] = read_track(
                clip.path,
                clip.info.fps,
            )
        return self._tracks[clip.path]

    def _file(self, clip: Clip) -> VideoFile:
        file = self._files.pop(clip.path, None)
        if file is None:
            # The times of a simple file are known to give numbers without gaps.
            ranked = clip.whole and self._track(clip) is None
            file = VideoFile(clip.path, clip.info.fps, ranked=ranked)
        self._files[clip.path] = (
            file  # the last one used is the last one closed
        )
        if len(self._files) > _OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        return file

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def piece(self, clip: Clip) -> Track | None:
        """The byte ranges of `clip`.

        None where only FFmpeg can cut it, or tell why it cannot be cut.
        """
        track = self._track(clip)
        return track and track.piece(clip.first, clip.count)

    def is_simple(self, clip: Clip) -> bool:
        """Whether the clip's file can be cut and appended by byte ranges."""
        return self._track(clip) is not None

    def is_on_time(self, clip: Clip) -> bool:
        """Whether frame n of a clip that is a whole file is shown at n / fps.

        Raises:
            DatasetError: the file is missing, or not a video.
        """
        if clip.digests:  # read when it was made
            return True
        track = self._track(clip)
        if track:
            return track.on_time
        return self._file(clip).is_on_time()

    def form(self, clip: Clip) -> Form:
        """What other videos must have in common with this one to share a file.

        Raises:
            DatasetError: the file is missing, or not a video.
        """
        track = self._track(clip)
        if track:
            return Form(track.codec, *track.dimensions, track.parameters, 0)
        file = self._file(clip)
        context = file.stream.codec_context
        return Form(
            codec=context.name,
            width=context.width,
            height=context.height,
            extradata=context.extradata,
            delay=file.delay,
        )

    def size(self, clip: Clip) -> int:
        """How many bytes the frames of the clip take, whatever else its file holds."""
        frames = slice(clip.first, clip.first + clip.count)
        track = self._track(clip)
        if track:
            return int(track.sizes[frames].sum())
        entries = self._file(clip).stream.index_entries
        return sum(entries[i].size for i in range(len(entries))[frames])

    def template(self, clip: Clip) -> av.VideoStream:
        """The clip's stream: what a new one is modelled on."""
        return self._file(clip).stream

    def packets(self, clip: Clip) -> Iterator[tuple[int, Packet]]:
        """The packets of `clip` in the order of decoding, each with its frame's number in the clip.

        Raises:
            NotCuttable: the clip does not begin at a key frame, or its last frames need later ones.
            DatasetError: frames are missing.
        """
        wanted = set(range(clip.first, clip.first + clip.count))
        reordered = False
        for number, packet in self._file(clip).packets(clip.first):
            seen = clip.count - len(wanted)
            if number in wanted:
                if not seen and (
                    number != clip.first or not packet.is_keyframe
                ):
                    raise self._refusal(clip, number)
                reordered |= number != clip.first + seen
                wanted.remove(number)
                yield number - clip.first, packet
            elif not wanted:
                # With B-frames a piece can end only before a key frame: its last frames may need
                # those that follow.
                if reordered and not packet.is_keyframe:
                    raise _not_cuttable(clip, number)
                return
            elif seen:
                raise self._refusal(clip, number)
        if wanted:
            raise _lacking(clip, wanted)

    def _refusal(self, clip: Clip, number: int) -> DatasetError:
        """Why `clip` cannot be cut at a frame: encoding again makes no frames that are missing."""
        stop = clip.first + clip.count
        missing = set(range(clip.first, stop))
        for held, packet in self._file(clip).packets(clip.first):
            if held >= stop and packet.is_keyframe:
                break
            missing.discard(held)
        return (
            _lacking(clip, missing) if missing else _not_cuttable(clip, number)
        )

    def pictures(self, clip: Clip) -> Iterator[VideoFrame]:
        """The decoded frames of `clip`, in order.

        Raises:
            DatasetError: they do not decode.
        """
        return self._file(clip).pictures(clip.first, clip.count)

    def samples(
        self, clip: Clip, numbers: Sequence[int]
    ) -> Iterator[VideoFrame]:
        """The decoded frames of `numbers`, rising, in `clip`.

        Where the key frames are known, few other frames are decoded.

        Raises:
            DatasetError: they do not decode.
        """
        track = self._track(clip)
        keys = track.keys[clip.first :] if track else None
        for run in _runs(numbers, keys):
            wanted = set(run)
            pictures = self._file(clip).pictures(
                clip.first + run[0], run[-1] - run[0] + 1
            )
            for picture in pictures:
                if run[0] + (picture.pts or 0) in wanted:
                    yield picture

    def key_frames(self, clip: Clip, count: int) -> list[int]:
        """The numbers of `count` key frames, spread evenly over `clip`.

        Fewer, or none, where it has not so many, or where they are not known.
        """
        track = self._track(clip)
        if track is None:
            return []
        keys = np.flatnonzero(track.keys[clip.first : clip.first + clip.count])
        even = (
            np.linspace(
                0,
                len(keys) - 1,
                min(count, len(keys)),
            )
            .round()
            .astype(int)
        )
        found: list[int] = keys[even].tolist()
        return found

    def first_key(self, clip: Clip) -> int | None:
        """The number in `clip` of its first key frame, or its length if it has none.

        None where the key frames are not known.
        """
        track = self._track(clip)
        if track is None:
            return None
        keys = np.flatnonzero(track.keys[clip.first : clip.first + clip.count])
        return int(keys[0]) if len(keys) else clip.count

    def is_cuttable(self, clip: Clip) -> bool:
        """Whether the packets of `clip` can stand alone.

        They can where it begins and, with B-frames, ends at key frames.

        Raises:
            DatasetError: frames are missing.
        """
        if self.piece(clip) or (clip.whole and self.is_on_time(clip)):
            return True
        try:
            for _ in self.packets(clip):
                pass
        except NotCuttable:
            return False
        return True


def _runs(
    numbers: Sequence[int], keys: NDArray[np.bool_] | None
) -> Iterator[Sequence[int]]:
    """`numbers` divided where less is decoded from the next key frame than by going on."""
    start = 0
    for index in range(1, len(numbers)):
        if (
            keys is not None
            and keys[numbers[index - 1] + 1 : numbers[index] + 1].any()
        ):
            yield numbers[start:index]
            start = index
    yield numbers[start:]


def _not_cuttable(clip: Clip, number: int) -> NotCuttable:
    return NotCuttable(
        "this piece of the video does not begin and end at key frames: "
        "it cannot be cut without encoding again",
        place=Place(file=clip.path, frame=number),
        expected="a piece from key frame to key frame",
        found="one that begins, or ends, between them",
        next_step="add `--reencode`: only such pieces are encoded again",
    )


def _lacking(clip: Clip, missing: set[int]) -> DatasetError:
    return DatasetError(
        "the video lacks frames",
        place=Place(file=clip.path, frame=min(missing)),
        expected=f"frames {clip.first} to {clip.first + clip.count - 1}",
        found=f"{clip.count - len(missing)} of {clip.count}",
        next_step="fetch the dataset again, or make it anew",
    )

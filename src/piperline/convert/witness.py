"""`convert --verify`: what was just encoded is decoded, and held against the pictures at hand.

A quarter of the frames is looked at, in runs that begin at key frames: decoding all of them would
cost more than a quarter of what encoding costs. Of recorded JPEG that is kept, every byte is.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from piperline.episode import Proof
from piperline.errors import SAME_AGAIN, Place, VideoError
from piperline.video.decoder import Picture
from piperline.video.digests import add_payload, payloads_digest
from piperline.video.likeness import View, floor_of, psnr, shows
from piperline.video.packets import packets, pictures

_RUN, _EVERY = 10, 4
_MOST = 64
"""Runs of an episode: their pictures are held until it is encoded."""
_LUMA_STEP = 4


def runs(length: int) -> list[range]:
    """The frames of an episode of `length` frames that are looked at, in runs, evenly spread."""
    starts = range(0, length, _RUN * _EVERY)
    kept = starts[:: -(-len(starts) // _MOST)]
    return [range(start, min(start + _RUN, length)) for start in kept]


class Witness:
    """Takes down what is given to an encoder, and then looks whether the video shows it.

    Args:
        length: how many frames the episode has.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._runs = runs(length)
        self._wanted = {
            number
            for run in self._runs
            for number in (run.start - 1, *run, run.stop)
        }
        self._views: dict[int, View] = {}
        self._kept = hashlib.sha256()

    def saw(self, number: int, picture: Picture) -> None:
        """Take down frame `number` as it is given to the encoder."""
        if number in self._wanted:
            self._views[number] = View.of(picture, luma_step=_LUMA_STEP)

    def kept(self, jpeg: bytes) -> None:
        """Take down a recorded JPEG that is kept as it is."""
        add_payload(self._kept, jpeg)

    def check_kept(self, path: Path, fps: int) -> Proof:
        """See that a video holds the recorded JPEG that were kept, byte for byte.

        Raises:
            VideoError: it does not.
        """
        if (
            payloads_digest(packets(path, fps, 0, self._length))
            != self._kept.hexdigest()
        ):
            raise VideoError(
                "the video does not hold the recorded images byte for byte",
                place=Place(file=path),
                next_step=SAME_AGAIN,
            )
        return Proof(packets=self._length)

    def check(self, path: Path, fps: int, codec: str) -> Proof:
        """See that a video shows the frames that were encoded, each its own and not its neighbours.

        Raises:
            VideoError: a frame shows something else, or is not there.
        """
        told = [
            told
            for run in self._runs
            for told in self._check_run(path, fps, codec, run)
        ]
        return Proof(frames=len(told), cannot_tell=told.count(None))

    def _check_run(
        self, path: Path, fps: int, codec: str, run: range
    ) -> Iterator[bool | None]:
        decoded = dict(pictures(path, fps, run))
        for number in run:
            picture = decoded.get(number)
            seen = View.of(picture, luma_step=_LUMA_STEP) if picture else None
            if seen is None:
                raise _wrong(path, number, "no such frame")
            own = self._views[number]
            near = [
                self._views[n]
                for n in (number - 1, number + 1)
                if n in self._views
            ]
            beside = [shows(seen, own, view, codec) for view in near]
            decibels = psnr(seen, own)
            if False in beside or decibels < floor_of(codec):
                raise _wrong(
                    path,
                    number,
                    f"another picture, or a bad one ({decibels:.1f} dB)",
                )
            yield True if True in beside else None


def _wrong(path: Path, number: int, found: str) -> VideoError:
    return VideoError(
        "the video does not show what was recorded",
        place=Place(file=path, frame=number),
        expected="the recorded picture",
        found=found,
        next_step="convert with --video copy, and report this with the recording",
    )

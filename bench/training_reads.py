"""Read the videos of episodes as trainers do. Run in the environment of the original way.

    python training_reads.py pyav|torchcodec VIDEO...

Each video is a camera of the same episode. Prints, as JSON, for `groot` and `lerobot` the seconds,
the CPU seconds and the samples; nothing where the reader is not installed. A sample has the
frames of all cameras: GR00T's of one time step, LeRobot's of two, a tenth of a second apart.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Protocol

PARTS = 10
"""GR00T deals each episode out to so many parts, and decodes all of it for each."""
SAMPLES, APART = 60, 3
"""Of LeRobot's pattern; frames between the two of a sample, as `delta_timestamps` has them."""


class Reader(Protocol):
    """Reads one video to RGB on one thread, as a trainer's loader does."""

    frames: int

    def all(self) -> int:
        """Decode all frames in order: how many."""

    def some(self, numbers: Sequence[int]) -> None:
        """Decode some frames; rising, near one another."""


class PyAV:
    """As torchvision's reader with PyAV, through which LeRobot can read."""

    def __init__(self, path: str) -> None:
        import av

        self._container = av.open(path)
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        self.frames = self._stream.frames
        # Our MP4 have a whole number of ticks a frame.
        self._ticks = (self._stream.duration or 0) // self.frames

    def all(self) -> int:
        """Decode all frames in order: how many."""
        return sum(1 for _ in self._decoded(0))

    def some(self, numbers: Sequence[int]) -> None:
        """Seek to the key frame before the first, decode up to the last."""
        for number in self._decoded(numbers[0]):
            if number >= numbers[-1]:
                break

    def _decoded(self, first: int) -> Iterator[int]:
        self._container.seek(first * self._ticks, stream=self._stream)
        for picture in self._container.decode(self._stream):
            number = (picture.pts or 0) // self._ticks
            if number >= first:
                picture.to_ndarray(format="rgb24")
            yield number


class TorchCodec:
    """As GR00T and LeRobot read by default."""

    def __init__(self, path: str) -> None:
        from torchcodec.decoders import VideoDecoder

        self._decoder = VideoDecoder(path, num_ffmpeg_threads=1)
        self.frames = len(self._decoder)

    def all(self) -> int:
        """Decode all frames in order: how many."""
        return sum(1 for _ in self._decoder)

    def some(self, numbers: Sequence[int]) -> None:
        """What LeRobot calls."""
        self._decoder.get_frames_at(list(numbers))


READERS: dict[str, Callable[[str], Reader]] = {
    "pyav": PyAV,
    "torchcodec": TorchCodec,
}


def groot(cameras: Sequence[Reader]) -> int:
    """A part of an episode: all frames of all cameras in order; a tenth of them become samples."""
    for camera in cameras:
        camera.all()
    return max(1, cameras[0].frames // PARTS)


def lerobot(cameras: Sequence[Reader]) -> int:
    """Samples at random."""
    draw = Random(0)  # noqa: S311 - no cryptography
    for _ in range(SAMPLES):
        number = draw.randrange(APART, cameras[0].frames)
        for camera in cameras:
            camera.some([number - APART, number])
    return SAMPLES


def main(reader: str, paths: list[str]) -> None:
    """Measure both patterns."""
    try:
        cameras = [READERS[reader](path) for path in paths]
    except ImportError:
        return
    result = {}
    for pattern in (groot, lerobot):
        wall, cpu = time.perf_counter(), time.process_time()
        samples = pattern(cameras)
        result[pattern.__name__] = (
            time.perf_counter() - wall,
            time.process_time() - cpu,
            samples,
        )
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

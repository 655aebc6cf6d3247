"""Signals of many episodes: their arrays lie in files without names, which forks share."""

import pickle
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.signals.episode import EpisodeSignals
from piperline.spill import room

_FIRST, _MOST = 1 << 20, 64 << 20
"""Bytes of the first file, and of the largest: the signals of some hundred episodes."""


@dataclass(frozen=True)
class Packed:
    """The signals of an episode: all of its arrays one behind the other, and how they are cut."""

    arrays: bytes
    sizes: tuple[int, ...]
    rest: bytes


def packed(signals: EpisodeSignals) -> Packed:
    """Signals as they are put on a shelf."""
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(signals, protocol=5, buffer_callback=buffers.append)
    sizes = tuple(buffer.raw().nbytes for buffer in buffers)
    parts = [
        bytes(buffer.raw()).ljust(_even(size))
        for buffer, size in zip(buffers, sizes, strict=True)
    ]
    return Packed(b"".join(parts), sizes, rest)


def _even(size: int) -> int:
    """A size after which numbers of 8 bytes may follow."""
    return -(-size // 8) * 8


class Shelf:
    """Takes the signals of episodes; the memory that they take can be given to others."""

    def __init__(self) -> None:
        self._block: NDArray[Any] = np.empty(0, np.uint8)
        self._filled = 0

    def put(self, signals: Packed) -> EpisodeSignals:
        """The signals, whose arrays lie on the shelf."""
        start, size = self._filled, len(signals.arrays)
        if start + size > len(self._block):
            usual = min(max(2 * len(self._block), _FIRST), _MOST)
            self._block, start = room((max(size, usual),), np.uint8), 0
        self._filled = start + size
        place = self._block[start : start + size].data
        place[:] = signals.arrays
        starts = accumulate(map(_even, signals.sizes), initial=0)
        views = [
            place[start : start + size]
            for start, size in zip(starts, signals.sizes, strict=False)
        ]
        found: EpisodeSignals = pickle.loads(signals.rest, buffers=views)  # noqa: S301 - made by `packed`
        return found

"""What is measured of each image against those beside it, in the same memory for any number."""

from typing import Any

import numpy as np

from piperline.signals.robust import Floats
from piperline.video.thumbnails import HEIGHT, WIDTH

WINDOW = 20
"""Rows between two pictures that are compared to see whether a camera stands still."""

BLOCK_ROWS, BLOCK_COLUMNS = 6, 8
"""Blocks of a thumbnail whose texture is kept."""

_ROWS, _COLUMNS = HEIGHT // BLOCK_ROWS, WIDTH // BLOCK_COLUMNS
_CHUNK = 40
"""Thumbnails that are worked on at a time: so many stay in the processor's cache."""


class FrameMeter:
    """Takes the luma of the thumbnails of a camera one by one, and compares neighbours."""

    def __init__(self) -> None:
        # Behind the thumbnails that are carried over come those that are new.
        shape = (WINDOW + _CHUNK, HEIGHT, WIDTH)
        self._lumas = np.empty(shape, dtype=np.float32)
        self._carried = self._held = 0
        self._moved = np.zeros((HEIGHT, WIDTH))
        self._parts: list[dict[str, Floats]] = []

    def add(self, luma: Floats) -> None:
        """Take the next thumbnail, (HEIGHT, WIDTH)."""
        self.add_all(luma[None])

    def add_all(self, lumas: Floats) -> None:
        """Take the next thumbnails, (n, HEIGHT, WIDTH)."""
        while len(lumas):
            if self._held == len(self._lumas):
                self._measure()
            some = lumas[: len(self._lumas) - self._held]
            self._lumas[self._held : self._held + len(some)] = some
            self._held += len(some)
            lumas = lumas[len(some) :]

    def repeat(self) -> None:
        """Take the last thumbnail once more; grey, where there is none."""
        before = self._lumas[self._held - 1].copy() if self._held else 128.0
        self.add(np.broadcast_to(np.float32(before), (HEIGHT, WIDTH)))

    def result(self) -> dict[str, Any]:
        """What `CameraSignals` has by frame, and its `activity`."""
        self._measure()
        found = {
            name: np.concatenate([part[name] for part in self._parts], axis=-1)
            for name in self._parts[0]
        }
        compared = len(found["motion"])
        return {
            **found,
            "motion": np.concatenate([found["motion"][:1], found["motion"]])
            if compared
            else np.zeros(1, np.float32),
            "activity": block_means(self._moved / max(compared, 1)),
        }

    def _measure(self) -> None:
        """Measure the new thumbnails, and carry over those that later ones are compared with."""
        luma, new = self._lumas[: self._held], self._carried
        mean = luma.mean(axis=(1, 2))
        even = luma - mean[:, None, None]
        second, third = max(new, 1), max(new, 2)
        moved = np.abs(even[second:] - even[second - 1 : -1])
        self._moved += moved.sum(axis=0)
        around = (luma[third - 2 : -2] + luma[third:]) / 2
        off = block_means(np.abs(luma[third - 1 : -1] - around))
        later = max(new, WINDOW)
        self._parts.append(
            {
                "mean": mean[new:],
                "contrast": even[new:].std(axis=(1, 2)),
                "motion": moved.mean(axis=(1, 2)),
                "change": np.abs(
                    even[later:] - even[later - WINDOW : -WINDOW]
                ).mean(axis=(1, 2)),
                "tear": np.stack(
                    [
                        _middle(off[:, : BLOCK_ROWS // 2]),
                        _middle(off[:, BLOCK_ROWS // 2 :]),
                    ]
                ),
            }
        )
        self._carried = min(self._held, WINDOW)
        self._lumas[: self._carried] = luma[self._held - self._carried :]
        self._held = self._carried


def blocks(thumbnails: Floats) -> Floats:
    """Thumbnails cut into blocks: (..., BLOCK_ROWS, rows, BLOCK_COLUMNS, columns)."""
    before = thumbnails.shape[:-2]
    return thumbnails.reshape(
        *before, BLOCK_ROWS, _ROWS, BLOCK_COLUMNS, _COLUMNS
    )


def block_means(thumbnails: Floats) -> Floats:
    """The mean of each block of thumbnails: (..., BLOCK_ROWS, BLOCK_COLUMNS)."""
    ones = np.ones(_COLUMNS, thumbnails.dtype)
    means: Floats = (blocks(thumbnails) @ ones).sum(axis=-2) / (
        _ROWS * _COLUMNS
    )
    return means


def _middle(values: Floats) -> Floats:
    """The median over the blocks of one half of each frame, (T,), T may be 0."""
    flat = values.reshape(len(values), BLOCK_ROWS * BLOCK_COLUMNS // 2)
    middle: Floats = np.median(flat, axis=1)
    return middle

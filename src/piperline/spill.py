"""Arrays that grow with a dataset. What is large lies in files without names, not in memory.

The system keeps of them in memory what there is room for. Their room on the disk is taken at once:
a full disk is an error, and not a signal in the middle of a sum.
"""

import os
import tempfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

_HELD = 4 << 20
"""Bytes up to which an array is simply in memory: 36,000 s of one number at 30 Hz are 4 MB."""
BLOCK = 1 << 18
"""Rows that are taken at a time where a step makes copies."""


def blocks(count: int) -> list[slice]:
    """`count` rows, `BLOCK` at a time."""
    return [
        slice(start, min(start + BLOCK, count))
        for start in range(0, count, BLOCK)
    ]


def scratch(
    shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None
) -> NDArray[Any]:
    """An array to be filled.

    Args:
        shape: of the array.
        dtype: of its values.
        folder: where its file lies, if it is large; None: where temporary files lie.

    Raises:
        OSError: the disk is full.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    if size <= _HELD:
        return np.empty(shape, kind)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)
        return np.asarray(np.memmap(file, kind, "r+", shape=shape))


def room(shape: tuple[int, ...], dtype: npt.DTypeLike) -> NDArray[Any]:
    """As `scratch`; in memory where the disk is full."""
    try:
        return scratch(shape, dtype)
    except OSError:
        return np.empty(shape, dtype)


def stacked(arrays: Iterable[NDArray[Any]], count: int) -> NDArray[Any]:
    """`count` arrays of one shape and type, one at least, as `np.stack` puts them; see `room`."""
    coming = iter(arrays)
    first = next(coming)
    whole = room((count, *first.shape), first.dtype)
    for place, array in zip(whole, chain([first], coming), strict=True):
        place[...] = array
    return whole


class SpilledRows:
    """Rows of one width that come a few at a time.

    Args:
        first: the first of them; they tell type and width.
        folder: where the file lies, once there are many.
    """

    def __init__(self, first: NDArray[Any], folder: Path) -> None:
        self._dtype, self._width = first.dtype, first.shape[1]
        self._folder = folder
        self._held: list[bytes] = []
        self._bytes_held = 0
        self._file: IO[bytes] | None = None
        self._rows = 0
        self.add(first)

    def add(self, rows: NDArray[Any]) -> None:
        """Take more rows.

        Raises:
            ValueError: they are of another type or width.
            OSError: the disk is full.
        """
        if (rows.dtype, rows.shape[1]) != (self._dtype, self._width):
            raise ValueError("rows of another type or width")
        self._held.append(rows.tobytes())
        self._bytes_held += rows.nbytes
        self._rows += len(rows)
        if self._bytes_held > _HELD:
            self._to_file()

    def _to_file(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - goes with this object
                dir=self._folder
            )
        self._file.write(b"".join(self._held))
        self._file.flush()
        self._held, self._bytes_held = [], 0

    def array(self) -> NDArray[Any]:
        """All rows, to be read."""
        shape = (self._rows, self._width)
        if self._file is None:
            data = b"".join(self._held)
            return np.frombuffer(data, self._dtype).reshape(shape)
        self._to_file()
        return np.asarray(np.memmap(self._file, self._dtype, "r", shape=shape))

    def __del__(self) -> None:
        """Close the file: what `array` gave stays."""
        if self._file is not None:
            self._file.close()

"""Rows of HDF5 datasets, read by HDF5's own calls."""

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.memory import at_most_more
from piperline.recordings.hdf5 import MAX_CHUNK_BYTES
from piperline.recordings.limits import READ_MEMORY


def read_rows(
    data: h5py.h5d.DatasetID, dtype: np.dtype[Any], start: int, stop: int
) -> NDArray[Any]:
    """Some rows of a dataset of `dtype`, by HDF5's own calls.

    They are several times faster than h5py's indexing, which counts with thousands of cameras. In a
    process of ours it may take the memory that the dataset claims, and little more.
    """
    count = (stop - start, *data.shape[1:])
    claim = dtype.itemsize * math.prod(count) + _room_for_chunks(data, dtype)
    with at_most_more(claim + READ_MEMORY):
        return _read(data, dtype, start, count)


def _room_for_chunks(data: h5py.h5d.DatasetID, dtype: np.dtype[Any]) -> int:
    """What HDF5 may take for a chunk: stored, unfolded, and in a filter that unfolds it."""
    filters = data.get_create_plist()
    if filters.get_layout() != h5py.h5d.CHUNKED:
        return 0
    chunk: int = dtype.itemsize * math.prod(filters.get_chunk())
    return 3 * min(chunk, MAX_CHUNK_BYTES)


def _read(
    data: h5py.h5d.DatasetID,
    dtype: np.dtype[Any],
    start: int,
    count: tuple[int, ...],
) -> NDArray[Any]:
    space = data.get_space()
    space.select_hyperslab(
        (start, *[0] * (len(count) - 1)),
        count,
    )
    values = np.empty(count, dtype)
    data.read(h5py.h5s.create_simple(count), space, values)
    return values

"""True quantiles of a dataset's columns, in bounded memory.

lerobot averages the quantiles of the episodes, which can be far from those of the dataset: a value
    that occurs in one
episode alone moves the average, not the dataset. Here all values of a few dimensions at a time are
read and sorted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piperline import spill
from piperline.features import Feature
from piperline.lerobot.columns import column_values
from piperline.stats import QUANTILES

# bytes of values taken in one pass over the files: 20 dimensions of float32 for 30 hours at 30 Hz;
# so many lie in a file, not in memory
_MEMORY = 256 << 20
_ROWS = 8192  # that are taken at a time
_READ = 1 << 15  # that are read at a time, in whole row groups


@dataclass(frozen=True)
class _Part:
    """Some dimensions of a column."""

    key: str
    start: int
    stop: int


def column_quantiles(
    files: Sequence[Path], features: Mapping[str, Feature], rows: int
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The quantiles of numeric columns over all files, by column and name, in the feature's shape.

    Linear interpolation between sorted values, as `np.quantile` does.

    Args:
        files: data files that hold the columns.
        features: their types and shapes, by name.
        rows: how many rows there are in all files.
    """
    shapes = {
        key: (len(QUANTILES), *feature.shape)
        for key, feature in features.items()
    }
    found = {
        key: np.empty((shape[0], int(np.prod(shape[1:]))))
        for key, shape in shapes.items()
    }
    for parts in _passes(features, rows):
        for part, values in _read(files, features, parts, rows):
            found[part.key][:, part.start : part.stop] = _sorted(values)
    return {
        key: dict(zip(QUANTILES, values.reshape(shapes[key]), strict=True))
        for key, values in found.items()
    }


def _sorted(values: NDArray[Any]) -> NDArray[np.float64]:
    """The quantiles of some dimensions, shape (dimensions, rows); these are sorted in place."""
    wanted = np.array(list(QUANTILES.values())) * (values.shape[1] - 1)
    low, high = np.floor(wanted).astype(int), np.ceil(wanted).astype(int)
    values.sort(axis=1)
    below = values[:, low].astype(np.float64)
    above = values[:, high].astype(np.float64)
    quantiles: NDArray[np.float64] = below + (above - below) * (wanted - low)
    return quantiles.T


def _passes(
    features: Mapping[str, Feature], rows: int
) -> Iterator[list[_Part]]:
    """What is read at once: as many dimensions as there is memory for, one at least."""
    parts: list[_Part] = []
    room = _MEMORY
    for key, feature in features.items():
        size = np.dtype(feature.dtype).itemsize * rows
        width = int(np.prod(feature.shape))
        start = 0
        while start < width:
            count = min(room // size, width - start)
            if count < 1 and parts:
                yield parts
                parts, room = [], _MEMORY
                continue
            count = max(count, 1)
            parts.append(_Part(key, start, start + count))
            room -= count * size
            start += count
    if parts:
        yield parts


def _read(
    files: Sequence[Path],
    features: Mapping[str, Feature],
    parts: Sequence[_Part],
    rows: int,
) -> Iterator[tuple[_Part, NDArray[Any]]]:
    """The values of some dimensions, shape (dimensions, rows)."""
    values = {
        part: spill.scratch(
            (part.stop - part.start, rows), np.dtype(features[part.key].dtype)
        )
        for part in parts
    }
    filled = 0
    for batch in _batches(files, [part.key for part in parts]):
        stop = filled + len(batch)
        for part, known in values.items():
            column = pa.chunked_array([batch.column(part.key)])
            numbers = column_values(column, part.key, features[part.key])
            taken = numbers.reshape(len(batch), -1)[:, part.start : part.stop]
            known[:, filled:stop] = taken.T
        filled = stop
    return iter(values.items())


def _batches(
    files: Sequence[Path], keys: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    for path in files:
        with pq.ParquetFile(path) as file:
            # What is asked for at once is held at once.
            for groups in _some_groups(file):
                yield from file.iter_batches(_ROWS, groups, list(keys))


def _some_groups(file: pq.ParquetFile) -> Iterator[list[int]]:
    """The row groups of a file, as many at once as have `_READ` rows."""
    groups: list[int] = []
    rows = 0
    for group in range(file.num_row_groups):
        groups.append(group)
        rows += file.metadata.row_group(group).num_rows
        if rows >= _READ:
            yield groups
            groups, rows = [], 0
    if groups:
        yield groups

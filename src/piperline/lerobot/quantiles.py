"""True quantiles of a dataset's columns, in bounded memory.

lerobot averages the quantiles of the episodes, which can be far from those of the dataset: a value
    that occurs in one
episode alone moves the average, not the dataset. Here all values of a few dimensions at a time are
read and sorted.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

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
_READ = 1 << 17  # that are read at a time, in whole row groups


def column_quantiles(
    files: Sequence[Path], key: str, feature: Feature, rows: int
) -> dict[str, NDArray[np.float64]]:
    """The quantiles of a numeric column over all files, in the feature's shape.

    Linear interpolation between sorted values, as `np.quantile` does.

    Args:
        files: data files that hold the column.
        key: its name.
        feature: its type and shape.
        rows: how many rows there are in all files.
    """
    width = int(np.prod(feature.shape))
    dtype = np.dtype(feature.dtype)
    step = max(1, _MEMORY // (dtype.itemsize * rows))
    wanted = np.array(list(QUANTILES.values())) * (rows - 1)
    low, high = np.floor(wanted).astype(int), np.ceil(wanted).astype(int)
    found = np.empty((len(wanted), width))
    for start in range(0, width, step):
        values = spill.scratch((min(step, width - start), rows), dtype)
        filled = 0
        for batch in _batches(files, key, feature):
            values[:, filled : filled + len(batch)] = batch[
                :, start : start + step
            ].T
            filled += len(batch)
        values.sort(axis=1)
        below = values[:, low].astype(np.float64)
        above = values[:, high].astype(np.float64)
        found[:, start : start + step] = (
            below + (above - below) * (wanted - low)
        ).T
    return {
        name: row.reshape(feature.shape)
        for name, row in zip(QUANTILES, found, strict=True)
    }


def _batches(
    files: Sequence[Path], key: str, feature: Feature
) -> Iterator[NDArray[np.generic]]:
    for path in files:
        with pq.ParquetFile(path) as file:
            # What is asked for at once is held at once.
            for groups in _some_groups(file):
                for batch in file.iter_batches(_ROWS, groups, [key]):
                    column = pa.chunked_array([batch.column(0)])
                    yield column_values(column, key, feature).reshape(
                        len(column), -1
                    )


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

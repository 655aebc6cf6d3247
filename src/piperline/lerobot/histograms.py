"""`meta/image_histograms.pq`: how often each pixel value occurs in an episode's sampled frames.

This file is piperline's own, a Parquet file; LeRobot and GR00T do not look at it, and lerobot 0.3.3
would count it among the episodes if its name said so. With it the image statistics of any selection
of episodes, quantiles too, follow exactly, without decoding a video: aggregate and migrate live off
it.

A row is an episode; a column is a camera: 3 x 256 counts, channel after channel, or null where they
are not known. Of depth the counts are those of 0, 1, 2, ... millimetres, up to the farthest.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.errors import DatasetError, Place
from piperline.features import Feature
from piperline.lerobot.columns import unfolded
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.parquet import ParquetRows, TableWriter
from piperline.lerobot.parquet_groups import FirstGroups, GroupsWriter
from piperline.stats import FeatureStats

_ROWS_PER_GROUP = 64  # 64 episodes x 3 cameras are 600 KB in memory
_COUNTS = pa.list_(pa.int32(), 3 * 256)


HISTOGRAMS = Path("meta") / "image_histograms.pq"


class HistogramFile:
    """Writes the file; no file where there are no cameras.

    Args:
        root: the dataset.
        cameras: its cameras, by key.
    """

    def __init__(self, root: Path, cameras: Mapping[str, Feature]) -> None:
        self._cameras = cameras
        self._schema = pa.schema(
            [(key, _type_of(camera)) for key, camera in cameras.items()]
        )
        self._rows: list[dict[str, NDArray[np.int32] | None]] = []
        self._path = root / HISTOGRAMS
        self._writer: TableWriter | None = None

    def add(self, stats: Mapping[str, FeatureStats]) -> None:
        """Add the next episode's camera statistics."""
        self._rows.append({key: _flat(stats.get(key)) for key in self._cameras})
        if len(self._rows) == _ROWS_PER_GROUP:
            self._flush()

    def take_first(self, folder: DatasetFolder, count: int) -> None:
        """Take over the first episodes of a dataset that has the same cameras.

        Raises:
            DatasetError: its file cannot be read.
            ValueError: it has none, or not as this class makes it; nothing was taken.
        """
        if not self._cameras:
            return
        if not folder.has(HISTOGRAMS):
            raise ValueError("there are no histograms")
        path = folder.path(HISTOGRAMS)
        known, groups = (
            ParquetRows(path, in_parts=True),
            count // _ROWS_PER_GROUP,
        )
        if groups:
            sizes = [_ROWS_PER_GROUP] * groups
            first = FirstGroups.of(path, self._schema, sizes)
            self._writer = GroupsWriter(self._path, first)
        rest = known.rows(groups * _ROWS_PER_GROUP, count).to_pylist()
        self._rows = [
            {key: _counts_of(row[key]) for key in self._cameras} for row in rest
        ]

    def finish(self) -> None:
        """Write the rest and close the file."""
        if self._cameras:
            self._flush()
            self._begun().close()

    def _flush(self) -> None:
        if self._cameras and self._rows:
            self._begun().write_table(
                pa.Table.from_pylist(self._rows, schema=self._schema)
            )
        self._rows = []

    def _begun(self) -> TableWriter:
        if self._writer is None:
            self._writer = TableWriter(self._path, self._schema)
        return self._writer


def _flat(stats: FeatureStats | None) -> NDArray[np.int32] | None:
    if stats is None or stats.histogram is None:
        return None
    counts = stats.histogram.astype(np.int32)
    if len(counts) == 1:
        return counts[0, : np.flatnonzero(counts[0])[-1] + 1]
    return counts.reshape(-1)


def _counts_of(stored: list[int] | None) -> NDArray[np.int32] | None:
    return None if stored is None else np.array(stored, dtype=np.int32)


def _type_of(camera: Feature) -> pa.DataType:
    return pa.list_(pa.int32()) if camera.is_depth else _COUNTS


def total_histograms(
    folder: DatasetFolder, cameras: Mapping[str, Feature], count: int
) -> dict[str, NDArray[np.int64]]:
    """The histograms of the first `count` episodes together, int64 of `Feature.histogram_shape`.

    Raises:
        DatasetError: the file cannot be read.
        ValueError: some are not known.
    """
    totals = {
        key: np.zeros(camera.histogram_shape, dtype=np.int64)
        for key, camera in cameras.items()
    }
    if not cameras:
        return totals
    if not folder.has(HISTOGRAMS):
        raise ValueError("there are no histograms")
    known = ParquetRows(folder.path(HISTOGRAMS), in_parts=True)
    for start in range(0, count, _ROWS_PER_GROUP):
        stop = min(start + _ROWS_PER_GROUP, count)
        rows = known.rows(start, stop)
        for key, camera in cameras.items():
            _add(totals[key], rows, key, camera)
    return totals


def _add(
    total: NDArray[np.int64], rows: pa.Table, key: str, camera: Feature
) -> None:
    if key not in rows.column_names or rows[key].null_count:
        raise ValueError("histograms are missing")
    column = rows[key]
    if column.type != _type_of(camera):
        raise ValueError("histograms of another kind")
    if not camera.is_depth:
        counts = unfolded(column).to_numpy().reshape(-1, *total.shape)
        total += counts.sum(axis=0, dtype=np.int64)
        return
    for counted in column:
        values = counted.values.to_numpy()
        total[0, : len(values)] += values


class Histograms:
    """Reads the file, one row group at a time; knows nothing where there is no file.

    Args:
        folder: the dataset's.
        cameras: its cameras, by key.
    """

    def __init__(
        self, folder: DatasetFolder, cameras: Mapping[str, Feature]
    ) -> None:
        self._folder = folder
        self._cameras = cameras
        self._rows: ParquetRows | None = None
        self._known = bool(cameras) and folder.has(HISTOGRAMS)

    def of(self, episode: int) -> dict[str, NDArray[np.int64]]:
        """The known histograms of an episode, int64 of `Feature.histogram_shape`, by camera.

        Raises:
            DatasetError: the file cannot be read.
        """
        if not self._known:
            return {}
        try:
            if self._rows is None:
                path = self._folder.path(HISTOGRAMS)
                self._rows = ParquetRows(path, in_parts=True)
            rows = self._rows.rows(episode, episode + 1)
        except DatasetError as error:
            raise self._unfit(
                episode, str(error.found or error.message)
            ) from error
        if not len(rows):
            raise self._unfit(episode, f"{len(self._rows)} episodes")
        return {
            key: self._counts(rows[key], camera, episode)
            for key, camera in self._cameras.items()
            if key in rows.column_names and not rows[key].null_count
        }

    def _counts(
        self, column: pa.ChunkedArray, camera: Feature, episode: int
    ) -> NDArray[np.int64]:
        shape = camera.histogram_shape
        counted = unfolded(column).to_numpy()
        if column.type != _type_of(camera) or len(counted) > math.prod(shape):
            raise self._unfit(episode, f"{len(counted)} of {column.type}")
        counts = np.zeros(shape, dtype=np.int64)
        counts.reshape(-1)[: len(counted)] = counted
        if counts.min() < 0 or not counts.sum(axis=1).all():
            raise self._unfit(episode, "counts below 0, or none")
        return counts

    def _unfit(self, episode: int, found: str) -> DatasetError:
        return DatasetError(
            "image_histograms.pq does not fit the dataset",
            place=Place(
                file=self._folder.root / HISTOGRAMS, episode=str(episode)
            ),
            found=found,
            next_step="remove the file: image statistics are then taken from the videos",
            expected="a histogram of each colour of each camera",
        )

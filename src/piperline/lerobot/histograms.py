"""`meta/image_histograms.pq`: how often each pixel value occurs in an episode's sampled frames.

This file is piperline's own, a Parquet file; LeRobot and GR00T do not look at it, and lerobot 0.3.3
would count it among the episodes if its name said so. With it the image statistics of any selection
of episodes, quantiles too, follow exactly, without decoding a video: aggregate and migrate live off
it.

A row is an episode; a column is a camera: 3 x 256 counts, channel after channel, or null where they
are not known.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.errors import DatasetError, Place
from piperline.lerobot.columns import unfolded
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.parquet import ParquetRows, TableWriter
from piperline.stats import FeatureStats

_ROWS_PER_GROUP = 64  # 64 episodes x 3 cameras are 600 KB in memory
_COUNTS = pa.list_(pa.int32(), 3 * 256)


HISTOGRAMS = Path("meta") / "image_histograms.pq"


class HistogramFile:
    """Writes the file; no file where there are no cameras.

    Args:
        root: the dataset.
        cameras: the keys of its cameras.
    """

    def __init__(self, root: Path, cameras: Sequence[str]) -> None:
        self._cameras = cameras
        self._schema = pa.schema([(key, _COUNTS) for key in cameras])
        self._rows: list[dict[str, NDArray[np.int32] | None]] = []
        self._writer = (
            TableWriter(root / HISTOGRAMS, self._schema) if cameras else None
        )

    def add(self, stats: Mapping[str, FeatureStats]) -> None:
        """Add the next episode's camera statistics."""
        self._rows.append({key: _flat(stats.get(key)) for key in self._cameras})
        if len(self._rows) == _ROWS_PER_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write the rest and close the file."""
        if self._writer:
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._writer and self._rows:
            self._writer.write_table(
                pa.Table.from_pylist(self._rows, schema=self._schema)
            )
        self._rows = []


def _flat(stats: FeatureStats | None) -> NDArray[np.int32] | None:
    if stats is None or stats.histogram is None:
        return None
    return stats.histogram.astype(np.int32).reshape(-1)


class Histograms:
    """Reads the file, one row group at a time; knows nothing where there is no file.

    Args:
        folder: the dataset's.
        cameras: the keys of its cameras.
    """

    def __init__(self, folder: DatasetFolder, cameras: Sequence[str]) -> None:
        self._folder = folder
        self._cameras = cameras
        self._rows: ParquetRows | None = None
        self._known = bool(cameras) and folder.has(HISTOGRAMS)

    def of(self, episode: int) -> dict[str, NDArray[np.int64]]:
        """The known histograms of an episode, int64 of shape (3, 256), by camera.

        Raises:
            DatasetError: the file cannot be read.
        """
        if not self._known:
            return {}
        try:
            if self._rows is None:
                self._rows = ParquetRows(self._folder.path(HISTOGRAMS))
            rows = self._rows.rows(episode, episode + 1)
        except DatasetError as error:
            raise self._unfit(
                episode, str(error.found or error.message)
            ) from error
        if not len(rows):
            raise self._unfit(episode, f"{len(self._rows)} episodes")
        return {
            key: self._counts(rows[key], episode)
            for key in self._cameras
            if key in rows.column_names and not rows[key].null_count
        }

    def _counts(
        self, column: pa.ChunkedArray, episode: int
    ) -> NDArray[np.int64]:
        if column.type != _COUNTS:
            raise self._unfit(episode, str(column.type))
        counts: NDArray[np.int64] = unfolded(column).to_numpy().reshape(3, 256)
        if counts.min() < 0 or not counts.sum(axis=1).all():
            raise self._unfit(episode, "counts below 0, or none")
        return counts.astype(np.int64)

    def _unfit(self, episode: int, found: str) -> DatasetError:
        return DatasetError(
            "image_histograms.pq does not fit the dataset",
            place=Place(
                file=self._folder.root / HISTOGRAMS, episode=str(episode)
            ),
            found=found,
            next_step="remove the file: image statistics are then taken from the videos",
        )

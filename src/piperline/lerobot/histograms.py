"""`meta/image_histograms.pq`: how often each pixel value occurs in the sampled frames of each episode.

This file is piperline's own, a Parquet file; LeRobot and GR00T do not look at it, and lerobot 0.3.3 would count it
among the episodes if its name said so. With it the image statistics of any selection of
episodes, quantiles too, follow exactly, without decoding a video: aggregate and migrate live off it.

A row is an episode; a column is a camera: 3 x 256 counts, channel after channel, or null where they are not known.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piperline.errors import DatasetError, Place
from piperline.lerobot.v30_files import TableWriter
from piperline.stats import FeatureStats

_ROWS_PER_GROUP = 64  # 64 episodes x 3 cameras are 600 KB in memory
_COUNTS = pa.list_(pa.int32(), 3 * 256)


def _path(root: Path) -> Path:
    return root / "meta" / "image_histograms.pq"


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
        self._writer = TableWriter(_path(root), self._schema) if cameras else None

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
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _flat(stats: FeatureStats | None) -> NDArray[np.int32] | None:
    if stats is None or stats.histogram is None:
        return None
    return stats.histogram.astype(np.int32).reshape(-1)


class Histograms:
    """Reads the file, one row group at a time; knows nothing where there is no file.

    Args:
        root: the dataset.
        cameras: the keys of its cameras.
    """

    def __init__(self, root: Path, cameras: Sequence[str]) -> None:
        self._path = _path(root)
        self._cameras = cameras
        self._group: tuple[int, pa.Table] | None = None
        self._known = bool(cameras) and self._path.exists()

    def of(self, episode: int) -> dict[str, NDArray[np.int64]]:
        """The known histograms of an episode, int64 of shape (3, 256), by camera.

        Raises:
            DatasetError: the file cannot be read.
        """
        if not self._known:
            return {}
        number, row = divmod(episode, _ROWS_PER_GROUP)
        try:
            if self._group is None or self._group[0] != number:
                with pq.ParquetFile(self._path) as file:
                    self._group = (number, file.read_row_group(number))
            found = self._group[1].slice(row, 1).to_pylist()[0]
        except (pa.ArrowException, IndexError, OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                "image_histograms.pq does not fit the dataset",
                place=Place(file=self._path, episode=str(episode)),
                found=str(error),
                next_step="remove the file: image statistics are then taken from the videos",
            ) from error
        return {
            key: np.array(found[key], dtype=np.int64).reshape(3, 256)
            for key in self._cameras
            if found.get(key)
        }

"""v3.0: the first episodes of a dataset, by which a writer goes on behind them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.features import BOOKKEEPING, Feature, Schema
from piperline.lerobot.columns import is_numeric, unfolded
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.histograms import total_histograms
from piperline.lerobot.info import CHUNKS_SIZE, V30_DATA_PATH, V30_VIDEO_PATH
from piperline.lerobot.parquet_groups import FirstGroups
from piperline.lerobot.running_stats import MOMENTS, RunningStats, is_joined
from piperline.stats import FeatureStats

if TYPE_CHECKING:
    from piperline.lerobot.v30 import V30Reader

_MERGED = tuple(f"/{name}" for name in (*MOMENTS, "count"))


Files: TypeAlias = tuple[list[str], int]
"""The files that end before the last of some episodes, and the first episode behind them."""

EPISODES_PATH = (
    "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
)
EPISODES_PER_GROUP = 64
"""Rows of the episode table that are written at once."""


@dataclass(frozen=True)
class Beginning:
    """What a writer has written when the first episodes of a dataset are in it.

    Attributes:
        data, rows: files of rows, and of the episode table.
        videos: of each camera.
        stats: statistics of the episodes.
    """

    data: Files
    rows: Files
    videos: Mapping[str, Files]
    stats: RunningStats


def beginning(
    reader: "V30Reader", schema: Schema, folder: DatasetFolder, count: int
) -> Beginning:
    """What a writer has written when the first `count` episodes of a dataset are in it.

    Args:
        reader: of the dataset.
        schema: of the dataset.
        folder: of the dataset.
        count: how many episodes.

    Raises:
        DatasetError: the dataset is damaged.
        ValueError: it is not as our writer makes it.
    """
    cameras = {key: schema.features[key] for key in schema.cameras}
    episodes = range(count)
    return Beginning(
        data=_files(map(reader.data_path, episodes), V30_DATA_PATH),
        rows=_files(map(reader.row_path, episodes), EPISODES_PATH),
        videos={
            key: _files(
                (reader.span(index, key)[0] for index in episodes),
                V30_VIDEO_PATH.replace("{video_key}", key),
            )
            for key in cameras
        },
        stats=_merged(
            reader.row_tables(0, count, _is_merged),
            {**schema.features, **BOOKKEEPING},
            total_histograms(folder, cameras, count),
        ),
    )


def first_groups(
    reader: "V30Reader",
    folder: DatasetFolder,
    begun: Beginning,
    count: int,
    *,
    of_rows: Callable[[pa.Table], pa.Schema],
    of_episodes: Callable[[Sequence[str]], pa.Schema],
) -> tuple[FirstGroups, FirstGroups | None]:
    """The groups that the last files begin with: those of rows, and of the episode table.

    Args:
        reader: of the dataset.
        folder: of the dataset.
        begun: what a writer has written then.
        count: how many episodes.
        of_rows: the schema of rows, by some of them.
        of_episodes: the schema of the episode table, by its columns.

    Raises:
        DatasetError: the dataset is damaged.
        ValueError: they are not as our writer makes them.
    """
    _, first = begun.data
    path = folder.path(reader.data_path(first))
    lengths = [row.length for row in reader.episodes[first:count]]
    data = FirstGroups.of(path, of_rows(reader.table(first)), lengths)
    _, first = begun.rows
    sizes = [EPISODES_PER_GROUP] * ((count - first) // EPISODES_PER_GROUP)
    if not sizes:
        return data, None
    path = folder.path(reader.row_path(first))
    (row,) = reader.row_tables(first, first + 1)
    return data, FirstGroups.of(path, of_episodes(row.column_names), sizes)


def _is_merged(name: str) -> bool:
    """Whether a column of the episode table is one of which statistics are merged."""
    return name.startswith("stats/") and name.endswith(_MERGED)


def _files(names: Iterable[str], template: str) -> Files:
    places = list(names)
    *closed, last = dict.fromkeys(places)
    for number, name in enumerate([*closed, last]):
        chunk, file = divmod(number, CHUNKS_SIZE)
        if name != template.format(chunk_index=chunk, file_index=file):
            raise ValueError("files are not numbered in order")
    return closed, places.index(last)


def _merged(
    tables: Iterator[pa.Table],
    features: Mapping[str, Feature],
    histograms: Mapping[str, NDArray[np.int64]],
) -> RunningStats:
    """The statistics of all episodes of some rows of the episode table.

    Args:
        tables: the rows.
        features: all that have statistics, in order.
        histograms: of all these episodes together, by camera.

    Raises:
        ValueError: statistics are missing, or the episode table has rounded them.
    """
    numeric = [key for key in features if is_numeric(features[key])]
    if not all(is_joined(key, features[key]) for key in numeric):
        raise ValueError("whole numbers that float64 does not hold")
    merged = RunningStats(features)
    images = dict.fromkeys(histograms, 0)
    for rows in tables:
        for part in _parts(rows, numeric):
            merged.add_moments(part)
        for key in histograms:
            images[key] += int(_values(rows, f"stats/{key}/count").sum())
    for key, histogram in histograms.items():
        merged.add_histogram(key, histogram, images[key])
    return merged


def _parts(rows: pa.Table, features: Sequence[str]) -> Iterator[FeatureStats]:
    """Of each row, the statistics of all numeric features, one behind the other."""
    moments = {
        name: np.hstack(
            [_values(rows, f"stats/{key}/{name}") for key in features]
        )
        for name in MOMENTS
    }
    counts = _values(rows, f"stats/{features[0]}/count")
    for number, (count,) in enumerate(counts.tolist()):
        parts = {name: values[number] for name, values in moments.items()}
        yield FeatureStats(**parts, count=int(count), quantiles={})


def _values(rows: pa.Table, name: str) -> NDArray[Any]:
    """A column of lists as an array: a row for each of its rows."""
    column = rows.column(name)
    values = column
    while pa.types.is_list(values.type):
        values = unfolded(values)
    if column.null_count or values.null_count:
        raise ValueError(f"{name} is missing")
    found: NDArray[Any] = values.to_numpy().reshape(len(column), -1)
    return found

"""Rows as LeRobot stores them: Arrow types, an episode's place in its dataset, and statistics of columns.

Both formats store the same columns; they differ in how rows are spread over files, and in the name that the
`datasets` library of their time gives to vectors in the schema metadata: `Sequence` (v2.1), `List` (v3.0).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piperline.episode import EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import BOOKKEEPING, EPISODE_LOCAL, Feature, Schema
from piperline.stats import FeatureStats

VectorName = Literal["Sequence", "List"]

_TEXT = {"string", "language"}
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def is_numeric(feature: Feature) -> bool:
    """Whether the values are numbers in a Parquet column."""
    return feature.dtype not in {"image", "video", *_TEXT}


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type is of numbers, or of lists of them."""
    while pa.types.is_nested(kind) and not pa.types.is_struct(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _arrow_type(feature: Feature) -> pa.DataType:
    if feature.dtype == "image":
        return _IMAGE
    if feature.dtype in _TEXT:
        return pa.string()
    value = pa.from_numpy_dtype(np.dtype(feature.dtype))
    if feature.shape == (1,):
        return value
    if len(feature.shape) == 1:
        return pa.list_(value, feature.shape[0])
    for _ in feature.shape:
        value = pa.list_(value)
    return value


def _huggingface_type(feature: Feature, vector: VectorName) -> dict[str, Any]:
    if feature.dtype == "image":
        return {"_type": "Image"}
    value = {"dtype": feature.dtype, "_type": "Value"}
    if feature.shape == (1,) or feature.dtype in _TEXT:
        return value
    if len(feature.shape) == 1:
        return {"feature": value, "length": feature.shape[0], "_type": vector}
    return {
        "shape": list(feature.shape),
        "dtype": feature.dtype,
        "_type": f"Array{len(feature.shape)}D",
    }


def arrow_schema(schema: Schema, vector: VectorName) -> pa.Schema:
    """The Arrow schema of data files, with the `huggingface` metadata from which `datasets` knows its types."""
    features = {**{key: schema.features[key] for key in schema.columns}, **BOOKKEEPING}
    types = {key: _huggingface_type(feature, vector) for key, feature in features.items()}
    return pa.schema(
        [(key, _arrow_type(feature)) for key, feature in features.items()],
        metadata={"huggingface": json.dumps({"info": {"features": types}})},
    )


def task_columns(schema: Schema) -> tuple[str, ...]:
    """The recorded columns whose values are numbers of tasks: GR00T's `annotation.*`."""
    return tuple(
        key
        for key in schema.columns
        if key.startswith("annotation.") and schema.features[key].dtype in {"int64", "int32"}
    )


def column_values(column: pa.ChunkedArray, key: str, feature: Feature) -> NDArray[Any]:
    """The numbers of a column, shape (rows, *feature.shape), in the feature's own type.

    Raises:
        DatasetError: values are missing, or rows have other shapes.
    """
    values = column
    while pa.types.is_nested(values.type):
        values = pa.chunked_array(
            [chunk.flatten() for chunk in values.chunks], values.type.value_type
        )
    shape = (len(column), *feature.shape)
    if values.null_count or column.null_count or len(values) != np.prod(shape):
        raise DatasetError(
            f"values of {key} are missing or of another shape",
            expected=f"{shape} numbers",
            found=f"{len(values) - values.null_count} numbers",
        )
    numbers: NDArray[Any] = values.to_numpy().reshape(shape).astype(feature.dtype, copy=False)
    return numbers


def _stored(values: NDArray[Any], feature: Feature) -> pa.Array:
    """`values` as an array of `_arrow_type(feature)`, always built the same way: equal values, equal bytes."""
    array = pa.array(values.reshape(-1))
    if feature.shape == (1,):
        return array
    if len(feature.shape) == 1:
        return pa.FixedSizeListArray.from_arrays(array, feature.shape[0])
    for depth in range(len(feature.shape), 0, -1):
        side = feature.shape[depth - 1]
        array = pa.ListArray.from_arrays(np.arange(0, len(array) + 1, side, dtype=np.int32), array)
    return array


def table_of(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some of its columns.

    Raises:
        DatasetError: it is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns)
    except (OSError, pa.ArrowException) as error:
        raise half_written(path, error) from error


def half_written(path: Path, error: Exception) -> DatasetError:
    """The error for a Parquet file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return DatasetError("a file of the dataset is missing", place=Place(file=path))
    return DatasetError(
        "a Parquet file of the dataset cannot be read: it is damaged, or its writer was stopped before it finished",
        place=Place(file=path),
        found=str(error).splitlines()[0],
    )


@dataclass(frozen=True)
class PlacedEpisode:
    """An episode with its place in a dataset.

    Attributes:
        index: the episode's number.
        first_row: the number of its first row in the dataset.
        table: all columns of a data file, in order.
        stats: statistics of every feature that has them, in the order of the features.
        tasks: its task texts.
    """

    index: int
    first_row: int
    table: pa.Table
    stats: Mapping[str, FeatureStats]
    tasks: tuple[str, ...]


class Numbering:
    """Gives episodes their numbers: rows, episodes and tasks in the order in which they come.

    Args:
        schema: of the dataset.
        vector: the name of vectors in the schema metadata.
        quantiles: whether statistics have quantiles.
        tasks: task texts that are numbered first, in this order.
    """

    def __init__(
        self,
        schema: Schema,
        vector: VectorName,
        *,
        quantiles: bool = False,
        tasks: Iterable[str] = (),
    ) -> None:
        self.schema = schema
        self.arrow = arrow_schema(schema, vector)
        self.episodes = 0
        self.frames = 0
        self.tasks: dict[str, int] = {}
        self._quantiles = quantiles
        self._number_tasks(tasks)

    def _number_tasks(self, texts: Iterable[str]) -> NDArray[np.int64]:
        return np.array(
            [self.tasks.setdefault(text, len(self.tasks)) for text in texts], dtype=np.int64
        )

    def place(self, episode: EncodedEpisode) -> PlacedEpisode:
        """Give `episode` the next place.

        Raises:
            DatasetError: a column is missing or not of the schema's type.
        """
        numbers = self._numbers(episode)
        columns = [
            self._column(episode, key)
            if key not in numbers
            else _stored(numbers[key], self._feature(key))
            for key in self.arrow.names
        ]
        # Statistics of time are those of the exact times, not of their float32 copies, as lerobot 0.3.3 has it.
        numbers["timestamp"] = numbers["frame_index"] / self.schema.fps
        placed = PlacedEpisode(
            index=self.episodes,
            first_row=self.frames,
            table=pa.Table.from_arrays(columns, schema=self.arrow),
            stats=self._stats(episode, numbers),
            tasks=episode.tasks,
        )
        self.episodes += 1
        self.frames += episode.length
        return placed

    def _feature(self, key: str) -> Feature:
        return BOOKKEEPING.get(key) or self.schema.features[key]

    def _numbers(self, episode: EncodedEpisode) -> dict[str, NDArray[Any]]:
        """The values of all numeric columns."""
        table, length = episode.table, episode.length
        missing = [
            key for key in (*self.schema.columns, *EPISODE_LOCAL) if key not in table.column_names
        ]
        if missing:
            raise DatasetError(
                f"columns are missing: {', '.join(missing)}",
                place=Place(episode=str(self.episodes)),
            )
        numeric = [key for key in self.schema.columns if is_numeric(self.schema.features[key])]
        numbers = {
            key: column_values(table.column(key), key, self._feature(key))
            for key in (*numeric, *EPISODE_LOCAL)
        }
        tasks = self._number_tasks(episode.tasks)
        for key in task_columns(self.schema):
            numbers[key] = tasks[numbers[key]].astype(self._feature(key).dtype)
        rows = np.zeros(length, dtype=np.int64) if episode.task_rows is None else episode.task_rows
        numbers["episode_index"] = np.full(length, self.episodes, dtype=np.int64)
        numbers["index"] = np.arange(self.frames, self.frames + length, dtype=np.int64)
        numbers["task_index"] = tasks[rows]
        return numbers

    def _column(self, episode: EncodedEpisode, key: str) -> pa.Array:
        column = episode.table.column(key).combine_chunks()
        return column.cast(self.arrow.field(key).type)

    def _stats(
        self, episode: EncodedEpisode, numbers: Mapping[str, NDArray[Any]]
    ) -> dict[str, FeatureStats]:
        known = dict(episode.camera_stats)
        for key, values in numbers.items():
            known[key] = _shaped(
                FeatureStats.of_rows(values, quantiles=self._quantiles), self._feature(key)
            )
        return {key: known[key] for key in (*self.schema.features, *BOOKKEEPING) if key in known}


def _shaped(stats: FeatureStats, feature: Feature) -> FeatureStats:
    """Statistics over rows in the feature's shape; they come as flat vectors."""
    if len(feature.shape) == 1:
        return stats
    parts = {
        name: getattr(stats, name).reshape(feature.shape) for name in ("min", "max", "mean", "std")
    }
    quantiles = {name: value.reshape(feature.shape) for name, value in stats.quantiles.items()}
    return replace(stats, **parts, quantiles=quantiles)


def stats_document(
    stats: Mapping[str, FeatureStats], *, quantiles: bool
) -> dict[str, dict[str, Any]]:
    """Statistics as LeRobot's JSON: by feature, nested lists in the feature's shape and `count` as a list of one."""
    return {
        key: {
            "min": part.min.tolist(),
            "max": part.max.tolist(),
            "mean": part.mean.tolist(),
            "std": part.std.tolist(),
            "count": [part.count],
            **(
                {name: value.tolist() for name, value in part.quantiles.items()}
                if quantiles
                else {}
            ),
        }
        for key, part in stats.items()
    }

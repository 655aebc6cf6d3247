"""Rows as LeRobot stores them: Arrow types, the numbers of an episode, and statistics of columns.

Both formats store the same columns; they differ in how rows are spread over files, and in the name
that the `datasets` library of their time gives to vectors in the schema metadata: `Sequence`
(v2.1), `List` (v3.0).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import (
    BOOKKEEPING,
    EPISODE_LOCAL,
    Feature,
    Schema,
    array_of,
)
from piperline.stats import FeatureStats
from piperline.text import printable, size_text

VectorName = Literal["Sequence", "List"]

SUBTASKS = "subtask_index"
"""The column of rows of `meta/subtasks.parquet` (lerobot 0.4.4 to 0.5)."""

_IMAGE = pa.struct(
    [
        ("bytes", pa.binary()),
        ("path", pa.string()),
    ]
)
_PLAIN = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""Names of Arrow types that `datasets` knows under others."""


def is_numeric(feature: Feature) -> bool:
    """Whether the values are numbers in a Parquet column."""
    try:
        return np.dtype(feature.dtype).kind in "biuf"
    except TypeError:
        return False


def is_carried(feature: Feature) -> bool:
    """Whether a column is carried through as it is: no numbers, texts or images (`language`)."""
    known = {"string", "image", "video"}
    return feature.dtype not in known and not is_numeric(feature)


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type is of numbers, or of lists of them."""
    while pa.types.is_nested(kind) and _is_list(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def arrow_type(feature: Feature) -> pa.DataType:
    """The Arrow type of a column that is not carried through."""
    if feature.dtype == "image":
        return _IMAGE
    if feature.dtype == "string":
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
    if feature.shape == (1,) or feature.dtype == "string":
        return value
    if len(feature.shape) == 1:
        return {"feature": value, "length": feature.shape[0], "_type": vector}
    return {
        "shape": list(feature.shape),
        "dtype": feature.dtype,
        "_type": f"Array{len(feature.shape)}D",
    }


def _carried_type(kind: pa.DataType, vector: VectorName) -> object:
    """The type of a carried column in the words of `datasets`.

    Raises:
        ValueError: it has no word for it.
    """
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return {
            field.name: _carried_type(field.type, vector) for field in fields
        }
    if _is_list(kind):
        inner = _carried_type(kind.value_type, vector)
        if vector == "List":
            return {"feature": inner, "_type": "List"}
        return [inner]  # as the older library has it
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        raise ValueError(f"{kind} has no name there")
    return {
        "dtype": _PLAIN.get(str(kind), str(kind)),
        "_type": "Value",
    }


def arrow_schema(
    schema: Schema,
    vector: VectorName,
    carried: Mapping[str, pa.DataType] | None = None,
) -> pa.Schema:
    """The Arrow schema of data files.

    It has the `huggingface` metadata from which `datasets` knows its types; none where a carried
    column has a type without a name there: `datasets` then goes by the Arrow types.

    Args:
        schema: of the dataset.
        vector: the name of vectors in the metadata.
        carried: the types of the columns that are carried through.
    """
    kinds = carried or {}
    features = {
        **{key: schema.features[key] for key in schema.columns},
        **BOOKKEEPING,
    }
    fields = [
        (key, kinds.get(key) or arrow_type(feature))
        for key, feature in features.items()
    ]
    try:
        named = {
            key: _carried_type(kind, vector) for key, kind in kinds.items()
        }
    except ValueError:
        return pa.schema(fields)
    types = {
        key: named.get(key) or _huggingface_type(feature, vector)
        for key, feature in features.items()
    }
    metadata = {"huggingface": json.dumps({"info": {"features": types}})}
    return pa.schema(fields, metadata=metadata)


def unfolded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column of lists, one behind the other; lists that are null have none."""
    parts = [_unfolded(chunk) for chunk in column.chunks]
    return pa.chunked_array(parts, column.type.value_type)


def _unfolded(lists: Any) -> pa.Array:  # noqa: ANN401 - one of Arrow's three kinds of lists
    if lists.null_count:
        return lists.flatten()
    # `flatten` loads Arrow's functions, which is a tenth of the start-up of a short command
    if pa.types.is_fixed_size_list(lists.type):
        width = lists.type.list_size
        return lists.values.slice(lists.offset * width, len(lists) * width)
    first, stop = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    return lists.values.slice(first, stop - first)


def task_columns(schema: Schema) -> tuple[str, ...]:
    """The recorded columns whose values are numbers of tasks: GR00T's `annotation.*`."""
    return tuple(
        key
        for key in schema.columns
        if key.startswith("annotation.")
        and schema.features[key].dtype in {"int64", "int32"}
    )


def column_values(
    column: pa.ChunkedArray, key: str, feature: Feature
) -> NDArray[Any]:
    """The numbers of a column, shape (rows, *feature.shape), in the feature's own type.

    Raises:
        DatasetError: these are no numbers, values are missing, or rows have other shapes.
    """
    if not is_number(column.type):
        raise DatasetError(
            f"the column {printable(key)} holds no numbers",
            expected=feature.dtype,
            found=str(column.type),
        )
    values = column
    while _is_list(values.type):
        values = unfolded(values)
    shape = (len(column), *feature.shape)
    if (
        values.null_count
        or column.null_count
        or len(values) != np.prod(shape, dtype=object)
    ):
        raise DatasetError(
            f"values of {printable(key)} are missing or of another shape",
            expected=f"{shape} numbers",
            found=f"{len(values) - values.null_count} numbers",
        )
    return _as_type(values.to_numpy().reshape(shape), key, feature.dtype)


def _as_type(
    numbers: NDArray[Any],
    key: str,
    dtype: str,
) -> NDArray[Any]:
    """`numbers` in another type.

    Raises:
        DatasetError: a whole number is asked for, and there is none.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        result = numbers.astype(dtype, copy=False)
    from_float = numbers.dtype.kind == "f" and result.dtype.kind in "iu"
    if from_float and not np.array_equal(result, numbers):
        raise DatasetError(
            f"values of {printable(key)} are no whole numbers",
            expected=dtype,
            found="others",
        )
    return result


def _stored(values: NDArray[Any], feature: Feature) -> pa.Array:
    """`values` as an array of `arrow_type(feature)`.

    It is always built the same way: equal values, equal bytes.
    """
    array = array_of(values.reshape(-1))
    if feature.shape == (1,):
        return array
    if len(feature.shape) == 1:
        return pa.FixedSizeListArray.from_arrays(array, feature.shape[0])
    for side in reversed(feature.shape):
        ends = np.arange(
            0,
            len(array) + 1,
            side,
            dtype=np.int32,
        )
        array = pa.ListArray.from_arrays(ends, array)
    return array


@dataclass(frozen=True)
class NumberedEpisode:
    """An episode with its numbers in a dataset.

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

    Attributes:
        episodes, frames: how many there are so far.
        tasks, subtasks: the number of each text so far.
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
        self.episodes = 0
        self.frames = 0
        self.tasks: dict[str, int] = {}
        self.subtasks: dict[str, int] = {}
        self._vector = vector
        self._quantiles = quantiles
        self._arrow: pa.Schema | None = None
        self._carried: dict[str, pa.DataType] = {}
        _numbers_of(tasks, self.tasks)

    def number(self, episode: EncodedEpisode) -> NumberedEpisode:
        """Give `episode` the next numbers.

        Raises:
            DatasetError: a column is missing or not of the schema's type.
        """
        arrow = self.schema_of_rows(episode.table)
        numbers = self._numbers(episode)
        columns = [self._column(episode, field, numbers) for field in arrow]
        # Statistics of time are those of the exact times, not of their float32 copies, as lerobot
        # 0.3.3 has it.
        numbers["timestamp"] = numbers["frame_index"] / self.schema.fps
        numbered = NumberedEpisode(
            index=self.episodes,
            first_row=self.frames,
            table=pa.Table.from_arrays(columns, schema=arrow),
            stats=self._stats(episode, numbers),
            tasks=episode.tasks,
        )
        self.episodes += 1
        self.frames += episode.length
        return numbered

    def skip(self, length: int, tasks: Iterable[str]) -> None:
        """Count an episode that has its numbers already."""
        _numbers_of(tasks, self.tasks)
        self.episodes += 1
        self.frames += length

    def schema_of_rows(self, table: pa.Table) -> pa.Schema:
        """The schema of all data files; the first episode tells the types that are carried."""
        needed = (*self.schema.columns, *EPISODE_LOCAL)
        missing = [key for key in needed if key not in table.column_names]
        if missing:
            raise DatasetError(
                f"columns are missing: {printable(', '.join(missing))}",
                place=Place(episode=str(self.episodes)),
                expected=f"columns {printable(', '.join(needed))}",
                found=f"columns {printable(', '.join(table.column_names))}",
            )
        if self._arrow is None:
            features = self.schema.features
            keys = [
                key for key in self.schema.columns if is_carried(features[key])
            ]
            self._carried = {key: table.schema.field(key).type for key in keys}
            self._arrow = arrow_schema(self.schema, self._vector, self._carried)
        return self._arrow

    def _feature(self, key: str) -> Feature:
        return BOOKKEEPING.get(key) or self.schema.features[key]

    def _numbers(self, episode: EncodedEpisode) -> dict[str, NDArray[Any]]:
        """The values of all numeric columns."""
        table, length = episode.table, episode.length
        numeric = [
            key
            for key in self.schema.columns
            if is_numeric(self.schema.features[key])
        ]
        numbers = {
            key: column_values(table.column(key), key, self._feature(key))
            for key in (*numeric, *EPISODE_LOCAL)
        }
        tasks = _numbers_of(episode.tasks, self.tasks)
        for key in task_columns(self.schema):
            numbers[key] = _renumbered(numbers[key], tasks)
        if SUBTASKS in numbers and episode.subtasks:
            subtasks = _numbers_of(episode.subtasks, self.subtasks)
            numbers[SUBTASKS] = _renumbered(numbers[SUBTASKS], subtasks)
        rows = episode.task_rows
        if rows is None:
            rows = np.zeros(length, dtype=np.int64)
        numbers["episode_index"] = np.full(
            length, self.episodes, dtype=np.int64
        )
        numbers["index"] = np.arange(
            self.frames, self.frames + length, dtype=np.int64
        )
        numbers["task_index"] = tasks[rows]
        return numbers

    def _column(
        self,
        episode: EncodedEpisode,
        field: pa.Field,
        numbers: Mapping[str, NDArray[Any]],
    ) -> pa.Array:
        if field.name in numbers:
            return _stored(numbers[field.name], self._feature(field.name))
        column = episode.table.column(field.name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # more than an array can hold
            raise DatasetError(
                f"the column {printable(field.name)} holds more than 2 GiB",
                expected="columns of at most 2 GiB in an episode",
                found=size_text(column.nbytes),
                next_step="leave the column out, or the episode",
            )
        if column.type != field.type and field.name in self._carried:
            # Arrow would cast structs by their names, and lose what the first episode has not.
            raise _other_type(field.name, field.type, column.type)
        return cast_column(column, field.name, field.type)

    def _stats(
        self, episode: EncodedEpisode, numbers: Mapping[str, NDArray[Any]]
    ) -> dict[str, FeatureStats]:
        known = dict(episode.camera_stats)
        columns = FeatureStats.of_columns(numbers, quantiles=self._quantiles)
        for key, stats in columns.items():
            known[key] = _shaped(stats, self._feature(key))
        return {
            key: known[key]
            for key in (*self.schema.features, *BOOKKEEPING)
            if key in known
        }


def cast_column(
    column: pa.ChunkedArray, key: str, kind: pa.DataType
) -> pa.ChunkedArray:
    """A column, or an array, in another type.

    Raises:
        DatasetError: its values cannot be of that type.
    """
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise _other_type(key, kind, column.type) from error


def _other_type(
    key: str, expected: pa.DataType, found: pa.DataType
) -> DatasetError:
    return DatasetError(
        f"the column {printable(key)} is of another type",
        expected=str(expected),
        found=str(found),
    )


def _numbers_of(
    texts: Iterable[str], known: dict[str, int]
) -> NDArray[np.int64]:
    """The numbers of `texts` in a table, which takes in those that are new."""
    return np.array(
        [known.setdefault(text, len(known)) for text in texts], dtype=np.int64
    )


def _renumbered(
    values: NDArray[Any], numbers: NDArray[np.int64]
) -> NDArray[Any]:
    """Offsets among an episode's texts as numbers of the table; what is negative names none."""
    known = values >= 0
    result = values.copy()
    result[known] = numbers[values[known]]
    return result


def _shaped(stats: FeatureStats, feature: Feature) -> FeatureStats:
    """Statistics over rows in the feature's shape; they come as flat vectors."""
    if len(feature.shape) == 1:
        return stats
    shape = feature.shape
    quantiles = {
        name: value.reshape(shape) for name, value in stats.quantiles.items()
    }
    return replace(
        stats,
        min=stats.min.reshape(shape),
        max=stats.max.reshape(shape),
        mean=stats.mean.reshape(shape),
        std=stats.std.reshape(shape),
        quantiles=quantiles,
    )


def stats_document(
    stats: Mapping[str, FeatureStats], *, quantiles: bool
) -> dict[str, dict[str, Any]]:
    """Statistics as LeRobot's JSON.

    By feature: nested lists in the feature's shape, and `count` as a list of one.
    """
    return {
        key: _stats_entry(part, quantiles=quantiles)
        for key, part in stats.items()
    }


def _stats_entry(
    part: FeatureStats,
    *,
    quantiles: bool,
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "min": part.min.tolist(),
        "max": part.max.tolist(),
        "mean": part.mean.tolist(),
        "std": part.std.tolist(),
        "count": [part.count],
    }
    if quantiles:
        entry.update(
            {name: value.tolist() for name, value in part.quantiles.items()}
        )
    return entry

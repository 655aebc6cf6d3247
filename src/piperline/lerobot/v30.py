"""LeRobot v3.0 on disk: many episodes in a Parquet file and in an mp4, tables as Parquet."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import BOOKKEEPING, Schema
from piperline.files import make_below
from piperline.lerobot.columns import (
    NumberedEpisode,
    is_numeric,
    stats_document,
)
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.info import (
    LONGEST_SECONDS,
    V30_DATA_PATH,
    V30_VIDEO_PATH,
    EpisodeRow,
    Info,
    check_numbers,
)
from piperline.lerobot.parquet import ParquetRows, numbered_texts
from piperline.lerobot.parquet_groups import FirstGroups
from piperline.lerobot.paths import PathTemplate
from piperline.lerobot.quantiles import column_quantiles
from piperline.lerobot.running_stats import RunningStats
from piperline.lerobot.v30_files import TableFiles, VideoFiles
from piperline.lerobot.v30_taken import (
    EPISODES_PATH,
    EPISODES_PER_GROUP,
    Beginning,
    beginning,
    first_groups,
)
from piperline.lerobot.values import Values
from piperline.lerobot.writer import DEFAULTS, DatasetWriter, WriterOptions
from piperline.stats import QUANTILES, FeatureStats

if TYPE_CHECKING:
    from piperline.lerobot.dataset import Dataset

_MIB = 1 << 20
_META = Path("meta")
EPISODES, TASKS, SUBTASKS = (
    _META / "episodes",
    _META / "tasks.parquet",
    _META / "subtasks.parquet",
)
STATS = _META / "stats.json"
_FILE = ("chunk_index", "file_index")
_KNOWN = re.compile(
    r"episode_index|tasks|length|dataset_from_index|dataset_to_index|stats/.*"
    r"|(data|meta/episodes|videos/.*)/(chunk|file)_index|videos/.*/(from|to)_timestamp"
)
"""The columns of the episode table that LeRobot knows."""


@dataclass(frozen=True)
class _Waiting:
    """A row of the episode table; where its videos lie is known when they are appended."""

    numbers: dict[str, Any]
    videos: Mapping[str, Future[dict[str, Any]]]
    others: dict[str, Any]

    def row(self) -> dict[str, Any]:
        row = self.numbers
        for columns in self.videos.values():
            row = row | columns.result()
        return row | self.others


class V30Writer(DatasetWriter):
    """Writes a LeRobot v3.0 dataset, episode by episode."""

    version = "v3.0"
    longest_seconds = LONGEST_SECONDS["v3.0"]
    vector = "List"
    quantiles = True

    def __init__(
        self, root: Path, schema: Schema, options: WriterOptions = DEFAULTS
    ) -> None:
        super().__init__(root, schema, options)
        self._data = TableFiles(root, V30_DATA_PATH, options.data_mb * _MIB)
        self._rows = TableFiles(root, EPISODES_PATH, options.data_mb * _MIB)
        video_bytes = options.video_mb * _MIB
        self._videos = {
            key: VideoFiles(
                root,
                key,
                video_bytes,
                origins=self.origins,
                link=options.link,
            )
            for key in schema.cameras
        }
        self._waiting: list[_Waiting] = []
        self._stats_names = _stats_names(schema)
        self._stats = RunningStats({**schema.features, **BOOKKEEPING})

    def _write(self, episode: EncodedEpisode) -> pa.Table:
        joined = self._lanes.do(
            lambda key: self._videos[key].add(episode.clips[key])
        )
        numbered = self._numbering.number(episode)
        file = self._data.next(episode.length)
        row: dict[str, Any] = {
            "episode_index": numbered.index,
            "tasks": list(numbered.tasks),
            "length": episode.length,
            **{f"data/{name}": value for name, value in file.items()},
            "dataset_from_index": numbered.first_row,
            "dataset_to_index": numbered.first_row + episode.length,
        }
        self._data.append(numbered.table)
        known = _stats_columns(numbered)
        others = {name: known.get(name) for name in self._stats_names}
        others |= {
            name: episode.own.get(name) for name in self._options.own_columns
        }
        self._waiting.append(_Waiting(row, joined, others))
        if len(self._waiting) == EPISODES_PER_GROUP:
            self._write_rows()
        self._stats.add(numbered.stats)
        return numbered.table

    def take_first(self, dataset: "Dataset", count: int) -> int:
        """Take over the files that end within the first episodes; see `DatasetWriter`.

        The last of each kind are written anew, of the same rows and packets.
        """
        reader = dataset.reader
        if not isinstance(reader, V30Reader) or not self._writes_as(dataset):
            return 0
        try:
            begun = beginning(reader, self._schema, dataset.folder, count)
            groups = first_groups(
                reader,
                dataset.folder,
                begun,
                count,
                of_rows=self._numbering.schema_of_rows,
                of_episodes=self._kinds,
            )
            self._histograms.take_first(dataset.folder, count)
        except ValueError:  # not as this writer makes it
            return 0
        self._take_videos(dataset, begun, count)
        self._take_rows(dataset, reader, begun, groups, count)
        for row in dataset.episodes[:count]:
            self._numbering.skip(row.length, row.tasks)
        self._stats = begun.stats
        self.origins.leading = count
        return count

    def _writes_as(self, dataset: "Dataset") -> bool:
        """Whether the files of a dataset end where this writer would end them."""
        info, options = dataset.info, self._options
        paths = (info.data_path, info.video_path)
        sizes = (info.data_mb, info.video_mb)
        return (
            paths == (V30_DATA_PATH, V30_VIDEO_PATH)
            and sizes == (options.data_mb, options.video_mb)
            and not options.own_columns
            and not dataset.subtasks
        )

    def _take_videos(
        self, dataset: "Dataset", begun: Beginning, count: int
    ) -> None:
        shown: list[dict[str, Clip]] = [{} for _ in range(count)]
        for key, files in self._videos.items():
            closed, first = begun.videos[key]
            files.take_over(closed, first, partial(self._take_file, dataset))
            for index in range(first, count):
                shown[index][key] = dataset.clip(index, key)
                files.add(shown[index][key])
        self.origins.clips += shown
        self.origins.rows += [None] * count

    def _take_rows(
        self,
        dataset: "Dataset",
        reader: "V30Reader",
        begun: Beginning,
        groups: tuple[FirstGroups, FirstGroups | None],
        count: int,
    ) -> None:
        take_file = partial(self._take_file, dataset)
        data, rows = groups
        self._data.take_over(begun.data[0], take_file)
        self._data.go_on(data)
        closed, first = begun.rows
        self._rows.take_over(closed, take_file)
        if rows:
            self._rows.go_on(rows)
            first += rows.rows
        for rest in reader.row_tables(first, count):
            known = rest.to_pylist()
            self._waiting = [_Waiting(row, {}, {}) for row in known]

    def _take_file(self, dataset: "Dataset", name: str) -> None:
        source, target = dataset.root / name, self._root / name
        make_below(self._root, target.parent)
        self._take_over(source, target)
        self.origins.files[name] = str(source)

    def _write_rows(self) -> None:
        if not self._waiting:
            return
        file = self._rows.next(len(self._waiting))
        where = {f"meta/episodes/{name}": value for name, value in file.items()}
        rows = [waiting.row() | where for waiting in self._waiting]
        kinds = self._kinds(rows[0])
        self._rows.append(pa.Table.from_pylist(rows, schema=kinds))
        self._waiting = []

    def _kinds(self, names: Iterable[str]) -> pa.Schema:
        types = {name: _row_type(self._schema, name) for name in names}
        return pa.schema({**types, **self._options.own_columns})

    def _finish(self) -> None:
        self._lanes.do(lambda key: self._videos[key].finish())
        self._write_rows()
        self._data.close()
        self._rows.close()
        numbering = self._numbering
        pq.write_table(text_table("task", numbering.tasks), self._root / TASKS)
        if numbering.subtasks:
            pq.write_table(
                text_table("subtask", numbering.subtasks), self._root / SUBTASKS
            )
        stats = json.dumps(
            stats_document(self._dataset_stats(), quantiles=True), indent=4
        )
        (self._root / STATS).write_text(stats, encoding="utf-8")

    def close(self) -> None:
        """See that nothing is under way any more; see `DatasetWriter`."""
        super().close()
        for files in self._videos.values():
            files.close()

    def _places(self) -> dict[str, Any]:
        return {
            "data_path": V30_DATA_PATH,
            "video_path": V30_VIDEO_PATH,
            "data_mb": self._options.data_mb,
            "video_mb": self._options.video_mb,
        }

    def _dataset_stats(self) -> dict[str, FeatureStats]:
        """Statistics of the dataset.

        Quantiles of columns are those of all rows, those of cameras of all histograms.
        """
        features = {**self._schema.features, **BOOKKEEPING}
        stats = self._stats.result()
        numeric = {
            key: features[key] for key in stats if is_numeric(features[key])
        }
        quantiles = column_quantiles(
            self._data.paths, numeric, self._numbering.frames
        )
        found = {
            key: replace(stats[key], quantiles=known)
            for key, known in quantiles.items()
        }
        return {**stats, **found}


def _stats_names(schema: Schema) -> list[str]:
    """The columns of statistics in the episode table; where some are not known, they are null."""
    features = {**schema.features, **BOOKKEEPING}
    with_stats = [
        key
        for key, feature in features.items()
        if is_numeric(feature) or feature.dtype in {"image", "video"}
    ]
    parts = ("min", "max", "mean", "std", "count", *QUANTILES)
    return [f"stats/{key}/{part}" for key in with_stats for part in parts]


def _stats_columns(numbered: NumberedEpisode) -> dict[str, Any]:
    # Whole numbers beyond 2**53 are rounded: the columns of the table are float64.
    rounded = {}
    for key, stats in numbered.stats.items():
        low, high = stats.min.astype(float), stats.max.astype(float)
        rounded[key] = replace(stats, min=low, max=high)
    document = stats_document(rounded, quantiles=True)
    return {
        f"stats/{key}/{name}": value
        for key, parts in document.items()
        for name, value in parts.items()
    }


def _row_type(schema: Schema, name: str) -> pa.DataType:
    if name == "tasks":
        return pa.list_(pa.string())
    if name.endswith("_timestamp"):
        return pa.float64()
    if not name.startswith("stats/"):
        return pa.int64()
    _, key, part = name.split("/")
    if part == "count":
        return pa.list_(pa.int64())
    nested = pa.float64()
    for _ in (BOOKKEEPING.get(key) or schema.features[key]).shape:
        nested = pa.list_(nested)
    return nested


def text_table(
    name: str,
    texts: Mapping[str, int],
) -> pa.Table:
    """The table of tasks, or of subtasks.

    pandas, with which lerobot reads it, takes the texts for the index of the rows.
    """
    number = f"{name}_index"
    columns = [
        {"name": number, "pandas_type": "int64", "numpy_type": "int64"},
        {"name": name, "pandas_type": "unicode", "numpy_type": "object"},
    ]
    unnamed = {
        "name": None,
        "field_name": None,
        "pandas_type": "unicode",
        "numpy_type": "object",
        "metadata": None,
    }
    pandas = {
        "index_columns": [name],
        "column_indexes": [unnamed],
        "columns": [
            {**column, "field_name": column["name"], "metadata": None}
            for column in columns
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table(
        {
            number: pa.array(texts.values(), pa.int64()),
            name: pa.array(texts.keys(), pa.string()),
        }
    )
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


class V30Reader:
    """Reads where things lie in a LeRobot v3.0 dataset.

    Args:
        folder: the dataset's.
        info: its info.json.

    Attributes:
        episodes: number, tasks and length of each episode.
        tasks: the task texts; the index of each is its task_index.
        subtasks: the subtask texts, likewise.

    Raises:
        DatasetError: a table is missing, damaged, or not in order.
    """

    def __init__(self, folder: DatasetFolder, info: Info) -> None:
        self._folder = folder
        self._info = info
        self._data_path = PathTemplate(info.data_path)
        self._video_path = PathTemplate(info.video_path or V30_VIDEO_PATH)
        self.tasks = self._texts(TASKS, "task", needed=info.episodes > 0)
        self.subtasks = self._texts(SUBTASKS, "subtask", needed=False)
        self._files = sorted((folder.root / EPISODES).glob("*/*.parquet"))
        self._rows: list[Values] = []
        self._row_files: list[tuple[Path, int]] = []
        self._read_rows()
        self.episodes = [
            EpisodeRow(
                index,
                row.texts("tasks", ()),
                row.whole("length", least=1),
                _own(row),
            )
            for index, row in enumerate(self._rows)
        ]
        self._first_rows = self._first_row_of_files()
        self._data: ParquetRows | None = None
        self._stats: ParquetRows | None = None

    def _read_rows(self) -> None:
        """Read the episode table without statistics, and where each row lies."""
        path = self._folder.root / EPISODES
        if not self._files and self._info.episodes:
            raise DatasetError(
                "the dataset has no episode table",
                place=Place(file=path),
                expected=f"Parquet files that tell of {self._info.episodes} episodes",
                found="none",
            )
        for file in self._files:
            rows = ParquetRows(
                self._folder.path(file.relative_to(self._folder.root))
            )
            names = [name for name in rows.columns if not _is_stats(name)]
            for number, row in enumerate(rows.all(names).to_pylist()):
                where = f"episode {len(self._rows)} of the episode table"
                self._rows.append(Values(row, where, Place(file=file)))
                self._row_files.append((file, number))
        # lerobot's readers go by the position of a row, not by its number: both must agree.
        numbers = [
            row.whole("episode_index", position)
            for position, row in enumerate(self._rows)
        ]
        check_numbers(numbers, path)

    def _texts(self, path: Path, name: str, *, needed: bool) -> list[str]:
        """The texts of a task table in order; lerobot makes it with the first episode."""
        if not needed and not self._folder.has(path):
            return []
        return numbered_texts(self._folder.path(path), name)

    def data_path(self, index: int) -> str:
        """Where the rows of an episode lie below the folder.

        Raises:
            DatasetError: the episode table does not tell.
        """
        row = self._rows[index]
        return self._data_path.path(
            {name: row.whole(f"data/{name}") for name in _FILE}
        )

    def _first_row_of_files(self) -> dict[str, int]:
        """For each data file the number, in the dataset, of its first row."""
        first: dict[str, int] = {}
        for index, row in enumerate(self._rows):
            path, start = self.data_path(index), row.whole("dataset_from_index")
            first[path] = min(start, first.get(path, start))
        return first

    def table(self, index: int) -> pa.Table:
        """All rows of an episode.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        name = self.data_path(index)
        path = self._folder.path(name)
        if self._data is None or self._data.path != path:
            self._data = ParquetRows(path)
        start = (
            self._rows[index].whole("dataset_from_index")
            - self._first_rows[name]
        )
        return self._data.rows(start, start + self.episodes[index].length)

    def span(
        self,
        index: int,
        camera: str,
    ) -> tuple[str, int]:
        """Where the video of an episode lies below the folder, and its first frame there.

        Raises:
            DatasetError: the episode table does not tell.
        """
        row = self._rows[index]
        where = {name: row.whole(f"videos/{camera}/{name}") for name in _FILE}
        start = row.number(f"videos/{camera}/from_timestamp")
        path = self._video_path.path({"video_key": camera, **where})
        return path, round(start * self._info.fps)

    def row_path(self, index: int) -> str:
        """The file below the folder in which the row of an episode lies."""
        path, _ = self._row_files[index]
        return str(path.relative_to(self._folder.root))

    def row_tables(
        self,
        first: int,
        stop: int,
        wanted: Callable[[str], bool] = lambda _: True,
    ) -> Iterator[pa.Table]:
        """Rows of the episode table, statistics and all, as many at once as a writer groups.

        Args:
            first: number of the first.
            stop: of the one behind the last.
            wanted: tells by its name whether a column is read.

        Raises:
            DatasetError: a file is damaged.
            ValueError: some that are grouped lie in several files.
        """
        rows: ParquetRows | None = None
        for start in range(first, stop, EPISODES_PER_GROUP):
            end = min(start + EPISODES_PER_GROUP, stop)
            path, row = self._row_files[start]
            if self._row_files[end - 1][0] != path:
                raise ValueError("a group of rows lies in several files")
            if rows is None or rows.path != path:
                rows = ParquetRows(path, wanted)
            yield rows.rows(row, row + end - start).combine_chunks()

    def stats(self, index: int) -> Mapping[str, Any]:
        """An episode's statistics; empty if there are none.

        Raises:
            DatasetError: the episode table is damaged.
        """
        path, row = self._row_files[index]
        if self._stats is None or self._stats.path != path:
            self._stats = ParquetRows(path, _is_stats)
        if not self._stats.columns:
            return {}
        stats: dict[str, dict[str, Any]] = {}
        (values,) = self._stats.rows(row, row + 1).to_pylist()
        for name, value in values.items():
            feature, _, part = name.removeprefix("stats/").rpartition("/")
            if value is not None:
                stats.setdefault(feature, {})[part] = value
        return stats


def _is_stats(name: str) -> bool:
    return name.startswith("stats/")


def _own(row: Values) -> dict[str, Any]:
    """What an episode's row holds beside what LeRobot knows."""
    return {
        name: value
        for name, value in row.values.items()
        if not _KNOWN.fullmatch(name)
    }

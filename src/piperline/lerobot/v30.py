"""LeRobot v3.0 on disk: many episodes in a Parquet file and in an mp4, tables as Parquet."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.episode import EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import BOOKKEEPING, Feature, Schema
from piperline.lerobot.card import card_text
from piperline.lerobot.columns import (
    Numbering,
    PlacedEpisode,
    half_written,
    is_numeric,
    stats_document,
    table_of,
)
from piperline.lerobot.histograms import HistogramFile
from piperline.lerobot.info import V30_DATA_PATH, V30_VIDEO_PATH, EpisodeRow, Info
from piperline.lerobot.quantiles import column_quantiles
from piperline.lerobot.v30_files import LONGEST_FILE_SECONDS, Lanes, TableFiles, VideoFiles
from piperline.stats import FeatureStats, merge_stats

_MIB = 1 << 20
_EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_EPISODES_PER_GROUP = 64


@dataclass(frozen=True)
class _Waiting:
    """A row of the episode table; where its videos lie is known when they are appended."""

    numbers: dict[str, Any]
    videos: Mapping[str, Future[dict[str, Any]]]
    stats: dict[str, Any]

    def row(self) -> dict[str, Any]:
        row = self.numbers
        for columns in self.videos.values():
            row = row | columns.result()
        return row | self.stats


class V30Writer:
    """Writes a LeRobot v3.0 dataset, episode by episode.

    Args:
        root: an empty folder; the caller gives it its final name after `finish`.
        schema: of the dataset.
        link: taken for the sake of the other writer: here all clips are copied.
        tasks: task texts that are numbered first, in this order; others follow as they appear.
        data_mb, video_mb: MiB at which a new data file, or video file of a camera, is begun.
    """

    def __init__(
        self,
        root: Path,
        schema: Schema,
        *,
        link: bool = False,
        tasks: Iterable[str] = (),
        data_mb: float = 100,
        video_mb: float = 200,
    ) -> None:
        self._root, self._schema = root, schema
        self._data_mb, self._video_mb = data_mb, video_mb
        self._numbering = Numbering(schema, "List", quantiles=True, tasks=tasks)
        (root / "meta").mkdir()
        self._histograms = HistogramFile(root, schema.cameras)
        self._data = TableFiles(root, V30_DATA_PATH, data_mb * _MIB)
        self._videos = {key: VideoFiles(root, key, video_mb * _MIB) for key in schema.cameras}
        self._lanes = Lanes(schema.cameras)
        self._rows = TableFiles(root, _EPISODES_PATH, data_mb * _MIB)
        self._waiting: list[_Waiting] = []
        self._stats: dict[str, FeatureStats] = {}

    def add(self, episode: EncodedEpisode) -> None:
        """Write the next episode; its videos are appended while the caller goes on.

        Raises:
            DatasetError: its columns are not those of the schema, or it is too long; or a clip of an earlier episode
                lacks frames.
            NotCuttable: a clip of an earlier episode has to be encoded again.
        """
        limit = LONGEST_FILE_SECONDS * self._schema.fps
        if episode.length > limit:
            raise DatasetError(
                "the episode is too long for LeRobot v3.0: its readers compare times as float32",
                place=Place(episode=str(self._numbering.episodes)),
                expected=f"at most {limit} frames ({LONGEST_FILE_SECONDS} s)",
                found=f"{episode.length} frames",
                next_step="cut it in the recording, and convert that again",
            )
        joined = self._lanes.do(lambda key: self._videos[key].add(episode.clips[key]))
        placed = self._numbering.place(episode)
        row: dict[str, Any] = {
            "episode_index": placed.index,
            "tasks": list(placed.tasks),
            "length": episode.length,
            **{f"data/{name}": value for name, value in self._data.place(episode.length).items()},
            "dataset_from_index": placed.first_row,
            "dataset_to_index": placed.first_row + episode.length,
        }
        self._data.append(placed.table)
        self._waiting.append(_Waiting(row, joined, _stats_columns(placed)))
        if len(self._waiting) == _EPISODES_PER_GROUP:
            self._write_rows()
        self._histograms.add(episode.camera_stats)
        for key, stats in placed.stats.items():
            self._stats[key] = (
                merge_stats([self._stats[key], stats]) if key in self._stats else stats
            )

    def _write_rows(self) -> None:
        if not self._waiting:
            return
        where = {
            f"meta/episodes/{name}": value
            for name, value in self._rows.place(len(self._waiting)).items()
        }
        rows = [waiting.row() | where for waiting in self._waiting]
        self._rows.append(pa.Table.from_pylist(rows, schema=_row_schema(self._schema, rows[0])))
        self._waiting = []

    def finish(self) -> None:
        """Write what is known only at the end: statistics, task table, info.json and the dataset card.

        Raises:
            DatasetError: a clip lacks frames.
            NotCuttable: a clip has to be encoded again.
        """
        self._lanes.do(lambda key: self._videos[key].finish())
        self._write_rows()
        self._data.close()
        self._rows.close()
        self._histograms.finish()
        numbering = self._numbering
        meta = self._root / "meta"
        pq.write_table(_task_table(list(numbering.tasks)), meta / "tasks.parquet")
        stats = json.dumps(stats_document(self._dataset_stats(), quantiles=True), indent=4)
        (meta / "stats.json").write_text(stats, encoding="utf-8")
        info = Info(
            version="v3.0",
            robot_type=self._schema.robot_type,
            fps=self._schema.fps,
            features=self._schema.features,
            episodes=numbering.episodes,
            frames=numbering.frames,
            tasks=len(numbering.tasks),
            data_path=V30_DATA_PATH,
            video_path=V30_VIDEO_PATH,
            data_mb=self._data_mb,
            video_mb=self._video_mb,
        )
        self._lanes.wait()
        info.to_disk(self._root)
        (self._root / "README.md").write_text(
            card_text(info, list(numbering.tasks)), encoding="utf-8"
        )

    def close(self) -> None:
        """See that nothing is under way any more; without `finish`, the folder is no dataset."""
        self._lanes.close()

    def _dataset_stats(self) -> dict[str, FeatureStats]:
        """Statistics of the dataset: quantiles of columns from all rows, those of cameras from all histograms."""
        features = {**self._schema.features, **BOOKKEEPING}
        return {
            key: replace(stats, quantiles=self._quantiles(key, features[key]))
            if is_numeric(features[key])
            else stats
            for key, stats in self._stats.items()
        }

    def _quantiles(self, key: str, feature: Feature) -> Mapping[str, Any]:
        return column_quantiles(self._data.paths, key, feature, self._numbering.frames)


def _stats_columns(placed: PlacedEpisode) -> dict[str, Any]:
    document = stats_document(placed.stats, quantiles=True)
    return {
        f"stats/{key}/{name}": value
        for key, parts in document.items()
        for name, value in parts.items()
    }


def _row_schema(schema: Schema, names: Iterable[str]) -> pa.Schema:
    """The Arrow schema of the episode table."""
    return pa.schema([(name, _row_type(schema, name)) for name in names])


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


def _task_table(tasks: list[str]) -> pa.Table:
    """The task table; pandas, with which lerobot reads it, takes the texts for the index of the rows."""
    columns = [
        {"name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": None,
            }
        ],
        "columns": [
            {**column, "field_name": column["name"], "metadata": None} for column in columns
        ],
        "pandas_version": "2.0.0",
    }
    return pa.table(
        {
            "task_index": pa.array(range(len(tasks)), pa.int64()),
            "task": pa.array(tasks, pa.string()),
        }
    ).replace_schema_metadata({"pandas": json.dumps(pandas)})


class V30Reader:
    """Reads where things lie in a LeRobot v3.0 dataset.

    Args:
        root: the dataset.
        info: its info.json.

    Attributes:
        episodes: number, tasks and length of each episode.
        tasks: the task texts; the place of each is its task_index.

    Raises:
        DatasetError: a table is missing, damaged, or not in order.
    """

    def __init__(self, root: Path, info: Info) -> None:
        self._root = root
        self._info = info
        tasks = root / "meta" / "tasks.parquet"
        self.tasks = (
            _tasks(tasks) if info.episodes or tasks.exists() else []
        )  # made with the first episode
        self._files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
        self._rows, self._row_files = self._episode_rows()
        self.episodes = [
            EpisodeRow(index, tuple(row.get("tasks") or ()), row["length"])
            for index, row in enumerate(self._rows)
        ]
        self._first_rows = self._first_row_of_files()
        self._data: _Groups | None = None
        self._stats: _Groups | None = None

    def _episode_rows(self) -> tuple[list[dict[str, Any]], list[tuple[Path, int]]]:
        """The rows of the episode table without statistics, and where each lies: file and row."""
        rows: list[dict[str, Any]] = []
        places: list[tuple[Path, int]] = []
        if not self._files and self._info.episodes:
            raise DatasetError(
                "the dataset has no episode table",
                place=Place(file=self._root / "meta" / "episodes"),
            )
        for path in self._files:
            with _opened(path) as file:
                names = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
            found = table_of(path, names).to_pylist()
            places += [(path, number) for number in range(len(found))]
            rows += found
        # lerobot's readers go by the position of a row, not by its number: both must agree.
        numbers = [row.get("episode_index", place) for place, row in enumerate(rows)]
        if numbers != list(range(len(rows))):
            raise DatasetError(
                "the rows of the episode table are not numbered 0, 1, 2, ...",
                place=Place(file=self._root / "meta" / "episodes"),
                found=str(numbers[:10]),
            )
        return rows, places

    def _value(self, index: int, name: str) -> Any:
        try:
            return self._rows[index][name]
        except KeyError as error:
            raise DatasetError(
                f"the episode table has no column {name}",
                place=Place(file=self._root / "meta" / "episodes", episode=str(index)),
            ) from error

    def data_path(self, index: int) -> Path:
        """The file in which the rows of an episode lie."""
        where = {name: self._value(index, f"data/{name}") for name in ("chunk_index", "file_index")}
        return self._root / self._info.data_path.format(**where)

    def _first_row_of_files(self) -> dict[Path, int]:
        """For each data file the number, in the dataset, of its first row."""
        first: dict[Path, int] = {}
        for index in range(len(self._rows)):
            path, start = self.data_path(index), self._value(index, "dataset_from_index")
            first[path] = min(start, first.get(path, start))
        return first

    def table(self, index: int) -> pa.Table:
        """All rows of an episode.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        path = self.data_path(index)
        if self._data is None or self._data.path != path:
            self._data = _Groups(path)
        start = self._value(index, "dataset_from_index") - self._first_rows[path]
        return self._data.rows(start, start + self.episodes[index].length)

    def span(self, index: int, camera: str) -> tuple[Path, int]:
        """The video file of an episode, and the number of its first frame there."""
        prefix = f"videos/{camera}/"
        where = {name: self._value(index, prefix + name) for name in ("chunk_index", "file_index")}
        path = str(self._info.video_path).format(video_key=camera, **where)
        return self._root / path, round(
            self._value(index, prefix + "from_timestamp") * self._info.fps
        )

    def stats(self, index: int) -> Mapping[str, Mapping[str, Any]]:
        """An episode's statistics; empty if there are none."""
        path, row = self._row_files[index]
        if self._stats is None or self._stats.path != path:
            self._stats = _Groups(path, "stats/")
        if not self._stats.columns:
            return {}
        stats: dict[str, dict[str, Any]] = {}
        for name, value in self._stats.rows(row, row + 1).to_pylist()[0].items():
            _, feature, part = name.split("/")
            if value is not None:
                stats.setdefault(feature, {})[part] = value
        return stats


def _tasks(path: Path) -> list[str]:
    table = table_of(path)
    texts = [name for name in table.column_names if name != "task_index"]
    # lerobot's readers go by the position of a row, not by its number: both must agree.
    if len(texts) != 1 or table["task_index"].to_pylist() != list(range(table.num_rows)):
        raise DatasetError(
            "tasks.parquet is not a table of texts numbered 0, 1, 2, ...",
            place=Place(file=path),
            found=f"columns {', '.join(table.column_names)}",
        )
    return [str(text) for text in table[texts[0]].to_pylist()]


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise half_written(path, error) from error


class _Groups:
    """Rows of a Parquet file by number; holds the row group that was read last."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self._file = file = _opened(path)
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        self.columns = [name for name in file.schema_arrow.names if name.startswith(prefix)]
        self._empty = file.schema_arrow.empty_table()
        self._starts = [0, *accumulate(sizes)]
        self._held: tuple[int, pa.Table] | None = None

    def rows(self, start: int, stop: int) -> pa.Table:
        """Rows `start` to `stop`, as many of them as there are."""
        stop = min(stop, self._starts[-1])
        pieces = []
        while start < stop:
            number = bisect_right(self._starts, start) - 1
            first, last = self._starts[number], min(self._starts[number + 1], stop)
            pieces.append(self._group(number).slice(start - first, last - start))
            start = last
        return pa.concat_tables(pieces) if pieces else self._empty

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            try:
                self._held = (number, self._file.read_row_group(number, self.columns))
            except (OSError, pa.ArrowException) as error:
                raise half_written(self.path, error) from error
        return self._held[1]

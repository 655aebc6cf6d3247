"""LeRobot v3.0 on disk: many episodes in a Parquet file and in an mp4, tables as Parquet."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.errors import DatasetError, Place
from piperline.lerobot.info import EpisodeRow, Info
from piperline.lerobot.rows import half_written, table_of

__all__ = ["V30Reader"]


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
        self.tasks = _tasks(root / "meta" / "tasks.parquet")
        self._files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
        self._rows, self._row_files = self._episode_rows()
        self.episodes = [
            EpisodeRow(index, tuple(row.get("tasks") or ()), row["length"]) for index, row in enumerate(self._rows)
        ]
        self._first_rows = self._first_row_of_files()
        self._data: _Groups | None = None
        self._stats: _Groups | None = None

    def _episode_rows(self) -> tuple[list[dict[str, Any]], list[tuple[Path, int]]]:
        """The rows of the episode table without statistics, and where each lies: file and row."""
        rows: list[dict[str, Any]] = []
        places: list[tuple[Path, int]] = []
        if not self._files and self._info.episodes:
            raise DatasetError("the dataset has no episode table", place=Place(file=self._root / "meta" / "episodes"))
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

    def _value(self, index: int, name: str) -> Any:  # noqa: ANN401 - a cell of a table
        try:
            return self._rows[index][name]
        except KeyError as error:
            raise DatasetError(
                f"the episode table has no column {name}",
                place=Place(file=self._root / "meta" / "episodes", episode=str(index)),
            ) from error

    def _data_path(self, index: int) -> Path:
        where = {name: self._value(index, f"data/{name}") for name in ("chunk_index", "file_index")}
        return self._root / self._info.data_path.format(**where)

    def _first_row_of_files(self) -> dict[Path, int]:
        """For each data file the number, in the dataset, of its first row."""
        first: dict[Path, int] = {}
        for index in range(len(self._rows)):
            path, start = self._data_path(index), self._value(index, "dataset_from_index")
            first[path] = min(start, first.get(path, start))
        return first

    def table(self, index: int) -> pa.Table:
        """All rows of an episode.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        path = self._data_path(index)
        if self._data is None or self._data.path != path:
            self._data = _Groups(path)
        start = self._value(index, "dataset_from_index") - self._first_rows[path]
        return self._data.rows(start, start + self.episodes[index].length)

    def span(self, index: int, camera: str) -> tuple[Path, int]:
        """The video file of an episode, and the number of its first frame there."""
        prefix = f"videos/{camera}/"
        where = {name: self._value(index, prefix + name) for name in ("chunk_index", "file_index")}
        path = str(self._info.video_path).format(video_key=camera, **where)
        return self._root / path, round(self._value(index, prefix + "from_timestamp") * self._info.fps)

    def stats(self, index: int) -> Mapping[str, Mapping[str, Any]]:
        """An episode's statistics; empty if there are none."""
        path, row = self._row_files[index]
        if self._stats is None or self._stats.path != path:
            self._stats = _Groups(path, "stats/")
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
        with _opened(path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            self._columns = [name for name in file.schema_arrow.names if name.startswith(prefix)]
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
                with pq.ParquetFile(self.path) as file:
                    self._held = (number, file.read_row_group(number, self._columns))
            except (OSError, pa.ArrowException) as error:
                raise half_written(self.path, error) from error
        return self._held[1]

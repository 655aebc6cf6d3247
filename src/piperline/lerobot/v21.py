"""LeRobot v2.1 on disk: a Parquet file an episode, an mp4 an episode and camera, JSON lines."""

import json
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import Schema
from piperline.files import make_below
from piperline.lerobot.columns import stats_document
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.info import (
    CHUNKS_SIZE,
    LONGEST_SECONDS,
    V21_DATA_PATH,
    V21_VIDEO_PATH,
    EpisodeRow,
    Info,
    TaskRow,
    check_numbers,
)
from piperline.lerobot.parquet import ParquetRows, numbered_texts
from piperline.lerobot.paths import PathTemplate
from piperline.lerobot.values import Values
from piperline.lerobot.writer import DEFAULTS, DatasetWriter, WriterOptions
from piperline.video.clips import ClipReader
from piperline.video.mp4_writer import Written
from piperline.video.splice import cut

if TYPE_CHECKING:
    from piperline.lerobot.dataset import Dataset

_META = Path("meta")
EPISODES, TASKS = _META / "episodes.jsonl", _META / "tasks.jsonl"
STATS, SUBTASKS = _META / "episodes_stats.jsonl", _META / "subtasks.jsonl"
_SUBTASKS_OF_V30 = _META / "subtasks.parquet"
_EPISODE_INDEX = re.compile(rb'"episode_index":\s*(\d{1,15})\b')


class V21Writer(DatasetWriter):
    """Writes a LeRobot v2.1 dataset, episode by episode.

    The bytes of an episode's files follow from the episode, its number and the schema, and from
    nothing else.
    """

    version = "v2.1"
    longest_seconds = LONGEST_SECONDS["v2.1"]
    vector = "Sequence"
    quantiles = False

    def __init__(
        self, root: Path, schema: Schema, options: WriterOptions = DEFAULTS
    ) -> None:
        super().__init__(root, schema, options)
        self._readers = {key: ClipReader() for key in schema.cameras}
        self._folders: set[str] = set()

    def _write(self, episode: EncodedEpisode) -> pa.Table:
        index = self._numbering.episodes
        where = {"episode_chunk": index // CHUNKS_SIZE, "episode_index": index}
        names = {
            key: V21_VIDEO_PATH.format(video_key=key, **where)
            for key in self._readers
        }
        self._lanes.do(
            lambda key: self._write_clip(
                key, index, episode.clips[key], names[key]
            )
        )
        numbered = self._numbering.number(episode)
        data = self._file(V21_DATA_PATH.format(**where))
        pq.write_table(numbered.table, data, row_group_size=episode.length)
        stats = stats_document(numbered.stats, quantiles=False)
        self._append(
            STATS, json.dumps({"episode_index": index, "stats": stats}) + "\n"
        )
        own = {
            name: episode.own[name]
            for name in self._options.own_columns
            if name in episode.own
        }
        row = EpisodeRow(index, numbered.tasks, episode.length, own)
        self._append(EPISODES, row.to_disk())
        return numbered.table

    def take_first(self, dataset: "Dataset", count: int) -> int:
        """Give the files of the first episodes a second name; see `DatasetWriter`."""
        try:
            self._histograms.take_first(dataset.folder, count)
        except ValueError:  # not as this writer makes it
            return 0
        for row in dataset.episodes[:count]:
            index = row.episode_index
            self._take_file(dataset, dataset.reader.data_path(index))
            for key in self._readers:
                self._take_file(dataset, dataset.reader.span(index, key)[0])
            self._numbering.skip(row.length, row.tasks)
            self.origins.clips.append({})
            self.origins.rows.append(None)
        for path in (EPISODES, STATS):
            with dataset.folder.path(path).open(encoding="utf-8") as lines:
                self._append(path, "".join(islice(lines, count)))
        self.origins.leading = count
        return count

    def _take_file(self, dataset: "Dataset", name: str) -> None:
        source = f"{dataset.root}/{name}"
        self._take_over(source, self._file(name))
        self.origins.files[name] = source

    def _finish(self) -> None:
        self._lanes.wait()
        for reader in self._readers.values():
            reader.close()
        for path in (EPISODES, STATS):
            self._append(path, "")
        numbering = self._numbering
        tasks = [
            TaskRow(index, task).to_disk()
            for task, index in numbering.tasks.items()
        ]
        self._append(TASKS, "".join(tasks))
        for subtask, index in numbering.subtasks.items():
            row = {"subtask_index": index, "subtask": subtask}
            self._append(SUBTASKS, json.dumps(row, ensure_ascii=False) + "\n")

    def _file(self, path: str) -> str:
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            make_below(self._root, self._root / folder)
            self._folders.add(folder)
        return f"{self._root}/{path}"

    def _append(self, path: Path, text: str) -> None:
        with (self._root / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def _write_clip(self, key: str, index: int, clip: Clip, name: str) -> None:
        reader, target = self._readers[key], self._file(name)
        made: Written | Path | None = clip.path
        if clip.whole and reader.is_on_time(clip):
            self._take_over(clip.path, target)
        else:
            made = cut(clip, Path(target), reader)
        self.origins.note(name, key, index, made)


class V21Reader:
    """Reads where things lie in a LeRobot v2.0 or v2.1 dataset.

    Args:
        folder: the dataset's.
        info: its info.json.

    Attributes:
        episodes: number, tasks and length of each episode.
        tasks: the task texts; None where a number has none.
        subtasks: the subtask texts, likewise.

    Raises:
        DatasetError: a table is missing, or not numbered from 0 without gaps.
    """

    def __init__(self, folder: DatasetFolder, info: Info) -> None:
        self._folder = folder
        self._info = info
        self._data_path = PathTemplate(info.data_path)
        self._video_path = PathTemplate(info.video_path or V21_VIDEO_PATH)
        self.episodes = [
            EpisodeRow.from_disk(row) for row in self._lines(EPISODES)
        ]
        check_numbers(
            [row.episode_index for row in self.episodes], folder.root / EPISODES
        )
        tasks = [TaskRow.from_disk(row) for row in self._lines(TASKS)]
        self.tasks = by_number({row.task_index: row.task for row in tasks})
        self.subtasks = by_number(self._subtasks())
        self._stats_at: dict[int, int] = {}
        if folder.has(STATS):  # v2.0 has none
            self._stats_at = _line_starts(folder.path(STATS))

    def _lines(self, path: Path) -> list[Values]:
        # LeRobot makes the tables with the first episode.
        if not self._info.episodes and not self._folder.has(path):
            return []
        return list(self._folder.lines(path))

    def _subtasks(self) -> dict[int, str]:
        if self._folder.has(
            _SUBTASKS_OF_V30
        ):  # by hand: LeRobot's v2.1 has no subtasks
            path = self._folder.path(_SUBTASKS_OF_V30)
            return dict(enumerate(numbered_texts(path, "subtask")))
        if not self._folder.has(SUBTASKS):
            return {}
        rows = self._folder.lines(SUBTASKS)
        return {row.whole("subtask_index"): row.text("subtask") for row in rows}

    def _where(self, index: int) -> dict[str, int]:
        return {
            "episode_chunk": index // self._info.chunks_size,
            "episode_index": index,
        }

    def table(self, index: int) -> pa.Table:
        """All rows of an episode.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        path = self._folder.path(self.data_path(index))
        rows = ParquetRows(path)
        length = self.episodes[index].length
        if len(rows) != length:  # before they are read
            raise DatasetError(
                "the rows are not those of the episode",
                place=Place(file=path, episode=str(index)),
                expected=f"{length} rows of episode {index}",
                found=f"{len(rows)} rows",
            )
        return rows.all()

    def data_path(self, index: int) -> str:
        """Where the rows of an episode lie below the folder."""
        return self._data_path.path(self._where(index))

    def span(
        self,
        index: int,
        camera: str,
    ) -> tuple[str, int]:
        """Where the video of an episode lies below the folder; its first frame there is 0."""
        where: dict[str, int | str] = {
            **self._where(index),
            "video_key": camera,
        }
        return self._video_path.path(where), 0

    def stats(self, index: int) -> Mapping[str, Any]:
        """An episode's statistics as `episodes_stats.jsonl` has them; empty if there are none.

        Raises:
            DatasetError: its line is damaged.
        """
        if index not in self._stats_at:
            return {}
        return (
            self._folder.line_at(STATS, self._stats_at[index])
            .entry("stats")
            .values
        )


def by_number(texts: Mapping[int, str]) -> list[str | None]:
    """The texts of a table by their numbers; None for numbers that have none."""
    if not texts:
        return []
    return [texts.get(number) for number in range(max(texts) + 1)]


def _line_starts(path: Path) -> dict[int, int]:
    """Where the line of each episode begins: statistics of many episodes are too much to hold."""
    starts: dict[int, int] = {}
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if number := _EPISODE_INDEX.search(line):
                starts[int(number[1])] = offset
            offset += len(line)
    return starts

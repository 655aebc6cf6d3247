"""LeRobot v2.1 on disk: one Parquet file an episode, one mp4 an episode and camera, tables as JSON lines."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import Schema
from piperline.files import link_or_copy, make_below
from piperline.lerobot.card import card_text
from piperline.lerobot.columns import Numbering, stats_document, table_of
from piperline.lerobot.histograms import HistogramFile
from piperline.lerobot.info import (
    CHUNKS_SIZE,
    V21_DATA_PATH,
    V21_VIDEO_PATH,
    EpisodeRow,
    Info,
    TaskRow,
    read_jsonl,
)
from piperline.lerobot.v30_files import Lanes
from piperline.video.splice import Reader

LONGEST_SECONDS = 1024
"""lerobot 0.3.3 compares times as float32: beyond this an episode cannot be opened."""


class V21Writer:
    """Writes a LeRobot v2.1 dataset, episode by episode.

    The bytes of an episode's files follow from the episode, its number and the schema, and from nothing else.

    Args:
        root: an empty folder; the caller gives it its final name after `finish`.
        schema: of the dataset.
        link: whole clips are nobody else's and may be hard-linked instead of copied.
        tasks: task texts that are numbered first, in this order; others follow as they appear.
    """

    def __init__(
        self, root: Path, schema: Schema, *, link: bool = False, tasks: Iterable[str] = ()
    ) -> None:
        self._root = root
        self._schema = schema
        self._link = link
        self._numbering = Numbering(schema, "Sequence", tasks=tasks)
        (root / "meta").mkdir()
        self._histograms = HistogramFile(root, schema.cameras)
        self._readers = {key: Reader() for key in schema.cameras}
        self._lanes = Lanes(schema.cameras)

    def add(self, episode: EncodedEpisode) -> None:
        """Write the next episode; its videos are copied while the caller goes on.

        Raises:
            DatasetError: its columns are not those of the schema, or it is longer than v2.1 readers can open; or the
                video of an earlier episode cannot be read.
        """
        if episode.length > LONGEST_SECONDS * self._schema.fps:
            raise DatasetError(
                "the episode is too long for LeRobot v2.1: its reader compares times as float32",
                place=Place(episode=str(self._numbering.episodes)),
                expected=f"at most {LONGEST_SECONDS * self._schema.fps} frames ({LONGEST_SECONDS} s)",
                found=f"{episode.length} frames",
                next_step="cut it in the recording, and convert that again",
            )
        index = self._numbering.episodes
        where = {"episode_chunk": index // CHUNKS_SIZE, "episode_index": index}
        targets = {
            key: self._file(V21_VIDEO_PATH.format(video_key=key, **where)) for key in self._readers
        }
        self._lanes.do(
            lambda key: self._write_clip(self._readers[key], episode.clips[key], targets[key])
        )
        placed = self._numbering.place(episode)
        pq.write_table(
            placed.table, self._file(V21_DATA_PATH.format(**where)), row_group_size=episode.length
        )
        stats = {
            "episode_index": placed.index,
            "stats": stats_document(placed.stats, quantiles=False),
        }
        self._append("episodes_stats.jsonl", json.dumps(stats) + "\n")
        self._append(
            "episodes.jsonl", EpisodeRow(placed.index, placed.tasks, episode.length).to_disk()
        )
        self._histograms.add(episode.camera_stats)

    def finish(self) -> None:
        """Write what is known only at the end: task table, info.json and the dataset card.

        Raises:
            DatasetError: a video cannot be read.
        """
        self._histograms.finish()
        self._lanes.wait()
        for reader in self._readers.values():
            reader.close()
        numbering = self._numbering
        for name in ("episodes.jsonl", "episodes_stats.jsonl"):
            self._append(name, "")
        self._append(
            "tasks.jsonl",
            "".join(TaskRow(index, task).to_disk() for task, index in numbering.tasks.items()),
        )
        info = Info(
            version="v2.1",
            robot_type=self._schema.robot_type,
            fps=self._schema.fps,
            features=self._schema.features,
            episodes=numbering.episodes,
            frames=numbering.frames,
            tasks=len(numbering.tasks),
        )
        info.to_disk(self._root)
        (self._root / "README.md").write_text(
            card_text(info, list(numbering.tasks)), encoding="utf-8"
        )

    def close(self) -> None:
        """See that nothing is under way any more; without `finish`, the folder is no dataset."""
        self._lanes.close()

    def _file(self, path: str) -> Path:
        file = self._root / path
        make_below(self._root, file.parent)
        return file

    def _append(self, name: str, text: str) -> None:
        with (self._root / "meta" / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def _write_clip(self, reader: Reader, clip: Clip, target: Path) -> None:
        if not clip.whole:
            reader.cut(clip, target)
        elif self._link:
            link_or_copy(clip.path, target)
        else:
            shutil.copyfile(clip.path, target)


class V21Reader:
    """Reads where things lie in a LeRobot v2.0 or v2.1 dataset.

    Args:
        root: the dataset.
        info: its info.json.

    Attributes:
        episodes: number, tasks and length of each episode.
        tasks: the task texts; the place of each is its task_index.

    Raises:
        DatasetError: a table is missing, or not numbered from 0 without gaps.
    """

    def __init__(self, root: Path, info: Info) -> None:
        self._root = root
        self._info = info
        meta = root / "meta"
        # LeRobot makes the tables with the first episode.
        known = [
            name
            for name in ("episodes.jsonl", "tasks.jsonl")
            if info.episodes or (meta / name).exists()
        ]
        rows = {name: list(read_jsonl(meta / name)) for name in known}
        self.episodes = [EpisodeRow.from_disk(row) for row in rows.get("episodes.jsonl", ())]
        tasks = sorted(
            map(TaskRow.from_disk, rows.get("tasks.jsonl", ())), key=lambda row: row.task_index
        )
        _check_numbers([row.episode_index for row in self.episodes], meta / "episodes.jsonl")
        _check_numbers([row.task_index for row in tasks], meta / "tasks.jsonl")
        self.tasks = [row.task for row in tasks]
        self._stats_path = meta / "episodes_stats.jsonl"
        self._stats_at = _line_starts(self._stats_path)

    def _path(self, template: str, index: int, **names: str) -> Path:
        where = {"episode_chunk": index // self._info.chunks_size, "episode_index": index}
        return self._root / template.format(**where, **names)

    def table(self, index: int) -> pa.Table:
        """All rows of an episode.

        Raises:
            DatasetError: its file is missing or damaged.
        """
        return table_of(self.data_path(index))

    def data_path(self, index: int) -> Path:
        """The file in which the rows of an episode lie."""
        return self._path(self._info.data_path, index)

    def span(self, index: int, camera: str) -> tuple[Path, int]:
        """The video file of an episode; its first frame there is always 0."""
        return self._path(self._info.video_path or V21_VIDEO_PATH, index, video_key=camera), 0

    def stats(self, index: int) -> Mapping[str, Mapping[str, Any]]:
        """An episode's statistics as `episodes_stats.jsonl` has them; empty if there are none."""
        if index not in self._stats_at:
            return {}
        with self._stats_path.open("rb") as file:
            file.seek(self._stats_at[index])
            found: Mapping[str, Mapping[str, Any]] = json.loads(file.readline())["stats"]
        return found


def _check_numbers(numbers: list[int], path: Path) -> None:
    if numbers != list(range(len(numbers))):
        raise DatasetError(
            "the rows of the table are not numbered 0, 1, 2, ...",
            place=Place(file=path),
            found=str(numbers[:10]),
        )


def _line_starts(path: Path) -> dict[int, int]:
    """Where the line of each episode begins: statistics of many episodes are too much to hold."""
    starts: dict[int, int] = {}
    if path.exists():  # v2.0 has none
        with path.open("rb") as file:
            position = 0
            for line in file:
                if number := re.search(rb'"episode_index":\s*(\d+)', line):
                    starts[int(number[1])] = position
                position += len(line)
    return starts

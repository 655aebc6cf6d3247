"""LeRobot v2.1 on disk: one Parquet file an episode, one mp4 an episode and camera, tables as JSON lines."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import Schema
from piperline.lerobot.card import card_text
from piperline.lerobot.histograms import HistogramFile
from piperline.lerobot.info import CHUNKS_SIZE, V21_DATA_PATH, V21_VIDEO_PATH, EpisodeRow, Info, TaskRow
from piperline.lerobot.rows import Numbering
from piperline.remux import Reader
from piperline.stats import FeatureStats

__all__ = ["V21Writer", "stats_document"]

LONGEST_SECONDS = 1024
"""lerobot 0.3.3 compares times as float32: beyond this an episode cannot be opened."""


def stats_document(stats: Mapping[str, FeatureStats], *, quantiles: bool) -> dict[str, dict[str, Any]]:
    """Statistics as LeRobot's JSON: by feature, nested lists in the feature's shape and `count` as a list of one."""
    return {
        key: {
            "min": part.min.tolist(),
            "max": part.max.tolist(),
            "mean": part.mean.tolist(),
            "std": part.std.tolist(),
            "count": [part.count],
            **({name: value.tolist() for name, value in part.quantiles.items()} if quantiles else {}),
        }
        for key, part in stats.items()
    }


class V21Writer:
    """Writes a LeRobot v2.1 dataset, episode by episode.

    The bytes of an episode's files follow from the episode, its number and the schema, and from nothing else.

    Args:
        root: an empty folder; the caller gives it its final name after `finish`.
        schema: of the dataset.
        link: whole clips are nobody else's and may be hard-linked instead of copied.
        tasks: task texts that are numbered first, in this order; others follow as they appear.
    """

    def __init__(self, root: Path, schema: Schema, *, link: bool = False, tasks: Iterable[str] = ()) -> None:
        self._root = root
        self._schema = schema
        self._link = link
        self._numbering = Numbering(schema, "Sequence", tasks=tasks)
        (root / "meta").mkdir()
        self._histograms = HistogramFile(root, schema.cameras)
        self._reader = Reader()

    def add(self, episode: EncodedEpisode) -> None:
        """Write the next episode.

        Raises:
            DatasetError: its columns are not those of the schema, or it is longer than v2.1 readers can open.
        """
        if episode.length > LONGEST_SECONDS * self._schema.fps:
            raise DatasetError(
                "the episode is too long for LeRobot v2.1: its reader compares times as float32",
                place=Place(episode=str(self._numbering.episodes)),
                expected=f"at most {LONGEST_SECONDS * self._schema.fps} frames ({LONGEST_SECONDS} s)",
                found=f"{episode.length} frames",
                next_step="write it with `--format v3.0`, or split the recording",
            )
        placed = self._numbering.place(episode)
        where = {"episode_chunk": placed.index // CHUNKS_SIZE, "episode_index": placed.index}
        pq.write_table(placed.table, self._file(V21_DATA_PATH.format(**where)), row_group_size=episode.length)
        for key in self._schema.cameras:
            self._write_clip(episode.clips[key], self._file(V21_VIDEO_PATH.format(video_key=key, **where)))
        stats = {"episode_index": placed.index, "stats": stats_document(placed.stats, quantiles=False)}
        self._append("episodes_stats.jsonl", json.dumps(stats) + "\n")
        self._append("episodes.jsonl", EpisodeRow(placed.index, placed.tasks, episode.length).to_disk())
        self._histograms.add(episode.camera_stats)

    def finish(self) -> None:
        """Write what is known only at the end: task table, info.json and the dataset card."""
        self._histograms.finish()
        self._reader.close()
        numbering = self._numbering
        for name in ("episodes.jsonl", "episodes_stats.jsonl"):
            self._append(name, "")
        self._append("tasks.jsonl", "".join(TaskRow(index, task).to_disk() for task, index in numbering.tasks.items()))
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
        (self._root / "README.md").write_text(card_text(info, list(numbering.tasks)), encoding="utf-8")

    def _file(self, path: str) -> Path:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _append(self, name: str, text: str) -> None:
        with (self._root / "meta" / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def _write_clip(self, clip: Clip, target: Path) -> None:
        if not clip.whole:
            self._reader.cut(clip, target)
        elif self._link:
            _link_or_copy(clip.path, target)
        else:
            shutil.copyfile(clip.path, target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)

"""`meta/info.json` and the rows of the task and episode tables: how each is read and written.

Source: huggingface/lerobot, `src/lerobot/datasets/utils.py` at v0.3.3 (format v2.1) and v0.4.4
(format v3.0).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from piperline.errors import DatasetError, Place, UnsupportedVersion
from piperline.features import BOOKKEEPING, CAMERA_AXES, Feature, Schema
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.paths import PathTemplate, check_key
from piperline.lerobot.values import Values
from piperline.text import printable

VERSIONS = ("v2.0", "v2.1", "v3.0")
LONGEST_SECONDS = {"v2.1": 1024, "v3.0": 1000}
"""The longest episode, in v3.0 the longest file, that LeRobot's readers map to the right frames.

They compare times as float32: beyond 1,024 s, a sum of two times no longer finds its frame.
"""
CHUNKS_SIZE = 1000
MOST_NUMBERS = 1 << 22
"""Numbers of a feature that is no picture, in one row."""
INFO = Path("meta") / "info.json"
PROVENANCE = Path("meta") / "piperline.json"
"""How a dataset was made: LeRobot's tools lose what they do not know in info.json, so it has a file
of its own."""

V21_DATA_PATH = (
    "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
)
V21_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
V30_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
V30_VIDEO_PATH = (
    "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
)

_PATHS = {
    False: (V21_DATA_PATH, V21_VIDEO_PATH),
    True: (V30_DATA_PATH, V30_VIDEO_PATH),
}
"""The templates, by whether the version is v3.0."""
_PLACES = {
    False: ("episode_chunk", "episode_index"),
    True: ("chunk_index", "file_index"),
}
"""The fields of templates, likewise."""

_NUMBERS = re.compile(r"u?int\d+|float\d+|bool")
_KNOWN_KEYS = {
    "codebase_version",
    "robot_type",
    "total_episodes",
    "total_frames",
    "total_tasks",
    "total_videos",
    "total_chunks",
    "chunks_size",
    "data_files_size_in_mb",
    "video_files_size_in_mb",
    "fps",
    "splits",
    "data_path",
    "video_path",
    "features",
}
_KNOWN_FEATURE_KEYS = {"dtype", "shape", "names", "info", "video_info"}


@dataclass(frozen=True)
class Info:
    """What `meta/info.json` says.

    Attributes:
        version: LeRobot's `codebase_version`: "v2.0", "v2.1" or "v3.0".
        robot_type: LeRobot's name for the robot, or None.
        fps: frames a second.
        features: the recorded features, without `BOOKKEEPING`.
        episodes, frames, tasks: how many there are.
        chunks_size: episodes (v2) or files (v3.0) in a chunk folder.
        data_path, video_path: where files lie below the dataset; no video_path without cameras.
        data_mb, video_mb: v3.0 only: MiB at which a new data or video file is begun.
        splits: named spans of episodes: {"train": "0:10"}; None for all in "train".
        own: keys that LeRobot does not know, with their values.
    """

    version: str
    robot_type: str | None
    fps: int
    features: Mapping[str, Feature]
    episodes: int
    frames: int
    tasks: int
    chunks_size: int = CHUNKS_SIZE
    data_path: str = V21_DATA_PATH
    video_path: str | None = V21_VIDEO_PATH
    data_mb: float = 100
    video_mb: float = 200
    splits: Mapping[str, str] | None = None
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        """What all episodes of the dataset have in common."""
        return Schema(
            fps=self.fps,
            robot_type=self.robot_type,
            features=self.features,
            own=self.own,
        )

    @classmethod
    def from_disk(cls, root: Path) -> "Info":
        """Read `meta/info.json` of the dataset at `root`.

        Raises:
            DatasetError: there is none, or something in it is missing or not what LeRobot writes.
            UnsupportedVersion: the dataset is of a version that is not in `VERSIONS`.
        """
        values = _read(root)
        version = values.values.get("codebase_version")
        if version not in VERSIONS:
            raise UnsupportedVersion(
                "the dataset is of a LeRobot version that is not known",
                place=values.place,
                expected="codebase_version " + ", ".join(VERSIONS),
                found=printable(repr(version)),
                next_step="update piperline, or migrate it with the LeRobot that wrote it",
            )
        is_v3 = version == "v3.0"
        data_path, video_path = _PATHS[is_v3]
        return cls(
            version=version,
            robot_type=values.optional_text("robot_type"),
            fps=_fps(values),
            features=_features(values),
            episodes=values.whole("total_episodes"),
            frames=values.whole("total_frames"),
            tasks=values.whole("total_tasks", 0),
            chunks_size=values.whole("chunks_size", CHUNKS_SIZE, least=1),
            data_path=_template(values, "data_path", data_path, _PLACES[is_v3]),
            video_path=_template(
                values, "video_path", video_path, (*_PLACES[is_v3], "video_key")
            ),
            data_mb=values.number("data_files_size_in_mb", 100),
            video_mb=values.number("video_files_size_in_mb", 200),
            splits=_splits(values),
            own={
                key: value
                for key, value in values.values.items()
                if key not in _KNOWN_KEYS
            },
        )

    def to_disk(self, root: Path) -> None:
        """Write `meta/info.json` of the dataset at `root`, keys in LeRobot's order."""
        videos = sum(feature.is_video for feature in self.features.values())
        features = {**self.features, **BOOKKEEPING}
        document = {
            "codebase_version": self.version,
            "robot_type": self.robot_type,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": self.tasks,
            **self._sizes(videos),
            "fps": self.fps,
            "splits": self.splits or {"train": f"0:{self.episodes}"},
            "data_path": self.data_path,
            "video_path": self.video_path if videos else None,
            "features": {
                key: _feature_to(entry) for key, entry in features.items()
            },
            **self.own,
        }
        text = json.dumps(document, indent=4, ensure_ascii=False)
        (root / INFO).write_text(text, encoding="utf-8")

    def _sizes(self, videos: int) -> dict[str, Any]:
        if self.version == "v3.0":
            return {
                "chunks_size": self.chunks_size,
                "data_files_size_in_mb": _short(self.data_mb),
                "video_files_size_in_mb": _short(self.video_mb),
            }
        return {
            "total_videos": self.episodes * videos,
            "total_chunks": -(-self.episodes // self.chunks_size),
            "chunks_size": self.chunks_size,
        }


def _read(root: Path) -> Values:
    folder = DatasetFolder(root)
    if not folder.has(INFO):
        raise DatasetError(
            "this is not a LeRobot dataset"
            if folder.has(".")
            else "there is no such dataset",
            place=Place(file=root),
            expected="a folder with meta/info.json",
            next_step="name the folder that holds meta/, data/ and videos/",
            found="a folder without it"
            if folder.has(".")
            else "nothing of that name",
        )
    return folder.document(INFO)


def _fps(values: Values) -> int:
    fps = values.number("fps")
    if fps != int(fps) or fps == 0:
        raise values.wrong(
            "fps", "a whole number: LeRobot's readers truncate others"
        )
    return int(fps)


def _template(
    values: Values, name: str, usual: str, fields: tuple[str, ...]
) -> str:
    """A template of info.json that names files inside the dataset, with the known fields."""
    text = values.optional_text(name) or usual
    try:
        PathTemplate(text).check(fields)
    except ValueError as error:
        raise values.wrong(
            name, f"such as {usual}; {printable(str(error))}"
        ) from error
    return text


def _splits(values: Values) -> dict[str, str] | None:
    """The splits, where all of them are spans of episodes: lerobot reads none of them."""
    splits = values.values.get("splits")
    if not isinstance(splits, Mapping):
        return None
    if not all(isinstance(span, str) for span in splits.values()):
        return None
    return dict(splits)


def _features(values: Values) -> dict[str, Feature]:
    entries = values.entry("features")
    features = {}
    for key in entries.values:
        if key in BOOKKEEPING:
            continue
        try:
            check_key(key)
        except ValueError as error:
            raise entries.wrong(
                key, f"a feature with a name; {printable(str(error))}"
            ) from error
        features[key] = _feature_from(entries.entry(key))
    return features


def _feature_from(entry: Values) -> Feature:
    dtype = entry.text("dtype")
    if _NUMBERS.fullmatch(dtype) and not hasattr(
        np, dtype.replace("bool", "bool_")
    ):
        raise entry.wrong("dtype", "a type of numpy: float32, int64, bool")
    shape = entry.shape("shape")
    if dtype in {"image", "video"} and len(shape) != len(CAMERA_AXES):
        raise entry.wrong("shape", "height, width and channels")
    if not fits_a_row(dtype, shape):
        raise entry.wrong("shape", f"at most {MOST_NUMBERS} numbers in a row")
    info = entry.values.get("info", entry.values.get("video_info"))
    if info is not None and not isinstance(info, Mapping):
        raise entry.wrong("info", "a JSON object")
    own = {
        key: item
        for key, item in entry.values.items()
        if key not in _KNOWN_FEATURE_KEYS
    }
    stored = entry.values.get("names")
    names = _flat_names(stored)
    if stored is not None and stored != list(names or ()):
        own["names"] = stored
    return Feature(
        dtype=dtype,
        shape=shape,
        names=names,
        info=info,
        own=own,
    )


def fits_a_row(dtype: str, shape: Sequence[int]) -> bool:
    """Whether a frame can have so many numbers: each has a name, and is looked at by itself."""
    is_picture = dtype in {"image", "video"}
    return is_picture or math.prod(shape) <= MOST_NUMBERS


def _short(size: float) -> float:
    return int(size) if size == int(size) else size


def _flat_names(names: object) -> tuple[str, ...] | None:
    """The names of the dimensions.

    Older datasets group them, `{"motors": [...]}`; names that are not one list are left out.
    """
    if isinstance(names, dict):
        lists = [part for part in names.values() if isinstance(part, list)]
        return _flat_names([name for part in lists for name in part] or None)
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _feature_to(feature: Feature) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "dtype": feature.dtype,
        "shape": list(feature.shape),
        "names": list(feature.names) if feature.names is not None else None,
    }
    if feature.info is not None:
        entry["info"] = dict(feature.info)
    return {**entry, **feature.own}


@dataclass(frozen=True)
class TaskRow:
    """A row of the task table.

    Attributes:
        task_index: its number.
        task: its text.
    """

    task_index: int
    task: str

    @classmethod
    def from_disk(cls, row: Values) -> "TaskRow":
        """Read a line of `tasks.jsonl`."""
        return cls(row.whole("task_index"), row.text("task"))

    def to_disk(self) -> str:
        """The line of `tasks.jsonl`."""
        row = {"task_index": self.task_index, "task": self.task}
        return json.dumps(row, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class EpisodeRow:
    """A row of the episode table: what both formats say about an episode.

    Attributes:
        episode_index: its number.
        tasks: its task texts.
        length: how many frames.
        own: columns that LeRobot does not know, with their values.
    """

    episode_index: int
    tasks: tuple[str, ...] = field(default=())
    length: int = 0
    own: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_disk(cls, row: Values) -> "EpisodeRow":
        """Read a line of `episodes.jsonl`, or a row of v3.0's table without its own columns."""
        known = {"episode_index", "tasks", "length"}
        return cls(
            row.whole("episode_index"),
            row.texts("tasks", ()),
            row.whole("length", least=1),
            {
                name: value
                for name, value in row.values.items()
                if name not in known
            },
        )

    def to_disk(self) -> str:
        """The line of `episodes.jsonl`."""
        row = {
            "episode_index": self.episode_index,
            "tasks": list(self.tasks),
            "length": self.length,
            **self.own,
        }
        return json.dumps(row, ensure_ascii=False) + "\n"


def check_numbers(numbers: list[int], path: Path) -> None:
    """See that the rows of a table are numbered 0, 1, 2, ...

    Raises:
        DatasetError: they are not.
    """
    if numbers != list(range(len(numbers))):
        raise DatasetError(
            "the rows of the table are not numbered 0, 1, 2, ...",
            place=Place(file=path),
            found=str(numbers[:10]),
            expected="0, 1, 2, ...",
        )

"""`meta/info.json` and the rows of the task and episode tables: how each is read and written.

Source: huggingface/lerobot, `src/lerobot/datasets/utils.py` at v0.3.3 (format v2.1) and v0.4.4 (format v3.0).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piperline.errors import DatasetError, Place, UnsupportedVersion
from piperline.features import BOOKKEEPING, Feature, Schema

VERSIONS = ("v2.0", "v2.1", "v3.0")
LONGEST_SECONDS = {"v2.1": 1024, "v3.0": 1000}
"""The longest episode, in v3.0 the longest file, that LeRobot's readers map to the right frames.

They compare times as float32: beyond 1,024 s, a sum of two times no longer finds its frame.
"""
CHUNKS_SIZE = 1000
PROVENANCE = Path("meta") / "piperline.json"
"""How a dataset was made: LeRobot's tools lose what they do not know in info.json, so it has a file of its own."""

V21_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
V21_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
V30_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
V30_VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"


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
        data_path, video_path: where files lie below the dataset, as format strings; no video_path without cameras.
        data_mb, video_mb: v3.0 only: MiB at which a new data or video file is begun.
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

    @property
    def schema(self) -> Schema:
        """What all episodes of the dataset have in common."""
        return Schema(fps=self.fps, robot_type=self.robot_type, features=self.features)

    @classmethod
    def from_disk(cls, root: Path) -> "Info":
        """Read `meta/info.json` of the dataset at `root`.

        Raises:
            DatasetError: there is none, or something in it is missing or not what LeRobot writes.
            UnsupportedVersion: the dataset is of a version that is not in `VERSIONS`.
        """
        path = root / "meta" / "info.json"
        found = _read_document(root, path)
        version = found.get("codebase_version")
        if version not in VERSIONS:
            raise UnsupportedVersion(
                "the dataset is of a LeRobot version that is not known",
                place=Place(file=path),
                expected="codebase_version " + ", ".join(VERSIONS),
                found=repr(version),
            )
        try:
            return cls._of_document(found)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise DatasetError(
                "info.json is not what LeRobot writes",
                place=Place(file=path),
                found=f"{type(error).__name__}: {error}",
            ) from error

    @classmethod
    def _of_document(cls, found: Mapping[str, Any]) -> "Info":
        is_v3 = found["codebase_version"] == "v3.0"
        features = {
            _inside(key): _feature_from(entry)
            for key, entry in found["features"].items()
            if key not in BOOKKEEPING
        }
        return cls(
            version=found["codebase_version"],
            robot_type=found.get("robot_type"),
            fps=_whole(found["fps"]),
            features=features,
            episodes=int(found["total_episodes"]),
            frames=int(found["total_frames"]),
            tasks=int(found.get("total_tasks", 0)),
            chunks_size=int(found.get("chunks_size", CHUNKS_SIZE)),
            data_path=_inside(
                found.get("data_path") or (V30_DATA_PATH if is_v3 else V21_DATA_PATH)
            ),
            video_path=_inside(
                found.get("video_path") or (V30_VIDEO_PATH if is_v3 else V21_VIDEO_PATH)
            ),
            data_mb=float(found.get("data_files_size_in_mb", 100)),
            video_mb=float(found.get("video_files_size_in_mb", 200)),
        )

    def to_disk(self, root: Path) -> None:
        """Write `meta/info.json` of the dataset at `root`, keys in LeRobot's order."""
        videos = sum(feature.is_video for feature in self.features.values())
        if self.version == "v3.0":
            sizes: dict[str, Any] = {
                "chunks_size": self.chunks_size,
                "data_files_size_in_mb": _short(self.data_mb),
                "video_files_size_in_mb": _short(self.video_mb),
            }
        else:
            sizes = {
                "total_videos": self.episodes * videos,
                "total_chunks": -(-self.episodes // self.chunks_size),
                "chunks_size": self.chunks_size,
            }
        document = {
            "codebase_version": self.version,
            "robot_type": self.robot_type,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": self.tasks,
            **sizes,
            "fps": self.fps,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": self.data_path,
            "video_path": self.video_path if videos else None,
            "features": {
                key: _feature_to(entry) for key, entry in {**self.features, **BOOKKEEPING}.items()
            },
        }
        text = json.dumps(document, indent=4, ensure_ascii=False)
        (root / "meta" / "info.json").write_text(text, encoding="utf-8")


def _read_document(root: Path, path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            "this is not a LeRobot dataset" if root.exists() else "there is no such dataset",
            place=Place(file=root),
            expected="a folder with meta/info.json",
            next_step="name the folder that holds meta/, data/ and videos/",
        ) from error
    except ValueError as error:
        raise DatasetError(
            "info.json is not JSON", place=Place(file=path), found=str(error)
        ) from error
    if not isinstance(found, dict):
        raise DatasetError("info.json is not a JSON object", place=Place(file=path))
    return found


def _inside(path: str) -> str:
    """A path, or a name that becomes part of one: from an untrusted file, it must not lead out of the dataset."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of the dataset")
    return path


def _whole(fps: float) -> int:
    if int(fps) != fps or fps <= 0:
        raise ValueError(f"fps is {fps}, and LeRobot's readers need a whole number")
    return int(fps)


def _short(size: float) -> float:
    return int(size) if size == int(size) else size


def _feature_from(entry: Mapping[str, Any]) -> Feature:
    return Feature(
        dtype=str(entry["dtype"]),
        shape=tuple(int(side) for side in entry["shape"]),
        names=_flat_names(entry.get("names")),
        info=entry.get("info", entry.get("video_info")),
    )


def _flat_names(names: object) -> tuple[str, ...] | None:
    """Older datasets group names, `{"motors": [...]}`; names that are not one list are left out."""
    if isinstance(names, dict):
        grouped = [part for parts in names.values() if isinstance(parts, list) for part in parts]
        return _flat_names(grouped or None)
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _feature_to(feature: Feature) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "dtype": feature.dtype,
        "shape": list(feature.shape),
        "names": list(feature.names) if feature.names is not None else None,
    }
    return entry if feature.info is None else {**entry, "info": dict(feature.info)}


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
    def from_disk(cls, row: Mapping[str, Any]) -> "TaskRow":
        """Read a line of `tasks.jsonl`."""
        return cls(int(row["task_index"]), str(row["task"]))

    def to_disk(self) -> str:
        """The line of `tasks.jsonl`."""
        return (
            json.dumps({"task_index": self.task_index, "task": self.task}, ensure_ascii=False)
            + "\n"
        )


@dataclass(frozen=True)
class EpisodeRow:
    """A row of the episode table: what both formats say about an episode.

    Attributes:
        episode_index: its number.
        tasks: its task texts.
        length: how many frames.
    """

    episode_index: int
    tasks: tuple[str, ...] = field(default=())
    length: int = 0

    @classmethod
    def from_disk(cls, row: Mapping[str, Any]) -> "EpisodeRow":
        """Read a line of `episodes.jsonl`."""
        return cls(
            int(row["episode_index"]), tuple(map(str, row.get("tasks", ()))), int(row["length"])
        )

    def to_disk(self) -> str:
        """The line of `episodes.jsonl`."""
        row = {
            "episode_index": self.episode_index,
            "tasks": list(self.tasks),
            "length": self.length,
        }
        return json.dumps(row, ensure_ascii=False) + "\n"


def read_jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a JSON lines file, empty lines left out.

    Raises:
        DatasetError: the file is missing, or a line is not a JSON object.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _row(path, number, line)
    except FileNotFoundError as error:
        raise DatasetError(f"the dataset has no {path.name}", place=Place(file=path)) from error


def _row(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetError(
            f"line {number} is not JSON", place=Place(file=path), found=str(error)
        ) from error
    if not isinstance(row, dict):
        raise DatasetError(f"line {number} is not a JSON object", place=Place(file=path))
    return row

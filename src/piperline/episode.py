"""The waist: one episode, encoded, with nothing in it that depends on its place in a dataset.

Readers of recordings and of datasets make `EncodedEpisode`; writers of datasets take it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piperline.files import sync
from piperline.stats import FeatureStats

TABLE, RECORD = "table.parquet", "episode.json"


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is.

    Attributes:
        codec: FFmpeg's name: `h264`, `av1`, `mjpeg`, ...
        pix_fmt: FFmpeg's name of the pixel format: `yuv420p`, `yuvj420p`, ...
        width, height: in pixels.
        fps: frames a second.
    """

    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: int


@dataclass(frozen=True)
class Proof:
    """What was looked at of a clip when it was made, and found right.

    Attributes:
        packets: that are recorded JPEG byte for byte.
        frames: that were decoded and show what was recorded.
        cannot_tell: those of them that are too much like their neighbours to be told apart.
    """

    packets: int = 0
    frames: int = 0
    cannot_tell: int = 0


@dataclass(frozen=True)
class Clip:
    """A span of a video file, in whole frames.

    Attributes:
        path: the video file.
        first: the number of its first frame in the file.
        count: how many frames.
        info: what the file is.
        whole: whether the file holds nothing else, so that it can be linked or copied as it is.
        proof: what was looked at of it when it was made; None where nothing was.
    """

    path: Path
    first: int
    count: int
    info: VideoInfo
    whole: bool = True
    proof: Proof | None = None

    def __post_init__(self) -> None:
        if self.first < 0 or self.count < 1:
            raise ValueError(
                f"a clip needs first >= 0 and count >= 1, not {self.first} and {self.count}"
            )


@dataclass(frozen=True)
class EncodedEpisode:
    """One episode as rows, clips and statistics.

    Attributes:
        table: Arrow table of `length` rows: the recorded vectors (fixed-size lists of float32, or whatever the
            dataset holds) and `features.EPISODE_LOCAL`; no `index`, `episode_index`, `task_index`.
        clips: a span of `length` frames for each camera, by feature key.
        camera_stats: image statistics by feature key; those of columns follow from `table`.
        tasks: the episode's task texts, in the order in which they first occur.
        task_rows: int64 of shape (length,), for each row the place of its task in `tasks`; None if there is one.
    """

    table: pa.Table
    clips: Mapping[str, Clip]
    camera_stats: Mapping[str, FeatureStats]
    tasks: tuple[str, ...]
    task_rows: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for key, clip in self.clips.items():
            if clip.count != self.length:
                raise ValueError(f"{key}: {clip.count} frames for {self.length} rows")

    @property
    def length(self) -> int:
        """How many frames."""
        return int(self.table.num_rows)


def save_episode(folder: Path, episode: EncodedEpisode) -> None:
    """Write `episode` into `folder`, where its clips already lie, each as a whole file.

    The record is written last, with the size of every file: `load_episode` takes a folder without it, or with
    files of other sizes, for absent.

    Args:
        folder: the staging folder of this episode alone.
        episode: one task, clips in `folder`, image statistics from histograms.
    """
    pq.write_table(episode.table, folder / TABLE)
    files = [TABLE, *(clip.path.name for clip in episode.clips.values())]
    for name in files:
        sync(folder / name)
    record = {
        "tasks": episode.tasks,
        "sizes": {name: (folder / name).stat().st_size for name in files},
        "clips": {
            key: clip_record(clip, episode.camera_stats[key]) for key, clip in episode.clips.items()
        },
    }
    (folder / RECORD).write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    sync(folder / RECORD)


def load_episode(folder: Path) -> EncodedEpisode | None:
    """Read what `save_episode` wrote; None where it is not there whole."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if any((folder / name).stat().st_size != size for name, size in record["sizes"].items()):
            return None
        cameras = {key: load_clip(folder, clip) for key, clip in record["clips"].items()}
        with pq.ParquetFile(folder / TABLE) as file:
            table = file.read()
        return EncodedEpisode(
            table=table,
            clips={key: clip for key, (clip, _) in cameras.items()},
            camera_stats={key: stats for key, (_, stats) in cameras.items()},
            tasks=tuple(record["tasks"]),
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def clip_record(clip: Clip, stats: FeatureStats) -> dict[str, Any]:
    """A clip that is a whole file, and its exact image statistics, as JSON values."""
    if stats.histogram is None:
        raise ValueError("a staged camera has a histogram")
    return {
        "file": clip.path.name,
        "count": clip.count,
        "info": asdict(clip.info),
        "proof": asdict(clip.proof) if clip.proof else None,
        "samples": stats.count,
        "histogram": stats.histogram.tolist(),
    }


def load_clip(folder: Path, record: Mapping[str, Any]) -> tuple[Clip, FeatureStats]:
    """What `clip_record` made, for a file in `folder`."""
    histogram = np.array(record["histogram"], dtype=np.int64)
    proof = Proof(**record["proof"]) if record.get("proof") else None
    info = VideoInfo(**record["info"])
    clip = Clip(folder / record["file"], 0, record["count"], info, proof=proof)
    return clip, FeatureStats.of_histogram(histogram, record["samples"])

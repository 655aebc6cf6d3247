"""The folder of a staged episode. The record comes last: with it, the episode is complete.

    <camera>.mp4         the video of a camera
    <camera>.mp4.json    what the video is, and the statistics of its images
    table.parquet        the rows
    <camera>.mp4.npz     what was measured of the images of a camera
    episode.npz          what was measured of the episode
    episode.json         number of rows, instructions, cameras, and the size of every other file

Several processes may fill one folder, also on several machines: what they write is equal, and each
file is written under a name that is its writer's own, then renamed.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from piperline.episode import Clip, Digests, EncodedEpisode, Proof, VideoInfo
from piperline.features import camera_key
from piperline.files import own_name, sync, write_whole
from piperline.recordings.instructions import Spans, texts_in
from piperline.signals.camera import CameraSignals
from piperline.signals.episode import (
    EpisodeSignals,
    load_signals,
    save_signals,
)
from piperline.stats import FeatureStats
from piperline.video.digests import digests_of

RECORD = "episode.json"
_TABLE = "table.parquet"


class EpisodeFolder:
    """The folder of one staged episode; it need not exist yet.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_complete(self, length: int) -> bool:
        """Whether the episode is here, with `length` rows and every file in its full size."""
        record = self._record()
        return record is not None and record["length"] == length

    def has_video(self, camera: str) -> bool:
        """Whether the video of a camera is here, with its record."""
        video = self._video(camera)
        try:
            record = json.loads(_record_of(video).read_text(encoding="utf-8"))
            return bool(record["size"] == video.stat().st_size)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def add_video(
        self, camera: str, encode: Callable[[Path], tuple[Clip, FeatureStats]]
    ) -> None:
        """Make the video of a camera.

        Args:
            camera: its name.
            encode: makes the video at the path that it is given.
        """
        own, video = self._own("mp4"), self._video(camera)
        try:
            clip, stats = encode(own)
            with ThreadPoolExecutor(1) as thread:
                synced = thread.submit(sync, own)
                digests = digests_of(own, clip.info.fps)  # while the disk works
            synced.result()
            own.replace(video)
        finally:
            own.unlink(missing_ok=True)
        clip = replace(clip, digests=digests)
        record = _clip_record(clip, stats) | {"size": video.stat().st_size}
        write_whole(_record_of(video), json.dumps(record))

    def signals_file(self, camera: str | None = None) -> Path:
        """Where the signals of the episode are kept, or before, those of one camera."""
        return self.path / f"{camera or 'episode'}.npz"

    def add_signals(self, camera: str, signals: CameraSignals) -> None:
        """Keep what was measured of the images of a camera, until the episode is complete."""
        alone = EpisodeSignals(
            "", "", "", 0, "", vectors={}, cameras={camera: signals}
        )
        save_signals(self.signals_file(f"{camera}.mp4"), alone)

    def signals_of(self, camera: str) -> CameraSignals | None:
        """What was measured of the images of a camera."""
        kept = load_signals(self.signals_file(f"{camera}.mp4"))
        return None if kept is None else kept.cameras[camera]

    def complete(
        self, table: pa.Table, cameras: list[str], spans: Spans
    ) -> None:
        """Write the rows, then the record. The videos of all `cameras` are here already.

        Args:
            table: the rows.
            cameras: their names.
            spans: the frame from which each instruction holds, from 0 on, and its text.
        """
        own = self._own("parquet")
        try:
            pq.write_table(table, own)
            sync(own)
            own.replace(self.path / _TABLE)
        finally:
            own.unlink(missing_ok=True)
        videos = [self._video(camera) for camera in cameras]
        files = [self.path / _TABLE, *videos, *map(_record_of, videos)]
        record = {
            "length": table.num_rows,
            "tasks": spans,
            "cameras": cameras,
            "sizes": {file.name: file.stat().st_size for file in files},
        }
        write_whole(self.path / RECORD, json.dumps(record, ensure_ascii=False))
        sync(self.path)

    def load(self) -> EncodedEpisode | None:
        """Read the episode; None where it is not complete."""
        record = self._record()
        if record is None:
            return None
        try:
            clips = {
                camera_key(camera): self._clip(camera)
                for camera in record["cameras"]
            }
            with pq.ParquetFile(self.path / _TABLE) as file:
                table = file.read()
            spans = tuple(
                (int(start), str(text)) for start, text in record["tasks"]
            )
            tasks = texts_in(spans)
        except MemoryError:  # of pyarrow as well: the episode may be whole
            raise
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None
        return EncodedEpisode(
            table=table,
            clips={key: clip for key, (clip, _) in clips.items()},
            camera_stats={key: stats for key, (_, stats) in clips.items()},
            tasks=tasks,
            task_rows=_task_rows(spans, tasks, table.num_rows),
        )

    def _own(self, suffix: str) -> Path:
        return self.path / f"{own_name()}.{suffix}"

    def _video(self, camera: str) -> Path:
        return self.path / f"{camera}.mp4"

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(
                (self.path / RECORD).read_text(encoding="utf-8")
            )
            sizes = {
                name: (self.path / name).stat().st_size
                for name in record["sizes"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if sizes == record["sizes"] else None

    def _clip(self, camera: str) -> tuple[Clip, FeatureStats]:
        video = self._video(camera)
        record: Mapping[str, Any] = json.loads(
            _record_of(video).read_text(encoding="utf-8")
        )
        counts = np.array(record["histogram"], dtype=np.int64)
        histogram = np.zeros((len(counts), record["values"]), dtype=np.int64)
        histogram[:, : counts.shape[1]] = counts
        proof = Proof(**record["proof"]) if record["proof"] else None
        told = record.get("digests")  # earlier builds did not keep them
        digests = Digests(**told) if told else None
        info = VideoInfo(**record["info"])
        clip = Clip(
            video, 0, record["count"], info, proof=proof, digests=digests
        )
        return clip, FeatureStats.of_histogram(
            histogram, record["samples"], record["steps"]
        )


def _task_rows(
    spans: Spans, tasks: tuple[str, ...], length: int
) -> NDArray[np.int64] | None:
    """For each row the offset of its instruction in `tasks`; None where there is one."""
    if len(tasks) == 1:
        return None
    rows = np.zeros(length, dtype=np.int64)
    for start, text in spans:
        rows[start:] = tasks.index(text)
    return rows


def _record_of(video: Path) -> Path:
    return video.with_name(f"{video.name}.json")


def _clip_record(clip: Clip, stats: FeatureStats) -> dict[str, Any]:
    """What a video is, and its exact image statistics, as JSON values."""
    if stats.histogram is None:
        raise ValueError("a staged camera has a histogram")
    used = int(np.flatnonzero(stats.histogram.any(axis=0))[-1]) + 1
    return {
        "count": clip.count,
        "info": asdict(clip.info),
        "proof": asdict(clip.proof) if clip.proof else None,
        "digests": asdict(clip.digests) if clip.digests else None,
        "samples": stats.count,
        "histogram": stats.histogram[:, :used].tolist(),
        "values": stats.histogram.shape[1],
        "steps": stats.steps,
    }

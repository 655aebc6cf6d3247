"""LeRobot datasets of any version, read as encoded episodes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode, VideoInfo
from piperline.errors import DatasetError, Place
from piperline.features import Feature, Schema, camera_feature
from piperline.lerobot.columns import column_values, is_number, is_numeric, task_columns
from piperline.lerobot.histograms import Histograms
from piperline.lerobot.info import EpisodeRow, Info
from piperline.lerobot.v21 import V21Reader
from piperline.lerobot.v30 import V30Reader
from piperline.stats import QUANTILES, FeatureStats
from piperline.text import printable
from piperline.video.decoder import probe
from piperline.video.mp4 import is_whole

_NOT_UNDERSTOOD = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    pa.ArrowException,
)
_TOLERANCE_SECONDS = 1e-4  # lerobot's own tolerance_s


class DatasetReader(Protocol):
    """Where things lie on disk; one for each format."""

    @property
    def episodes(self) -> Sequence[EpisodeRow]:
        """Number, tasks and length of each episode."""

    @property
    def tasks(self) -> Sequence[str]:
        """The task texts; the place of each is its task_index."""

    def table(self, index: int) -> pa.Table:
        """All rows of an episode."""

    def data_path(self, index: int) -> Path:
        """The file in which the rows of an episode lie."""

    def span(self, index: int, camera: str) -> tuple[Path, int]:
        """The video file of an episode, and the number of its first frame there."""

    def stats(self, index: int) -> Mapping[str, Mapping[str, Any]]:
        """An episode's statistics as LeRobot's JSON has them; empty if there are none."""


def open_dataset(root: Path | str) -> "Dataset":
    """Open the LeRobot dataset (v2.0, v2.1 or v3.0) in the folder `root`.

    Raises:
        DatasetError: it is not a dataset, or its tables do not agree with each other.
        UnsupportedVersion: it is of another version.
    """
    root = Path(root)
    info = Info.from_disk(root)
    with _understood(Place(file=root)):
        reader: DatasetReader = (
            V30Reader(root, info) if info.version == "v3.0" else V21Reader(root, info)
        )
        return Dataset(root, info, reader)


@contextmanager
def _understood(place: Place) -> Iterator[None]:
    """Turn what comes of tables that are not what LeRobot writes into an error with a place."""
    try:
        yield
    except _NOT_UNDERSTOOD as error:
        raise DatasetError(
            "the tables of the dataset are not what LeRobot writes: they are damaged, or were not written to their end",
            place=place,
            found=printable(f"{type(error).__name__}: {error}".splitlines()[0]),
            next_step="fetch the dataset again, or make it anew",
        ) from error


class Dataset:
    """A dataset, read lazily: an episode's files are opened when it is asked for.

    Args:
        root: its folder.
        info: its info.json.
        reader: reads its format.
        cameras: the cameras to read; all that info.json declares by default.

    Attributes:
        notes: what was put right while reading, one line each.
    """

    def __init__(
        self, root: Path, info: Info, reader: DatasetReader, *, cameras: Sequence[str] | None = None
    ) -> None:
        self.root = root
        self.info = info
        self.notes: dict[str, None] = {}
        self._reader = reader
        self._cameras = info.schema.cameras if cameras is None else tuple(cameras)
        self._histograms = Histograms(root, self._cameras)
        self._probed: dict[str, tuple[Path, VideoInfo, int]] = {}
        if len(reader.episodes) != info.episodes:
            raise DatasetError(
                "the episode table does not agree with info.json: the dataset was not written to its end",
                place=Place(file=root),
                expected=f"{info.episodes} episodes",
                found=f"{len(reader.episodes)} rows",
            )

    def __len__(self) -> int:
        return len(self._reader.episodes)

    def __iter__(self) -> Iterator[EncodedEpisode]:
        return (self.episode(index) for index in range(len(self)))

    @property
    def reader(self) -> DatasetReader:
        """Where things lie on disk, as its version has them; nothing is put right."""
        return self._reader

    @property
    def version(self) -> str:
        """LeRobot's `codebase_version`."""
        return self.info.version

    @property
    def episodes(self) -> Sequence[EpisodeRow]:
        """Number, tasks and length of each episode."""
        return self._reader.episodes

    @property
    def tasks(self) -> Sequence[str]:
        """The task texts; the place of each is its task_index."""
        return self._reader.tasks

    @cached_property
    def missing_cameras(self) -> tuple[str, ...]:
        """Cameras that info.json declares, and of which the first episode has no video."""
        if not self.episodes:
            return ()
        return tuple(key for key in self._cameras if not self._reader.span(0, key)[0].exists())

    def without(self, cameras: Sequence[str]) -> "Dataset":
        """The same dataset, some cameras left out."""
        kept = [key for key in self._cameras if key not in cameras]
        return Dataset(self.root, self.info, self._reader, cameras=kept)

    @cached_property
    def schema(self) -> Schema:
        """What all episodes have in common. Cameras are described as piperline would: by their first video.

        Raises:
            DatasetError: a camera has no videos.
        """
        with _understood(Place(file=self.root)):
            features = {
                key: self._camera(key, feature) if feature.is_video else feature
                for key, feature in self.info.features.items()
                if not feature.is_video or key in self._cameras
            }
        return replace(self.info.schema, features=features)

    def _camera(self, key: str, feature: Feature) -> Feature:
        if not self.episodes or feature.shape[-1] == 1:  # nothing to look at, or depth
            return feature
        info, _ = self._probe(0, key)
        return camera_feature(info)

    def episode(self, index: int) -> EncodedEpisode:
        """Read an episode: its rows now, its videos as clips.

        Timestamps become frame_index / fps, which readers of all versions expect; `notes` tells if they were others.

        Raises:
            DatasetError: something is missing, damaged, or does not agree.
            IndexError: there is no such episode.
        """
        row = self.episodes[index]
        with _understood(self._place(index)):
            return self._episode(row, index)

    def _episode(self, row: EpisodeRow, index: int) -> EncodedEpisode:
        table = self._reader.table(index)
        self._check_rows(table, row)
        tasks, places = self._task_places(table, row)
        task_rows = places.pop("task_index")
        known = {key: pa.chunked_array([values]) for key, values in places.items()}
        frames = np.arange(row.length, dtype=np.int64)
        times = frames / self.info.fps
        self._note_times(table, times)
        columns = {key: known.get(key, table.column(key)) for key in self.info.schema.columns}
        return EncodedEpisode(
            table=pa.table(
                {**columns, "timestamp": times.astype(np.float32), "frame_index": frames}
            ),
            clips={key: self._clip(index, key, row.length) for key in self._cameras},
            camera_stats=self._image_stats(index),
            tasks=tasks,
            task_rows=task_rows if task_rows.any() else None,
        )

    def _place(self, index: int, camera: str | None = None) -> Place:
        return Place(file=self.root, episode=str(index), camera=camera)

    def _check_rows(self, table: pa.Table, row: EpisodeRow) -> None:
        missing = [
            key
            for key in (*self.info.schema.columns, "task_index")
            if key not in table.column_names
        ]
        if missing:
            raise DatasetError(
                f"columns that info.json declares are missing: {', '.join(missing)}",
                place=self._place(row.episode_index),
            )
        for key in filter(
            lambda key: is_numeric(self.info.features[key]), self.info.schema.columns
        ):
            if (
                not is_number(table.schema.field(key).type)
                or not np.dtype(self.info.features[key].dtype).itemsize
            ):
                raise DatasetError(
                    f"the column {printable(key)} holds no numbers",
                    place=self._place(row.episode_index),
                    expected=self.info.features[key].dtype,
                    found=str(table.schema.field(key).type),
                )
        wrong = "episode_index" in table.column_names and set(
            table["episode_index"].unique().to_pylist()
        ) - {row.episode_index}
        if table.num_rows != row.length or wrong:
            raise DatasetError(
                "the rows are not those of the episode",
                place=self._place(row.episode_index),
                expected=f"{row.length} rows of episode {row.episode_index}",
                found=f"{table.num_rows} rows"
                + (f", some of episode {min(wrong)}" if wrong else ""),
            )

    def _task_places(
        self, table: pa.Table, row: EpisodeRow
    ) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
        """The episode's tasks, and for each column that numbers tasks the places of its values among them."""
        keys = ("task_index", *task_columns(self.info.schema))
        numbers = {
            key: column_values(table.column(key), key, Feature("int64", (1,))).reshape(-1)
            for key in keys
        }
        seen = np.concatenate(list(numbers.values()))
        if seen.min() < 0 or seen.max() >= len(self.tasks):
            raise DatasetError(
                "a row names a task that is not in the task table",
                place=self._place(row.episode_index),
                expected=f"task_index from 0 to {len(self.tasks) - 1}",
                found=f"{seen.min()} to {seen.max()}",
            )
        _, first = np.unique(seen, return_index=True)
        order = seen[np.sort(first)]
        place_of = np.zeros(len(self.tasks), dtype=np.int64)
        place_of[order] = np.arange(len(order))
        tasks = [self.tasks[number] for number in order]
        others = [task for task in row.tasks if task not in tasks]
        return (*tasks, *others), {key: place_of[values] for key, values in numbers.items()}

    def _note_times(self, table: pa.Table, times: NDArray[np.float64]) -> None:
        if "timestamp" in table.column_names:
            found = table["timestamp"].to_numpy()
            if np.abs(found - times).max() > _TOLERANCE_SECONDS:
                self.notes[
                    "timestamps were not frame_index / fps; they are rewritten, frames stay with their rows"
                ] = None

    def _probe(self, index: int, camera: str) -> tuple[VideoInfo, int]:
        path, _ = self._reader.span(index, camera)
        known = self._probed.get(camera)
        if known is None or known[0] != path:
            # The pixel format is that of the camera's first video; to look for it takes most of the time.
            known = self._probed[camera] = (
                path,
                *probe(path, pix_fmt=known[1].pix_fmt if known else None),
            )
            if not is_whole(path):
                raise DatasetError(
                    "the video is cut short",
                    place=Place(file=path, episode=str(index), camera=camera),
                    expected="as many bytes as its boxes say",
                    found=f"{path.stat().st_size} bytes",
                    next_step="fetch the dataset again, or make it anew",
                )
        _, info, frames = known
        if info.fps != self.info.fps:
            raise DatasetError(
                "the video has another frame rate than the dataset",
                place=Place(file=path, episode=str(index), camera=camera),
                expected=f"{self.info.fps} frames a second",
                found=str(info.fps),
            )
        return info, frames

    def _clip(self, index: int, camera: str, length: int) -> Clip:
        path, first = self._reader.span(index, camera)
        info, frames = self._probe(index, camera)
        alone = self.version != "v3.0"
        if first + length > frames or (alone and frames != length):
            raise DatasetError(
                "the video does not have the frames of the episode",
                place=Place(file=path, episode=str(index), camera=camera),
                expected=f"{length} frames" if alone else f"frames {first} to {first + length - 1}",
                found=f"{frames} frames",
            )
        return Clip(path, first, length, info, whole=first == 0 and frames == length)

    def _image_stats(self, index: int) -> dict[str, FeatureStats]:
        stored = self._reader.stats(index)
        histograms = self._histograms.of(index)
        keys = [
            key
            for key, feature in self.info.features.items()
            if key in stored and (key in self._cameras or feature.dtype == "image")
        ]
        return {key: _stats(stored[key], histograms.get(key)) for key in keys}


def _stats(stored: Mapping[str, Any], histogram: NDArray[np.int64] | None) -> FeatureStats:
    count = int(np.asarray(stored["count"]).reshape(-1)[0])
    if histogram is not None:
        return FeatureStats.of_histogram(histogram, count)
    known = {name: np.asarray(stored[name], dtype=np.float64) for name in stored if name != "count"}
    return FeatureStats(
        min=known["min"],
        max=known["max"],
        mean=known["mean"],
        std=known["std"],
        count=count,
        quantiles={name: known[name] for name in QUANTILES if name in known},
    )

"""LeRobot datasets of any version, read as encoded episodes.

They come from somebody else: what is in their files is checked here and in the readers, before
anything is done with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode, VideoInfo
from piperline.errors import DatasetError, Place
from piperline.features import Feature, Schema, camera_feature, frame_times
from piperline.lerobot.columns import (
    SUBTASKS,
    arrow_type,
    cast_column,
    column_values,
    is_carried,
    is_numeric,
    task_columns,
)
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.histograms import Histograms
from piperline.lerobot.info import EpisodeRow, Info
from piperline.lerobot.stored_stats import stored_stats
from piperline.lerobot.v21 import V21Reader
from piperline.lerobot.v30 import V30Reader
from piperline.stats import FeatureStats
from piperline.text import printable
from piperline.video.decoder import probe
from piperline.video.file import VideoFile
from piperline.video.mp4 import is_whole, read_track
from piperline.video.packets import first_number

_TOLERANCE_SECONDS = 1e-4  # lerobot's own tolerance_s
_NUMBER = Feature("int64", (1,))
_TIME = Feature("float64", (1,))
_TIMES_NOTE = (
    "timestamps were not frame_index / fps; they "
    "are rewritten, frames stay with their rows"
)


class DatasetReader(Protocol):
    """Where things lie on disk; one for each format."""

    @property
    def episodes(self) -> Sequence[EpisodeRow]:
        """Number, tasks and length of each episode."""

    @property
    def tasks(self) -> Sequence[str | None]:
        """The task texts by task_index; None for numbers that have none."""

    @property
    def subtasks(self) -> Sequence[str | None]:
        """The subtask texts by subtask_index; None for numbers that have none."""

    def table(self, index: int) -> pa.Table:
        """All rows of an episode."""

    def span(
        self,
        index: int,
        camera: str,
    ) -> tuple[str, int]:
        """Where the video of an episode lies below the folder, and its first frame there."""

    def data_path(self, index: int) -> str:
        """Where the rows of an episode lie below the folder."""

    def stats(self, index: int) -> Mapping[str, object]:
        """An episode's statistics as LeRobot's JSON has them; empty if there are none."""


def open_dataset(root: Path | str) -> "Dataset":
    """Open the LeRobot dataset (v2.0, v2.1 or v3.0) in the folder `root`.

    Args:
        root: the dataset's folder.

    Raises:
        DatasetError: it is not a dataset, a link leads out of it, or its tables do not agree with
            each other.
        UnsupportedVersion: it is of another version.
    """
    folder = DatasetFolder(Path(root))
    folder.check_links()
    info = Info.from_disk(folder.root)
    if info.version == "v3.0":
        return Dataset(folder, info, V30Reader(folder, info))
    return Dataset(folder, info, V21Reader(folder, info))


@dataclass(frozen=True)
class _Video:
    """A video file that was looked at."""

    path: Path
    info: VideoInfo
    frames: int


class Dataset:
    """A dataset, read lazily: an episode's files are opened when it is asked for.

    Args:
        folder: the dataset's.
        info: its info.json.
        reader: reads its format.
        cameras: the cameras to read; all that info.json declares by default.

    Attributes:
        notes: what was put right while reading, one line each.
    """

    def __init__(
        self,
        folder: DatasetFolder,
        info: Info,
        reader: DatasetReader,
        *,
        cameras: Sequence[str] | None = None,
    ) -> None:
        self.folder = folder
        self.info = info
        self.notes: dict[str, None] = {}
        self._reader = reader
        self._cameras = (
            info.schema.cameras if cameras is None else tuple(cameras)
        )
        self._histograms = Histograms(
            folder, {key: info.features[key] for key in self._cameras}
        )
        self._videos: dict[str, _Video] = {}
        if len(reader.episodes) != info.episodes:
            raise DatasetError(
                "the episode table does not agree with info.json: "
                "the dataset was not written to its end",
                place=Place(file=self.root),
                expected=f"{info.episodes} episodes",
                found=f"{len(reader.episodes)} rows",
            )

    def __repr__(self) -> str:
        return (
            f"Dataset({str(self.root)!r}, {self.version}, {len(self)} episodes)"
        )

    def __len__(self) -> int:
        return len(self._reader.episodes)

    def __iter__(self) -> Iterator[EncodedEpisode]:
        return (self.episode(index) for index in range(len(self)))

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.folder.root

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
        """The task texts in the order of their numbers."""
        return [task for task in self._reader.tasks if task is not None]

    @property
    def subtasks(self) -> Sequence[str]:
        """The subtask texts in the order of their numbers."""
        return [
            subtask for subtask in self._reader.subtasks if subtask is not None
        ]

    @cached_property
    def missing_cameras(self) -> tuple[str, ...]:
        """Cameras that info.json declares, and of which no episode has a video."""
        if not self.episodes:
            return ()
        return tuple(key for key in self._cameras if not self._has_videos(key))

    def _has_videos(self, camera: str) -> bool:
        names = (
            self._reader.span(index, camera)[0] for index in range(len(self))
        )
        return any(self.folder.has(name) for name in names)

    def without(self, cameras: Sequence[str]) -> "Dataset":
        """The same dataset, some cameras left out."""
        kept = [key for key in self._cameras if key not in cameras]
        return Dataset(self.folder, self.info, self._reader, cameras=kept)

    @cached_property
    def schema(self) -> Schema:
        """What all episodes have in common.

        Cameras are described as piperline would: by their first video.

        Raises:
            DatasetError: a camera has no videos.
        """
        features = {}
        for key, feature in self.info.features.items():
            if not feature.is_video:
                features[key] = feature
            elif key in self._cameras:
                features[key] = self._camera(key, feature)
        return replace(self.info.schema, features=features)

    def _camera(self, key: str, feature: Feature) -> Feature:
        if not self.episodes or feature.is_depth:
            return feature
        video = self._first_video(key)
        seen = replace(video.info, fps=self.info.fps)
        return replace(camera_feature(seen), own=_without_names(feature.own))

    def _first_video(self, camera: str) -> _Video:
        """The first video of a camera that can be read: an episode may be bad.

        Raises:
            DatasetError: there is none.
        """
        problem: DatasetError | None = None
        for index in range(len(self)):
            try:
                return self._video(index, camera)
            except DatasetError as error:
                problem = problem or error
        raise problem or DatasetError(
            "there are no episodes",
            place=Place(file=self.root),
            expected="a video of the camera in one of the episodes",
            found="no episodes",
        )

    def episode(self, index: int) -> EncodedEpisode:
        """Read an episode: its rows now, its videos as clips.

        Timestamps become frame_index / fps, which readers of all versions expect; `notes` tells if
        they were others.

        Raises:
            DatasetError: something is missing, damaged, or does not agree.
            IndexError: there is no such episode.
        """
        row = self.episodes[index]
        try:
            return self._episode(row, index)
        except DatasetError as error:
            if error.place is None:
                error.place = self._place(index)
            raise

    def clip(self, index: int, camera: str) -> Clip:
        """The video of an episode, of one camera.

        Raises:
            DatasetError: it is missing, damaged, or lacks frames.
        """
        return self._clip(index, camera, self.episodes[index].length)

    def _episode(self, row: EpisodeRow, index: int) -> EncodedEpisode:
        table = self._reader.table(index)
        self._check_rows(table, row)
        tasks, offsets = self._task_offsets(table, row)
        task_rows = offsets.pop("task_index")
        subtasks = self._subtask_offsets(table, offsets)
        frames = np.arange(row.length, dtype=np.int64)
        self._note_times(table, frames / self.info.fps)
        columns = {
            key: self._column(table, key, offsets)
            for key in self.info.schema.columns
        }
        columns["timestamp"] = frame_times(frames, self.info.fps)
        columns["frame_index"] = frames
        return EncodedEpisode(
            table=pa.table(columns),
            clips={
                key: self._clip(index, key, row.length) for key in self._cameras
            },
            camera_stats=self._image_stats(index, row.length),
            tasks=tasks,
            task_rows=task_rows if task_rows.any() else None,
            subtasks=subtasks,
            own=row.own,
        )

    def _place(self, index: int, camera: str | None = None) -> Place:
        return Place(file=self.root, episode=str(index), camera=camera)

    def _check_rows(self, table: pa.Table, row: EpisodeRow) -> None:
        """See that these are the rows of the episode, with all its columns."""
        place = self._place(row.episode_index)
        needed = (*self.info.schema.columns, "task_index")
        missing = [key for key in needed if key not in table.column_names]
        if missing:
            raise DatasetError(
                "columns that info.json declares are missing: "
                + printable(", ".join(missing)),
                place=place,
                expected="a column for each feature of info.json",
                found=f"columns {printable(', '.join(table.column_names))}",
            )
        found = f"{table.num_rows} rows"
        others: list[int] = []
        if "episode_index" in table.column_names and table.num_rows:
            numbers = column_values(
                table["episode_index"], "episode_index", _NUMBER
            )
            others = sorted(set(numbers.ravel().tolist()) - {row.episode_index})
        if others:
            found += f", some of episode {others[0]}"
        if table.num_rows != row.length or others:
            raise DatasetError(
                "the rows are not those of the episode",
                place=place,
                expected=f"{row.length} rows of episode {row.episode_index}",
                found=found,
            )

    def _column(
        self,
        table: pa.Table,
        key: str,
        offsets: Mapping[str, NDArray[np.int64]],
    ) -> pa.ChunkedArray:
        """A column of the episode, of a type that the feature can have."""
        if key in offsets:
            return pa.chunked_array([offsets[key]])
        feature, column = self.info.features[key], table.column(key)
        if is_numeric(feature):
            column_values(column, key, feature)
        elif not is_carried(feature):
            column = cast_column(column, key, arrow_type(feature))
        if feature.dtype == "image":
            _check_images(column, key)
        return column

    def _task_offsets(
        self, table: pa.Table, row: EpisodeRow
    ) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
        """The episode's tasks, and for each column that numbers tasks its values as offsets."""
        keys = ("task_index", *task_columns(self.info.schema))
        numbers = {
            key: column_values(table[key], key, _NUMBER).reshape(-1)
            for key in keys
        }
        texts, offsets = _offsets(numbers, self._reader.tasks, "task")
        others = [task for task in row.tasks if task not in texts]
        return (*texts, *others), offsets

    def _subtask_offsets(
        self, table: pa.Table, offsets: dict[str, NDArray[np.int64]]
    ) -> tuple[str, ...]:
        """The episode's subtasks; the offsets of the column that numbers them go to `offsets`."""
        if SUBTASKS not in self.info.features or not self._reader.subtasks:
            return ()
        numbers = column_values(table[SUBTASKS], SUBTASKS, _NUMBER).reshape(-1)
        named = numbers >= 0  # a negative number names none
        texts, known = _offsets(
            {SUBTASKS: numbers[named]}, self._reader.subtasks, "subtask"
        )
        offsets[SUBTASKS] = numbers.copy()
        offsets[SUBTASKS][named] = known[SUBTASKS]
        return texts

    def _note_times(
        self,
        table: pa.Table,
        times: NDArray[np.float64],
    ) -> None:
        if "timestamp" not in table.column_names:
            return
        found = column_values(table["timestamp"], "timestamp", _TIME).reshape(
            -1
        )
        if not (np.abs(found - times) <= _TOLERANCE_SECONDS).all():
            self.notes[_TIMES_NOTE] = None

    def _video(self, index: int, camera: str) -> _Video:
        """The video of an episode; neighbouring episodes often share one."""
        name, _ = self._reader.span(index, camera)
        known = self._videos.get(camera)
        if known and known.path == self.root / name:
            return known
        path = self.folder.path(name, "the video")
        place = Place(file=path, episode=str(index), camera=camera)
        video = self._probed(path, known)
        if not is_whole(path):
            raise DatasetError(
                "the video is cut short",
                place=place,
                expected="as many bytes as its boxes say",
                found=f"{path.stat().st_size} bytes",
                next_step="fetch the dataset again, or make it anew",
            )
        if video.info.fps != self.info.fps:
            self._check_rate(path, place)
        self._videos[camera] = video
        return video

    def _probed(self, path: Path, known: _Video | None) -> _Video:
        """What a video is.

        The pixel format is that of the camera's first one: to look for it takes most of the time.
        """
        if known is None:
            return _Video(path, *probe(path))
        track = read_track(path, self.info.fps)
        if track is None or not track.on_time:
            return _Video(path, *probe(path, pix_fmt=known.info.pix_fmt))
        width, height = track.dimensions
        info = VideoInfo(
            codec=track.codec,
            pix_fmt=known.info.pix_fmt,
            width=width,
            height=height,
            fps=self.info.fps,
        )
        return _Video(path, info, len(track.sizes))

    def _check_rate(self, path: Path, place: Place) -> None:
        """See that a video has no steady rate but that of the dataset; others are put right."""
        with VideoFile(path) as file:
            rate = file.steady_rate()
        if rate is not None and round(rate) != self.info.fps:
            raise DatasetError(
                "the video has another frame rate than the dataset",
                place=place,
                expected=f"{self.info.fps} frames a second",
                found=f"{rate:g}",
            )

    def _clip(self, index: int, camera: str, length: int) -> Clip:
        _, first = self._reader.span(index, camera)
        video = self._video(index, camera)
        late = 0
        if self.version == "v3.0" and first + length > video.frames:
            # LeRobot finds frames by their times: episodes begin as late as their file
            late = first_number(video.path, self.info.fps)
        whole = first == late and video.frames == length
        if not late <= first <= late + video.frames - length or (
            self.version != "v3.0" and not whole
        ):
            raise DatasetError(
                "the video does not have the frames of the episode",
                place=Place(
                    file=video.path,
                    episode=str(index),
                    camera=camera,
                ),
                expected=f"frames {first} to {first + length - 1}",
                found=f"frames {late} to {late + video.frames - 1}",
                next_step="fetch the dataset again, or make it anew",
            )
        return Clip(
            video.path,
            0 if whole else first,
            length,
            replace(video.info, fps=self.info.fps),
            whole=whole,
        )

    def _image_stats(
        self,
        index: int,
        length: int,
    ) -> dict[str, FeatureStats]:
        stored = self._reader.stats(index)
        histograms = self._histograms.of(index)
        found = {}
        for key, feature in self.info.features.items():
            if key not in stored or not (
                key in self._cameras or feature.dtype == "image"
            ):
                continue
            stats = stored_stats(
                stored[key], feature, length, histograms.get(key)
            )
            if stats is not None:
                found[key] = stats
        return found


def _without_names(own: Mapping[str, object]) -> dict[str, object]:
    """A feature's own keys without `names`: a camera that was looked at has the usual ones."""
    return {name: value for name, value in own.items() if name != "names"}


def _check_images(column: pa.ChunkedArray, key: str) -> None:
    """See that every image is in the table: LeRobot's `path` leads to files that are not kept."""
    stored = column.combine_chunks()
    chunks = stored.chunks if isinstance(stored, pa.ChunkedArray) else [stored]
    if any(
        chunk.null_count or chunk.field("bytes").null_count for chunk in chunks
    ):
        raise DatasetError(
            f"images of {printable(key)} are not in the table",
            expected="JPEG or PNG bytes in every row",
            found="rows without bytes: paths of files that were not kept, or nothing",
        )


def _offsets(
    numbers: Mapping[str, NDArray[np.int64]],
    texts: Sequence[str | None],
    name: str,
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """The texts that are numbered, in the order in which they occur, and offsets among them.

    Raises:
        DatasetError: a number is not in the table.
    """
    seen = np.concatenate(list(numbers.values()))
    different, first = np.unique(seen, return_index=True)
    for number in different.tolist():
        if not 0 <= number < len(texts) or texts[number] is None:
            raise DatasetError(
                f"a row names a {name} that is not in the {name} table",
                expected=f"{name}_index of the {len(texts)} rows of the table",
                found=str(number),
            )
    order = np.argsort(np.argsort(first))
    found = tuple(str(texts[number]) for number in seen[np.sort(first)])
    return found, {
        key: order[np.searchsorted(different, values)]
        for key, values in numbers.items()
    }

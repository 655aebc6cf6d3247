"""Episodes of a LeRobot dataset (v2.0, v2.1, v3.0), measured; also of such that others made."""

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip
from piperline.errors import DatasetError, Place
from piperline.files import LARGEST_TABLE, read_json
from piperline.lerobot.dataset import Dataset, open_dataset
from piperline.lerobot.info import PROVENANCE
from piperline.signals.camera import CameraMeter, CameraSignals
from piperline.signals.episode import EpisodeSignals
from piperline.video.preview import PreviewWriter, video_file
from piperline.video.thumbnails import video_pictures

_CAMERA = "observation.images."


def is_dataset(path: Path) -> bool:
    """Whether a folder is that of a LeRobot dataset."""
    return (path / "meta" / "info.json").is_file()


def sessions_of(root: Path, episodes: int) -> list[str]:
    """The recording of each episode, where the dataset tells it; else all are one session.

    Args:
        root: of the dataset.
        episodes: how many it has.
    """
    try:
        known = read_json(root / PROVENANCE, LARGEST_TABLE)["episodes"]
        found = [str(episode["source"]) for episode in known]
    except (OSError, ValueError, KeyError, TypeError):
        found = []
    return found if len(found) == episodes else [root.name] * episodes


def measure_episode(
    root: Path, index: int, films: Path | None = None, *, pictures: bool
) -> EpisodeSignals:
    """Read an episode of a dataset once, and measure it.

    Args:
        root: of the dataset.
        index: of the episode.
        films: the folder for small videos of it, if they are wanted.
        pictures: look at the frames too.

    Raises:
        DatasetError: it cannot be read.
    """
    episode = _opened(root).episode(index)
    vectors = _vectors(episode.table)
    if not vectors:
        place = Place(file=root, episode=str(index))
        raise DatasetError(
            "the dataset has no vectors",
            place=place,
            expected="observation.state",
            found="no column of vectors",
            next_step="convert the recordings again, with a layout that names the vectors",
        )
    cameras = {}
    features = _opened(root).schema.features
    clips = [
        (key, clip)
        for key, clip in episode.clips.items()
        if pictures and not features[key].is_depth
    ]
    for number, (key, clip) in enumerate(clips):
        video = video_file(films, number) if films else None
        cameras[key.removeprefix(_CAMERA)] = measure_clip(
            clip, f"{root} {index} {key}", video, _opened(root).info.fps
        )
    return EpisodeSignals(
        file=str(root),
        session=root.name,
        name=str(index),
        index=index,
        instruction="; ".join(episode.tasks),
        vectors=vectors,
        cameras=cameras,
    )


@cache
def _opened(root: Path) -> Dataset:
    dataset = open_dataset(root)
    return (
        dataset.without(dataset.missing_cameras)
        if dataset.missing_cameras
        else dataset
    )


def _vectors(table: pa.Table) -> Mapping[str, NDArray[np.float32]]:
    """The vectors among the columns, float32 (T, D); what is not finite becomes 0."""
    found = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        lists = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(
            column.type
        )
        if lists and pa.types.is_floating(column.type.value_type):
            values = np.asarray(column.flatten(), dtype=np.float32)
            if len(values) % len(column) == 0:  # all lists are of one length
                found[name] = np.nan_to_num(
                    values.reshape(
                        len(column),
                        -1,
                    )
                )
    return found


def measure_clip(
    clip: Clip, name: str, video: Path | None = None, fps: int = 0
) -> CameraSignals:
    """The signals of a clip.

    Lossy frames may be equal though the scene is not: each has a hash of its own.

    Args:
        clip: all of its frames are decoded.
        name: tells it from all others.
        video: where a small video of it is made, if it is wanted.
        fps: of that video.

    Raises:
        DatasetError: it does not decode.
    """
    meter = CameraMeter(clip.info.height, clip.info.width)
    size = (clip.info.height, clip.info.width)
    with (
        PreviewWriter(video, *size, fps=fps)
        if video
        else nullcontext() as writer,
        video_pictures(clip.path, clip.first, clip.count) as pictures,
    ):
        for number, picture in enumerate(pictures):
            if writer is not None:
                writer.add(picture)
            payload = hashlib.sha256(f"{name} {number}".encode()).digest()
            meter.see(payload)
            meter.add_picture(picture)
    return meter.result()

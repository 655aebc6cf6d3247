"""What one would check in a converted session: that every row has its frame, and what the frames show."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode
from piperline.lerobot.dataset import open_dataset
from piperline.video.decoder import decode
from piperline.video.images import contact_sheet, encode_png

_SHOWN_ROWS, _SHOWN_FRAMES, _SHEET_WIDTH = 3, 8, 1600


@dataclass(frozen=True)
class EpisodeCount:
    """How long an episode is.

    Attributes:
        task: its task text.
        rows: rows of its table.
        frames: decoded frames of each camera.
    """

    task: str
    rows: int
    frames: Mapping[str, int]


@dataclass(frozen=True)
class Look:
    """What is in a dataset.

    Attributes:
        head: the first rows of the first episode.
        episodes: how long each is.
        sheet: the contact sheet: a row of frames of the first episode for each camera.
    """

    head: pa.Table
    episodes: tuple[EpisodeCount, ...]
    sheet: Path


def look_at(root: Path, sheet: Path) -> Look:
    """Open a dataset, decode all of its videos, and write a contact sheet.

    Args:
        root: the dataset.
        sheet: the PNG file to write.
    """
    dataset = open_dataset(root)
    first = dataset.episode(0)
    picked = [_evenly(clip) for clip in first.clips.values()]
    sheet.write_bytes(encode_png(contact_sheet(picked, max_width=_SHEET_WIDTH)))
    return Look(first.table.slice(0, _SHOWN_ROWS), tuple(map(_count, dataset)), sheet)


def _frames(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    return decode(clip.path, clip.first, clip.count)


def _count(episode: EncodedEpisode) -> EpisodeCount:
    frames = {key: sum(1 for _ in _frames(clip)) for key, clip in episode.clips.items()}
    return EpisodeCount(episode.tasks[0], episode.length, frames)


def _evenly(clip: Clip) -> list[NDArray[np.uint8]]:
    """Some frames, the first and the last among them."""
    wanted = set(np.linspace(0, clip.count - 1, _SHOWN_FRAMES).round().astype(int).tolist())
    return [frame for number, frame in enumerate(_frames(clip)) if number in wanted]

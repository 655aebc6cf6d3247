"""A summary of a dataset: its first rows, its decoded frames plural, a contact sheet."""

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
class EpisodeLengths:
    """How long an episode is, in its table and in its videos.

    Attributes:
        instruction: its task text.
        rows: rows of its table.
        frames: decoded frames of each camera.
    """

    instruction: str
    rows: int
    frames: Mapping[str, int]


@dataclass(frozen=True)
class DatasetSummary:
    """What a dataset holds.

    Attributes:
        head: the first rows of the first episode.
        episodes: how long each is.
        sheet: the contact sheet: a row of frames of the first episode for each camera.
    """

    head: pa.Table
    episodes: tuple[EpisodeLengths, ...]
    sheet: Path


def summarize(root: Path, sheet: Path) -> DatasetSummary:
    """Open a dataset, decode all of its videos, and write a contact sheet.

    Args:
        root: the dataset.
        sheet: the PNG file to write.
    """
    dataset = open_dataset(root)
    first = dataset.episode(0)
    rows = [_sample(clip) for clip in first.clips.values()]
    sheet.write_bytes(encode_png(contact_sheet(rows, max_width=_SHEET_WIDTH)))
    head = first.table.slice(0, _SHOWN_ROWS)
    return DatasetSummary(head, tuple(map(_lengths, dataset)), sheet)


def _frames(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    return decode(clip.path, clip.first, clip.count)


def _length(clip: Clip) -> int:
    return sum(1 for _ in _frames(clip))


def _lengths(episode: EncodedEpisode) -> EpisodeLengths:
    frames = {key: _length(clip) for key, clip in episode.clips.items()}
    return EpisodeLengths(episode.tasks[0], episode.length, frames)


def _sample(clip: Clip) -> list[NDArray[np.uint8]]:
    """Evenly spaced frames, with the first and the last."""
    positions = np.linspace(0, clip.count - 1, _SHOWN_FRAMES)
    wanted = set(positions.round().astype(int).tolist())
    return [
        frame for number, frame in enumerate(_frames(clip)) if number in wanted
    ]

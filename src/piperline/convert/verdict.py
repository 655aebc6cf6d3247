"""The verdict of `convert --verify`, which goes into the seal: what was looked at, and right."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from piperline import __version__
from piperline.episode import EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.lerobot.columns import column_values
from piperline.seal.contents import Contents


def verdict_of(
    folder: Path, staged: Iterable[EncodedEpisode]
) -> Mapping[str, object]:
    """Read the rows of a new dataset back, and add up what was looked at of its videos.

    Args:
        folder: the dataset.
        staged: the episodes that it was made of, in order.

    Raises:
        DatasetError: a row is not what was read from the recording.
    """
    contents = Contents.open(folder)
    counts = {
        "rows": 0,
        "instructions": 0,
        "packets": 0,
        "frames": 0,
        "cannot_tell": 0,
    }
    for index, episode in enumerate(staged):
        _check_rows(contents, index, episode)
        counts["rows"] += episode.length
        counts["instructions"] += len(contents.episodes[index].tasks)
        for clip in episode.clips.values():
            if clip.proof:
                counts["packets"] += clip.proof.packets
                counts["frames"] += clip.proof.frames
                counts["cannot_tell"] += clip.proof.cannot_tell
    rows = sum(row.length for row in contents.episodes)
    every = {"all_rows": rows, "all_frames": rows * len(contents.cameras)}
    return {
        "verdict": "verified",
        "by": f"piperline {__version__}",
        **counts,
        **every,
    }


def _check_rows(
    contents: Contents, index: int, episode: EncodedEpisode
) -> None:
    """See that the vectors of an episode are on the disk bit by bit, and its instruction."""
    written = contents.rows(index)
    place = Place(file=contents.data_path(index), episode=str(index))
    if contents.episodes[index].tasks != episode.tasks:
        raise DatasetError(
            "the instruction is not what was recorded", place=place
        )
    for key in contents.info.schema.columns:
        feature = contents.info.features[key]
        old = column_values(episode.table.column(key), key, feature)
        new = column_values(written.column(key), key, feature)
        if not np.array_equal(
            old.view(np.uint8),
            new.view(np.uint8),
        ):
            raise DatasetError(
                f"the values of {key} are not what was recorded",
                place=place,
                next_step="run the same command again; check the disk if this comes again",
            )

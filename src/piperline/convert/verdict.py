"""The verdict of `convert --verify`, which goes into the seal: what was looked at, and right."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np

from piperline import __version__
from piperline.episode import EncodedEpisode, Proof
from piperline.errors import SAME_AGAIN, DatasetError, Place
from piperline.lerobot.columns import column_values
from piperline.seal.contents import Contents
from piperline.seal.seal import LOOKED_AT, Seal


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
    read = instructions = 0
    proofs: list[Proof] = []
    for index, episode in enumerate(staged):
        _check_rows(contents, index, episode)
        read += episode.length
        instructions += len(contents.episodes[index].tasks)
        clips = episode.clips.values()
        proofs.append(sum_of(clip.proof for clip in clips if clip.proof))
    rows = sum(row.length for row in contents.episodes)
    every = {"all_rows": rows, "all_frames": rows * len(contents.cameras)}
    return {
        "verdict": "verified",
        "by": f"piperline {__version__}",
        "rows": read,
        "instructions": instructions,
        **asdict(sum_of(proofs)),
        **every,
        LOOKED_AT: [list(astuple(proof)) for proof in proofs],
    }


def sum_of(proofs: Iterable[Proof]) -> Proof:
    """What was looked at in all."""
    total = [0, 0, 0]
    for proof in proofs:
        total = [a + b for a, b in zip(total, astuple(proof), strict=True)]
    return Proof(*total)


def looked_at(seal: Seal | None) -> list[Proof] | None:
    """What was looked at of each episode when a dataset was made; None where that is not known."""
    entries = (seal.verdict or {}).get(LOOKED_AT) if seal else None
    try:
        return [Proof(*map(int, entry)) for entry in entries or ()] or None
    except (TypeError, ValueError, OverflowError):
        return None


def _check_rows(
    contents: Contents, index: int, episode: EncodedEpisode
) -> None:
    """See that the vectors of an episode are on the disk bit by bit, and its instruction."""
    written = contents.rows(index)
    place = Place(file=contents.data_path(index), episode=str(index))
    if contents.episodes[index].tasks != episode.tasks:
        raise DatasetError(
            "the instruction is not what was recorded",
            place=place,
            expected="the instruction of the recording",
            found="another one",
            next_step=SAME_AGAIN,
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
                next_step=SAME_AGAIN,
                expected="the recorded values, bit by bit",
                found="others",
            )

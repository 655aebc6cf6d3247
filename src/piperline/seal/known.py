"""What the seals of datasets tell of the videos that become part of a new one.

A video that is taken over as it is keeps what its seal says, and is not read again. So one that was
changed after it was sealed is found by `verify` in the new dataset as in the old one: nothing is
sealed as good that was not good before.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from piperline.episode import Digests
from piperline.errors import DatasetError, Place, TaskFailed
from piperline.lerobot import Origins
from piperline.lerobot.dataset import Dataset
from piperline.seal.seal import (
    EpisodeSeal,
    FileSeal,
    KnownSeals,
    Seal,
    SealedClip,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_Span = tuple[Path, int, int]


def known_parts(datasets: Sequence[Dataset], origins: Origins) -> KnownSeals:
    """What is known of the videos of a new dataset before they are read.

    Args:
        datasets: that it was made of; a seal that is damaged, or of another dataset, tells nothing.
        origins: where its videos come from.

    Raises:
        TaskFailed: a staged video is not what it was when it was made.
    """
    _check_made(origins)
    files: dict[str, FileSeal] = {}  # texts: many paths take long to make
    clips: dict[_Span, SealedClip] = {}
    episodes: tuple[EpisodeSeal, ...] = ()
    cut = (number for number, held in enumerate(origins.clips) if held)
    behind = min(next(cut, origins.leading), origins.leading)
    for dataset in {each.root: each for each in datasets}.values():
        seal = _seal_of(dataset)
        if seal is not None:
            files.update(_files(dataset, seal))
            clips.update(_clips(dataset, seal, behind))
            episodes = seal.episodes[: origins.leading]
    read = _read_before(origins)
    for path, held in read.values():
        files[str(path)] = FileSeal(held.sha256, held.bytes)
    packets = {place: held.packets for place, (_, held) in read.items()}
    return KnownSeals(
        taken={
            name: files[path]
            for name, path in origins.files.items()
            if path in files
        },
        written={
            name: FileSeal(made.sha256, made.bytes)
            for name, made in origins.written.items()
        },
        packets={**packets, **origins.packets},
        rows=origins.rows,
        clips={
            (number, key): clips[span]
            for number, held in enumerate(origins.clips)
            for key, clip in held.items()
            if (span := (clip.path, clip.first, clip.count)) in clips
        },
        episodes=episodes,
    )


def _check_made(origins: Origins) -> None:
    """See that the packets that were read again are those that were made."""
    for (number, key), packets in origins.packets.items():
        clip = origins.clips[number][key]
        if clip.digests and clip.whole and clip.digests.packets != packets:
            raise TaskFailed(
                "a staged video has changed since it was made",
                place=Place(file=clip.path, camera=key),
                expected="the packets that were made",
                found="others",
                next_step=f"remove the folder {clip.path.parent} and run the same command again: "
                "that makes the episode anew",
            )


def _read_before(
    origins: Origins,
) -> dict[tuple[int, str], tuple[Path, Digests]]:
    """The clips that became files as they are, and were read when they were made."""
    kept = set(origins.files.values())
    return {
        (number, key): (clip.path, clip.digests)
        for number, held in enumerate(origins.clips)
        for key, clip in held.items()
        if clip.digests and clip.whole and str(clip.path) in kept
    }


def _seal_of(dataset: Dataset) -> Seal | None:
    try:
        seal = Seal.from_disk(dataset.root)
    except DatasetError:
        return None
    if seal is None or len(seal.episodes) != len(dataset):
        return None
    return seal


def _files(dataset: Dataset, seal: Seal) -> Iterator[tuple[str, FileSeal]]:
    below = str(dataset.root / "_")[:-1]
    for name, file in seal.files.items():
        if _SHA256.fullmatch(str(file.sha256)) and isinstance(file.bytes, int):
            yield below + name, file


def _clips(
    dataset: Dataset, seal: Seal, behind: int
) -> Iterator[tuple[_Span, SealedClip]]:
    rows = zip(dataset.episodes, seal.episodes, strict=True)
    for row, sealed in islice(rows, behind, None):
        if sealed.length != row.length:
            continue
        for key, digest in sealed.packets.items():
            if key not in dataset.info.schema.cameras:
                continue
            name, first = dataset.reader.span(row.episode_index, key)
            path = dataset.root / name
            if _SHA256.fullmatch(str(digest)):
                where = (dataset.root, path, row.episode_index, key)
                clip = SealedClip(*where, str(digest))
                yield (path, first, row.length), clip

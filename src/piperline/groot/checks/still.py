"""Checks: whether a picture that stands still should move: what detectors say of whole videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from piperline.detectors.codes import REMEDIES
from piperline.detectors.fault import told
from piperline.detectors.synchrony import find_synchrony
from piperline.episode import Clip
from piperline.errors import DatasetError
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject
from piperline.signals.collection import Collection
from piperline.signals.dataset import measure_clip
from piperline.signals.episode import ACTION, STATE, EpisodeSignals
from piperline.signals.robot import make_robot
from piperline.video.decoder import probe

_CODES = frozenset({"camera-still", "pictures-unrelated"})
_SUSPECTS, _OTHERS = 6, 10
"""So many videos of a camera are decoded whole at most."""


@dataclass(frozen=True)
class VideoClip:
    """A video that training will open, the number of frames it uses, and the number of rows."""

    camera: str
    key: str
    episode: int
    path: Path
    length: int
    rows: int


def check_still(
    subject: Subject, suspects: Sequence[VideoClip], others: Sequence[VideoClip]
) -> Iterator[Finding]:
    """Of videos of a camera whose pictures stand still, those that would move in other episodes.

    Args:
        subject: the dataset.
        suspects: they look as if they stood still.
        others: videos of the same camera.
    """
    step = max(1, -(-len(others) // _OTHERS))
    clips = [*suspects[:_SUSPECTS], *others[::step]]
    names = subject.meta.schema.features.get(STATE)
    if names is None or not names.names:
        return
    episodes = [
        signals
        for index, clip in enumerate(clips)
        if (signals := _signals(subject, clip, index)) is not None
    ]
    if not episodes:
        return
    schema = subject.meta.schema
    robot = make_robot(schema.robot_type or "", names.names)
    collection = Collection(tuple(episodes), robot, schema.fps)
    for fault in find_synchrony(collection):
        if fault.code in _CODES:
            remedy = REMEDIES[fault.code]
            yield from map(_numbered, told(collection, fault, remedy))


def _numbered(finding: Finding) -> Finding:
    """A finding whose episode is numbered as in the dataset."""
    episode = finding.place.episode if finding.place else None
    if episode is None:
        return finding
    return replace(finding, numbers={**finding.numbers, "episodes": [episode]})


def _signals(
    subject: Subject, clip: VideoClip, index: int
) -> EpisodeSignals | None:
    """The rows and pictures of a clip; None where they cannot be read."""
    start, stop = subject.rows.episodes(subject.meta)[clip.episode]
    vectors = {
        name: np.nan_to_num(
            subject.rows.columns[name][start:stop].astype(np.float32)
        )
        for name in (STATE, ACTION)
        if name in subject.rows.columns
    }
    if STATE not in vectors:
        return None
    try:
        whole = Clip(clip.path, 0, clip.length, probe(clip.path)[0])
        camera = measure_clip(whole, f"{clip.path}")
    except DatasetError:
        return None
    return EpisodeSignals(
        file=str(clip.path),
        session=str(clip.episode),
        name=str(clip.episode),
        index=index,
        instruction="",
        vectors=vectors,
        cameras={clip.camera: camera},
    )

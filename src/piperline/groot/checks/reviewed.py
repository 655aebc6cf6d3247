"""Checks: what the detectors of a review find in the rows, and in pictures that are looked at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.codes import REMEDIES
from piperline.detectors.detect import find_faults
from piperline.detectors.detect import unexplained as unexplained_faults
from piperline.detectors.fault import told
from piperline.detectors.pictures import find_pictures
from piperline.detectors.synchrony import find_synchrony
from piperline.episode import Clip
from piperline.errors import DatasetError, Place
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject
from piperline.groot.checks.rows import language_column
from piperline.signals.camera import CameraSignals
from piperline.signals.collection import Collection
from piperline.signals.dataset import measure_clip, sessions_of
from piperline.signals.episode import ACTION, STATE, EpisodeSignals
from piperline.signals.robot import make_robot
from piperline.video.decoder import probe

_STILL = frozenset({"camera-still", "pictures-unrelated"})
_SHOWN_BY_FEW = frozenset(
    {
        "picture-black",
        "picture-dark",
        "picture-overexposed",
        "picture-grey",
        "picture-covered",
        "colour-red-blue",
    }
)
"""What a few frames of an episode show as well as all of them."""

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


def check_reviewed(subject: Subject) -> Iterator[Finding]:
    """What detectors find in the rows of all episodes: units, signs, times, actions, texts."""
    episodes = _episodes(subject, {})
    if not episodes:
        return
    collection = _collection(subject, episodes, pictures=False)
    texts = _has_texts(subject)
    for fault in find_faults(collection):
        if texts or not fault.code.startswith("text-"):
            findings = told(collection, fault, REMEDIES[fault.code])
            yield from (_placed(subject, finding) for finding in findings)


def _has_texts(subject: Subject) -> bool:
    """Whether the rows tell known tasks: if not, that has its own finding."""
    column = language_column(subject.meta, subject.choice)
    numbers = subject.rows.columns.get(column or "")
    if numbers is None:
        return False
    return {number.item() for number in np.unique(numbers)} <= set(
        subject.meta.tasks
    )


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
    seen = {
        clip.episode: {clip.camera: camera}
        for clip in clips
        if (camera := _measured(clip)) is not None
    }
    episodes = [e for e in _episodes(subject, seen) if e.cameras]
    if not episodes:
        return
    collection = _collection(subject, episodes, pictures=True)
    for fault in find_synchrony(collection):
        if fault.code in _STILL:
            findings = told(collection, fault, REMEDIES[fault.code])
            yield from (_placed(subject, finding) for finding in findings)


def check_pictures(
    subject: Subject, seen: Mapping[str, Mapping[int, CameraSignals]]
) -> Iterator[Finding]:
    """What detectors find in the light and colour of frames that were looked at.

    Args:
        subject: the dataset.
        seen: by camera and episode, the signals of these frames.
    """
    for camera, by_episode in seen.items():
        looked = {
            episode: {camera: signals}
            for episode, signals in by_episode.items()
        }
        episodes = [e for e in _episodes(subject, looked) if e.cameras]
        if not episodes:
            continue
        collection = _collection(subject, episodes, pictures=True)
        for fault in unexplained_faults([*find_pictures(collection)]):
            if fault.code in _SHOWN_BY_FEW:
                findings = told(collection, fault, REMEDIES[fault.code])
                yield from (_placed(subject, finding) for finding in findings)


def _collection(
    subject: Subject, episodes: Sequence[EpisodeSignals], *, pictures: bool
) -> Collection:
    schema, width = subject.meta.schema, episodes[0].vectors[STATE].shape[1]
    names = schema.features[STATE].names if STATE in schema.features else None
    if not names or len(names) != width:
        names = tuple(f"{STATE}_{number}" for number in range(width))
    robot = make_robot(schema.robot_type or "", names)
    return Collection(tuple(episodes), robot, schema.fps, pictures)


def _episodes(
    subject: Subject, seen: Mapping[int, Mapping[str, CameraSignals]]
) -> list[EpisodeSignals]:
    """The rows of all episodes as a review sees them, with the pictures that were looked at."""
    meta, columns = subject.meta, subject.rows.columns
    if STATE not in columns:
        return []
    sessions = dict(
        zip(
            (index for index, _ in meta.episodes),
            sessions_of(meta.root, len(meta.episodes)),
            strict=True,
        )
    )
    found = []
    for index, (start, stop) in subject.rows.episodes(meta).items():
        vectors = {
            name: _whole(columns[name][start:stop])
            for name in (STATE, ACTION)
            if name in columns
        }
        if stop == start:
            continue
        found.append(
            EpisodeSignals(
                file=str(meta.data_file(index)),
                session=sessions[index],
                name=str(index),
                index=index,
                instruction=_instruction(subject, start, stop),
                vectors=vectors,
                cameras=seen.get(index, {}),
            )
        )
    return found


def _whole(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Rows without broken numbers, which have their own finding: the value before stands there."""
    rows = values.astype(np.float32)
    fine = np.isfinite(rows)
    if fine.all():
        return rows
    numbers = np.arange(len(rows))[:, None]
    last = np.maximum.accumulate(np.where(fine, numbers, 0), axis=0)
    return np.nan_to_num(np.take_along_axis(rows, last, axis=0))


def _instruction(subject: Subject, start: int, stop: int) -> str:
    """The texts of the rows of an episode."""
    column = language_column(subject.meta, subject.choice)
    numbers = subject.rows.columns.get(column or "")
    if numbers is None:
        return ""
    used = np.unique(numbers[start:stop])
    return "; ".join(subject.meta.tasks.get(one.item(), "") for one in used)


def _measured(clip: VideoClip) -> CameraSignals | None:
    """The pictures of a clip; None where they cannot be read."""
    try:
        whole = Clip(clip.path, 0, clip.length, probe(clip.path)[0])
        return measure_clip(whole, f"{clip.path}")
    except DatasetError:
        return None


def _placed(subject: Subject, finding: Finding) -> Finding:
    """A finding as a preflight tells it: a warning, for training runs; its place in the dataset."""
    place = finding.place or Place(file=subject.meta.root)
    if place.camera and place.episode:
        key = subject.meta.video_key(place.camera)
        path = subject.meta.video_file(key, int(place.episode))
        place = replace(place, file=str(path))
    elif place.episode is None:
        place = replace(place, file=str(subject.meta.root))
    return replace(finding, place=place, severity="warning")


_CAUSES: Mapping[str, frozenset[str]] = {
    "outlier": frozenset(
        {"beyond-limits", "spike", "dropout", "wrap", "action-units"}
    ),
    "constant": frozenset(
        {"dimension-still", "no-command", "not-following", "no-motion"}
    ),
    "action-unrelated": frozenset(
        {"arms-exchanged", "action-inverted", "action-delta", "action-units"}
    ),
    "too-short": frozenset({"episodes-short"}),
}
"""By code: what in the same place says more truly what is wrong."""


def unexplained(subject: Subject, found: Sequence[Finding]) -> list[Finding]:
    """Leave out what another finding about the same rows explains: one cause, one finding."""
    return [
        finding
        for finding in found
        if not any(
            cause.code in _CAUSES.get(finding.code, ())
            and _about_same(subject, finding, cause)
            for cause in found
        )
    ]


def _about_same(subject: Subject, finding: Finding, cause: Finding) -> bool:
    """Whether a cause is in all episodes, in the same file, or in the same dimensions."""
    files = [one.place and str(one.place.file) for one in (finding, cause)]
    if files[1] in {files[0], str(subject.meta.root)}:
        return True
    own, others = (_dimensions(one) for one in (finding, cause))
    return bool(own) and own <= others


def _dimensions(finding: Finding) -> set[str]:
    """The dimensions that a finding names, without the ending that all of LeRobot's have."""
    return {
        name.removesuffix(".pos")
        for name in finding.numbers.get("dimensions", ())
    }

"""Sets of `tests.helpers.sessions` as collections, measured without files between."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from piperline.detectors.detect import detect
from piperline.finding import Finding
from piperline.recordings.layout import load_layout
from piperline.signals.camera import CameraSignals, measure
from piperline.signals.collection import Collection
from piperline.signals.episode import ACTION, STATE, EpisodeSignals
from piperline.signals.robot import make_robot
from piperline.video.image_header import jpeg_payload
from tests.helpers.sessions import Take

NAMES = {
    "image_left": "left_wrist",
    "image_mid": "mid",
    "image_right": "right_wrist",
}


@cache
def measured(images: tuple[bytes, ...]) -> CameraSignals:
    """The signals of a camera's images; the same images are measured once."""
    _, height, width = jpeg_payload(images[0])
    return measure(images, height, width)


def collected(takes: Sequence[Take], *, pictures: bool = True) -> Collection:
    """A set as what detectors look at."""
    robot = make_robot(
        "bi_piper", load_layout("piper").vectors[STATE].dimension_names
    )
    episodes = tuple(
        _signals(take, index, pictures=pictures)
        for index, take in enumerate(takes)
    )
    return Collection(episodes, robot, 30, pictures)


def _signals(take: Take, index: int, *, pictures: bool) -> EpisodeSignals:
    images = take.images.items() if pictures else ()
    return EpisodeSignals(
        file=f"{take.session}.hdf5",
        session=take.session,
        name=take.name,
        index=index,
        instruction=take.text.strip(),
        vectors={
            STATE: take.state.astype(np.float32),
            ACTION: take.action.astype(np.float32),
        },
        cameras={NAMES[name]: measured(tuple(own)) for name, own in images},
        labels={name: bool(value) for name, value in take.attributes.items()},
        times=take.datasets.get("timestamp"),
        rows_behind=take.behind,
    )


def found_in(takes: Sequence[Take], *, pictures: bool = True) -> list[Finding]:
    """What all detectors find in a set."""
    return detect(collected(takes, pictures=pictures))


def named(finding: Finding, count: int) -> set[int]:
    """The numbers of the episodes of a finding."""
    return set(finding.numbers.get("episodes", range(count)))

"""Pictures that stand still while the robot moves."""

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.frames import WINDOW
from piperline.signals.robust import runs, smooth

Floats = NDArray[np.float64]

_NOISE, _NOISE_FLOOR = 1.2, 0.05  # of motion between two frames; levels of 255
_GOES, _NEVER = 0.3, 0.02  # radians; share of windows


def own_joints(collection: Collection, camera: str) -> NDArray[np.int64]:
    """The joints that surely move a camera's picture: for a wrist camera those of its arm."""
    arms = collection.robot.arms
    side = next(
        (side for side in arms if side in camera.lower()),
        None,
    )
    return collection.robot.joints_of(side) if side else collection.robot.joints


def find_still(
    collection: Collection, camera: str, weights: Floats
) -> Iterator[Fault]:
    """The faults of this module in the pictures of a camera.

    Args:
        collection: all episodes.
        camera: its name.
        weights: how much each joint moves its picture, float64 (joints,).
    """
    frozen = yield from _still_everywhere(collection, camera)
    if not frozen:
        yield from _still(collection, camera, weights)


def _still_everywhere(
    collection: Collection, camera: str
) -> Generator[Fault, None, bool]:
    """A camera of which no picture changes in any episode, while the robot moves in all."""
    joints = own_joints(collection, camera)
    long = [e for e in collection.episodes if len(e) >= 3 * WINDOW]

    def stands(episode: EpisodeSignals) -> bool:
        state = collection.state(episode)[:, joints]
        far = (np.ptp(state, axis=0) / collection.unit[joints]).max()
        return bool(far > _GOES and _changes(episode, camera) < _NEVER)

    # Mostly one that moves is among the first, and no other is looked at.
    frozen = bool(long) and all(map(stands, long))
    if frozen:
        yield from fault(
            "camera-still",
            "warning",
            long,
            "the picture never changes while the robot moves: the camera has stopped, or does not "
            "see the robot",
            camera=camera,
        )
    return frozen


def _changes(episode: EpisodeSignals, camera: str) -> float:
    """The share of the windows whose last picture differs from its first by more than noise."""
    change, noise = _change_and_noise(episode, camera)
    return float((change > _NOISE * noise + _NOISE_FLOOR).mean())


def _change_and_noise(
    episode: EpisodeSignals, camera: str
) -> tuple[Floats, Floats]:
    """By how much the pictures of each window differ, and how much pictures in a row do."""
    own = episode.cameras[camera]
    change, motion = (
        own.change.astype(np.float64),
        own.motion.astype(np.float64),
    )
    noise = np.median(
        np.lib.stride_tricks.sliding_window_view(motion, WINDOW), axis=1
    )
    return change, noise[1 : len(change) + 1]


def _still(
    collection: Collection, camera: str, weights: Floats
) -> Iterator[Fault]:
    """A picture that stands still though it should move, also where each is encoded anew."""
    windows = collection.measured(
        lambda e: _windows(collection, e, camera, weights),
        [e for e in collection.episodes if len(e) >= 3 * WINDOW],
    )
    if len(windows) < 4:
        return
    typical = float(
        np.percentile(
            np.concatenate([gone for _, gone in windows.values()]), 50
        )
    )
    usual = {
        index: float(np.percentile(gone[still], 95))
        if still.sum() >= 5
        else 0.0
        for index, (still, gone) in windows.items()
    }
    first, second = sorted(usual, key=usual.__getitem__, reverse=True)[:2]
    for episode in collection.episodes:
        if episode.index not in windows:
            continue
        still, gone = windows[episode.index]
        other = second if episode.index == first else first
        hit = still & (gone > max(1.5 * usual[other], 0.5 * typical))
        if not hit.any():
            continue
        for start, stop in runs(smooth(hit, 5) > 0.5):
            if stop - start >= 8:
                seconds = (stop - 1 + WINDOW - start) / collection.fps
                yield from fault(
                    "camera-still",
                    "warning",
                    episode,
                    f"the picture stands still for {seconds:.1f} s while the robot moves as "
                    "it does where pictures change",
                    camera=camera,
                    span=(start, stop - 1 + WINDOW),
                )


def _windows(
    collection: Collection,
    episode: EpisodeSignals,
    camera: str,
    weights: Floats,
) -> tuple[NDArray[np.bool_], Floats]:
    """Of each window whether its last picture differs from its first by noise alone.

    Returns:
        bool (windows,), and how far the joints went, float64 (windows,).
    """
    change, noise = _change_and_noise(episode, camera)
    scaled = (
        collection.state(episode)[:, collection.robot.joints]
        / collection.joint_scale
    )
    spans = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW + 1, axis=0)
    gone = np.abs(spans - spans[..., :1]).max(axis=2) @ weights
    return change < _NOISE * noise + _NOISE_FLOOR, gone[: len(change)]

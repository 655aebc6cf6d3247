"""Pictures against rows: late, drifting, unrelated, of the other arm, standing still.

How much a picture changes is compared with how fast the joints move, weighted by what each joint does to the picture of
that camera. The weights come from all episodes together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.signals.camera import WINDOW
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import correlation, lag_correlations, runs, shifted, smooth

Floats = NDArray[np.float64]

_MOST_LAG = 25
_LATE = 3
_FEWEST_ROWS = 70
_LIKE = 0.5
_GAIN = 0.08
_ITERATIONS = 300


@dataclass(frozen=True)
class _Expected:
    """What moves the picture of a camera: non-negative weights of the joints, and what changes without motion."""

    weights: Floats
    floor: float

    def of(self, collection: Collection, episode: EpisodeSignals) -> Floats:
        """How much the picture should change in each row, float64 (T,)."""
        expected: Floats = collection.joint_speeds(episode) @ self.weights + self.floor
        return expected


@dataclass(frozen=True)
class _Delay:
    """How late the pictures of an episode are: frames, likeness there and at no delay, and of both halves."""

    lag: int
    likeness: float
    at_zero: float
    halves: tuple[tuple[int, float], tuple[int, float]]


def find_synchrony(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    if not collection.cameras:
        return
    exchanged = yield from _sides(collection)
    if exchanged and len(collection) - len(exchanged) >= 4:  # noqa: PLR2004
        collection = collection.without(exchanged)
    drifting: dict[int, dict[str, int]] = {}
    for camera in collection.cameras:
        expected = _fit(collection, camera)
        yield from _delays(collection, camera, expected, drifting)
        yield from _still(collection, camera, expected)
    yield from _drifts(collection, drifting)


def _motion(episode: EpisodeSignals, camera: str) -> Floats:
    motion = smooth(episode.cameras[camera].motion)
    return np.minimum(motion, np.percentile(motion, 98))


def _fit(collection: Collection, camera: str) -> _Expected:
    """Non-negative least squares by multiplicative updates (Lee and Seung 2001)."""
    speeds = np.concatenate([collection.joint_speeds(e) for e in collection.episodes])
    motions = [e.cameras[camera].motion.astype(np.float64) for e in collection.episodes]
    motion = np.concatenate([np.minimum(m, np.percentile(m, 99)) for m in motions])
    floor = float(np.percentile(motion, 5))
    wanted = np.maximum(motion - floor, 0)
    square = speeds.T @ speeds + 1e-6 * np.eye(speeds.shape[1])
    target = np.maximum(speeds.T @ wanted, 0)
    weights = np.full(speeds.shape[1], 1e-3)
    for _ in range(_ITERATIONS):
        weights *= target / np.maximum(square @ weights, 1e-12)
    return _Expected(weights, floor)


# --- which arm moves which wrist camera ----------------------------------------------------------------------------


def _sides(collection: Collection) -> Iterator[Fault]:
    """Wrist cameras that move with the other arm; returns the episodes in which cameras or arms are exchanged."""
    arms = collection.robot.arms
    exchanged: dict[int, EpisodeSignals] = {}
    for side in arms:
        camera = next((name for name in collection.cameras if side in name.lower()), None)
        other = next(name for name in arms if name != side)
        if camera is None:
            continue
        long = [e for e in collection.episodes if len(e) >= _FEWEST_ROWS]
        wrong = [e for e in long if _moves_with(collection, e, camera, other, side)]
        right = [e for e in long if _moves_with(collection, e, camera, side, other)]
        if len(wrong) > 0.6 * len(long) and len(right) < 0.2 * len(long):  # noqa: PLR2004
            wrong = list(collection.episodes)
        else:
            exchanged |= {e.index: e for e in _with_sessions(collection, wrong, right)}
        yield from fault(
            "arm-of-camera", "error", wrong,
            f"the camera {camera} moves with the {other} arm: cameras or arms are exchanged", camera=camera,
        )  # fmt: skip
    return list(exchanged.values())


def _with_sessions(
    collection: Collection, wrong: Sequence[EpisodeSignals], right: Sequence[EpisodeSignals]
) -> Iterator[EpisodeSignals]:
    """Those that are wrong, and the rest of a session of which several are: one arm alone cannot tell."""
    numbers, fine = {e.index for e in wrong}, {e.index for e in right}
    for episodes in collection.sessions.values():
        several = sum(e.index in numbers for e in episodes) >= 2  # noqa: PLR2004
        yield from (
            e for e in episodes if e.index in numbers or (several and e.index not in fine)
        )


def _moves_with(collection: Collection, episode: EpisodeSignals, camera: str, arm: str, not_arm: str) -> bool:
    """Whether the picture of a camera moves with one arm and clearly not with the other."""
    motion = smooth(episode.cameras[camera].motion)
    likeness = {
        side: max(
            correlation(*shifted(motion, _arm_speed(collection, episode, side), lag))
            for lag in (-2, 0, 2)
        )
        for side in (arm, not_arm)
    }
    return likeness[arm] > 0.5 and likeness[arm] - likeness[not_arm] > 0.25  # noqa: PLR2004


def _arm_speed(collection: Collection, episode: EpisodeSignals, side: str) -> Floats:
    columns = np.isin(collection.robot.joints, collection.robot.arms[side])
    return smooth(collection.joint_speeds(episode)[:, columns].sum(axis=1))


# --- delays --------------------------------------------------------------------------------------------------------


def _delay(collection: Collection, episode: EpisodeSignals, camera: str, expected: _Expected) -> _Delay:
    motion, wanted = _motion(episode, camera), smooth(expected.of(collection, episode))
    likeness = lag_correlations(motion, wanted, _MOST_LAG)
    best = int(np.argmax(likeness))
    middle, active = len(motion) // 2, float(np.std(wanted))
    halves = []
    for rows in (slice(None, middle), slice(middle, None)):
        most = min(_MOST_LAG, (middle - 20))
        own = lag_correlations(motion[rows], wanted[rows], most)
        enough = np.std(wanted[rows]) > 0.5 * active  # noqa: PLR2004
        peak = int(np.argmax(own))
        halves.append((peak - most, float(own[peak]) if enough else -1.0))
    return _Delay(best - _MOST_LAG, float(likeness[best]), float(likeness[_MOST_LAG]), (halves[0], halves[1]))


def _delays(
    collection: Collection, camera: str, expected: _Expected, drifting: dict[int, dict[str, int]]
) -> Iterator[Fault]:
    long = [e for e in collection.episodes if len(e) >= _FEWEST_ROWS]
    if len(long) < 3:  # noqa: PLR2004
        return
    delays = {e.index: _delay(collection, e, camera, expected) for e in long}
    good = [e for e in long if delays[e.index].likeness > _LIKE]
    usual = round(float(np.median([delays[e.index].lag for e in good]))) if good else 0
    if len(good) >= 3 and abs(usual) >= 4:  # noqa: PLR2004
        text = f"the pictures are {usual:+d} frames off the rows in all recordings"
        yield from fault("pictures-late", "error", collection.episodes, text, camera=camera, frames=usual)
    late = _late(collection, good, delays, usual)
    by_lag: dict[int, list[EpisodeSignals]] = {}
    for episode in late:
        by_lag.setdefault(int(np.sign(delays[episode.index].lag - usual)), []).append(episode)
    for episodes in by_lag.values():
        off = round(float(np.median([delays[e.index].lag for e in episodes]))) - usual
        text = f"the pictures are {off:+d} frames off the rows, in other recordings they are not"
        yield from fault("pictures-late", "error", episodes, text, camera=camera, frames=off)
    numbers = {e.index for e in late}
    for episode in good:
        off = _drift(delays, good, episode)
        if off and episode.index not in numbers:
            drifting.setdefault(episode.index, {})[camera] = off
    yield from _unrelated(collection, camera, expected, delays, long)


def _late(
    collection: Collection, good: Sequence[EpisodeSignals], delays: Mapping[int, _Delay], usual: int
) -> list[EpisodeSignals]:
    """Episodes whose pictures are off by themselves, and sessions of which most are."""

    def off(episode: EpisodeSignals) -> int:
        return abs(delays[episode.index].lag - usual)

    def sure(episode: EpisodeSignals) -> bool:
        delay = delays[episode.index]
        return off(episode) >= _LATE and delay.likeness - delay.at_zero > _GAIN

    late = {e.index: e for e in good if sure(e)}
    for episodes in collection.sessions.values():
        known = [e for e in episodes if e in good]
        if len(known) >= 2 and sum(sure(e) for e in known) > len(known) / 2:  # noqa: PLR2004
            late |= {e.index: e for e in episodes}
    return [e for e in collection.episodes if e.index in late and e.index in delays]


def _drift(delays: Mapping[int, _Delay], good: Sequence[EpisodeSignals], episode: EpisodeSignals) -> int:
    """By how many frames the delay of the second half differs from that of the first; 0 where it does not clearly."""
    usual = float(np.median([_between(delays[e.index]) for e in good]))
    own = delays[episode.index]
    off = _between(own) - usual
    sure = min(half[1] for half in own.halves) > 0.6  # noqa: PLR2004
    return round(off) if sure and _LATE <= abs(off) <= 20 else 0  # noqa: PLR2004


def _between(delay: _Delay) -> int:
    return delay.halves[1][0] - delay.halves[0][0]


def _unrelated(
    collection: Collection, camera: str, expected: _Expected, delays: Mapping[int, _Delay],
    long: Sequence[EpisodeSignals],
) -> Iterator[Fault]:
    usual = float(np.median([delays[e.index].likeness for e in long]))
    activity = {e.index: float(np.std(expected.of(collection, e))) for e in long}
    active = float(np.median(list(activity.values())))
    lost = [
        e for e in long
        if usual > 0.6 and delays[e.index].likeness < 0.35 * usual and activity[e.index] > 0.5 * active  # noqa: PLR2004
    ]  # fmt: skip
    if lost:
        least = min(delays[e.index].likeness for e in lost)
        text = f"the pictures do not move when the robot does: correlation {least:.2f}, elsewhere {usual:.2f}"
        yield from fault("pictures-unrelated", "error", lost, text, camera=camera, correlation=round(least, 3))


def _drifts(collection: Collection, drifting: Mapping[int, Mapping[str, int]]) -> Iterator[Fault]:
    """Drifts that two cameras show, or one in most episodes of a session, in one direction."""
    found = {
        e.index: e
        for e in collection.episodes
        if len(own := drifting.get(e.index, {})) >= 2 and len({np.sign(v) for v in own.values()}) == 1  # noqa: PLR2004
    }
    for episodes in collection.sessions.values():
        for camera in collection.cameras:
            own = {e.index: drifting[e.index][camera] for e in episodes if camera in drifting.get(e.index, {})}
            same = len({np.sign(v) for v in own.values()}) == 1
            if len(own) >= 2 and same and len(own) >= len(episodes) / 2:  # noqa: PLR2004
                found |= {e.index: e for e in episodes if e.index in own}
    if found:
        size = np.median([abs(v) for index in found for v in drifting[index].values()])
        text = f"rows and pictures drift apart by about {size:.0f} frames from the first half to the second: images were lost"
        yield from fault("pictures-drift", "error", list(found.values()), text, frames=int(size))


# --- standing still --------------------------------------------------------------------------------------------------


def _still(collection: Collection, camera: str, expected: _Expected) -> Iterator[Fault]:
    """A picture that stands still though it should move, also where each is encoded anew."""
    joints = collection.robot.joints
    windows: dict[int, tuple[Floats, Floats]] = {}
    for episode in collection.episodes:
        change = episode.cameras[camera].change.astype(np.float64)
        if len(episode) >= 3 * WINDOW and len(change):
            scaled = collection.state(episode)[:, joints] / collection.joint_scale
            spans = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW + 1, axis=0)
            gone = np.abs(spans - spans[..., :1]).max(axis=2) @ expected.weights
            windows[episode.index] = (change[: len(gone)], gone)
    if len(windows) < 4:  # noqa: PLR2004
        return
    changes = np.concatenate([change for change, _ in windows.values()])
    motions = np.concatenate([gone for _, gone in windows.values()])
    noise = float(np.percentile(changes, 3)) * 1.6 + 0.05
    quiet = {index: gone[change < noise].max(initial=0) for index, (change, gone) in windows.items()}
    for episode in collection.episodes:
        if episode.index not in windows:
            continue
        change, gone = windows[episode.index]
        usual = max(value for index, value in quiet.items() if index != episode.index)
        hit = (change < noise) & (gone > 2.5 * usual) & (gone > 0.15 * np.percentile(motions, 95))  # noqa: PLR2004
        for start, stop in runs(hit):
            if stop - start >= 10:  # noqa: PLR2004
                seconds = (stop - 1 + WINDOW - start) / collection.fps
                yield from fault(
                    "camera-still", "warning", episode,
                    f"the picture stands still for {seconds:.1f} s while the robot moves as it does where pictures change",
                    camera=camera, span=(start, stop - 1 + WINDOW),
                )  # fmt: skip

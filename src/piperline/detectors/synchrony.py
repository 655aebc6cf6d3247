"""Pictures against rows: late, drifting, unrelated, of the other arm.

How much a picture changes is compared with how fast the joints move, weighted by what each joint
does to the picture of
that camera. The weights come from all episodes together.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.expected import (
    Expected,
    fit_cameras,
    long_episodes,
    picture_motion,
)
from piperline.detectors.fault import Fault, fault, with_sessions
from piperline.detectors.still import find_still
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import (
    lag_correlations,
    smooth,
)

Floats = NDArray[np.float64]

_MOST_LAG = 25
_LATE = 3
_BOTH_MOVE = 0.15  # radians: what holds still shows what others do
_LEAPS, _STILL = 1.5, 0.2  # times as much; levels of 255
_LIKE = 0.5
_GAIN, _GAIN_FAR, _FAR = 0.08, 0.01, 10


@dataclass(frozen=True)
class _Delay:
    """How late the pictures of an episode are.

    Frames, likeness there and at no delay, and of both halves; how much the pictures should change.
    """

    lag: int
    likeness: float
    at_zero: float
    halves: tuple[tuple[int, float], tuple[int, float]]
    activity: float


def find_synchrony(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    if not collection.cameras:
        return
    gone = yield from _sides(collection)
    gone += yield from _alphabetical(collection)
    if gone and len(collection) - len({e.index for e in gone}) >= 4:
        collection = collection.without(gone)
    fits = fit_cameras(collection)
    delays = _all_delays(collection, fits)
    drifted = yield from _drifts(collection, delays)
    for camera, fit in fits.items():
        yield from _late(collection, camera, delays[camera], drifted)
        yield from _unrelated(collection, camera, delays[camera])
        yield from find_still(collection, camera, fit.weights)


# --- which arm moves which wrist camera ----------------------------------------------------------


def _sides(
    collection: Collection,
) -> Generator[Fault, None, list[EpisodeSignals]]:
    """Wrist cameras that move with the other arm.

    Returns the episodes in which cameras or arms are exchanged.
    """
    arms = collection.robot.arms
    exchanged: dict[int, EpisodeSignals] = {}
    for side in arms:
        camera = next(
            (name for name in collection.cameras if side in name.lower()), None
        )
        other = next(name for name in arms if name != side)
        if camera is None:
            continue
        long = long_episodes(collection)
        moves_with = collection.measured(
            partial(_moves_with, collection, camera), long
        )
        wrong = [e for e in long if moves_with[e.index] == other]
        right = [e for e in long if moves_with[e.index] == side]
        if len(wrong) > 0.6 * len(long) and len(right) < 0.2 * len(long):
            wrong = list(collection.episodes)
        else:
            wrong = with_sessions(collection, wrong, right)
            wrong = _not_alone(collection, wrong)
            exchanged |= {e.index: e for e in wrong}
        yield from fault(
            "arm-of-camera",
            "error",
            wrong,
            f"the camera {camera} moves with the {other} arm: cameras or arms are "
            "exchanged",
            camera=camera,
        )
    return list(exchanged.values())


def _not_alone(
    collection: Collection, found: Sequence[EpisodeSignals]
) -> list[EpisodeSignals]:
    """Episodes less those that are alone in their session: nobody exchanges cables for one."""
    counts = Counter(episode.session for episode in found)
    return [
        episode
        for episode in found
        if counts[episode.session]
        >= min(2, len(collection.sessions[episode.session]))
    ]


def _moves_with(
    collection: Collection, camera: str, episode: EpisodeSignals
) -> str | None:
    """The arm that a picture clearly moves with, and not with the other; both move."""
    arms = collection.robot.arms
    if min(_arm_moves(collection, episode, arm) for arm in arms) < _BOTH_MOVE:
        return None
    motion = smooth(episode.cameras[camera].motion)
    likeness = {}
    for arm in arms:
        speed = _arm_speed(collection, episode, arm)
        likeness[arm] = lag_correlations(motion, speed, _MOST_LAG)[::2].max()
    less, most = sorted(arms, key=likeness.__getitem__)
    clear = likeness[most] > 0.5 and likeness[most] - likeness[less] > 0.25
    return most if clear else None


def _arm_moves(
    collection: Collection, episode: EpisodeSignals, side: str
) -> float:
    """How far the joint of an arm that moves most goes, radians."""
    dims = collection.robot.joints_of(side)
    spans = (
        np.ptp(collection.state(episode)[:, dims], axis=0)
        / collection.unit[dims]
    )
    return float(spans.max())


def _arm_speed(
    collection: Collection, episode: EpisodeSignals, side: str
) -> Floats:
    columns = np.isin(
        collection.robot.joints,
        collection.robot.arms[side],
    )
    return smooth(collection.joint_speeds(episode)[:, columns].sum(axis=1))


# --- order ---------------------------------------------------------------------------------------


def _alphabetical(
    collection: Collection,
) -> Generator[Fault, None, list[EpisodeSignals]]:
    """Pictures read in the order of their names: 0, 1, 10, 11, 2. Returns the episodes."""
    found: dict[int, EpisodeSignals] = {}
    long = long_episodes(collection)
    leaps = collection.measured(partial(_leaps, collection.cameras), long)
    for camera in collection.cameras:
        mixed = [e for e in long if leaps[e.index][camera] > _LEAPS]
        found |= {e.index: e for e in mixed}
        yield from fault(
            "pictures-unrelated",
            "error",
            mixed,
            "the pictures lie in the alphabetical order of their numbers: 0, 1, 10, 11, 2",
            camera=camera,
        )
    return list(found.values())


def _leaps(cameras: Sequence[str], episode: EpisodeSignals) -> dict[str, float]:
    """How much more pictures change where numbers in alphabetical order leap than elsewhere."""
    found = {}
    for camera in cameras:
        motion = episode.cameras[camera].motion
        leap = _leaping(len(motion))
        usual = max(float(np.percentile(motion[~leap], 75)), _STILL)
        found[camera] = float(np.median(motion[leap])) / usual
    return found


@lru_cache
def _leaping(count: int) -> NDArray[np.bool_]:
    """Which of some pictures, in alphabetical order, do not follow the one before."""
    order = np.array(sorted(range(count), key=str))
    leaping: NDArray[np.bool_] = np.abs(np.diff(order, prepend=0)) > 1
    return leaping


# --- delays --------------------------------------------------------------------------------------


def _delay(
    collection: Collection,
    episode: EpisodeSignals,
    camera: str,
    expected: Expected,
) -> _Delay:
    motion = picture_motion(episode, camera)
    changes = expected.of(collection, episode)
    wanted = smooth(changes)
    likeness = lag_correlations(motion, wanted, _MOST_LAG)
    best = int(np.argmax(likeness))
    middle, active = len(motion) // 2, float(np.std(wanted))
    halves = []
    for rows in (slice(None, middle), slice(middle, None)):
        most = min(_MOST_LAG, (middle - 20))
        own = lag_correlations(motion[rows], wanted[rows], most)
        enough = np.std(wanted[rows]) > 0.5 * active
        peak = int(np.argmax(own))
        halves.append((peak - most, float(own[peak]) if enough else -1.0))
    return _Delay(
        best - _MOST_LAG,
        float(likeness[best]),
        float(likeness[_MOST_LAG]),
        (halves[0], halves[1]),
        float(np.std(changes)),
    )


def _all_delays(
    collection: Collection, fits: Mapping[str, Expected]
) -> dict[str, dict[int, _Delay]]:
    """The delays of the pictures, by camera and the number of the episode.

    Empty where there are too few.
    """
    long = long_episodes(collection)
    if len(long) < 3:
        return {camera: {} for camera in fits}
    delays = collection.measured(
        lambda e: {c: _delay(collection, e, c, fit) for c, fit in fits.items()},
        long,
    )
    return {
        camera: {index: own[camera] for index, own in delays.items()}
        for camera in fits
    }


def _usual(delays: Mapping[int, _Delay]) -> int:
    """The delay of most episodes whose pictures move as expected."""
    good = [delay.lag for delay in delays.values() if delay.likeness > _LIKE]
    return round(float(np.median(good))) if good else 0


def _late(
    collection: Collection,
    camera: str,
    delays: Mapping[int, _Delay],
    drifted: frozenset[int],
) -> Iterator[Fault]:
    """Pictures that are off in all recordings, or in some."""
    usual = _usual(delays)
    good = [
        e
        for e in collection.episodes
        if e.index in delays and delays[e.index].likeness > _LIKE
    ]
    if len(good) >= 3 and abs(usual) >= 4:
        text = (
            f"the pictures are {usual:+d} frames off the rows in all recordings"
        )
        yield from fault(
            "pictures-late",
            "error",
            collection.episodes,
            text,
            camera=camera,
            frames=usual,
        )
    by_sign: dict[int, list[EpisodeSignals]] = {}
    for episode in _off(collection, good, delays, usual):
        if episode.index not in drifted:
            by_sign.setdefault(
                int(np.sign(delays[episode.index].lag - usual)), []
            ).append(episode)
    for episodes in by_sign.values():
        off = (
            round(float(np.median([delays[e.index].lag for e in episodes])))
            - usual
        )
        text = f"the pictures are {off:+d} frames off the rows, in other recordings they are not"
        yield from fault(
            "pictures-late", "error", episodes, text, camera=camera, frames=off
        )


def _off(
    collection: Collection,
    good: Sequence[EpisodeSignals],
    delays: Mapping[int, _Delay],
    usual: int,
) -> list[EpisodeSignals]:
    """Episodes whose pictures are off by themselves, and sessions of which most are."""

    def sure(episode: EpisodeSignals) -> bool:
        delay = delays[episode.index]
        off = abs(delay.lag - usual)
        # Motions repeat: the further off, the likelier it is by chance.
        least = _GAIN + _GAIN_FAR * max(0, off - _FAR)
        return off >= _LATE and delay.likeness - delay.at_zero > least

    late = {e.index for e in good if sure(e)}
    numbers = {e.index for e in good}
    for episodes in collection.sessions.values():
        known = [e for e in episodes if e.index in numbers]
        if (
            len(known) >= 2
            and sum(e.index in late for e in known) > len(known) / 2
        ):
            late |= {e.index for e in episodes if e.index in delays}
    return [e for e in collection.episodes if e.index in late]


def _unrelated(
    collection: Collection,
    camera: str,
    delays: Mapping[int, _Delay],
) -> Iterator[Fault]:
    long = [e for e in collection.episodes if e.index in delays]
    if not long:
        return
    usual = float(np.median([delays[e.index].likeness for e in long]))
    active = float(np.median([delays[e.index].activity for e in long]))
    lost = [
        e
        for e in long
        if usual > 0.65
        and delays[e.index].likeness < 0.3 * usual
        and delays[e.index].activity > 0.5 * active
    ]
    if lost:
        least = min(delays[e.index].likeness for e in lost)
        text = (
            f"the pictures do not move when the robot does: correlation {least:.2f}, "
            f"elsewhere {usual:.2f}"
        )
        yield from fault(
            "pictures-unrelated",
            "error",
            lost,
            text,
            camera=camera,
            correlation=round(least, 3),
        )


def _drift(own: _Delay, usual: float) -> int:
    """By how many frames the delay of the second half differs from that of the first.

    It is 0 where that is not clear.
    """
    off = own.halves[1][0] - own.halves[0][0] - usual
    likeness = [half[1] for half in own.halves]
    sure = min(likeness) > _LIKE and sum(likeness) / 2 > own.likeness + 0.05
    return round(off) if sure and _LATE <= abs(off) <= 20 else 0


def _drifts(
    collection: Collection, delays: Mapping[str, Mapping[int, _Delay]]
) -> Generator[Fault, None, frozenset[int]]:
    """Drifts that two cameras show, or one in most episodes of a session, in one direction.

    Returns:
        The numbers of the episodes.
    """
    drifting: dict[int, dict[str, int]] = {}
    for camera, own in delays.items():
        sure = [
            d.halves[1][0] - d.halves[0][0]
            for d in own.values()
            if min(h[1] for h in d.halves) > _LIKE
        ]
        usual = float(np.median(sure)) if sure else 0.0
        for index, delay in own.items():
            if apart := _drift(delay, usual):
                drifting.setdefault(index, {})[camera] = apart
    found = {
        e.index: e
        for e in collection.episodes
        if _in_one_direction(drifting.get(e.index, {}))
    }
    for episodes in collection.sessions.values():
        for camera in collection.cameras:
            some = {
                e.index: drifting[e.index][camera]
                for e in episodes
                if camera in drifting.get(e.index, {})
            }
            if _in_one_direction(some) and len(some) >= len(episodes) / 2:
                found |= {e.index: e for e in episodes if e.index in some}
    calm = [
        e
        for e in collection.episodes
        if e.index not in found and _is_calm(e.index, delays)
    ]
    episodes = with_sessions(collection, list(found.values()), calm)
    if episodes:
        size = np.median(
            [abs(v) for index in found for v in drifting[index].values()]
        )
        text = (
            f"rows and pictures drift apart by about {size:.0f} frames from the first half "
            "to the second: images were lost"
        )
        yield from fault(
            "pictures-drift", "error", episodes, text, frames=int(size)
        )
    return frozenset(e.index for e in episodes)


def _in_one_direction(drifts: Mapping[Any, int]) -> bool:
    """Whether there are at least two, all of one sign."""
    return (
        len(drifts) >= 2
        and len({np.sign(drift) for drift in drifts.values()}) == 1
    )


def _is_calm(
    index: int,
    delays: Mapping[str, Mapping[int, _Delay]],
) -> bool:
    """Whether the pictures of an episode surely do not drift."""
    known = [own[index] for own in delays.values() if index in own]
    sure = [
        delay
        for delay in known
        if min(likeness for _, likeness in delay.halves) > _LIKE
    ]
    return bool(sure) and all(
        abs(d.halves[1][0] - d.halves[0][0]) < _LATE for d in sure
    )

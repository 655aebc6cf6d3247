"""How states follow actions.

Copies, delays, joints that do not follow, other units and zeros, exchanged arms.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault, merged, with_sessions
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import (
    correlation,
    lag_correlations,
    middle_without,
    shifted,
    smooth,
    spread,
)

Floats = NDArray[np.float64]

_FEWEST_ROWS = 60
_MOST_LAG = 20
_LATEST = 12  # frames by which arms may follow
_MOVES = 0.12  # radians; a gripper's is an eighth of it in metres
_STANDS = 0.08
_ZERO_FLOOR, _ZERO_WIDTH = 0.05, 0.004
_GAIN = (0.2, 5.0)


def find_following(collection: Collection) -> Iterator[Fault]:
    """All faults of this module; none where there are no actions."""
    if not collection.has_actions:
        return
    copied = yield from _copies(collection)
    deltas = yield from _deltas(collection, copied)
    own = [e for e in collection.episodes if e.index not in copied | deltas]
    yield from _lags(collection, own)
    yield from merged([*_each_dimension(collection, own)])
    yield from _arms(collection)


def _copies(collection: Collection) -> Generator[Fault, None, set[int]]:
    """Actions that are a state of this or of another row; returns the numbers of the episodes."""
    lags = collection.measured(partial(_copied_row, collection))
    groups: dict[int, list[EpisodeSignals]] = {}
    for episode in collection.episodes:
        lag = lags[episode.index]
        if lag is not None:
            groups.setdefault(lag, []).append(episode)
    for lag, episodes in groups.items():
        what = (
            f"the state {abs(lag)} rows {'later' if lag > 0 else 'earlier'}"
            if lag
            else "the state"
        )
        yield from fault(
            "action-copy",
            "warning",
            episodes,
            f"the action is exactly {what}: no commands were recorded",
        )
    return {e.index for episodes in groups.values() for e in episodes}


def _copied_row(collection: Collection, episode: EpisodeSignals) -> int | None:
    """How many rows later the state is of which the action is a copy; None where it is none."""
    state, action = collection.state(episode), collection.action(episode)
    steps = np.abs(np.diff(action, axis=0, prepend=action[:1]))
    moving = steps.sum(axis=1) > 0
    for lag in (0, 1, 2, 3, -1, -2, -3):
        late, early = shifted(state, action, lag)
        rows = moving[max(-lag, 0) : len(moving) - max(lag, 0)]
        if rows.sum() <= 10:
            continue
        equal = np.abs((late - early) / collection.unit).max(axis=1) <= 1e-6
        if equal[rows].mean() > 0.9:
            return lag
    return None


def _deltas(
    collection: Collection, copied: set[int]
) -> Generator[Fault, None, set[int]]:
    """Actions that are differences: small, around zero, and the state's steps.

    Returns the episodes' numbers.
    """
    some = [
        e
        for e in collection.episodes
        if e.index not in copied and len(e) >= _FEWEST_ROWS
    ]
    are = collection.measured(partial(_are_steps, collection), some)
    found = [episode for episode in some if are[episode.index]]
    yield from fault(
        "action-delta",
        "error",
        found,
        "the actions are differences to the state, not positions",
    )
    return {episode.index for episode in found}


def _are_steps(collection: Collection, episode: EpisodeSignals) -> bool:
    """Whether actions are small, around zero, and the state's steps."""
    joints = collection.robot.joints
    unit = collection.unit[joints]
    state, action = (
        v[:, joints] / unit
        for v in (collection.state(episode), collection.action(episode))
    )
    moving = np.ptp(state, axis=0) > _MOVES
    if moving.sum() < 2:
        return False
    state, action = state[:, moving], action[:, moving]
    goes, told = np.ptp(state, axis=0), np.ptp(action, axis=0)
    off_state = np.median(np.abs(action - state) / goes)
    if not (np.median(told / goes) < 0.8 and off_state > 0.05):
        return False
    centred = np.abs(np.median(action, axis=0)) < 0.2 * np.maximum(told, 1e-9)
    like = max(
        correlation(
            _sum(action, k)[:-k],
            _moved(state, k),
        )
        for k in (1, 2, 3, 5)
    )
    by_error = min(_miss(state, action, k) for k in (1, 2, 3, 4, 5))
    return bool((centred.mean() > 0.6 and like > 0.5) or by_error < 0.05)


def _sum(action: Floats, count: int) -> Floats:
    summed = np.cumsum(
        np.concatenate(
            [
                np.zeros((1, action.shape[1])),
                action,
            ]
        ),
        axis=0,
    )
    ends = np.minimum(
        np.arange(len(action)) + count,
        len(action),
    )
    sums: Floats = summed[ends] - summed[:-1]
    return sums


def _moved(state: Floats, count: int) -> Floats:
    return state[count:] - state[:-count]


def _miss(state: Floats, action: Floats, lag: int) -> float:
    reached = state[:-lag] + action[:-lag] - state[lag:]
    return float(np.mean(np.abs(reached) / np.ptp(state, axis=0)))


def _lags(
    collection: Collection, episodes: Sequence[EpisodeSignals]
) -> Iterator[Fault]:
    """By how many frames states follow, against the other episodes and against what can be."""
    known: dict[int, int] = {}
    lags = collection.measured(partial(_lag, collection), episodes)
    for index, (lag, likeness) in lags.items():
        if likeness > 0.4:
            known[index] = lag
    good = [e for e in episodes if e.index in known]
    if not good:
        return
    usual = round(float(np.median([known[e.index] for e in good])))
    if usual <= -2 or usual > _LATEST:
        text = (
            f"states follow actions by {usual:+d} frames everywhere: a command comes "
            "before its motion, by 1 to 10"
        )
        yield from fault(
            "action-late", "error", collection.episodes, text, lag=usual
        )
    odd = [e for e in good if abs(known[e.index] - usual) >= 3]
    groups: dict[int, list[EpisodeSignals]] = {}
    for episode in odd:
        groups.setdefault(
            1 if known[episode.index] > usual else -1,
            [],
        ).append(episode)
    for group in groups.values():
        own = round(float(np.median([known[e.index] for e in group])))
        text = (
            f"states follow actions by {own:+d} frames, elsewhere by {usual:+d}"
        )
        yield from fault(
            "action-late", "error", group, text, lag=own, usual=usual
        )


def _lag(collection: Collection, episode: EpisodeSignals) -> tuple[int, float]:
    """The delay at which steps of state and action are most alike, and how much they are."""
    joints = collection.robot.joints
    action, state = (
        v[:, joints]
        for v in (collection.action(episode), collection.state(episode))
    )
    span = np.maximum(
        np.ptp(action, axis=0),
        np.ptp(state, axis=0),
    )
    moving = span > 0.08 * collection.unit[joints]
    if not moving.any() or len(state) < _FEWEST_ROWS:
        return 0, 0.0
    first, second = (
        np.clip(
            np.diff(
                v[:, moving],
                axis=0,
            )
            / span[moving],
            -0.1,
            0.1,
        )
        for v in (state, action)
    )
    likeness = lag_correlations(first, second, _MOST_LAG)
    best = int(np.argmax(likeness))
    return best - _MOST_LAG, float(likeness[best])


@dataclass(frozen=True)
class _Motion:
    """How states and actions of an episode move, each of all dimensions, float64 (D,).

    Attributes:
        state, action: how far they go.
        told: how far the action goes before the end, where it is followed behind it.
        moved: how far the state goes after the start, where it was told before it.
        likeness: correlation of state and action two rows later.
        gain: see `_gains`.
        rest: how far apart they are at rest; nan where there is too little of it.
    """

    state: Floats
    action: Floats
    told: Floats
    moved: Floats
    likeness: Floats
    gain: Floats
    rest: Floats


def _motion(collection: Collection, episode: EpisodeSignals) -> _Motion:
    state, action = collection.state(episode), collection.action(episode)
    long = len(episode) > _FEWEST_ROWS
    ones = np.ones(len(collection.unit))
    return _Motion(
        state=np.ptp(state, axis=0),
        action=np.ptp(action, axis=0),
        told=np.ptp(action[: max(len(action) - _LATEST, 1)], axis=0),
        moved=np.ptp(state[min(_LATEST, len(state) - 1) :], axis=0),
        likeness=_likenesses(action[:-2], state[2:]) if long else ones,
        gain=_gains(state, action) if long else ones,
        rest=_apart_at_rest(action / collection.unit, state / collection.unit),
    )


def _likenesses(action: Floats, state: Floats) -> Floats:
    """Correlations of each dimension, float64 (D,); 0 where it does not vary."""
    pairs = zip(action.T, state.T, strict=True)
    return np.array([correlation(a, s) for a, s in pairs])


def _apart_at_rest(action: Floats, state: Floats) -> Floats:
    apart = np.full(action.shape[1], np.nan)
    steps = np.abs(np.diff(action, axis=0, prepend=action[:1]))
    for d, column in enumerate(steps.T):
        still = smooth(column, 9) < 2e-3
        if still.sum() > 10:
            apart[d] = np.median((action[:, d] - state[:, d])[still])
    return apart


def _each_dimension(
    collection: Collection, episodes: Sequence[EpisodeSignals]
) -> Iterator[Fault]:
    motions = collection.measured(partial(_motion, collection))
    for d, name in enumerate(collection.robot.short_names):
        gripper = d in collection.robot.grippers
        big = (_MOVES / 8 if gripper else _MOVES) * collection.unit[d]
        yield from _stands(collection, motions, d, name, big)
        yield from _against(collection, episodes, motions, d, big)
        if not gripper:
            rest = {e.index: float(motions[e.index].rest[d]) for e in episodes}
            known = {i: v for i, v in rest.items() if not np.isnan(v)}
            yield from _zero(collection, known, name)


def _stands(
    collection: Collection,
    motions: Mapping[int, _Motion],
    d: int,
    name: str,
    big: float,
) -> Iterator[Fault]:
    """One of state and action moves, the other does not."""
    stuck, mute = [], []
    for episode in collection.episodes:
        own = motions[episode.index]
        if _only(own.told[d], own.state[d], big):
            stuck.append(episode)
        if _only(own.moved[d], own.action[d], big):
            mute.append(episode)
    yield from fault(
        "not-following",
        "error",
        stuck,
        "the state stands still while the action moves",
        dimension=name,
    )
    yield from fault(
        "no-command",
        "error",
        mute,
        "the action stands still while the state moves",
        dimension=name,
    )


def _only(moving: float, standing: float, big: float) -> bool:
    return moving > big and standing < _STANDS * moving


def _against(
    collection: Collection,
    episodes: Sequence[EpisodeSignals],
    motions: Mapping[int, _Motion],
    d: int,
    big: float,
) -> Iterator[Fault]:
    """Action and state in opposite directions, or of other sizes."""
    name = collection.robot.short_names[d]
    inverted, gains = [], {}
    for episode in episodes:
        own = motions[episode.index]
        moves = own.action[d] > big and own.state[d] > 0.3 * big
        if len(episode) > _FEWEST_ROWS and moves:
            if own.likeness[d] < -0.5:
                inverted.append(episode)
            gains[episode.index] = float(own.gain[d])
    yield from fault(
        "action-inverted",
        "error",
        inverted,
        "action and state go in opposite directions",
        dimension=name,
    )
    odd = [
        e for e in episodes if not _GAIN[0] < gains.get(e.index, 1) < _GAIN[1]
    ]
    if odd:
        factor = 1 / float(np.median([gains[e.index] for e in odd]))
        text = f"the action is {factor:.3g} times as large as the state: another unit"
        yield from fault(
            "action-units", "error", odd, text, dimension=name, factor=factor
        )


def _gains(state: Floats, action: Floats) -> Floats:
    """How large the state's motion is beside the action's, float64 (D,).

    1 where a cut episode may explain it: what is told at the end is followed behind it, what moves
    at the start was told before it.
    """
    least = _size(state) / np.maximum(_size(action[:-_LATEST]), 1e-9)
    most = _size(state[_LATEST:]) / np.maximum(_size(action), 1e-9)
    return np.where(least < _GAIN[0], least, np.maximum(most, 1.0))


def _size(values: Floats) -> Floats:
    low, high = np.percentile(values, [2, 98], axis=0)
    size: Floats = np.asarray(high - low, np.float64)
    return size


def _zero(
    collection: Collection, rest: Mapping[int, float], name: str
) -> Iterator[Fault]:
    """Action and state are apart at rest, unlike elsewhere.

    Args:
        collection: all episodes.
        rest: how far they are apart, of episodes where it is known.
        name: of the dimension.
    """
    if len(rest) < 4:
        return
    ordered = np.sort(list(rest.values()))
    for session, own in collection.sessions.items():
        numbers = {e.index for e in own}
        known = [rest[index] for index in numbers if index in rest]
        low, high = middle_without(ordered, len(known))
        if not known or max(max(known) - low, high - min(known)) < _ZERO_FLOOR:
            continue
        others = [v for i, v in rest.items() if i not in numbers]
        reference = others if len(others) >= 4 else list(rest.values())
        usual, width = (
            float(np.median(reference)),
            max(float(spread(reference)), _ZERO_WIDTH),
        )
        level = max(8 * width, _ZERO_FLOOR)
        off = [
            e
            for e in own
            if e.index in rest and abs(rest[e.index] - usual) > level
        ]
        if off and (len(off) >= len(own) / 2 or len(others) >= 4):
            apart = float(np.median([rest[e.index] for e in off]))
            text = (
                f"action and state are {apart:+.3f} rad apart at rest, elsewhere "
                f"{usual:+.3f}: another zero"
            )
            yield from fault(
                "zero-apart",
                "error",
                off,
                text,
                dimension=name,
                apart=round(apart, 4),
                session=session,
            )


def _arms(collection: Collection) -> Iterator[Fault]:
    """The action of one arm moves the other."""
    if not collection.robot.arms:
        return
    long = [e for e in collection.episodes if len(e) >= _FEWEST_ROWS]
    exchanged = collection.measured(partial(_are_exchanged, collection), long)
    swapped = [e for e in long if exchanged[e.index] is True]
    straight = [e for e in long if exchanged[e.index] is False]
    yield from fault(
        "arms-exchanged",
        "error",
        with_sessions(collection, swapped, straight),
        "the action of the left arm moves the right one: sides are exchanged in action or state",
    )


def _are_exchanged(
    collection: Collection, episode: EpisodeSignals
) -> bool | None:
    """Whether the action of one arm moves the other; None where that cannot be told."""
    likeness = {
        pair: _arm_likeness(collection, episode, *pair)
        for pair in product(collection.robot.arms, repeat=2)
    }
    (left, right) = collection.robot.arms
    crossed = max(likeness[left, right], likeness[right, left])
    own = max(likeness[left, left], likeness[right, right])
    # Arms that move in turn with each other are alike, but each follows its own commands best.
    both = min(likeness[left, right], likeness[right, left])
    if (crossed > 0.5 and own < 0.3) or (both > 0.7 and own < both - 0.2):
        return True
    return False if own > 0.5 else None


def _arm_likeness(
    collection: Collection, episode: EpisodeSignals, told: str, moved: str
) -> float:
    values = []
    for vector, side in (
        (collection.state(episode), moved),
        (collection.action(episode), told),
    ):
        dims = collection.robot.joints_of(side)
        scale = np.maximum(
            collection.scale[dims],
            1e-3 * collection.unit[dims],
        )
        values.append(
            np.clip(
                np.diff(vector[:, dims], axis=0) / scale,
                -0.1,
                0.1,
            )
        )
    return max(
        correlation(
            *shifted(
                values[0],
                values[1],
                lag,
            )
        )
        for lag in (1, 2, 4)
    )

"""Checks: actions that lie in other rows than their states, and rotations that jump.

Both train without a word, and badly. What else can be wrong with motion, detectors find.
"""

from collections.abc import Iterator

import numpy as np

from piperline.errors import Place
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject, Values, value_range
from piperline.groot.modality import quaternion

_REST = 0.005
"""A dimension whose range is below this share of the widest is at rest: the remainder is noise."""
_LAGS = range(-5, 6)
_UNRELATED = 0.9
"""Actions that are no nearer to their states than this share of random ones are no commands."""


def check_motion(subject: Subject) -> Iterator[Finding]:
    """Actions that have nothing to do with the states of their rows."""
    pairs = [
        (action, state)
        for name in subject.choice.action
        if (action := subject.group("action", name)) is not None
        and (state := subject.group("state", name)) is not None
        and action.shape == state.shape
    ]
    if not pairs or not len(pairs[0][0]):
        return
    actions, states = (
        np.concatenate(values, axis=1).astype(np.float64)
        for values in zip(*pairs, strict=True)
    )
    # Broken numbers have their own finding; here they must not hide the rest.
    whole = np.isfinite(actions).all(axis=1) & np.isfinite(states).all(axis=1)
    actions[~whole] = states[~whole] = 0
    ranges = np.maximum(value_range(actions), value_range(states))
    moving = ranges > _REST * ranges.max()
    if not moving.any():
        return
    spans = [
        span
        for span in subject.rows.episodes(subject.meta).values()
        if span[1] > span[0]
    ]
    yield from _check_related(
        actions[:, moving] / ranges[moving],
        states[:, moving] / ranges[moving],
        spans,
        Place(file=subject.meta.root),
    )


def _check_related(
    actions: Values, states: Values, spans: list[tuple[int, int]], place: Place
) -> Iterator[Finding]:
    nearest = min(_mean_distance(actions, states, spans, lag) for lag in _LAGS)
    unrelated = _mean_distance(actions, _shuffled(states, spans), spans, 0)
    if nearest <= _UNRELATED * unrelated:
        return
    message = (
        "the states do not follow the actions more than they follow actions in random order: "
        "training falls as with good data, and the model learns nothing"
    )
    numbers = {"distance": nearest, "random": unrelated}
    remedy = "check that actions and states lie in the same rows, in the order of time"
    yield Finding(
        "action-unrelated", "warning", message, place, numbers, remedy
    )


def _shuffled(
    values: Values,
    spans: list[tuple[int, int]],
) -> Values:
    """The same rows in another order within each episode, the same in each run."""
    order = np.arange(len(values))
    random = np.random.default_rng(0)
    for start, stop in spans:
        order[start:stop] = random.permutation(order[start:stop])
    shuffled: Values = values[order]
    return shuffled


def _mean_distance(
    a: Values, s: Values, spans: list[tuple[int, int]], lag: int
) -> float:
    """The mean of |action[t] - state[t + lag]|, both in parts of their range."""
    total, count = 0.0, 0
    for start, stop in spans:
        first, last = start + max(0, -lag), stop - max(0, lag)
        if last > first:
            total += float(
                np.abs(a[first:last] - s[first + lag : last + lag]).sum()
            )
            count += (last - first) * a.shape[1]
    return total / count if count else np.inf


def check_rotations(subject: Subject) -> Iterator[Finding]:
    """Quaternions that change their sign from one frame to the next: the same pose, far away."""
    for part, groups in (
        ("state", subject.choice.state),
        ("action", subject.choice.action),
    ):
        for group in groups:
            values = subject.group(part, group)
            dimensions = quaternion(subject.meta.dimension_names(part, group))
            if values is None or not dimensions:
                continue
            flips = _sign_flips(subject, values[:, dimensions])
            if flips:
                message = (
                    f"the quaternion of the {part} group {group} changes its sign {len(flips)} "
                    "times: the same pose in other numbers, which a model cannot learn"
                )
                remedy = (
                    "record quaternions without jumps, for example with qw >= 0"
                )
                numbers = {"frames": len(flips)}
                place = subject.row_place(flips[0])
                yield Finding(
                    "quaternion-flip",
                    "warning",
                    message,
                    place,
                    numbers,
                    remedy,
                )


def _sign_flips(subject: Subject, quaternions: Values) -> list[int]:
    """The rows that are nearer to the row before them with the opposite sign."""
    products = (quaternions[1:].astype(np.float64) * quaternions[:-1]).sum(
        axis=1
    )
    flipped = np.flatnonzero(products < 0) + 1
    firsts = {
        start for start, _ in subject.rows.episodes(subject.meta).values()
    }
    return [int(row) for row in flipped if row not in firsts]

"""Checks: how the robot moves. Commands that are none train without a word, and badly."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from piperline.errors import Place
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject, Values, ordinary, value_range
from piperline.groot.modality import quaternion

_STILL = 0.01
"""A frame is still while no dimension left this share of its range."""
_IDLE_SHARE = 0.1
_REST = 0.005
"""A dimension whose range is below this share of the widest is at rest: the remainder is noise."""
_LAGS = range(-5, 6)
_CLEARLY = 0.5
_UNITS = 10
_UNRELATED = 0.9
"""Actions that are no nearer to their states than this share of random ones are no commands."""


def check_motion(subject: Subject) -> Iterator[Finding]:
    """How actions relate to states: equal, shifted, inverted, in other units; idle starts."""
    place = Place(file=subject.meta.root)
    pairs = [
        (name, action, state)
        for name in subject.choice.action
        if (action := subject.group("action", name)) is not None
        and (state := subject.group("state", name)) is not None
        and action.shape == state.shape
    ]
    if not pairs or not len(pairs[0][1]):
        return
    actions = np.concatenate(
        [action for _, action, _ in pairs],
        axis=1,
    ).astype(np.float64)
    states = np.concatenate(
        [state for _, _, state in pairs],
        axis=1,
    ).astype(np.float64)
    names = [
        f"{name}[{index}]"
        for name, action, _ in pairs
        for index in range(action.shape[1])
    ]
    # Broken numbers have their own finding; here they must not hide the rest.
    whole = np.isfinite(actions).all(axis=1) & np.isfinite(states).all(axis=1)
    actions[~whole] = states[~whole] = 0
    ranges = np.maximum(value_range(actions), value_range(states))
    moving = ranges > _REST * ranges.max()
    if not moving.any():
        return
    names = [
        name
        for name, moves in zip(
            names,
            moving,
            strict=True,
        )
        if moves
    ]
    actions, states = actions[:, moving], states[:, moving]
    spans = [
        span
        for span in subject.rows.episodes(subject.meta).values()
        if span[1] > span[0]
    ]
    yield from _check_shift(actions, states, spans, place)
    yield from _check_still_episodes(subject, states)
    yield from _check_units(names, actions[whole], states[whole], place)
    yield from _check_idle(
        subject, np.concatenate([actions, states], axis=1), spans, place
    )


def _check_shift(
    actions: Values, states: Values, spans: list[tuple[int, int]], place: Place
) -> Iterator[Finding]:
    scale = np.maximum(value_range(states), value_range(actions))
    a, s = actions / scale, states / scale
    errors = {lag: _mean_distance(a, s, spans, lag) for lag in _LAGS}
    best = min(errors, key=lambda lag: (errors[lag], abs(lag)))
    unrelated = _mean_distance(a, _shuffled(s, spans), spans, 0)
    if errors[0] == 0:
        message = (
            "the actions are the states: a model that copies them stands still"
        )
        yield Finding(
            "action-equals-state",
            "warning",
            message,
            place,
            remedy="check which dataset the layout reads",
        )
    elif best and errors[best] == 0:
        message = f"action[t] is exactly state[t{best:+d}]: recorded positions, no commands"
        remedy = "check which dataset the layout reads"
        yield Finding(
            "action-shifted",
            "warning",
            message,
            place,
            {"frames": best},
            remedy,
        )
    elif min(errors.values()) > _UNRELATED * unrelated:
        message = (
            "the states do not follow the actions more than they follow actions in random order: "
            "training falls as with good data, and the model learns nothing"
        )
        numbers = {"distance": errors[best], "random": unrelated}
        remedy = "check that actions and states lie in the same rows, in the order of time"
        yield Finding(
            "action-unrelated", "warning", message, place, numbers, remedy
        )
    elif best < 0 and errors[best] < _CLEARLY * errors[0]:
        message = (
            f"the actions follow the states by {-best} "
            "frames, where commands go ahead of them"
        )
        yield Finding(
            "action-shifted",
            "warning",
            message,
            place,
            {"frames": best},
            "check the recorder's timing",
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


def _check_still_episodes(
    subject: Subject, states: Values
) -> Iterator[Finding]:
    """Episodes in which nearly nothing moves, where it does in the others."""
    limit = _STILL * value_range(states)
    still = [
        index
        for index, (start, stop) in subject.rows.episodes(subject.meta).items()
        if stop > start
        and (
            np.ptp(
                states[start:stop],
                axis=0,
            )
            <= limit
        ).all()
    ]
    if still:
        message = (
            f"in {len(still)} episodes the robot stands still from start to end"
        )
        place = Place(
            subject.meta.data_file(still[0]),
            episode=str(still[0]),
        )
        remedy = "leave them out: --episodes, when converting"
        yield Finding(
            "episode-still",
            "warning",
            message,
            place,
            {"episodes": still},
            remedy,
        )


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


def _check_units(
    names: list[str], actions: Values, states: Values, place: Place
) -> Iterator[Finding]:
    units: list[tuple[str, Finding]] = []
    inverted: list[tuple[str, Finding]] = []
    for index, name in enumerate(names):
        a, s = (
            np.clip(
                values[:, index],
                *ordinary(values[:, index]),
            )
            for values in (actions, states)
        )
        ranges = np.ptp(a), np.ptp(s)
        if min(ranges) == 0:
            continue
        ratio = float(ranges[0] / ranges[1])
        apart = a.min() > s.max() or s.min() > a.max()
        if apart or not 1 / _UNITS < ratio < _UNITS:
            message = (
                f"{name}: actions from {a.min():.4g} to {a.max():.4g}, states from "
                f"{s.min():.4g} to {s.max():.4g}: "
                "the units differ"
            )
            finding = Finding(
                "action-units",
                "warning",
                message,
                place,
                {"ratio": ratio},
                "record both in the same unit",
            )
            units.append((name, finding))
        elif (correlation := float(np.corrcoef(a, s)[0, 1])) < -_CLEARLY:
            message = (
                f"{name}: actions go against the states (correlation {correlation:.2f}): one is "
                "upside down"
            )
            finding = Finding(
                "action-inverted",
                "warning",
                message,
                place,
                {"correlation": correlation},
                "give both the same sign",
            )
            inverted.append((name, finding))
    yield from _together(units)
    yield from _together(inverted)


def _together(found: list[tuple[str, Finding]]) -> Iterator[Finding]:
    """One finding for one cause, whatever the number of dimensions that have it."""
    if not found:
        return
    _, first = found[0]
    others = [name for name, _ in found[1:]]
    message = first.message
    if others:
        message += f"; so it is in {', '.join(others)}"
    names = [name for name, _ in found]
    yield replace(
        first, message=message, numbers={**first.numbers, "dimensions": names}
    )


def _check_idle(
    subject: Subject, values: Values, spans: list[tuple[int, int]], place: Place
) -> Iterator[Finding]:
    limit = _STILL * value_range(values)
    idle = 0
    for start, stop in spans:
        moved = (np.abs(values[start:stop] - values[start]) > limit).any(axis=1)
        # 0 for an episode without motion, which has its own finding
        idle += int(moved.argmax())
    frames = sum(stop - start for start, stop in spans)
    if idle > _IDLE_SHARE * frames:
        seconds = idle / len(spans) / subject.meta.schema.fps
        message = (
            f"{100 * idle / frames:.0f} % of all frames are stillness at the start of "
            f"episodes ({seconds:.1f} s each): "
            "the model learns to wait"
        )
        yield Finding(
            "idle-start",
            "warning",
            message,
            place,
            {"frames": idle, "share": idle / frames},
            "trim the starts",
        )


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

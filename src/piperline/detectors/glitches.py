"""Single rows that cannot be: spikes, dropouts, jumps; rows that are held, doubled, or rounded."""

from collections.abc import Generator, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault, of_each
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import runs, smooth

Floats = NDArray[np.float64]

_FEWEST_ROWS = 12
_SPIKE = 8  # times the ordinary distance from the line between the neighbours
_SPIKE_FLOOR, _GRIPPER_FLOOR = 0.04, 0.01  # radians, metres
_TURN, _TURN_TOLERANCE = 2 * np.pi, 0.3
_JUMP, _JUMP_FLOOR = 5.0, 0.06
_FASTER = 1.5  # than the rows before and behind
_HELD_ROWS, _HELD_MOVES = 6, 0.05
_LATEST, _SOON = 12, 3  # rows by which states follow
_SLOW_SHARE = (0.25, 0.95)
_COARSE = 3e-3  # radians


def find_glitches(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    yield from of_each(
        collection,
        partial(_of_an_episode, collection),
        [e for e in collection.episodes if len(e) >= _FEWEST_ROWS],
    )
    yield from _slow_bus(collection)
    yield from _coarse(collection)


def _of_an_episode(
    collection: Collection, episode: EpisodeSignals
) -> Iterator[Fault]:
    for label, values in _vectors(collection, episode):
        zero = yield from _dropouts(collection, episode, label, values)
        yield from _spikes(collection, episode, label, values, zero)
        yield from _wraps(collection, episode, label, values)
    yield from _time_jumps(collection, episode)
    yield from _held(collection, episode)
    yield from _doubled(collection, episode)


def _vectors(
    collection: Collection, episode: EpisodeSignals
) -> Iterator[tuple[str, Floats]]:
    yield "state", collection.state(episode)
    if collection.has_actions:
        yield "action", collection.action(episode)


def _dropouts(
    collection: Collection, episode: EpisodeSignals, label: str, values: Floats
) -> Generator[Fault, None, NDArray[np.bool_]]:
    """Rows in which a whole arm is exactly zero for a time; returns which rows, bool (T,)."""
    zero = np.zeros(len(values), dtype=bool)
    parts = collection.robot.arms or {"robot": np.arange(values.shape[1])}
    for side, dims in parts.items():
        rows = (values[:, dims] == 0).all(axis=1)
        if rows.mean() >= 0.5 or len(dims) < 3:  # it may begin and end at zero
            continue
        zero |= rows
        for start, stop in runs(rows):
            around = (
                values[max(start - 1, 0) : stop + 1, dims]
                / collection.unit[dims]
            )
            if np.abs(around).max() > 0.1:  # it did not come there by itself
                yield from fault(
                    "dropout",
                    "error",
                    episode,
                    f"{label}: the {side} arm is exactly 0 for {stop - start} rows",
                    span=(start, stop),
                )
    return zero


def _spikes(
    collection: Collection,
    episode: EpisodeSignals,
    label: str,
    values: Floats,
    zero: NDArray[np.bool_],
) -> Iterator[Fault]:
    """One row, or two, that leave the line between the rows before and behind."""
    scaled = values / collection.unit
    floor = np.full(values.shape[1], _SPIKE_FLOOR)
    floor[collection.robot.grippers] = _GRIPPER_FLOOR
    seen: dict[tuple[int, int], list[int]] = {}
    for width in (1, 2):
        hits = _off_the_line(scaled, width, floor)
        for t, d in zip(*np.nonzero(hits), strict=True):
            known = any(
                abs(int(t) - start) <= 2 and d in dims
                for (start, _), dims in seen.items()
            )
            if not known and not zero[max(t - 1, 0) : t + width + 1].any():
                seen.setdefault(
                    (int(t), int(t) + width),
                    [],
                ).append(int(d))
    for (start, stop), dims in sorted(seen.items()):
        d = dims[0]
        names = [collection.robot.short_names[d] for d in dims]
        usual = (values[start - 1, d] + values[stop, d]) / 2
        text = (
            f"{label} {names[0]}: {values[start, d]:.3g} for {stop - start} rows, "
            f"{usual:.3g} around them"
        )
        yield from fault(
            "spike",
            "error",
            episode,
            text,
            span=(start, stop),
            dimensions=names,
        )


def _off_the_line(
    scaled: Floats, width: int, floor: Floats
) -> NDArray[np.bool_]:
    """Where `width` rows leave the line between their neighbours, and the rows around do not.

    Returns:
        bool (T, D).
    """
    hits = np.zeros(scaled.shape, dtype=bool)
    count = len(scaled) - width - 3
    if count < _FEWEST_ROWS:
        return hits
    before, behind = (
        scaled[1 : 1 + count],
        scaled[2 + width : 2 + width + count],
    )
    inside = np.mean(
        [scaled[2 + i : 2 + i + count] for i in range(width)], axis=0
    )
    off = np.abs(inside - (before + behind) / 2)
    even = np.ptp(
        [scaled[2 + i : 2 + i + count] for i in range(width)],
        axis=0,
    )
    drift = np.maximum(
        np.abs(before - scaled[:count]),
        np.abs(scaled[3 + width : 3 + width + count] - behind),
    )
    usual = np.percentile(off, 97, axis=0)
    sure = (
        (off > np.maximum(_SPIKE * usual, floor))
        & (even < 0.5 * off)
        & (drift < 0.4 * off)
    )
    hits[2 : 2 + count] = sure & (np.abs(behind - before) < off)
    return hits


def _wraps(
    collection: Collection, episode: EpisodeSignals, label: str, values: Floats
) -> Iterator[Fault]:
    for d in collection.robot.joints:
        scaled = values[:, d] / collection.unit[d]
        if np.abs(scaled).max() > 4 * np.pi:
            continue
        jumps = np.flatnonzero(
            np.abs(np.abs(np.diff(scaled)) - _TURN) < _TURN_TOLERANCE
        )
        if len(jumps):
            yield from fault(
                "wrap",
                "error",
                episode,
                f"{label} {collection.robot.short_names[d]}: jumps by a whole turn, "
                f"{len(jumps)} times",
                span=(int(jumps[0]), int(jumps[0]) + 2),
            )


def _time_jumps(
    collection: Collection, episode: EpisodeSignals
) -> Iterator[Fault]:
    """Several joints and the pictures jump between two rows: rows are missing between them."""
    joints = collection.robot.joints
    scaled = collection.state(episode)[:, joints] / collection.unit[joints]
    moved = np.diff(scaled, axis=0)
    before = np.concatenate(
        [
            moved[:1],
            moved[:-1],
        ]
    )
    after = np.concatenate(
        [
            moved[1:],
            moved[-1:],
        ]
    )
    sudden = np.abs(moved - (before + after) / 2)
    rows = np.linalg.norm(sudden, axis=1)
    lasting = np.linalg.norm(
        scaled[2:] - scaled[:-2],
        axis=1,
    )
    lasting = np.concatenate([lasting, lasting[-1:]])
    noise = np.maximum(
        np.percentile(sudden, 95, axis=0),
        1e-3,
    )
    many = (sudden > 3 * noise).sum(axis=1)
    level = max(_JUMP * float(np.percentile(rows, 95)), _JUMP_FLOOR)
    # A motion that begins at once goes on as fast: it is no jump.
    size, around = (
        np.linalg.norm(moved, axis=1),
        np.maximum(*(np.linalg.norm(v, axis=1) for v in (before, after))),
    )
    hits = (rows > level) & (many >= 4) & (lasting > 0.5 * rows)
    hits &= size > _FASTER * around
    pictures = " and the pictures" if collection.cameras else ""
    for t in np.flatnonzero(hits):
        if _pictures_jump(collection, episode, int(t) + 1):
            yield from fault(
                "time-jump",
                "error",
                episode,
                f"all joints{pictures} jump at once: rows are missing",
                span=(int(t), int(t) + 2),
            )


def _pictures_jump(
    collection: Collection, episode: EpisodeSignals, frame: int
) -> bool:
    if not collection.cameras:
        return True
    return any(
        motion[frame]
        > 1.5
        * max(
            float(np.percentile(motion, 95)),
            1e-6,
        )
        for motion in (
            episode.cameras[camera].motion for camera in collection.cameras
        )
    )


def _held(collection: Collection, episode: EpisodeSignals) -> Iterator[Fault]:
    if not collection.has_actions:
        return
    state, action = collection.state(episode), collection.action(episode)
    for label, own, other, word in (
        ("state", state, action, "action"),
        ("action", action, state, "state"),
    ):
        for start, stop in runs(_same_as_before(own)):
            # A state follows its action for a while after that has stopped, and begins to after it
            # has begun.
            while_held = (
                (start + _LATEST, stop)
                if label == "action"
                else (start - 1, stop - _SOON)
            )
            moved = collection.moves(other[slice(*while_held)])
            if (
                _HELD_ROWS <= stop - start < 0.9 * len(own)
                and moved > _HELD_MOVES
            ):
                count = stop - start + 1
                yield from fault(
                    "rows-held",
                    "warning" if label == "action" else "error",
                    episode,
                    f"{label}: the same row {count} times ({count / collection.fps:.1f} s) "
                    f"while the {word} moves",
                    span=(start - 1, stop),
                )


def _same_as_before(values: Floats) -> NDArray[np.bool_]:
    return np.concatenate(
        [
            [False],
            (np.diff(values, axis=0) == 0).all(axis=1),
        ]
    )


def _doubled(
    collection: Collection, episode: EpisodeSignals
) -> Iterator[Fault]:
    """A stretch in which every row, of states and actions, is there twice."""
    if not collection.has_actions or len(episode) < 40:
        return
    joined = np.concatenate(
        [collection.state(episode), collection.action(episode)], axis=1
    )
    twice = _same_as_before(joined)
    dense = [
        (a, b)
        for a, b in runs(smooth(twice, 6) >= 0.45)
        if b - a >= 10 and 0.35 < twice[a:b].mean() < 0.7
    ]
    if (
        dense
        and collection.moves(
            joined[dense[0][0] : dense[0][1], : len(collection.unit)]
        )
        > 0.01
    ):
        yield from fault(
            "rows-doubled",
            "warning",
            episode,
            "rows are there twice, one after the other",
            span=dense[0],
        )


def _slow_bus(collection: Collection) -> Iterator[Fault]:
    """States or actions that change in some rows only."""
    held = collection.measured(partial(_held_shares, collection))
    for label in _labels(collection):
        found = [
            e
            for e in collection.episodes
            if _SLOW_SHARE[0] < held[e.index][label] < _SLOW_SHARE[1]
        ]
        if found:
            shares = [held[e.index][label] for e in found]
            rate = collection.fps * (1 - float(np.median(shares)))
            yield from fault(
                "rows-slow",
                "warning",
                found,
                f"{label}: {rate:.0f} readings a second, not {collection.fps}: the others "
                "repeat the one before",
                readings_per_second=round(rate, 1),
            )


def _labels(collection: Collection) -> tuple[str, ...]:
    return ("state", "action") if collection.has_actions else ("state",)


def _held_shares(
    collection: Collection, episode: EpisodeSignals
) -> dict[str, float]:
    """The share of the rows, where the robot moves, that repeat the one before."""
    step = collection.travelled(episode)
    fast = smooth(step, 15) > 0.2 * np.percentile(step, 90)
    moving = np.concatenate([[False], fast])
    shares = {}
    for label, values in _vectors(collection, episode):
        same = _same_as_before(values)
        for start, stop in runs(same):
            if stop - start >= 2 * _HELD_ROWS:
                same[start:stop] = False
        enough = moving.sum() > 2 * _FEWEST_ROWS
        shares[label] = float(same[moving].mean()) if enough else 0.0
    return shares


def _coarse(collection: Collection) -> Iterator[Fault]:
    steps = collection.measured(partial(_steps, collection))
    for label in _labels(collection):
        found = [
            e for e in collection.episodes if steps[e.index][label] > _COARSE
        ]
        if found:
            size = float(np.median([steps[e.index][label] for e in found]))
            yield from fault(
                "coarse",
                "warning",
                found,
                f"{label}: readings in steps of {size:.2g} rad: rounded by the "
                "recorder",
                step=size,
            )


def _steps(collection: Collection, episode: EpisodeSignals) -> dict[str, float]:
    """The steps of states and actions, radians; see `_resolution`."""
    joints = collection.robot.joints
    return {
        label: _resolution(values[:, joints] / collection.unit[joints])
        for label, values in _vectors(collection, episode)
    }


def _resolution(values: Floats) -> float:
    """The smallest step of the joints that move, if no reading lies between its steps; else 0."""
    found = []
    for column in values.T:
        levels = np.unique(np.round(column, 5))
        if np.ptp(column) < 0.1 or len(levels) < 5:
            continue
        gaps = np.diff(levels)
        step = float(np.percentile(gaps, 2))
        off = np.abs(gaps / step - np.round(gaps / step))
        found.append(step if off.max() < 0.1 else 0.0)
    return float(np.median(found)) if found else 0.0

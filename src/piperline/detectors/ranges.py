"""Values against the robot's limits, and the sessions' values against each other."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault, merged
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import spread

Floats = NDArray[np.float64]

_BEYOND, _BEYOND_ROWS = 0.05, 0.02  # of a dimension's span; of the rows
_HOME_ROWS = 8
_HOME_FLOOR, _GRIPPER_FLOOR = 0.08, 0.02  # radians, metres
_SATURATED, _NOT_SATURATED = 0.05, 0.01
_AT_SPEED = 0.04  # of a joint's fast steps
_FEWEST_ROWS = 30


def find_ranges(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    yield from _beyond_limits(collection)
    yield from merged([*_never_changes(collection), *_saturated(collection)])
    if collection.compares_sessions:
        yield from _homes(collection)
        yield from merged([*_signs(collection)])


# --- limits --------------------------------------------------------------------------------------


def _beyond_limits(collection: Collection) -> Iterator[Fault]:
    robot = collection.robot
    if robot.lower is None or robot.upper is None:
        return
    margin = _BEYOND * (robot.upper - robot.lower)
    groups: dict[tuple[str, ...], list[EpisodeSignals]] = {}
    for episode in collection.episodes:
        beyond: list[str] = []
        for label, values in _vectors(collection, episode):
            outside = (values > robot.upper + margin) | (
                values < robot.lower - margin
            )
            beyond += [
                f"{label} {robot.short_names[d]}"
                for d in np.flatnonzero(outside.mean(axis=0) > _BEYOND_ROWS)
            ]
        if beyond:
            labels = sorted({name.split()[0] for name in beyond})
            groups.setdefault(tuple(labels), []).append(episode)
    for parts, episodes in groups.items():
        where = " and ".join(parts) if len(parts) == 1 else "state and action"
        what = _unit_hint(collection, episodes, parts)
        yield from fault(
            "beyond-limits",
            "error",
            episodes,
            f"values of {where} are beyond what the robot can reach{what}",
        )


def _vectors(
    collection: Collection, episode: EpisodeSignals
) -> Iterator[tuple[str, Floats]]:
    yield "state", collection.state(episode)
    if collection.has_actions:
        yield "action", collection.action(episode)


def _unit_hint(
    collection: Collection,
    episodes: Sequence[EpisodeSignals],
    parts: Sequence[str],
) -> str:
    """In which unit the values look as if they were."""
    robot = collection.robot
    values = np.concatenate(
        [
            v
            for e in episodes
            for part, v in _vectors(collection, e)
            if part in parts
        ]
    )
    joints = float(np.abs(values[:, robot.joints]).max(initial=0))
    grippers = float(np.abs(values[:, robot.grippers]).max(initial=0))
    hints = []
    for limit, unit in ((1000.0, "0.001 degrees"), (7.0, "degrees")):
        if joints > limit:
            hints.append(f"the joints look like {unit}")
            break
    for limit, unit in ((1000.0, "0.001 mm"), (1.5, "mm"), (0.15, "0..1")):
        if grippers > limit:
            hints.append(f"the grippers look like {unit}")
            break
    return ": " + ", ".join(hints) if hints else ""


# --- dimensions ----------------------------------------------------------------------------------


def _never_changes(collection: Collection) -> Iterator[Fault]:
    """A dimension that not even noise moves, where others have noise."""
    spans = {
        e.index: np.ptp(collection.state(e), axis=0)
        for e in collection.episodes
    }
    alive = (
        np.median(
            [spans[e.index] > 0 for e in collection.episodes],
            axis=0,
        )
        > 0
    )
    noisy = alive.mean() > 0.5  # a simulator's joints stand exactly still
    for d, name in enumerate(collection.robot.short_names):
        still = [
            e
            for e in collection.episodes
            if spans[e.index][d] == 0
            and len(e) > 1
            and not _is_limit(
                collection,
                d,
                float(collection.state(e)[0, d]),
            )
        ]
        everywhere = len(still) == len(collection)
        by_noise = all((spans[e.index] > 0).mean() > 0.5 for e in still)
        if (
            still
            and noisy
            and by_noise
            and (everywhere or _noise_elsewhere(collection, d, still))
        ):
            yield from fault(
                "dimension-still",
                "error",
                still,
                "the state never changes, not even by noise",
                dimension=name,
            )


def _noise_elsewhere(
    collection: Collection, d: int, still: Sequence[EpisodeSignals]
) -> bool:
    """Whether dimension `d` of the other episodes changes from row to row even where it rests."""
    gone = {episode.index for episode in still}
    others = [e for e in collection.episodes if e.index not in gone]
    changing = [
        np.mean(np.diff(collection.state(e)[:, d]) != 0)
        for e in others
        if len(e) > 1
    ]
    return bool(changing) and float(np.median(changing)) > 0.5


def _saturated(collection: Collection) -> Iterator[Fault]:
    """An extreme that many readings have exactly, and that the other sessions go beyond."""
    for d in collection.robot.joints:
        values = {
            session: np.concatenate(
                [collection.state(e)[:, d] for e in episodes]
            )
            for session, episodes in collection.sessions.items()
        }
        for session, own in values.items():
            others = [v for other, v in values.items() if other != session]
            share, value = _at_extreme(own)
            if share <= _SATURATED or _is_limit(collection, int(d), value):
                continue
            moves = np.ptp(own) > 0.05 * collection.unit[d]
            if (
                moves
                and others
                and _halts(collection, session, int(d), value)
                and _others_go_on(own, others, value, 0.01 * collection.unit[d])
            ):
                yield from fault(
                    "saturated",
                    "error",
                    collection.sessions[session],
                    f"{100 * share:.0f} % of the readings are exactly {value:.3g}: cut off",
                    dimension=collection.robot.short_names[d],
                )


def _halts(collection: Collection, session: str, d: int, value: float) -> bool:
    """Whether readings come to a value at speed: an arm that comes to rest slows down before."""
    columns = [collection.state(e)[:, d] for e in collection.sessions[session]]
    speeds = np.concatenate([np.abs(np.diff(column)) for column in columns])
    edges = np.concatenate([np.diff(column == value) for column in columns])
    if not edges.any():
        return False
    usual = np.percentile(speeds, 90)
    return bool(np.median(speeds[edges]) > _AT_SPEED * usual)


def _others_go_on(
    own: Floats, others: Sequence[Floats], value: float, margin: float
) -> bool:
    """Whether half of the other sessions go further, and none stands still at its extreme."""
    sign = 1 if value == own.max() else -1
    further = [
        float((sign * values).max()) > sign * value + margin
        for values in others
    ]
    held = max(_at_extreme(values)[0] for values in others)
    return float(np.mean(further)) >= 0.5 and held < _NOT_SATURATED


def _is_limit(collection: Collection, d: int, value: float) -> bool:
    """Whether a value is where the joint cannot go further."""
    robot = collection.robot
    if robot.lower is None or robot.upper is None:
        return False
    return bool(
        min(
            abs(value - robot.lower[d]),
            abs(value - robot.upper[d]),
        )
        < 0.01
    )


def _at_extreme(values: Floats) -> tuple[float, float]:
    """The share of the values that are exactly the largest or the smallest, and which."""
    top, bottom = values.max(), values.min()
    high, low = float(np.mean(values == top)), float(np.mean(values == bottom))
    return (high, float(top)) if high >= low else (low, float(bottom))


# --- sessions against sessions -------------------------------------------------------------------


def _homes(collection: Collection) -> Iterator[Fault]:
    """A session that begins elsewhere than all others do."""
    robot, unit = collection.robot, collection.unit
    floor, least = np.full(len(unit), _HOME_FLOOR), np.full(len(unit), 0.012)
    floor[robot.grippers], least[robot.grippers] = _GRIPPER_FLOOR, 5e-4
    starts = {
        e.index: np.median(
            collection.state(e)[:_HOME_ROWS],
            axis=0,
        )
        / unit
        for e in collection.episodes
    }
    for session, episodes in collection.sessions.items():
        if len(episodes) < 2:  # one may begin anywhere
            continue
        own = np.array([starts[e.index] for e in episodes])
        others = np.array(
            [
                starts[e.index]
                for e in collection.episodes
                if e.session != session
            ]
        )
        middle, usual = np.median(own, axis=0), np.median(others, axis=0)
        width = np.maximum(spread(others, axis=0), least)
        apart = np.abs(middle - usual) > np.maximum(8 * width, floor)
        steady = spread(own, axis=0) < np.maximum(3 * width, 0.03)
        off = np.flatnonzero(apart & steady)
        if len(off) == 0:
            continue
        shown = ", ".join(
            f"{robot.short_names[d]} {middle[d] * unit[d]:+.2f} (elsewhere "
            f"{usual[d] * unit[d]:+.2f})"
            for d in off[:3]
        )
        more = " ..." if len(off) > 3 else ""
        cause = _other_order(collection, session) or _sign_or_zero(
            middle, usual, off
        )
        yield from fault(
            "home-apart",
            "warning",
            episodes,
            f"the session begins with {shown}{more}: {cause}",
            dimensions=[robot.short_names[d] for d in off],
        )


def _sign_or_zero(
    own: Floats,
    usual: Floats,
    off: NDArray[np.int64],
) -> str:
    turned = [d for d in off if abs(own[d] + usual[d]) < 0.05 < abs(usual[d])]
    return (
        "the sign is opposite"
        if turned
        else "zeroed anew, or the arm stands otherwise"
    )


def _other_order(collection: Collection, session: str) -> str | None:
    """The order of dimensions that fits the other sessions much better than this session's own."""
    own = _signature(collection, collection.sessions[session])
    usual = _signature(
        collection, [e for e in collection.episodes if e.session != session]
    )
    cost = np.abs(own[:, None] - usual[None]).sum(axis=2)
    size = len(cost)
    orders = _orders(collection)
    if not orders:
        return None
    costs = {
        name: cost[order, np.arange(size)].sum()
        for name, order in orders.items()
    }
    best = min(costs, key=lambda name: float(costs[name]))
    return best if costs[best] < 0.5 * np.trace(cost) else None


def _signature(
    collection: Collection, episodes: Sequence[EpisodeSignals]
) -> Floats:
    starts = [
        np.median(
            collection.state(e)[:_HOME_ROWS],
            axis=0,
        )
        for e in episodes
    ]
    low = [
        np.percentile(
            collection.state(e),
            5,
            axis=0,
        )
        for e in episodes
    ]
    high = [
        np.percentile(
            collection.state(e),
            95,
            axis=0,
        )
        for e in episodes
    ]
    rows = [
        np.median(values, axis=0) / collection.unit
        for values in (starts, low, high)
    ]
    return np.stack(rows, axis=1)


def _orders(collection: Collection) -> dict[str, list[int]]:
    arms = [list(map(int, dims)) for dims in collection.robot.arms.values()]
    if not arms:
        return {}
    left, right = arms
    own = list(range(len(collection.unit)))
    found = {}
    exchanged = own.copy()
    for a, b in zip(left, right, strict=True):
        exchanged[a], exchanged[b] = b, a
    found["the left and the right arm are exchanged"] = exchanged
    rolled = own.copy()
    for arm in arms:
        for a, b in zip(
            arm,
            [*arm[1:], arm[0]],
            strict=True,
        ):
            rolled[b] = a
    found["the gripper comes first"] = rolled
    inverse = own.copy()
    for a, b in enumerate(rolled):
        inverse[b] = a
    found["the dimensions of each arm are moved on by one"] = inverse
    for i, k in combinations(range(len(left) - 1), 2):
        order = own.copy()
        for arm in arms:
            order[arm[i]], order[arm[k]] = arm[k], arm[i]
        found[f"joints {i + 1} and {k + 1} are exchanged"] = order
    return found


def _signs(collection: Collection) -> Iterator[Fault]:
    """A joint that moves with the others in the opposite direction than in all other sessions.

    Only sessions of the same tasks are compared.
    """
    names = [collection.robot.short_names[d] for d in collection.robot.joints]
    for session in collection.sessions:
        tables = _comparable(collection, session)
        if len(tables) < 3:  # itself and two others
            continue
        own, others = tables[0], np.stack(tables[1:])
        sure = (np.abs(others).min(axis=0) > 0.3) & (np.abs(own) > 0.3)
        sure &= np.abs(np.sign(others).sum(axis=0)) == len(others)
        np.fill_diagonal(sure, val=False)
        against = sure & (np.sign(own) != np.sign(others[0]))
        votes = against.sum(axis=1)
        turned = (
            (votes > 0) & (votes == sure.sum(axis=1)) & (votes == votes.max())
        )
        for j in np.flatnonzero(turned):
            yield from fault(
                "sign-apart",
                "warning",
                collection.sessions[session],
                "moves with the other joints in the opposite direction than in the other "
                "sessions: another sign",
                dimension=names[j],
            )


def _comparable(collection: Collection, session: str) -> list[Floats]:
    """How joints move together in a session, and in others.

    Of the others those episodes count that have its instructions.
    """
    texts = {episode.instruction for episode in collection.sessions[session]}
    tables = []
    for other in sorted(collection.sessions, key=lambda name: name != session):
        episodes = [
            e for e in collection.sessions[other] if len(e) > _FEWEST_ROWS
        ]
        same = [e for e in episodes if e.instruction in texts]
        if len({e.instruction for e in same}) >= max(
            1,
            len(texts) / 2,
        ):
            tables.append(_together(collection, same))
        elif other == session:
            return []
    return tables


def _together(
    collection: Collection, episodes: Sequence[EpisodeSignals]
) -> Floats:
    """Correlations of the joints' movements: float64 (joints, joints); 0 for a joint that rests."""
    joints = collection.robot.joints
    scale = np.maximum(
        collection.scale[joints],
        0.02 * collection.unit[joints],
    )
    moved = [
        np.diff(
            collection.state(e)[:, joints],
            axis=0,
        )
        / scale
        for e in episodes
    ]
    values = np.clip(np.concatenate(moved), -0.1, 0.1)
    values -= values.mean(axis=0)
    size = np.sqrt((values**2).sum(axis=0))
    values /= np.where(size > 0, size, 1)
    return values.T @ values

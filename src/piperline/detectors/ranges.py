"""Values against the robot's limits, and the sessions' values against each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault, merged
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import middle_without, spread

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
    low, high = robot.lower - margin, robot.upper + margin
    beyond = collection.measured(partial(_beyond, collection, low, high))
    groups: dict[tuple[str, ...], list[EpisodeSignals]] = {}
    for episode in collection.episodes:
        if parts := beyond[episode.index]:
            groups.setdefault(parts, []).append(episode)
    for parts, episodes in groups.items():
        where = " and ".join(parts) if len(parts) == 1 else "state and action"
        what = _unit_hint(collection, episodes, parts)
        yield from fault(
            "beyond-limits",
            "error",
            episodes,
            f"values of {where} are beyond what the robot can reach{what}",
        )


def _beyond(
    collection: Collection, low: Floats, high: Floats, episode: EpisodeSignals
) -> tuple[str, ...]:
    """Which of state and action have a dimension that is beyond limits in some rows."""
    found = []
    for label, values in _vectors(collection, episode):
        outside = (values > high) | (values < low)
        if np.any(outside.mean(axis=0) > _BEYOND_ROWS):
            found.append(label)
    return tuple(sorted(found))


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
    largest = np.max(
        [
            np.abs(values).max(axis=0, initial=0)
            for episode in episodes
            for part, values in _vectors(collection, episode)
            if part in parts
        ],
        axis=0,
    )
    joints = float(largest[robot.joints].max(initial=0))
    grippers = float(largest[robot.grippers].max(initial=0))
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
    moves = collection.measured(
        lambda e: np.ptp(collection.state(e), axis=0) > 0
    )
    share = {index: float(own.mean()) for index, own in moves.items()}
    moving = np.array(list(moves.values()))
    # a simulator's joints stand exactly still
    if (np.median(moving, axis=0) > 0).mean() <= 0.5:
        return
    for d in np.flatnonzero(~moving.all(axis=0)):
        still = [
            e
            for e in collection.episodes
            if not moves[e.index][d]
            and len(e) > 1
            and not _is_limit(
                collection,
                int(d),
                float(collection.state(e)[0, d]),
            )
        ]
        everywhere = len(still) == len(collection)
        by_noise = all(share[e.index] > 0.5 for e in still)
        if (
            still
            and by_noise
            and (everywhere or _noise_elsewhere(collection, int(d), still))
        ):
            yield from fault(
                "dimension-still",
                "error",
                still,
                "the state never changes, not even by noise",
                dimension=collection.robot.short_names[d],
            )


def _noise_elsewhere(
    collection: Collection, d: int, still: Sequence[EpisodeSignals]
) -> bool:
    """Whether dimension `d` of the other episodes changes from row to row even where it rests."""
    gone = {episode.index for episode in still}
    others = [e for e in collection.episodes if e.index not in gone]
    changing = collection.measured(
        lambda e: float(np.mean(np.diff(collection.state(e)[:, d]) != 0)),
        [e for e in others if len(e) > 1],
    )
    return bool(changing) and float(np.median(list(changing.values()))) > 0.5


@dataclass(frozen=True)
class _Extremes:
    """The largest and the smallest readings of each dimension, and how many of `count` they are.

    Each (D,).
    """

    top: Floats
    at_top: Floats
    bottom: Floats
    at_bottom: Floats
    count: int

    @classmethod
    def of(cls, values: Floats) -> "_Extremes":
        """Those of readings, (T, D)."""
        top, bottom = values.max(axis=0), values.min(axis=0)
        at_top, at_bottom = (values == top).sum(0), (values == bottom).sum(0)
        return cls(top, at_top, bottom, at_bottom, len(values))

    @classmethod
    def of_all(cls, parts: Sequence["_Extremes"]) -> "_Extremes":
        """Those of several together."""
        tops = np.array([part.top for part in parts])
        bottoms = np.array([part.bottom for part in parts])
        top, bottom = tops.max(axis=0), bottoms.min(axis=0)
        at_top = np.array([part.at_top for part in parts])
        at_bottom = np.array([part.at_bottom for part in parts])
        return cls(
            top,
            (at_top * (tops == top)).sum(axis=0),
            bottom,
            (at_bottom * (bottoms == bottom)).sum(axis=0),
            sum(part.count for part in parts),
        )

    @property
    def shares(self) -> Floats:
        """The share of the readings that are exactly the largest or the smallest, of both more."""
        most: Floats = np.maximum(self.at_top, self.at_bottom) / self.count
        return most

    @property
    def values(self) -> Floats:
        """Which of both they are."""
        return np.where(self.at_top >= self.at_bottom, self.top, self.bottom)


def _saturated(collection: Collection) -> Iterator[Fault]:
    """An extreme that many readings have exactly, and that the other sessions go beyond."""
    of_each = collection.measured(lambda e: _Extremes.of(collection.state(e)))
    extremes = {
        session: _Extremes.of_all([of_each[e.index] for e in episodes])
        for session, episodes in collection.sessions.items()
    }
    if len(extremes) < 2:
        return
    for d in collection.robot.joints:
        for session, own in extremes.items():
            share, value = float(own.shares[d]), float(own.values[d])
            if share <= _SATURATED or _is_limit(collection, int(d), value):
                continue
            moves = own.top[d] - own.bottom[d] > 0.05 * collection.unit[d]
            if (
                moves
                and _halts(collection, session, int(d), value)
                and _others_go_on(
                    extremes, session, int(d), 0.01 * collection.unit[d]
                )
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
    extremes: Mapping[str, _Extremes], session: str, d: int, margin: float
) -> bool:
    """Whether half of the other sessions go further, and none stands still at its extreme."""
    own = extremes[session]
    others = [one for name, one in extremes.items() if name != session]
    value = own.values[d]
    if value == own.top[d]:
        further = [one.top[d] > value + margin for one in others]
    else:
        further = [-one.bottom[d] > -value + margin for one in others]
    held = max(one.shares[d] for one in others)
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


# --- sessions against sessions -------------------------------------------------------------------


def _homes(collection: Collection) -> Iterator[Fault]:
    """A session that begins elsewhere than all others do."""
    robot, unit = collection.robot, collection.unit
    floor, least = np.full(len(unit), _HOME_FLOOR), np.full(len(unit), 0.012)
    floor[robot.grippers], least[robot.grippers] = _GRIPPER_FLOOR, 5e-4
    starts = collection.measured(
        lambda e: np.median(collection.state(e)[:_HOME_ROWS], axis=0) / unit
    )
    ordered = np.sort(list(starts.values()), axis=0)
    for session, episodes in collection.sessions.items():
        if len(episodes) < 2:  # one may begin anywhere
            continue
        own = np.array([starts[e.index] for e in episodes])
        low, high = middle_without(ordered, len(own))
        middle = np.median(own, axis=0)
        if np.all(np.maximum(middle - low, high - middle) < floor):
            continue
        others = np.array(
            [
                starts[e.index]
                for e in collection.episodes
                if e.session != session
            ]
        )
        usual = np.median(others, axis=0)
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
    parts = collection.measured(
        lambda e: [
            np.median(collection.state(e)[:_HOME_ROWS], axis=0),
            *np.percentile(collection.state(e), [5, 95], axis=0),
        ],
        episodes,
    )
    rows = np.median(np.array(list(parts.values())), axis=0) / collection.unit
    signature: Floats = rows.T
    return signature


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
    together = _Together(collection)
    for session in collection.sessions:
        tables = together.comparable(session)
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


class _Together:
    """How the joints of sessions move together."""

    def __init__(self, collection: Collection) -> None:
        joints = collection.robot.joints
        scale = np.maximum(
            collection.scale[joints],
            0.02 * collection.unit[joints],
        )

        def products(episode: EpisodeSignals) -> Floats:
            moved = np.diff(collection.state(episode)[:, joints], axis=0)
            moved = np.clip(moved / scale, -0.1, 0.1)
            columns = np.concatenate([moved, np.ones((len(moved), 1))], axis=1)
            found: Floats = columns.T @ columns
            return found

        long = [e for e in collection.episodes if len(e) > _FEWEST_ROWS]
        of_each = collection.measured(products, long)
        self._texts = {
            session: {episode.instruction for episode in episodes}
            for session, episodes in collection.sessions.items()
        }
        self._sums: dict[str, dict[str, Floats]] = {
            session: {} for session in collection.sessions
        }
        for episode in long:
            sums = self._sums[episode.session]
            before = sums.get(episode.instruction, 0)
            sums[episode.instruction] = before + of_each[episode.index]
        self._known: dict[tuple[str, frozenset[str]], Floats] = {}

    def comparable(self, session: str) -> list[Floats]:
        """How joints move together in a session, and in others.

        Of the others those episodes count that have its instructions.

        Returns:
            Of each correlations of the joints' movements, float64 (joints, joints); 0 for a joint
            that rests.
        """
        texts = self._texts[session]
        others = [name for name in self._sums if name != session]
        tables = []
        for other in (session, *others):
            shared = frozenset(texts & self._sums[other].keys())
            if len(shared) >= max(1, len(texts) / 2):
                tables.append(self._table(other, shared))
            elif other == session:
                return []
        return tables

    def _table(self, session: str, texts: frozenset[str]) -> Floats:
        key = (session, texts)
        if key not in self._known:
            own = self._sums[session].items()
            some = [products for text, products in own if text in texts]
            self._known[key] = _correlations(np.add.reduce(some))
        return self._known[key]


def _correlations(products: Floats) -> Floats:
    """Those of columns, from the sums of their products with each other and with 1, the last."""
    sums = products[-1]
    centred = products - np.outer(sums, sums) / products[-1, -1]
    squares = np.diag(centred)
    # What is left of a difference of sums is rounding noise there.
    moves = squares > 1e-12 * np.diag(products)
    size = np.sqrt(np.where(moves, squares, np.inf))
    table: Floats = (centred / size / size[:, None])[:-1, :-1]
    return table

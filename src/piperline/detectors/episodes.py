"""Whole episodes: their length, stillness, speed, end, labels and times."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault, of_each
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import middle_without, runs, smooth, spread

Floats = NDArray[np.float64]

IDLE_KEPT = 0.5
"""Seconds of stillness that a trimmed episode keeps."""

_STILL = 4e-3  # radians a frame
_IDLE_SECONDS = 1.5
_SHORTEST, _SHORT_SHARE = 30, 0.2
_NO_MOTION = 0.1  # radians
_FASTER, _ALSO_FASTER = 1.6, 1.3
_ENDS = 0.3
_RATE = 0.1
_GAP = 3.0


def find_episodes(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    short = yield from _too_short(collection)
    still = yield from _no_motion(collection, short)
    whole = [e for e in collection.episodes if e.index not in short | still]
    yield from _idle(collection, whole)
    if whole:
        yield from _speeds(collection, whole)
        yield from _ends(collection, whole)
        yield from _grips(collection, whole)
    yield from of_each(collection, partial(_marks, collection))
    yield from _times(collection)


def _marks(collection: Collection, episode: EpisodeSignals) -> Iterator[Fault]:
    yield from _labels(episode)
    yield from _rows_behind(collection, episode)


def _too_short(collection: Collection) -> Generator[Fault, None, set[int]]:
    usual = float(np.median([len(e) for e in collection.episodes]))
    level = max(min(_SHORTEST, usual / 2), _SHORT_SHARE * usual)
    short = [e for e in collection.episodes if len(e) < level]
    for episode in short:
        text = f"the episode has {len(episode)} frames only, others about {usual:.0f}"
        yield from fault(
            "too-short", "warning", episode, text, frames=len(episode)
        )
    return {episode.index for episode in short}


def _no_motion(
    collection: Collection, short: set[int]
) -> Generator[Fault, None, set[int]]:
    paths = collection.measured(partial(_path, collection))
    usual = float(np.median([path for path, _, _ in paths.values()]))
    still = []
    for episode in collection.episodes:
        path, noise, moves = paths[episode.index]
        hardly = moves < _NO_MOTION or path - noise < 0.2 * (usual - noise)
        if hardly and episode.index not in short and len(episode) >= _SHORTEST:
            still.append(episode)
    text = (
        "the robot hardly moves: a test, or a recording that was left running"
    )
    yield from fault("no-motion", "warning", still, text)
    return {episode.index for episode in still}


def _path(
    collection: Collection, episode: EpisodeSignals
) -> tuple[float, float, float]:
    """How far all joints go, how much of it is noise, how far the one goes that moves most."""
    steps = collection.travelled(episode)
    noise = float(np.percentile(steps, 10) * len(episode))
    return (
        float(steps.sum()),
        noise if len(episode) > 1 else 0,
        collection.moves(collection.state(episode)),
    )


def _moving(
    collection: Collection, episode: EpisodeSignals
) -> NDArray[np.bool_]:
    """The rows in which a joint or a gripper moves, bool (T,)."""
    unit = collection.unit.copy()
    unit[collection.robot.grippers] *= (
        0.4  # less than a millimetre a frame is noise
    )
    vectors = [collection.state(episode)]
    if collection.has_actions:
        vectors.append(collection.action(episode))
    fast = np.zeros(len(episode), dtype=bool)
    for values in vectors:
        calm = np.stack(
            [
                smooth(column, 5)
                for column in np.pad(
                    values / unit, ((4, 4), (0, 0)), mode="edge"
                ).T
            ]
        )
        moved = np.abs(np.diff(calm, axis=1)).max(axis=0)[3 : len(values) + 3]
        fast |= moved > _STILL / 2
    return smooth(fast, 5) > 0.5


def _idle(
    collection: Collection, whole: Sequence[EpisodeSignals]
) -> Iterator[Fault]:
    """Stillness at the start or at the end, longer than elsewhere."""
    ends = collection.measured(partial(_idle_rows, collection), whole)
    moved = [e for e in whole if ends[e.index] is not None]
    for code, word, step in (
        ("idle-start", "start", 1),
        ("idle-end", "end", -1),
    ):
        idle = {e.index: rows[step] for e in moved if (rows := ends[e.index])}
        if not idle:
            return
        usual = float(np.median(list(idle.values())))
        level = _IDLE_SECONDS * collection.fps
        if usual < level:
            level = max(level, usual + collection.fps)
        for episode in moved:
            count = idle[episode.index]
            if count <= level:
                continue
            cut = count - round(IDLE_KEPT * collection.fps)
            span = (0, cut) if step == 1 else (len(episode) - cut, len(episode))
            kept = (cut, len(episode)) if step == 1 else (0, len(episode) - cut)
            text = f"nothing moves for {count / collection.fps:.1f} s at the {word}"
            yield from fault(
                code,
                "warning",
                episode,
                text,
                span=span,
                keep=list(kept),
                seconds=round(count / collection.fps, 2),
            )


def _idle_rows(
    collection: Collection, episode: EpisodeSignals
) -> dict[int, int] | None:
    """Rows without motion at the start, by 1, and at the end, by -1; None where nothing moves."""
    moving = _moving(collection, episode)
    if not moving.any():
        return None
    return {step: int(moving[::step].argmax()) for step in (1, -1)}


def _pace(collection: Collection, episode: EpisodeSignals) -> float:
    """The log of how fast the joints go while they go: pauses do not count."""
    steps = collection.travelled(episode)
    moving = steps[steps >= 0.2 * np.percentile(steps, 95)]
    return float(
        np.log(
            max(
                np.percentile(moving, 75),
                1e-9,
            )
        )
    )


def _speeds(
    collection: Collection, whole: Sequence[EpisodeSignals]
) -> Iterator[Fault]:
    """Episodes, or sessions, that are much faster or slower than others of the same instruction."""
    pace = collection.measured(partial(_pace, collection), whole)
    task = _usual_by_text(whole, pace)
    relative = {e.index: pace[e.index] - task[e.instruction] for e in whole}
    if not collection.compares_episodes:
        return
    width = max(
        float(spread(list(relative.values()))),
        0.08,
    )
    level = max(4 * width, float(np.log(2.2)))
    found = {e.index: e for e in whole if abs(relative[e.index]) > level}
    for episodes in _other_sessions(collection, whole, relative):
        found |= {e.index: e for e in episodes}
    for faster in (True, False):
        group = [e for e in found.values() if (relative[e.index] > 0) is faster]
        if group:
            factor = float(
                np.exp(np.median([relative[e.index] for e in group]))
            )
            text = f"the robot moves {factor:.2g} times as fast as elsewhere: another frame rate?"
            yield from fault(
                "other-speed", "warning", group, text, factor=round(factor, 3)
            )


def _other_sessions(
    collection: Collection,
    whole: Sequence[EpisodeSignals],
    relative: Mapping[int, float],
) -> Iterator[list[EpisodeSignals]]:
    """The episodes of each session in which all are faster, or all slower, than in the others."""
    told = Counter(e.instruction for e in whole)
    ordered = np.sort(list(relative.values()))
    least = float(np.log(_ALSO_FASTER))
    for session, episodes in collection.sessions.items():
        here = [e for e in episodes if e.index in relative]
        told_here = Counter(e.instruction for e in here)
        # another task may have another pace
        own = [
            e for e in here if told[e.instruction] > told_here[e.instruction]
        ]
        if len(own) < 2 or len(whole) - len(here) < 4:
            continue
        low, high = middle_without(ordered, len(here))
        values = np.array([relative[e.index] for e in own])
        if np.any((values - low < least) & (high - values < least)):
            continue
        rest = [relative[e.index] for e in whole if e.session != session]
        usual = float(np.median(rest))
        off = abs(float(np.median(values)) - usual)
        much = max(2.5 * float(spread(rest)), float(np.log(_FASTER)))
        if np.abs(values - usual).min() > least and off > much:
            yield own


def _usual_by_text(
    whole: Sequence[EpisodeSignals], pace: dict[int, float]
) -> dict[str, float]:
    """The usual pace of each instruction; that of all, where few have it."""
    usual = float(np.median(list(pace.values())))
    by_text: dict[str, list[float]] = {}
    for episode in whole:
        by_text.setdefault(episode.instruction, []).append(pace[episode.index])
    return {
        text: float(np.median(values)) if len(values) >= 3 else usual
        for text, values in by_text.items()
    }


def _ends(
    collection: Collection, whole: Sequence[EpisodeSignals]
) -> Iterator[Fault]:
    """Episodes that do not come back to where they began, where all others do."""
    gaps = collection.measured(partial(_gap, collection), whole)
    values = list(gaps.values())
    usual, width = (
        float(np.median(values)),
        max(
            float(spread(values)),
            0.03,
        ),
    )
    if usual + 6 * width > 0.6 or len(values) < 4:
        return
    for episode in whole:
        if gaps[episode.index] > max(usual + 8 * width, _ENDS):
            text = (
                f"the episode ends {gaps[episode.index]:.2f} rad from where it began, the "
                f"others at {usual:.2f}: broken off"
            )
            yield from fault(
                "ends-elsewhere",
                "warning",
                episode,
                text,
                apart=round(gaps[episode.index], 3),
            )


def _gap(collection: Collection, episode: EpisodeSignals) -> float:
    """How far from where it began the joint is at the end that is furthest, radians."""
    joints = collection.robot.joints
    state = collection.state(episode)[:, joints] / collection.unit[joints]
    first, last = np.median(state[:5], axis=0), np.median(state[-5:], axis=0)
    return float(np.abs(last - first).max())


def _grips(
    collection: Collection, whole: Sequence[EpisodeSignals]
) -> Iterator[Fault]:
    grippers = collection.robot.grippers
    if not len(grippers):
        return
    closes = collection.measured(partial(_grip, collection), whole)
    by_text: dict[str, list[float]] = {}
    for episode in whole:
        own = closes[episode.index]
        by_text.setdefault(episode.instruction, []).append(own)
    same_text = {
        text: float(np.median(values)) for text, values in by_text.items()
    }
    usual = float(np.median(list(closes.values())))
    if usual < 0.02:  # metres
        return
    none = [
        e
        for e in whole
        if closes[e.index] < 0.1 * usual
        and (
            same_text[e.instruction] > 0.5 * usual
            # alone with its instruction, it is compared with all others
            or (
                collection.compares_episodes
                and len(by_text[e.instruction]) == 1
            )
        )
    ]
    yield from fault(
        "no-grip",
        "warning",
        none,
        "no gripper moves, in the other episodes one does",
    )


def _grip(collection: Collection, episode: EpisodeSignals) -> float:
    grippers = collection.robot.grippers
    values = [collection.state(episode)[:, grippers]]
    if collection.has_actions:
        values.append(collection.action(episode)[:, grippers])
    unit = collection.unit[grippers]
    return max(float((np.ptp(v, axis=0) / unit).max()) for v in values)


def _labels(episode: EpisodeSignals) -> Iterator[Fault]:
    for name, value in episode.labels.items():
        failed = "fail" in name or "discard" in name or "bad" in name
        if value is failed:
            text = f"the recorder has marked the episode as failed: {name} is {str(value).lower()}"
            yield from fault("label-failure", "warning", episode, text)


def _rows_behind(
    collection: Collection, episode: EpisodeSignals
) -> Iterator[Fault]:
    behind = episode.rows_behind
    if behind is None or len(behind) < 3:
        return
    values = np.nan_to_num(behind.astype(np.float64))
    if collection.moves(values[(values != 0).any(axis=1)]) > 0.02:
        text = (
            f"{len(behind)} rows in which the robot moves lie behind the episode's length "
            f"of {len(episode)}: they are left out"
        )
        yield from fault(
            "rows-ignored", "warning", episode, text, rows=len(behind)
        )


def _times(collection: Collection) -> Iterator[Fault]:
    wrong, rates = [], []
    for episode in collection.episodes:
        if episode.times is None or len(episode) < 10:
            continue
        gaps = np.diff(episode.times.astype(np.float64))
        usual = float(np.median(gaps))
        if usual <= 0 or not np.isfinite(usual):
            continue
        if abs(1 / usual / collection.fps - 1) > _RATE:
            wrong.append(episode)
            rates.append(1 / usual)
        for start, stop in runs(gaps > _GAP * usual):
            text = (
                f"the times jump by {gaps[start:stop].max():.2f} s between two frames: "
                "rows are missing"
            )
            yield from fault(
                "time-jump", "error", episode, text, span=(start, stop + 1)
            )
        back = np.flatnonzero(gaps < 0)
        if len(back):
            span = (int(back[0]), int(back[0]) + 2)
            yield from fault(
                "time-jump",
                "error",
                episode,
                "the times run backwards",
                span=span,
            )
    if wrong:
        rate = float(np.median(rates))
        text = f"the times say {rate:.1f} frames a second, the layout {collection.fps}"
        yield from fault(
            "frame-rate", "error", wrong, text, rate=round(rate, 2)
        )

"""Checks: the rows of a dataset. Most of what they find trains without a word, and badly."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject
from piperline.groot.loader import Meta
from piperline.groot.modality import quaternion
from piperline.groot.modality_config import Choice

Values = NDArray[Any]
_SPIKE = 5
"""An outlier lies this many times the ordinary range outside it."""
_RARE = 0.001
"""The share of the values on each side that are not ordinary."""
_STILL = 0.01
"""A frame is still while no dimension left this share of its range."""
_IDLE_SHARE = 0.1
_REST = 0.005
"""A dimension whose range is below this share of the widest is at rest: the remainder is noise."""
_LAGS = range(-5, 6)
_CLEARLY = 0.5
_UNITS = 10
_TIME_TOLERANCE = 0.01


def check_lengths(subject: Subject) -> Iterator[Finding]:
    """A Parquet file for each episode, of the length that `episodes.jsonl` says, and no other."""
    meta, spans = subject.meta, subject.rows.spans
    place = Place(file=meta.root / "meta/episodes.jsonl")
    expected = {meta.data_file(index): (index, length) for index, length in meta.episodes}
    missing = [path for path in expected if path not in spans and not path.exists()]
    if missing:
        message = (
            f"episodes without a Parquet file where info.json says: {len(missing)} of "
            f"{len(expected)}"
        )
        remedy = "convert again, or correct data_path and chunks_size in meta/info.json"
        yield Finding(
            "data-missing",
            "error",
            message,
            Place(file=missing[0]),
            {"episodes": len(missing)},
            remedy,
        )
    stray = [path for path in spans if path not in expected]
    if stray:
        message = f"Parquet files of no episode: {len(stray)}; GR00T's statistics count them"
        yield Finding(
            "data-stray",
            "warning",
            message,
            Place(file=stray[0]),
            {"files": len(stray)},
            "remove them",
        )
    if len(expected) < len(meta.episodes):
        message = "an episode_index occurs twice in episodes.jsonl"
        yield Finding("episode-twice", "error", message, place, remedy="remove one of the lines")
    rows = {path: stop - start for path, (start, stop) in spans.items() if path in expected}
    longer = [path for path in rows if rows[path] < expected[path][1]]
    shorter = [path for path in rows if rows[path] > expected[path][1]]
    if longer:
        message = (
            f"episodes with fewer rows than episodes.jsonl says: {len(longer)}; an IndexError "
            "during training"
        )
        yield Finding("meta-longer", "error", message, **_lengths(longer, rows, expected))
    if shorter:
        message = (
            f"episodes with more rows than episodes.jsonl says: {len(shorter)}; the rest is "
            "never used"
        )
        yield Finding("meta-shorter", "warning", message, **_lengths(shorter, rows, expected))


def _lengths(
    wrong: list[Path], rows: dict[Path, int], expected: dict[Path, tuple[int, int]]
) -> dict[str, Any]:
    index, length = expected[wrong[0]]
    return {
        "place": Place(file=wrong[0], episode=str(index)),
        "numbers": {"episodes": len(wrong), "rows": rows[wrong[0]], "length": length},
        "remedy": "correct the lengths in meta/episodes.jsonl, or convert the episodes again",
    }


def check_language(subject: Subject) -> Iterator[Finding]:
    """The language column: there, of known tasks, with texts that say something."""
    meta, column = subject.meta, language_column(subject.meta, subject.choice)
    if column is None:
        return
    values = subject.rows.columns.get(column)
    if values is None:
        message = f"the texts are chosen by the column {column}, which not every Parquet file has"
        remedy = "name the right column in meta/modality.json: original_key, such as task_index"
        yield Finding("language-column", "error", message, Place(file=meta.root), remedy=remedy)
        return
    used = [value.item() for value in np.unique(values)]
    unknown = [value for value in used if value not in meta.tasks]
    place = Place(file=meta.root / "meta/tasks.jsonl")
    if unknown:
        message = (
            f"{column} names tasks {unknown[:5]}, tasks.jsonl has {sorted(meta.tasks)[:5]}: "
            "GR00T stops"
        )
        yield Finding(
            "task-unknown",
            "error",
            message,
            place,
            {"tasks": list(map(str, unknown[:5]))},
            "add them there",
        )
    # GR00T removes punctuation (`formalize_language`), so a text of dots is no text either.
    known = [index for index in used if index in meta.tasks]
    empty = [index for index in known if not re.search(r"[^\W_]", meta.tasks[index])]
    if empty:
        message = f"the text of task {empty[0]} says nothing: {meta.tasks[empty[0]]!r}"
        yield Finding(
            "task-empty",
            "warning",
            message,
            place,
            {"tasks": empty},
            "write what the robot is to do",
        )


def language_column(meta: Meta, choice: Choice) -> str | None:
    """The column of the language key; None for a key that has none, or is unknown."""
    key = next(iter(choice.language), "")
    entry = meta.groups("annotation").get(key.removeprefix("annotation."))
    return None if entry is None else str(entry.get("original_key") or key)


def check_numbers(subject: Subject) -> Iterator[Finding]:
    """NaN, infinity, outliers and constant dimensions of every group in use."""
    for column in used_columns(subject.meta, subject.choice):
        values = subject.rows.columns.get(column)
        if values is None and column not in subject.meta.schema.features:
            continue  # found with modality.json
        if values is None:
            message = f"not every Parquet file has the column {column}"
            remedy = "convert the episodes again that lack it"
            yield Finding(
                "column-missing", "error", message, Place(file=subject.meta.root), remedy=remedy
            )
            continue
        for code, bad in (("nan", np.isnan(values)), ("inf", np.isinf(values))):
            if bad.any():
                row, dimension = (int(index[0]) for index in np.nonzero(bad))
                numbers = {"frames": int(bad.any(axis=1).sum()), "dimension": dimension}
                message = (
                    f"{column}[{dimension}]: {code}; {numbers['frames']} such frames, one is "
                    "enough to ruin training"
                )
                remedy = "record the episode again, or drop it"
                yield Finding(code, "error", message, _place(subject, row), numbers, remedy)
        yield from _check_ranges(subject, column, values)


def check_widths(subject: Subject) -> Iterator[Finding]:
    """Vectors as wide as `info.json` says, in every file."""
    for column in used_columns(subject.meta, subject.choice):
        feature, values = subject.meta.schema.features.get(column), subject.rows.columns.get(column)
        width = feature.shape[0] if feature and feature.shape else 1
        if feature and values is not None and values.shape[1] != width:
            message = (
                f"{column} has {values.shape[1]} dimensions in a Parquet file, info.json says "
                f"{width}"
            )
            place, remedy = (
                Place(file=subject.meta.root),
                "convert again; do not mix recordings of different robots",
            )
            yield Finding(
                "column-width", "error", message, place, {"width": values.shape[1]}, remedy
            )


def _check_ranges(subject: Subject, column: str, values: Values) -> Iterator[Finding]:
    names = (
        subject.meta.schema.features[column].names
        if column in subject.meta.schema.features
        else None
    )
    constant = []
    for dimension in range(values.shape[1]):
        numbers = values[:, dimension].astype(np.float64)
        finite = np.sort(numbers[np.isfinite(numbers)])
        name = names[dimension] if names and dimension < len(names) else f"dimension {dimension}"
        if not len(finite) or finite[0] == finite[-1]:
            constant.append(name)
            continue
        low, high = _ordinary(finite)
        farthest = max(finite[-1] - high, low - finite[0])
        if high > low and farthest > _SPIKE * (high - low):
            row = int(
                np.nanargmax(
                    np.abs(np.where(np.isfinite(numbers), numbers, np.nan) - (low + high) / 2)
                )
            )
            message = (
                f"{column} {name} is {numbers[row]:.4g} once and otherwise between {low:.4g} "
                f"and {high:.4g}: the "
                "normalisation by minimum and maximum presses everything else together"
            )
            found = {"value": float(numbers[row]), "low": float(low), "high": float(high)}
            yield Finding(
                "outlier",
                "warning",
                message,
                _place(subject, row),
                found,
                "drop the episode, or mend it",
            )
    if constant and len(values):
        message = f"{column}: {', '.join(constant)} never changes; GR00T normalises it to 0"
        place, remedy = (
            Place(file=subject.meta.root),
            "nothing, if it rested in all episodes; else check the recorder",
        )
        yield Finding("constant", "warning", message, place, {"dimensions": constant}, remedy)


def _ordinary(values: Values) -> tuple[Values, Values]:
    """Minimum and maximum over the first axis, the rarest values on both sides left out."""
    rare = min(max(1, int(len(values) * _RARE)), (len(values) - 1) // 2)
    ordered = np.partition(values, (rare, len(values) - 1 - rare), axis=0)
    return ordered[rare], ordered[len(values) - 1 - rare]


def _range(values: Values) -> Values:
    low, high = _ordinary(values)
    return high - low


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
    actions = np.concatenate([action for _, action, _ in pairs], axis=1).astype(np.float64)
    states = np.concatenate([state for _, _, state in pairs], axis=1).astype(np.float64)
    names = [f"{name}[{index}]" for name, action, _ in pairs for index in range(action.shape[1])]
    # Broken numbers have their own finding; here they must not hide the rest.
    whole = np.isfinite(actions).all(axis=1) & np.isfinite(states).all(axis=1)
    actions[~whole] = states[~whole] = 0
    ranges = np.maximum(_range(actions), _range(states))
    moving = ranges > _REST * ranges.max()
    if not moving.any():
        return
    names = [name for name, moves in zip(names, moving, strict=True) if moves]
    actions, states = actions[:, moving], states[:, moving]
    spans = [span for span in subject.rows.episodes(subject.meta).values() if span[1] > span[0]]
    yield from _check_shift(actions, states, spans, place)
    yield from _check_units(names, actions[whole], states[whole], place)
    yield from _check_idle(subject, np.concatenate([actions, states], axis=1), spans, place)


def _check_shift(
    actions: Values, states: Values, spans: list[tuple[int, int]], place: Place
) -> Iterator[Finding]:
    scale = np.maximum(_range(states), _range(actions))
    a, s = actions / scale, states / scale
    errors = {lag: _mean_distance(a, s, spans, lag) for lag in _LAGS}
    best = min(errors, key=lambda lag: (errors[lag], abs(lag)))
    if errors[0] == 0:
        message = "the actions are the states: a model that copies them stands still"
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
        yield Finding("action-shifted", "warning", message, place, {"frames": best}, remedy)
    elif best < 0 and errors[best] < _CLEARLY * errors[0]:
        message = (
            f"the actions follow the states by {-best} frames, where commands go ahead of them"
        )
        yield Finding(
            "action-shifted",
            "warning",
            message,
            place,
            {"frames": best},
            "check the recorder's timing",
        )


def _mean_distance(a: Values, s: Values, spans: list[tuple[int, int]], lag: int) -> float:
    """The mean of |action[t] - state[t + lag]|, both in parts of their range."""
    total, count = 0.0, 0
    for start, stop in spans:
        first, last = start + max(0, -lag), stop - max(0, lag)
        if last > first:
            total += float(np.abs(a[first:last] - s[first + lag : last + lag]).sum())
            count += (last - first) * a.shape[1]
    return total / count if count else np.inf


def _check_units(
    names: list[str], actions: Values, states: Values, place: Place
) -> Iterator[Finding]:
    for index, name in enumerate(names):
        a, s = (
            np.clip(values[:, index], *_ordinary(values[:, index])) for values in (actions, states)
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
            yield Finding(
                "action-units",
                "warning",
                message,
                place,
                {"ratio": ratio},
                "record both in the same unit",
            )
        elif (correlation := float(np.corrcoef(a, s)[0, 1])) < -_CLEARLY:
            message = (
                f"{name}: actions go against the states (correlation {correlation:.2f}): one is "
                "upside down"
            )
            remedy = "give both the same sign"
            yield Finding(
                "action-inverted", "warning", message, place, {"correlation": correlation}, remedy
            )


def _check_idle(
    subject: Subject, values: Values, spans: list[tuple[int, int]], place: Place
) -> Iterator[Finding]:
    limit = _STILL * _range(values)
    idle = 0
    for start, stop in spans:
        moved = (np.abs(values[start:stop] - values[start]) > limit).any(axis=1)
        idle += int(moved.argmax()) if moved.any() else stop - start
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
    for part, groups in (("state", subject.choice.state), ("action", subject.choice.action)):
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
                remedy = "record quaternions without jumps, for example with qw >= 0"
                numbers = {"frames": len(flips)}
                place = _place(subject, flips[0])
                yield Finding("quaternion-flip", "warning", message, place, numbers, remedy)


def _sign_flips(subject: Subject, quaternions: Values) -> list[int]:
    """The rows that are nearer to the row before them with the opposite sign."""
    products = (quaternions[1:].astype(np.float64) * quaternions[:-1]).sum(axis=1)
    flipped = np.flatnonzero(products < 0) + 1
    firsts = {start for start, _ in subject.rows.episodes(subject.meta).values()}
    return [int(row) for row in flipped if row not in firsts]


def check_timestamps(subject: Subject) -> Iterator[Finding]:
    """N1.5 finds frames by time: the timestamps must lie on the grid of the frame rate."""
    times = subject.rows.columns.get("timestamp")
    if subject.target.version != "n1.5" or times is None:
        return
    fps = subject.meta.schema.fps
    for index, (start, stop) in subject.rows.episodes(subject.meta).items():
        steps = times[start:stop, 0] * fps
        off = np.abs(steps - np.round(steps))
        if off.size and off.max() > _TIME_TOLERANCE:
            frame = int(off.argmax())
            message = (
                f"the timestamp {times[start + frame, 0]:.4f} is between the frames of {fps} a "
                "second"
            )
            place = Place(subject.meta.data_file(index), frame=frame)
            yield Finding(
                "timestamps",
                "error",
                message,
                place,
                remedy="convert again: timestamps are frame / fps",
            )
            return


def used_columns(meta: Meta, choice: Choice) -> list[str]:
    """The columns that the chosen groups lie in."""
    parts = (("state", choice.state), ("action", choice.action))
    known = [(part, name) for part, names in parts for name in names if name in meta.groups(part)]
    return list(dict.fromkeys(meta.column(part, name)[0] for part, name in known))


def _place(subject: Subject, row: int) -> Place:
    for path, (start, stop) in subject.rows.spans.items():
        if start <= row < stop:
            return Place(file=path, frame=row - start)
    return Place(file=subject.meta.root)

"""Checks: `stats.json` and `relative_stats.json` against the data. GR00T reuses what it finds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.errors import DatasetError, Place
from piperline.files import read_json
from piperline.finding import Finding, Severity, command
from piperline.groot.checks.inputs import Subject
from piperline.groot.stats import (
    RELATIVE_FILE,
    STATS_FILE,
    dataset_stats,
    float_columns,
    is_fresh,
    relative_stats,
)

_TOLERANCE = 1e-4
"""Of a dimension's range: far above rounding, far below what matters."""
_NEEDED = frozenset({"mean", "std", "min", "max", "q01", "q99"})
_EXACT = ("mean", "std", "min", "max")
_QUANTILES = ("q01", "q99")


def check_stats(subject: Subject) -> Iterator[Finding]:
    """Files that GR00T would make are right where they are there; missing ones it makes itself."""
    if is_fresh(subject.meta, subject.rows, subject.choice):
        return
    for name, check in (
        (STATS_FILE, _check_dataset),
        (RELATIVE_FILE, _check_relative),
    ):
        path = subject.meta.root / name
        if not path.exists():
            continue
        try:
            recorded = read_json(path)
            if not isinstance(recorded, dict):
                recorded = {}
        except (OSError, ValueError) as error:
            yield Finding(
                "stats-syntax",
                "error",
                f"{path.name} cannot be read: {error}",
                Place(file=path),
                {},
                _again(subject),
            )
            continue
        try:
            yield from check(subject, recorded, path)
        except DatasetError:
            # What keeps the numbers from being computed has findings of its own.
            continue


def _again(subject: Subject) -> str:
    return command(
        "piperline",
        "groot",
        "stats",
        subject.meta.root,
        "--horizon",
        subject.choice.horizon,
    )


def _check_dataset(
    subject: Subject, recorded: Mapping[str, Any], path: Path
) -> Iterator[Finding]:
    wanted = float_columns(subject.meta)
    entries = {
        key: recorded[key]
        for key in wanted
        if isinstance(recorded.get(key), dict)
    }
    foreign = [key for key, entry in entries.items() if "count" in entry]
    complete = len(entries) == len(wanted) and all(
        entry.keys() >= _NEEDED for entry in entries.values()
    )
    n15 = subject.target.version == "n1.5"
    if not complete and not (n15 and foreign):
        return  # GR00T computes it again
    computed = dataset_stats(subject.meta, subject.rows)
    stale = [
        key
        for key in computed
        if complete and _differ(entries[key], computed[key], _EXACT)
    ]
    far = [
        key
        for key in computed
        if complete and _differ(entries[key], computed[key], _QUANTILES)
    ]
    if stale:
        message = (
            f"stats.json is not of these data ({', '.join(stale)}): GR00T would reuse it and "
            "clip the actions"
        )
        yield Finding(
            "stats-stale",
            "error",
            message,
            Place(file=path),
            {"features": stale},
            _again(subject),
        )
    elif far or foreign:
        message = (
            "stats.json comes from LeRobot: its q01 and q99 are means over episodes, not "
            "quantiles of the dataset. N1.5 stops at its `count`, the N1.7 of April normalises by "
            "the wrong quantiles"
        )
        # N1.6 normalises by minimum and maximum; N1.7 since June computes the file again.
        harmed = subject.target.version in {"n1.5", "n1.7-april"}
        severity: Severity = "error" if harmed else "warning"
        yield Finding(
            "stats-foreign",
            severity,
            message,
            Place(file=path),
            {"features": far or foreign},
            _again(subject),
        )


def _check_relative(
    subject: Subject, recorded: Mapping[str, Any], path: Path
) -> Iterator[Finding]:
    if subject.target.version == "n1.5":
        return
    foreign = [key for key, entry in recorded.items() if not _is_entry(entry)]
    if foreign and subject.target.is_of_spring:
        message = (
            f"{path.name} holds {', '.join(foreign)}, which a later GR00T wrote: "
            f"{subject.target.title} stops with a KeyError"
        )
        remedy = _again(subject)
        numbers = {"keys": foreign}
        yield Finding(
            "stats-version", "error", message, Place(file=path), numbers, remedy
        )
    computed = relative_stats(subject.meta, subject.rows, subject.choice)
    there = [
        key
        for key in computed
        if isinstance(
            recorded.get(key),
            dict,
        )
    ]
    shaped = [
        key
        for key in there
        if _array(recorded[key].get("min")).shape
        == np.shape(computed[key]["min"])
    ]
    for key in there:
        if key not in shaped:
            found = _array(recorded[key].get("min")).shape
            message = (
                f"{path.name} is of another horizon: {key} has the shape {found}, not "
                f"{np.shape(computed[key]['min'])}"
            )
            yield Finding(
                "relative-stats-horizon",
                "error",
                message,
                Place(file=path),
                {"group": key},
                _again(subject),
            )
            return
    stale = [
        key
        for key in shaped
        if _differ(
            recorded[key],
            computed[key],
            (*_EXACT, *_QUANTILES),
        )
    ]
    if stale:
        message = (
            f"{path.name} is not of these data ({', '.join(stale)}): GR00T would reuse it and "
            "clip the actions"
        )
        yield Finding(
            "relative-stats-stale",
            "error",
            message,
            Place(file=path),
            {"groups": stale},
            _again(subject),
        )


def _is_entry(entry: object) -> bool:
    """Whether N1.6 can read an entry: it asks each for its mean."""
    return isinstance(entry, dict) and entry.keys() >= _NEEDED


def _differ(
    recorded: Mapping[str, Any],
    computed: Mapping[str, Any],
    names: tuple[str, ...],
) -> bool:
    allowed = (
        _TOLERANCE * (np.asarray(computed["max"]) - np.asarray(computed["min"]))
        + 1e-6
    )
    for name in names:
        old, new = _array(recorded.get(name)), np.asarray(computed[name])
        if old.shape != new.shape or not (np.abs(old - new) <= allowed).all():
            return not (
                np.isnan(new).any()
                and np.array_equal(
                    old,
                    new,
                    equal_nan=True,
                )
            )
    return False


def _array(value: object) -> NDArray[np.float64]:
    """Numbers of a file as an array; an empty one where they are no numbers."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return np.empty(0)

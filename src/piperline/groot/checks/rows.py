"""Checks: the rows of a dataset. Most of what they find trains without a word, and badly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from piperline.errors import Place
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject, Values, ordinary
from piperline.groot.loader import Meta
from piperline.groot.modality_config import Choice

_SPIKE = 5
"""An outlier lies this many times the ordinary range outside it."""


def check_lengths(subject: Subject) -> Iterator[Finding]:
    """A Parquet file for each episode, of the length that `episodes.jsonl` says, and no other."""
    meta, spans = subject.meta, subject.rows.spans
    place = Place(file=meta.root / "meta/episodes.jsonl")
    expected = {
        meta.data_file(index): (index, length)
        for index, length in meta.episodes
    }
    missing = [
        path for path in expected if path not in spans and not path.exists()
    ]
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
        yield Finding(
            "episode-listed-twice",
            "error",
            message,
            place,
            remedy="remove one of the lines",
        )
    rows = {
        path: stop - start
        for path, (start, stop) in spans.items()
        if path in expected
    }
    longer = [path for path in rows if rows[path] < expected[path][1]]
    shorter = [path for path in rows if rows[path] > expected[path][1]]
    if longer:
        message = (
            f"episodes with fewer rows than episodes.jsonl says: {len(longer)}; an IndexError "
            "during training"
        )
        yield Finding(
            "meta-longer", "error", message, **_lengths(longer, rows, expected)
        )
    if shorter:
        message = (
            f"episodes with more rows than episodes.jsonl says: {len(shorter)}; the rest is "
            "never used"
        )
        yield Finding(
            "meta-shorter",
            "warning",
            message,
            **_lengths(shorter, rows, expected),
        )


def _lengths(
    wrong: list[Path],
    rows: dict[Path, int],
    expected: dict[Path, tuple[int, int]],
) -> dict[str, Any]:
    index, length = expected[wrong[0]]
    return {
        "place": Place(file=wrong[0], episode=str(index)),
        "numbers": {
            "episodes": len(wrong),
            "rows": rows[wrong[0]],
            "length": length,
        },
        "remedy": "correct the lengths in meta/episodes.jsonl, or convert the episodes again",
    }


def check_language(subject: Subject) -> Iterator[Finding]:
    """The language column: there, and of known tasks."""
    meta, column = subject.meta, language_column(subject.meta, subject.choice)
    if column is None:
        return
    values = subject.rows.columns.get(column)
    if values is None:
        message = f"the texts are chosen by the column {column}, which not every Parquet file has"
        remedy = "name the right column in meta/modality.json: original_key, such as task_index"
        yield Finding(
            "language-column",
            "error",
            message,
            Place(file=meta.root),
            remedy=remedy,
        )
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
                "column-missing",
                "error",
                message,
                Place(file=subject.meta.root),
                remedy=remedy,
            )
            continue
        for code, bad in (("nan", np.isnan(values)), ("inf", np.isinf(values))):
            if bad.any():
                row, dimension = (int(index[0]) for index in np.nonzero(bad))
                numbers = {
                    "frames": int(bad.any(axis=1).sum()),
                    "dimension": dimension,
                }
                message = (
                    f"{column}[{dimension}]: {code}; {numbers['frames']} such frames, one is "
                    "enough to ruin training"
                )
                remedy = "record the episode again, or drop it"
                yield Finding(
                    code,
                    "error",
                    message,
                    subject.row_place(row),
                    numbers,
                    remedy,
                )
        yield from _check_ranges(subject, column, values)


def check_widths(subject: Subject) -> Iterator[Finding]:
    """Vectors as wide as `info.json` says, in every file."""
    for column in used_columns(subject.meta, subject.choice):
        feature, values = (
            subject.meta.schema.features.get(column),
            subject.rows.columns.get(column),
        )
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
                "column-width",
                "error",
                message,
                place,
                {"width": values.shape[1]},
                remedy,
            )


def _check_ranges(
    subject: Subject, column: str, values: Values
) -> Iterator[Finding]:
    names = (
        subject.meta.schema.features[column].names
        if column in subject.meta.schema.features
        else None
    )
    constant = []
    for dimension in range(values.shape[1]):
        numbers = values[:, dimension].astype(np.float64)
        finite = np.sort(numbers[np.isfinite(numbers)])
        name = (
            names[dimension]
            if names and dimension < len(names)
            else f"dimension {dimension}"
        )
        if not len(finite) or finite[0] == finite[-1]:
            constant.append(name)
            continue
        low, high = ordinary(finite)
        farthest = max(finite[-1] - high, low - finite[0])
        if high > low and farthest > _SPIKE * (high - low):
            row = int(
                np.nanargmax(
                    np.abs(
                        np.where(np.isfinite(numbers), numbers, np.nan)
                        - (low + high) / 2
                    )
                )
            )
            message = (
                f"{column} {name} is {numbers[row]:.4g} once and otherwise between {low:.4g} "
                f"and {high:.4g}: the "
                "normalisation by minimum and maximum presses everything else together"
            )
            found = {
                "value": float(numbers[row]),
                "low": float(low),
                "high": float(high),
            }
            yield Finding(
                "outlier",
                "warning",
                message,
                subject.row_place(row),
                found,
                "drop the episode, or correct it",
            )
    if constant and len(values):
        message = f"{column}: {', '.join(constant)} never changes; GR00T normalises it to 0"
        place, remedy = (
            Place(file=subject.meta.root),
            "nothing, if it rested in all episodes; else check the recorder",
        )
        yield Finding(
            "constant",
            "warning",
            message,
            place,
            {"dimensions": constant},
            remedy,
        )


def used_columns(meta: Meta, choice: Choice) -> list[str]:
    """The columns that the chosen groups lie in."""
    parts = (("state", choice.state), ("action", choice.action))
    known = [
        (part, name)
        for part, names in parts
        for name in names
        if name in meta.groups(part)
    ]
    return list(
        dict.fromkeys(meta.column(part, name)[0] for part, name in known)
    )

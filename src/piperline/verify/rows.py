"""The rows of a dataset in themselves: lengths, numbering, times, instructions."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.errors import DatasetError, Place
from piperline.features import BOOKKEEPING, Feature
from piperline.finding import Finding, Severity
from piperline.lerobot.columns import column_values, is_numeric
from piperline.seal.contents import Contents
from piperline.verify.report import Looked

Numbers = NDArray[Any]

_TOLERANCE_SECONDS = 1e-4  # lerobot's own tolerance_s


def check_totals(contents: Contents) -> Iterator[Finding]:
    """info.json counts the rows and instructions that there are."""
    place = Place(file=contents.root / "meta/info.json")
    rows = sum(row.length for row in contents.episodes)
    counts = {
        "total_frames": (contents.info.frames, rows),
        "total_tasks": (contents.info.tasks, len(contents.tasks)),
    }
    for name, (told, counted) in counts.items():
        if told != counted:
            message = f"info.json says {name} {told}, the tables hold {counted}"
            yield Finding(
                "totals",
                "error",
                message,
                place,
                {"told": told, "counted": counted},
            )


class RowCheck:
    """Checks the rows of episode after episode, from the first on.

    Args:
        contents: the dataset.
        looked: counts what is looked at.
        ours: piperline made it.
    """

    def __init__(
        self, contents: Contents, looked: Looked, *, ours: bool
    ) -> None:
        self._contents, self._looked, self._ours = contents, looked, ours
        self._first_row = 0
        self._absent: set[str] = set()
        self._late: dict[int, float] = {}

    def odd(self) -> Iterator[Finding]:
        """What other tools write otherwise in all episodes, once these were read."""
        place = Place(file=self._contents.root)
        severity: Severity = "error" if self._ours else "warning"
        if self._absent:
            message = (
                f"there is no column {', '.join(sorted(self._absent))}: "
                "LeRobot's reader fails"
            )
            yield Finding("rows-bookkeeping", severity, message, place)
        everywhere = len(self._late) == len(self._contents.episodes)
        if everywhere and len(set(self._late.values())) == 1 and not self._ours:
            late = next(iter(self._late.values()))
            message = f"times begin at {late:g} s, on the grid: LeRobot's reader shows later frames"
            yield Finding(
                "rows-late", "warning", message, place, {"seconds": late}
            )
            return
        for episode, late in self._late.items():
            path = self._contents.data_path(episode)
            message = f"the times of the episode begin at {late:g} s"
            at = Place(file=path, episode=str(episode), frame=0)
            yield Finding(
                "rows-timestamp", "error", message, at, {"seconds": late}
            )

    def read(
        self,
        episode: int,
        findings: list[Finding],
    ) -> pa.Table | None:
        """The rows of an episode, checked; None where they cannot be read: a finding then."""
        row = self._contents.episodes[episode]
        first, self._first_row = self._first_row, self._first_row + row.length
        place = Place(
            file=self._contents.data_path(episode), episode=str(episode)
        )
        try:
            table = self._contents.rows(episode)
        except DatasetError as error:
            message = error.message + (
                f": {error.found}" if error.found else ""
            )
            findings.append(Finding("rows-unreadable", "error", message, place))
            return None
        self._looked.rows += table.num_rows
        if table.num_rows != row.length:
            message = f"the episode has {table.num_rows} rows, the episode table says {row.length}"
            numbers = {"rows": table.num_rows, "length": row.length}
            findings.append(
                Finding("rows-count", "error", message, place, numbers)
            )
            return None
        findings += self._columns(table, place)
        self._absent |= BOOKKEEPING.keys() - set(table.column_names)
        findings += self._numbering(table, episode, first, place)
        findings += self._instructions(table, episode, place)
        return table

    def _columns(
        self,
        table: pa.Table,
        place: Place,
    ) -> Iterator[Finding]:
        wanted = self._contents.info.schema.columns
        missing = [key for key in wanted if key not in table.column_names]
        if missing:
            message = f"columns are missing: {', '.join(missing)}"
            yield Finding("columns-missing", "error", message, place)
        for key in self._contents.info.schema.columns:
            feature = self._contents.info.features[key]
            wanted_numbers = key in table.column_names and is_numeric(feature)
            if wanted_numbers and numbers(table, key, feature) is None:
                message = f"the values of {key} are not {feature.shape} {feature.dtype}"
                yield Finding("column-values", "error", message, place)

    def _numbering(
        self, table: pa.Table, episode: int, first: int, place: Place
    ) -> Iterator[Finding]:
        count = np.arange(table.num_rows)
        wanted = {
            "frame_index": count,
            "episode_index": np.full(table.num_rows, episode),
            "index": first + count,
            "timestamp": count / self._contents.info.fps,
        }
        times = numbers(table, "timestamp", BOOKKEEPING["timestamp"])
        if times is not None and (late := self._frames_late(times)):
            self._late[episode] = late / self._contents.info.fps
            wanted["timestamp"] = wanted["timestamp"] + self._late[episode]
        for key, expected in wanted.items():
            found = numbers(table, key, BOOKKEEPING[key])
            if found is not None:
                yield from _off(key, found, expected, place)

    def _frames_late(self, times: Numbers) -> int:
        """By how many whole frames the first row is late; 0 where it is off the grid."""
        frames = (
            float(times[0]) * self._contents.info.fps if len(times) else 0.0
        )
        near = (
            abs(frames - round(frames))
            <= _TOLERANCE_SECONDS * self._contents.info.fps
        )
        return round(frames) if near else 0

    def _instructions(
        self, table: pa.Table, episode: int, place: Place
    ) -> Iterator[Finding]:
        used = instructions(self._contents, table)
        if used is None:
            message = "a row names an instruction that is not in the task table"
            yield Finding("rows-task-index", "error", message, place)
            return
        listed = self._contents.episodes[episode].tasks
        others = [text for text in used if text not in listed]
        if others:
            message = (
                f"the rows have the instruction {others[0]!r}, "
                f"the episode table {list(listed)!r}"
            )
            yield Finding("rows-instruction", "error", message, place)


def _off(
    key: str, found: Numbers, expected: Numbers, place: Place
) -> Iterator[Finding]:
    """Values of a bookkeeping column that are not the expected ones."""
    allowed = _TOLERANCE_SECONDS if key == "timestamp" else 0
    wrong = np.flatnonzero(~(np.abs(found - expected) <= allowed))
    if len(wrong):
        frame = int(wrong[0])
        message = f"{key} is {found[frame]}, not {expected[frame]:g}, in {len(wrong)} rows"
        code = f"rows-{key.replace('_', '-')}"
        numbers_ = {"rows": len(wrong)}
        yield Finding(
            code, "error", message, replace(place, frame=frame), numbers_
        )


def instructions(
    contents: Contents,
    table: pa.Table,
) -> list[str] | None:
    """The instructions of rows, each once; None where a row names one that there is not."""
    found = numbers(table, "task_index", BOOKKEEPING["task_index"])
    if found is None:
        return []
    used = sorted(set(found.tolist()))
    if used and not 0 <= used[0] <= used[-1] < len(contents.tasks):
        return None
    return [contents.tasks[index] or "" for index in used]


def instruction_of_rows(
    contents: Contents, table: pa.Table
) -> list[str] | None:
    """The instruction of each row; None where a row names one that there is not."""
    found = numbers(table, "task_index", BOOKKEEPING["task_index"])
    if found is None or not len(found):
        return None
    if not 0 <= found.min() <= found.max() < len(contents.tasks):
        return None
    return [contents.tasks[index] or "" for index in found.tolist()]


def numbers(
    table: pa.Table,
    key: str,
    feature: Feature,
) -> Numbers | None:
    """The numbers of a column, flat for scalars; None where they are not there, or no numbers."""
    if key not in table.column_names:
        return None
    try:
        values = column_values(table.column(key), key, feature)
    except (DatasetError, ValueError, TypeError, pa.ArrowException):
        return None
    return values.reshape(-1) if feature.shape == (1,) else values

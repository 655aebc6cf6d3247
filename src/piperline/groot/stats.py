"""`stats.json` and `relative_stats.json`: the exact numbers that GR00T N1.6 would compute.

The definitions are those of `gr00t/data/stats.py` in NVIDIA/Isaac-GR00T (tag n1.6.1-release) under
its pin numpy 1.26.4: values as float32, moments summed in float32 row after row, quantiles
interpolated in float64. GR00T computes these files only if they are missing and never notices that
the data changed; the fingerprint beside them tells us.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline import spill
from piperline.errors import DatasetError, Place
from piperline.files import read_json, read_plain, write_whole
from piperline.finding import Finding
from piperline.groot.checks.modality import check_modality
from piperline.groot.loader import (
    LoaderRows,
    Meta,
    matrix,
    read_rows,
    require,
    require_meta,
)
from piperline.groot.modality_config import Choice, default_choice
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.process import usable_cpus

STATS_FILE = "meta/stats.json"
RELATIVE_FILE = "meta/relative_stats.json"
FINGERPRINT_FILE = "meta/piperline_stats.json"

Stats = dict[str, Any]
_LOW, _HIGH = 0.01, 0.99
_THREADS = 8
"""At most: each holds the values of a dimension. numpy works outside of Python's lock."""


class WrittenRows:
    """The rows of a v2.1 dataset, collected while its episodes are written, for its statistics.

    Args:
        folder: where they lie, once they are many.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._columns: dict[str, spill.SpilledRows] = {}
        self._ends: list[int] = []

    @property
    def longest(self) -> int:
        """How many rows the longest episode has."""
        starts = [0, *self._ends]
        return max(
            (
                end - start
                for start, end in zip(starts, self._ends, strict=False)
            ),
            default=0,
        )

    def add(self, table: pa.Table) -> None:
        """Take the rows of the next episode, as they are in its file; only floats are kept."""
        for field in table.schema:
            if "float" in str(field.type):
                values = matrix(field.name, table.column(field.name))
                known = self._columns.get(field.name)
                if known is None:
                    self._columns[field.name] = spill.SpilledRows(
                        values, self._folder
                    )
                else:
                    known.add(values)
        self._ends.append((self._ends or [0])[-1] + table.num_rows)

    def rows(self, meta: Meta) -> LoaderRows:
        """All rows, as `read_rows` would read them."""
        starts = [0, *self._ends]
        spans = {
            meta.data_file(index): span
            for index, span in enumerate(zip(starts, self._ends, strict=False))
        }
        wanted = [name for name in float_columns(meta) if name in self._columns]
        columns = {name: self._columns[name].array() for name in wanted}
        return LoaderRows(columns, spans)


def write_groot_stats(
    root: Path,
    *,
    horizon: int = DEFAULT_HORIZON,
    relative: Sequence[str] | None = None,
    written: WrittenRows | None = None,
) -> None:
    """Write `stats.json`, `relative_stats.json` and their fingerprint into `meta/`, each whole.

    Args:
        root: a v2.1 dataset with `modality.json`.
        horizon: steps of an action chunk.
        relative: the action groups that are relative to the state; None for the arms.
        written: the rows, where they are at hand; None reads them.

    Raises:
        DatasetError: training could not read the dataset, its groups are not right, or every
            episode is shorter than the horizon.
    """
    meta = require_meta(root)
    require(
        finding
        for finding in check_modality(meta)
        if finding.code == "modality-syntax"
    )
    choice = default_choice(meta, horizon=horizon, relative=relative)
    if written is None:
        found: list[Finding] = []
        rows = read_rows(meta, float_columns(meta), found)
        require(found)
    else:
        rows = written.rows(meta)
    stats = json.dumps(dataset_stats(meta, rows), indent=4)
    relatives = json.dumps(relative_stats(meta, rows, choice), indent=4)
    write_whole(root / STATS_FILE, stats)
    write_whole(root / RELATIVE_FILE, relatives)
    write_whole(
        root / FINGERPRINT_FILE,
        json.dumps(
            _fingerprint(meta, rows, choice, stats, relatives), indent=4
        ),
    )


def is_fresh(meta: Meta, rows: LoaderRows, choice: Choice) -> bool:
    """Whether both files are what `write_groot_stats` wrote for these rows and this choice."""
    try:
        recorded = read_json(meta.root / FINGERPRINT_FILE)
        texts = [
            read_plain(meta.root / name).decode()
            for name in (STATS_FILE, RELATIVE_FILE)
        ]
    except (OSError, ValueError):
        return False
    return bool(recorded == _fingerprint(meta, rows, choice, *texts))


def float_columns(meta: Meta) -> list[str]:
    """The features that N1.6 computes statistics of: those whose dtype contains "float"."""
    return [
        key
        for key, feature in meta.schema.features.items()
        if "float" in feature.dtype
    ]


def dataset_stats(meta: Meta, rows: LoaderRows) -> dict[str, Stats]:
    """`stats.json`: six numbers for each dimension of each float feature, over all rows.

    Raises:
        DatasetError: a feature has no column.
    """
    missing = [name for name in float_columns(meta) if name not in rows.columns]
    if missing:
        raise DatasetError(
            f"no column for the feature {', '.join(missing)}",
            place=Place(file=meta.root),
            expected="a column for each feature of info.json",
            found=f"columns {', '.join(rows.columns)}",
        )
    order = ("mean", "std", "min", "max", "q01", "q99")
    stats: dict[str, Stats] = {}
    for name in float_columns(meta):
        values = rows.columns[name]
        found = _of_each(values.shape[1], partial(_of_column, values))
        stats[name] = {key: _picked(found, key) for key in order}
    return stats


def _picked(
    found: Sequence[Mapping[str, float]],
    key: str,
) -> list[float]:
    """One number of each dimension."""
    return [numbers[key] for numbers in found]


def _of_column(
    values: NDArray[Any],
    dimension: int,
) -> dict[str, float]:
    column = _copied(values[:, dimension], np.dtype(np.float32))
    return six_numbers(column, alone=values.shape[1] == 1)


def _copied(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    copy = spill.scratch(values.shape, dtype)
    for block in spill.blocks(len(values)):
        copy[block] = values[block]
    return copy


def relative_stats(
    meta: Meta,
    rows: LoaderRows,
    choice: Choice,
) -> dict[str, Stats]:
    """`relative_stats.json`: six arrays of shape (horizon, dimensions) for each relative group.

    The windows of an episode of n frames are `action[i + delta] - state[i + last state delta]` for
    every i with `i + last delta < n`.

    Raises:
        DatasetError: no episode is as long as the horizon, or a group does not fit its state group.
    """
    order = ("max", "min", "q01", "q99", "mean", "std")
    firsts = (
        _first_rows(meta, rows, choice)
        if choice.relative
        else np.empty(0, np.intp)
    )
    stats: dict[str, Stats] = {}
    for action, state in sorted(choice.relative.items()):
        actions = _group(meta, rows, "action", action)
        states = _group(meta, rows, "state", state)
        if actions.shape[1] != states.shape[1]:
            raise DatasetError(
                f"action group {action} has {actions.shape[1]} dimensions, state group "
                f"{state} has {states.shape[1]}: "
                "relative needs equal widths",
                place=Place(file=meta.root),
                expected="equal widths: the action is taken relative to the state",
                found=f"{actions.shape[1]} and {states.shape[1]} dimensions",
                next_step="mend meta/modality.json, or leave the group out of --relative",
            )
        found = _of_each(
            actions.shape[1],
            partial(_of_differences, actions, states, firsts, choice),
        )
        by_step = list(zip(*found, strict=True))
        stats[action] = {
            key: [_picked(step, key) for step in by_step] for key in order
        }
    return stats


def _of_differences(
    actions: NDArray[Any],
    states: NDArray[Any],
    firsts: NDArray[np.intp],
    choice: Choice,
    dimension: int,
) -> list[dict[str, float]]:
    """Six numbers for each step of the chunks that begin at the rows `firsts`."""
    action = _copied(actions[:, dimension], actions.dtype)
    now = spill.scratch(firsts.shape, states.dtype)
    for block in spill.blocks(len(firsts)):
        at = firsts[block] + choice.state_deltas[-1]
        now[block] = states[at, dimension]
    alone = len(choice.action_deltas) * actions.shape[1] == 1
    values = spill.scratch(firsts.shape, np.float32)
    numbers = []
    for delta in choice.action_deltas:
        for block in spill.blocks(len(firsts)):
            # Subtracted in the type of the files, then float32, as there.
            values[block] = action[firsts[block] + delta] - now[block]
        numbers.append(six_numbers(values, alone=alone))
    return numbers


def _first_rows(
    meta: Meta,
    rows: LoaderRows,
    choice: Choice,
) -> NDArray[np.intp]:
    """The rows at which a whole action chunk of an episode begins."""
    reach = choice.action_deltas[-1]
    spans = [
        (start, stop - reach)
        for start, stop in rows.episodes(meta).values()
        if stop - start > reach
    ]
    if not spans:
        raise DatasetError(
            f"no episode has the {choice.horizon} frames of an action chunk",
            place=Place(file=meta.root),
            next_step="choose a shorter --horizon",
            expected=f"an episode of {choice.horizon} frames or more",
            found="shorter ones",
        )
    firsts = spill.scratch(
        (sum(stop - start for start, stop in spans),), np.intp
    )
    filled = 0
    for start, stop in spans:
        count = stop - start
        firsts[filled : filled + count] = np.arange(start, stop, dtype=np.intp)
        filled += count
    return firsts


_Numbers = TypeVar("_Numbers")


def _of_each(
    dimensions: int, work: Callable[[int], _Numbers]
) -> list[_Numbers]:
    with ThreadPoolExecutor(min(usable_cpus(), _THREADS)) as pool:
        return list(pool.map(work, range(dimensions)))


def six_numbers(
    values: NDArray[np.float32], *, alone: bool = False
) -> dict[str, float]:
    """Mean, std, min, max, q01, q99 of one dimension, as GR00T has them of all at once.

    Args:
        values: shape (N,); they come to lie in another order.
        alone: it is the only one. numpy then adds pairwise; of several dimensions it adds row after
            row.
    """
    count = np.float32(len(values))
    add = np.add.reduce if alone else _add_in_order
    with np.errstate(invalid="ignore"):  # infinite values give NaN, as there
        mean = add(values) / count
        deviations = spill.scratch(values.shape, np.float32)
        np.subtract(values, mean, out=deviations)
        deviations *= deviations
        numbers = {
            "mean": mean,
            "std": np.sqrt(add(deviations) / count),
            "min": values.min(),
            "max": values.max(),
        }
        del deviations
        low, high = _quantiles(values)
    numbers |= {"q01": low, "q99": high}
    return {name: float(number) for name, number in numbers.items()}


def _add_in_order(values: NDArray[np.float32]) -> np.float32:
    first, *others = spill.blocks(len(values))
    total: np.float32 = np.add.accumulate(values[first])[-1]
    for block in others:
        total = np.add.accumulate(np.append(total, values[block]))[-1]
    return total


def _quantiles(values: NDArray[np.float32]) -> tuple[float, ...]:
    """`np.quantile(values, [0.01, 0.99])` of numpy 1.26; numpy 2 would round it to float32."""
    last = len(values) - 1
    positions = [last * q for q in (_LOW, _HIGH)]
    ranks = {last}
    for position in positions:
        ranks |= {int(position), min(int(position) + 1, last)}
    values.partition(sorted(ranks))
    if np.isnan(values[last]):  # a NaN is sorted to the end
        return math.nan, math.nan
    return tuple(_between(values, position) for position in positions)


def _between(values: NDArray[np.float32], position: float) -> float:
    rank = int(position)
    share = position - rank
    low, high = (
        values[rank],
        values[
            min(
                rank + 1,
                len(values) - 1,
            )
        ],
    )
    step = float(high - low)
    # From the nearer side, as numpy's `_lerp`: rounding then never leaves the interval.
    if share < 1 - share:
        return float(low) + step * share
    return float(high) - step * (1 - share)


def _group(
    meta: Meta,
    rows: LoaderRows,
    part: str,
    group: str,
) -> NDArray[Any]:
    column, start, end = meta.column(part, group)
    if column not in rows.columns:
        raise DatasetError(
            f"no column {column} for the {part} group {group}",
            place=Place(file=meta.root),
            expected=column,
            found=f"columns {', '.join(rows.columns)}",
        )
    return rows.columns[column][:, start:end]


def _fingerprint(
    meta: Meta, rows: LoaderRows, choice: Choice, stats: str, relative: str
) -> dict[str, Any]:
    """What the numbers follow from, and the files themselves, as hashes."""
    data = hashlib.blake2b(digest_size=16)
    for name, values in sorted(rows.columns.items()):
        if name in float_columns(meta):
            data.update(f"{name} {values.dtype} {values.shape}".encode())
            data.update(np.ascontiguousarray(values).data)
    data.update(repr(list(rows.episodes(meta).items())).encode())
    groups: Mapping[str, Any] = {
        part: meta.groups(part) for part in ("state", "action")
    }
    return {
        "data": data.hexdigest(),
        "groups": groups,
        "relative": dict(sorted(choice.relative.items())),
        "action_deltas": list(choice.action_deltas),
        "stats": hashlib.blake2b(
            stats.encode(),
            digest_size=16,
        ).hexdigest(),
        "relative_stats": hashlib.blake2b(
            relative.encode(), digest_size=16
        ).hexdigest(),
    }

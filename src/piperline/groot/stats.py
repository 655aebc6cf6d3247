"""`stats.json` and `relative_stats.json`: the very numbers that GR00T N1.6 would compute before training.

The definitions are those of `gr00t/data/stats.py` in NVIDIA/Isaac-GR00T (tag n1.6.1-release) under its pin
numpy 1.26.4: values as float32, moments summed in float32 row after row, quantiles interpolated in float64. GR00T
computes these files only if they are missing and never notices that the data changed; the fingerprint beside
them tells us.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.check.finding import Finding
from piperline.disk import write_whole
from piperline.errors import DatasetError, Place
from piperline.groot.choice import Choice, default_choice
from piperline.groot.folder import Meta, Rows, read_rows, require, require_meta
from piperline.groot.versions import DEFAULT_HORIZON

__all__ = [
    "FINGERPRINT_FILE",
    "RELATIVE_FILE",
    "STATS_FILE",
    "dataset_stats",
    "float_columns",
    "is_fresh",
    "relative_stats",
    "six_numbers",
    "write_groot_stats",
]

STATS_FILE = "meta/stats.json"
RELATIVE_FILE = "meta/relative_stats.json"
FINGERPRINT_FILE = "meta/piperline_stats.json"

Stats = dict[str, Any]
_LOW, _HIGH = 0.01, 0.99
_BLOCK = 1024  # rows that are transposed at once: they fit into the cache, which is ten times as fast
_AT_ONCE = 2  # of the first dimension of values, for memory; of a single one numpy would sum in another order


def write_groot_stats(root: Path, *, horizon: int = DEFAULT_HORIZON, relative: Sequence[str] | None = None) -> None:
    """Write `stats.json`, `relative_stats.json` and their fingerprint into `meta/`, each whole.

    Args:
        root: a v2.1 dataset with `modality.json`.
        horizon: steps of an action chunk.
        relative: the action groups that are relative to the state; None for the arms.

    Raises:
        DatasetError: training could not read the dataset, or every episode is shorter than the horizon.
    """
    meta = require_meta(root)
    choice = default_choice(meta, horizon=horizon, relative=relative)
    found: list[Finding] = []
    rows = read_rows(meta, float_columns(meta), found)
    require(found)
    stats = json.dumps(dataset_stats(meta, rows), indent=4)
    relatives = json.dumps(relative_stats(meta, rows, choice), indent=4)
    write_whole(root / STATS_FILE, stats)
    write_whole(root / RELATIVE_FILE, relatives)
    write_whole(root / FINGERPRINT_FILE, json.dumps(_fingerprint(meta, rows, choice, stats, relatives), indent=4))


def is_fresh(meta: Meta, rows: Rows, choice: Choice) -> bool:
    """Whether both files are what `write_groot_stats` wrote for exactly these rows and this choice."""
    try:
        recorded = json.loads((meta.root / FINGERPRINT_FILE).read_text(encoding="utf-8"))
        texts = [(meta.root / name).read_text(encoding="utf-8") for name in (STATS_FILE, RELATIVE_FILE)]
    except (OSError, ValueError):
        return False
    return bool(recorded == _fingerprint(meta, rows, choice, *texts))


def float_columns(meta: Meta) -> list[str]:
    """The features that N1.6 computes statistics of: those whose type in `info.json` contains "float"."""
    return [key for key, feature in meta.schema.features.items() if "float" in feature.dtype]


def dataset_stats(meta: Meta, rows: Rows) -> dict[str, Stats]:
    """`stats.json`: six numbers for each dimension of each float feature, over all rows of all Parquet files.

    Raises:
        DatasetError: a feature has no column.
    """
    missing = [name for name in float_columns(meta) if name not in rows.columns]
    if missing:
        raise DatasetError(f"no column for the feature {', '.join(missing)}", place=Place(file=meta.root))
    order = ("mean", "std", "min", "max", "q01", "q99")
    stats: dict[str, Stats] = {}
    for name in float_columns(meta):
        values = rows.columns[name]
        if values.ndim == 1:
            stats[name] = six_numbers(values.astype(np.float32), order)
        else:
            stats[name] = _joined(
                six_numbers(values[:, start:stop].astype(np.float32), order) for start, stop in _spans(values.shape[1])
            )
    return stats


def relative_stats(meta: Meta, rows: Rows, choice: Choice) -> dict[str, Stats]:
    """`relative_stats.json`: for each relative action group six arrays of shape (horizon, dimensions).

    The windows of an episode of n frames are `action[i + delta] - state[i + last state delta]` for every i with
    `i + last delta < n`.

    Raises:
        DatasetError: no episode is as long as the horizon, or a group does not fit its state group.
    """
    order = ("max", "min", "q01", "q99", "mean", "std")
    spans = _spans(len(choice.action_deltas))
    return {
        action: _joined(
            six_numbers(_differences(meta, rows, choice, (action, state), choice.action_deltas[start:stop]), order)
            for start, stop in spans
        )
        for action, state in sorted(choice.relative.items())
    }


def _spans(width: int) -> list[tuple[int, int]]:
    """`width` places in spans of two, the last of three where they are odd; one alone makes one span."""
    starts = range(0, max(width - 1, 1), _AT_ONCE)
    return list(zip(starts, [*starts[1:], width], strict=True))


def _joined(parts: Iterable[Stats]) -> Stats:
    """The numbers of one span behind those of the other."""
    whole: Stats = {}
    for part in parts:
        for name, numbers in part.items():
            whole.setdefault(name, []).extend(numbers)
    return whole


def six_numbers(values: NDArray[np.float32], order: Iterable[str]) -> Stats:
    """Mean, std, min, max, q01, q99 over the first axis, as nested lists of Python floats, in `order`."""
    with np.errstate(invalid="ignore"):  # infinite values give NaN, as there
        low, high = _quantiles(values)
        numbers = {
            "mean": np.mean(values, axis=0),
            "std": np.std(values, axis=0),
            "min": np.min(values, axis=0),
            "max": np.max(values, axis=0),
            "q01": low,
            "q99": high,
        }
    return {name: numbers[name].tolist() for name in order}


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """`np.quantile(values, [0.01, 0.99], axis=0)` as numpy 1.26 gives it; numpy 2 would round it to float32."""
    rows = values.reshape(len(values), -1)
    columns = np.empty((rows.shape[1], len(rows)), np.float32)
    for start in range(0, len(rows), _BLOCK):
        columns[:, start : start + _BLOCK] = rows[start : start + _BLOCK].T
    last = len(values) - 1
    positions = [last * q for q in (_LOW, _HIGH)]
    ranks = sorted({rank for position in positions for rank in (int(position), min(int(position) + 1, last))} | {last})
    columns.partition(ranks, axis=1)
    results = [_between(columns, position) for position in positions]
    # A NaN is sorted to the end.
    broken = np.isnan(columns[:, last])
    return np.where(broken, np.nan, np.stack(results)).reshape(2, *values.shape[1:])


def _between(columns: NDArray[np.float32], position: float) -> NDArray[np.float64]:
    rank = int(position)
    share = position - rank
    low, high = columns[:, rank], columns[:, min(rank + 1, columns.shape[1] - 1)]
    step = (high - low).astype(np.float64)
    # From the nearer side, as numpy's `_lerp`: rounding then never leaves the interval.
    return low + step * share if share < 0.5 else high - step * (1 - share)  # noqa: PLR2004 - the middle


def _differences(
    meta: Meta, rows: Rows, choice: Choice, groups: tuple[str, str], deltas: Sequence[int]
) -> NDArray[np.float32]:
    """Shape (windows, len(deltas), dimensions), episode after episode; `groups` of the action and of the state."""
    action, state = groups
    actions, states = _group(meta, rows, "action", action), _group(meta, rows, "state", state)
    if actions.shape[1] != states.shape[1]:
        raise DatasetError(
            f"action group {action} has {actions.shape[1]} dimensions, state group {state} has {states.shape[1]}: "
            "relative needs equal widths",
            place=Place(file=meta.root),
        )
    reach = choice.action_deltas[-1]
    spans = [(start, stop) for start, stop in rows.episodes(meta).values() if stop - start > reach]
    if not spans:
        raise DatasetError(
            f"no episode has the {choice.horizon} frames of an action chunk",
            place=Place(file=meta.root),
            next_step="choose a shorter --horizon",
        )
    result = np.empty((sum(stop - start - reach for start, stop in spans), len(deltas), actions.shape[1]), np.float32)
    row = 0
    for start, stop in spans:
        count = stop - start - reach
        now = states[start + choice.state_deltas[-1] :][:count]
        for place, delta in enumerate(deltas):
            # Subtracted in the type of the files, then float32, as there.
            result[row : row + count, place] = actions[start + delta :][:count] - now
        row += count
    return result


def _group(meta: Meta, rows: Rows, part: str, group: str) -> NDArray[Any]:
    column, start, end = meta.column(part, group)
    if column not in rows.columns:
        raise DatasetError(f"no column {column} for the {part} group {group}", place=Place(file=meta.root))
    return rows.columns[column][:, start:end]


def _fingerprint(meta: Meta, rows: Rows, choice: Choice, stats: str, relative: str) -> dict[str, Any]:
    """What the numbers follow from, and the files themselves, as hashes."""
    data = hashlib.blake2b(digest_size=16)
    for name, values in sorted(rows.columns.items()):
        if name in float_columns(meta):
            data.update(f"{name} {values.dtype} {values.shape}".encode())
            data.update(np.ascontiguousarray(values).data)
    data.update(repr(list(rows.episodes(meta).items())).encode())
    groups: Mapping[str, Any] = {part: meta.groups(part) for part in ("state", "action")}
    return {
        "data": data.hexdigest(),
        "groups": groups,
        "relative": dict(sorted(choice.relative.items())),
        "action_deltas": list(choice.action_deltas),
        "stats": hashlib.blake2b(stats.encode(), digest_size=16).hexdigest(),
        "relative_stats": hashlib.blake2b(relative.encode(), digest_size=16).hexdigest(),
    }

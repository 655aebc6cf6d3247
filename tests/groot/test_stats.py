"""GR00T's statistics: against a plain implementation, and against what NVIDIA ships."""

import gc
import json
import math
import os
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline import spill
from piperline.errors import DatasetError, PiperlineError
from piperline.features import Feature
from piperline.groot.loader import read_rows, require_meta
from piperline.groot.modality_config import Choice, default_choice
from piperline.groot.stats import (
    FINGERPRINT_FILE,
    WrittenRows,
    dataset_stats,
    float_columns,
    is_fresh,
    relative_stats,
    six_numbers,
    write_groot_stats,
)
from tests.groot.datasets import make_dataset


def plain_quantile(column, q):
    """Linear interpolation between the two nearest of the sorted values, in float64."""
    ordered = sorted(float(value) for value in column)
    position = q * (len(ordered) - 1)
    low = int(position)
    share = position - low
    a, b = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    step = float(np.float32(np.float32(b) - np.float32(a)))
    return a + step * share if share < 0.5 else b - step * (1 - share)


def plain_numbers(rows):
    """Rows of float32, one after the other; sums in float32 as numpy adds them."""
    values = np.vstack([np.asarray(row, dtype=np.float32) for row in rows])
    columns = values.T.tolist()
    return {
        "mean": np.mean(values, axis=0).tolist(),
        "std": np.std(values, axis=0).tolist(),
        "min": [min(column) for column in columns],
        "max": [max(column) for column in columns],
        "q01": [plain_quantile(column, 0.01) for column in columns],
        "q99": [plain_quantile(column, 0.99) for column in columns],
    }


def tables(root):
    return [
        pq.read_table(path).to_pydict()
        for path in sorted((root / "data").rglob("*.parquet"))
    ]


def windows(root, start, end, horizon):
    """One array for each start frame: the actions of the chunk less the state at its start."""
    result = []
    for table in tables(root):
        actions = np.array(table["action"], dtype=np.float32)[:, start:end]
        states = np.array(table["observation.state"], dtype=np.float32)[
            :, start:end
        ]
        starts = range(len(actions) - horizon + 1)
        result += [
            [actions[first + step] - states[first] for step in range(horizon)]
            for first in starts
        ]
    return np.array(result, dtype=np.float32)


def read(root, name):
    return json.loads((root / "meta" / name).read_text())


def test_dataset_statistics_are_those_of_the_formulas(good):
    found = read(good, "stats.json")
    assert list(found) == ["observation.state", "action", "timestamp"]
    for key, numbers in found.items():
        rows = [
            np.atleast_1d(row) for table in tables(good) for row in table[key]
        ]
        assert numbers == plain_numbers(rows)
        assert list(numbers) == ["mean", "std", "min", "max", "q01", "q99"]


def test_relative_statistics_are_those_of_the_formulas(good):
    found = read(good, "relative_stats.json")
    assert list(found) == ["left_arm", "right_arm"]
    for key, (start, end) in {"left_arm": (0, 6), "right_arm": (7, 13)}.items():
        expected = windows(good, start, end, 16)
        assert expected.shape == (75, 16, 6)
        flat = plain_numbers(expected.reshape(75, -1))
        assert list(found[key]) == ["max", "min", "q01", "q99", "mean", "std"]
        for name, values in found[key].items():
            assert np.array(values).ravel().tolist() == pytest.approx(
                flat[name], abs=0 if name != "std" else 1e-9
            )


def test_other_deltas_and_state_groups(good):
    meta = require_meta(good)
    choice = Choice(
        ("mid",),
        ("left_arm",),
        ("right_arm",),
        ("RELATIVE",),
        ("left_arm",),
        (1, 3),
        (-1, 1),
    )
    rows = read_rows(meta, float_columns(meta), [])
    found = relative_stats(meta, rows, choice)["right_arm"]
    expected = []
    for table in tables(good):
        actions, states = (
            np.array(table[key], dtype=np.float32)
            for key in ("action", "observation.state")
        )
        expected += [
            [actions[i + delta, 7:13] - states[i + 1, 0:6] for delta in (1, 3)]
            for i in range(len(actions) - 3)
        ]
    assert found["max"] == np.max(expected, axis=0).tolist()
    assert found["min"] == np.min(expected, axis=0).tolist()


def test_quantiles_of_few_and_of_broken_values():
    one = six_numbers(np.array([3.0], dtype=np.float32))
    assert one == {"mean": 3, "std": 0, "min": 3, "max": 3, "q01": 3, "q99": 3}
    broken = six_numbers(np.array([1, np.nan, 4], dtype=np.float32))
    assert np.isnan(list(broken.values())).all()
    wide = six_numbers(np.array([-np.inf, 3, np.inf], dtype=np.float32))
    assert (wide["min"], wide["max"]) == (-np.inf, np.inf)
    assert np.isnan([wide["mean"], wide["std"]]).all()


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (14,), (16, 6), (1, 1), (2, 1)], ids=str
)
def test_one_dimension_at_a_time_is_what_numpy_gives_of_all_at_once(shape):
    values = (
        np.random.default_rng(1)
        .normal(0.3, 2, (5003, *shape))
        .astype(np.float32)
    )
    at_once = {
        name: getattr(np, name)(values, axis=0)
        for name in ("mean", "std", "min", "max")
    }
    for place in np.ndindex(shape):
        found = six_numbers(
            values[(slice(None), *place)].copy(), alone=math.prod(shape) == 1
        )
        assert {name: found[name] for name in at_once} == {
            name: float(all_[place]) for name, all_ in at_once.items()
        }


def test_the_fingerprint_tells_when_files_are_of_other_data(copy):
    def fresh(horizon=16, relative=None):
        meta = require_meta(copy)
        rows = read_rows(meta, float_columns(meta), [])
        return is_fresh(
            meta, rows, default_choice(meta, horizon=horizon, relative=relative)
        )

    assert fresh()
    assert not fresh(horizon=8)
    assert not fresh(relative=["left_arm"])
    stats = (copy / "meta/stats.json").read_text()
    (copy / "meta/stats.json").write_text(stats.replace("1", "2", 1))
    assert not fresh()
    (copy / "meta/stats.json").write_text(stats)
    assert fresh()
    path = min((copy / "data").rglob("*.parquet"))
    pq.write_table(pq.read_table(path).slice(1), path)
    assert not fresh()
    (copy / FINGERPRINT_FILE).write_text("{")
    assert not fresh()


def test_what_cannot_be_computed_is_said(copy, tmp_path):
    with pytest.raises(
        PiperlineError,
        match="there is no group of both state and action left_leg",
    ):
        write_groot_stats(copy, relative=["left_leg"])
    with pytest.raises(DatasetError, match="no episode has the 60 frames"):
        write_groot_stats(copy, horizon=60)
    modality = read(copy, "modality.json")
    modality["state"]["left_arm"]["end"] = 5
    (copy / "meta/modality.json").write_text(json.dumps(modality))
    with pytest.raises(
        DatasetError, match="6 dimensions, state group left_arm has 5"
    ):
        write_groot_stats(copy, relative=["left_arm"])
    modality["state"]["left_arm"] = {"start": 0}
    (copy / "meta/modality.json").write_text(json.dumps(modality))
    with pytest.raises(
        DatasetError, match="a group is an object with whole start and end"
    ):
        write_groot_stats(copy)
    modality["state"]["left_arm"] = {"start": 0, "end": 6}
    (copy / "meta/modality.json").write_text(json.dumps(modality))
    path = min((copy / "data").rglob("*.parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["action"]), path)
    with pytest.raises(DatasetError, match="no column for the feature action"):
        write_groot_stats(copy)
    with pytest.raises(DatasetError, match=r"info\.json is missing"):
        write_groot_stats(tmp_path)


def test_nothing_is_relative_where_no_group_is_an_arm(tmp_path):
    root = make_dataset(
        tmp_path / "set", names=("neck", "gripper"), cameras=("mid",)
    )
    assert read(root, "relative_stats.json") == {}


def real_dataset() -> Path | None:
    """NVIDIA's demo dataset, if there is a copy: `PIPERLINE_REAL_DATASET`, or ../shared."""
    told = os.environ.get("PIPERLINE_REAL_DATASET")
    beside = (
        Path(__file__).parents[3] / "shared" / "data" / "robot_sim.PickNPlace"
    )
    path = Path(told) if told else beside
    return path if (path / "meta/info.json").exists() else None


@pytest.mark.skipif(
    real_dataset() is None,
    reason="no copy of robot_sim.PickNPlace (set PIPERLINE_REAL_DATASET)",
)
def test_the_numbers_are_those_that_nvidia_ships(tmp_path):
    """Its stats.json has more columns (int, bool); those of float features are defined the same."""
    source = real_dataset()
    assert source is not None
    (tmp_path / "meta").mkdir()
    for path in (source / "meta").iterdir():
        if path.name != "stats.json":
            (tmp_path / "meta" / path.name).write_bytes(path.read_bytes())
    shutil.copytree(source / "data", tmp_path / "data")
    write_groot_stats(tmp_path)
    ours, theirs = read(tmp_path, "stats.json"), read(source, "stats.json")
    assert set(ours) == {
        "observation.state",
        "action",
        "timestamp",
        "next.reward",
    }
    for key, numbers in ours.items():
        assert numbers == theirs[key]
    relative = read(tmp_path, "relative_stats.json")
    assert {key: np.shape(entry["q01"]) for key, entry in relative.items()} == {
        "left_arm": (16, 7),
        "right_arm": (16, 7),
    }


@pytest.mark.parametrize("alone", [False, True])
def test_statistics_of_many_rows_take_no_memory_and_are_the_same(
    alone, tmp_path, monkeypatch
):
    """The rows of a dataset of hours lie in a file, and so does what is made of them."""
    width = 1 if alone else 4
    column = np.random.default_rng(0).normal(size=(60_000, width))
    column = column.astype(np.float32)
    features = {"action": Feature("float32", (width,))}
    meta: Any = SimpleNamespace(
        root=tmp_path,
        schema=SimpleNamespace(features=features),
        data_file=lambda index: Path(str(index)),
    )

    def numbers(rows: int, held: int) -> tuple[object, int]:
        monkeypatch.setattr(spill, "_HELD", held)
        monkeypatch.setattr(spill, "BLOCK", 1000)
        gc.collect()  # what earlier tests left is not of these numbers
        tracemalloc.start()
        written = WrittenRows(tmp_path)
        for start in range(0, rows, 1000):  # an episode each
            values = column[start : start + 1000].ravel()
            lists = pa.FixedSizeListArray.from_arrays(values, width)
            written.add(pa.table({"action": lists}))
        found = dataset_stats(meta, written.rows(meta))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, peak

    numbers(20_000, 1 << 14)  # what is made once is there then
    short, low = numbers(20_000, 1 << 14)
    long, high = numbers(60_000, 1 << 14)
    assert high < low + 40_000  # a byte a row: the spans of the episodes
    assert short == numbers(20_000, 1 << 30)[0]
    assert long == numbers(60_000, 1 << 30)[0]
    assert not list(tmp_path.iterdir())

"""Parquet files of somebody else: what a few bytes unfold to is bounded."""

import os
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.errors import DatasetError
from piperline.lerobot import parquet
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.parquet import ParquetRows, table_of
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_episode


def write_zeros(path, count):
    """So many zeros in a row group of some kB."""
    table = pa.table({"a": np.zeros(count, dtype=np.int64)})
    pq.write_table(table, path, row_group_size=count, compression="zstd")


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(parquet, "_LARGEST_GROUP", 1 << 20)


@pytest.mark.usefixtures("small_limit")
def test_zeros_in_a_few_kilobytes_are_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    write_zeros(path, 1_000_000)
    assert path.stat().st_size < 10_000
    with pytest.raises(DatasetError, match="unfolds to more") as caught:
        table_of(path)
    assert caught.value.found == "8.0 MB"
    with pytest.raises(DatasetError, match="unfolds to more"):
        ParquetRows(path).rows(0, 1)


@pytest.mark.usefixtures("small_limit")
def test_a_long_text_that_all_rows_share_is_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    pq.write_table(
        pa.table({"a": ["x" * 10_000] * 10_000}), path, compression="zstd"
    )
    assert path.stat().st_size < 30_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatasetError, match="unfolds to more"):
        table_of(path)
    # kB, of 100 MB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_rows_are_those_of_the_file_whatever_its_groups(tmp_path):
    path = tmp_path / "rows.parquet"
    table = pa.table({"a": range(1000), "b": [str(n) for n in range(1000)]})
    pq.write_table(table, path, row_group_size=300)
    rows = ParquetRows(path)
    assert len(rows) == 1000
    assert rows.all() == table
    assert rows.rows(250, 650) == table.slice(250, 400)
    assert rows.rows(990, 2000) == table.slice(990)
    assert rows.rows(2000, 3000) == table.slice(0, 0)
    assert table_of(path, ["b"]) == table.select(["b"])


def test_odd_tables(tmp_path):
    twice = pa.Table.from_arrays(
        [pa.array([1]), pa.array([2])], names=["a", "a"]
    )
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DatasetError, match="same name"):
        table_of(tmp_path / "twice.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "one.parquet")
    with pytest.raises(DatasetError, match="no column b"):
        table_of(tmp_path / "one.parquet", ["b"])
    with pytest.raises(DatasetError, match="is missing"):
        table_of(tmp_path / "none.parquet")


def test_text_that_is_not_utf8(tmp_path):
    odd = pa.array([b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"a": odd}), tmp_path / "odd.parquet")
    with pytest.raises(DatasetError, match="cannot be read"):
        table_of(tmp_path / "odd.parquet")


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("version", "said"),
    [("v2.1", "not those of the episode"), ("v3.0", "unfolds to more")],
)
def test_a_million_zeros_for_three_rows(tmp_path, version, said):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 3)], version
    )
    (path,) = (root / "data").rglob("*.parquet")
    write_zeros(path, 1_000_000)
    with pytest.raises(DatasetError, match=said):
        open_dataset(root).episode(0)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize(
    "name", ["*.mp4", "data/**/*.parquet", "meta/**/tasks.*"]
)
def test_pipes_in_the_place_of_files_do_not_hang(tmp_path, version, name):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 3)], version
    )
    path = next(root.rglob(name))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DatasetError, match="no plain file"):
        open_dataset(root).episode(0)

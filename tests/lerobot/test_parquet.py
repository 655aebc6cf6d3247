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


def varint(value: int, length: int) -> bytes:
    """A number as page headers and footers have it, in so many bytes."""
    zigzag = 2 * value
    digits = [(zigzag >> (7 * n)) & 0x7F for n in range(length)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_a_footer_that_says_less_than_the_pages(
    tmp_path, codec, version, dictionary
):
    path = tmp_path / "lie.parquet"
    table = pa.table({"a": [f"{n:09}" * 1000 for n in range(500)]})
    pq.write_table(
        table,
        path,
        compression=codec,
        data_page_version=version,
        use_dictionary=dictionary,
    )
    size = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    data = path.read_bytes()
    honest = varint(size, 4)
    assert data.count(honest) >= 1
    path.write_bytes(data.replace(honest, varint(100, 4)))
    metadata = pq.read_metadata(path).row_group(0).column(0)
    assert metadata.total_uncompressed_size == 100
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatasetError, match="unfolds to more") as caught:
        table_of(path)
    assert caught.value.found == "4.5 MB"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3000


@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip"])
def test_damaged_page_headers_are_told(tmp_path, codec):
    """A header of any bytes: it is read, or the file is damaged, and nothing crashes."""
    path = tmp_path / "page.parquet"
    numbers = np.arange(300, dtype=np.float32)
    table = pa.table({"a": numbers, "b": [str(n % 7) for n in range(300)]})
    pq.write_table(table, path, compression=codec)
    data, told = path.read_bytes(), 0
    for index in range(2):
        start = pq.read_metadata(path).row_group(0).column(index)
        for at in range(
            start.dictionary_page_offset, start.data_page_offset + 30
        ):
            for value in (0, 0x7F, 0xFF, data[at] ^ 1):
                path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
                try:
                    table_of(path)
                except DatasetError:
                    told += 1
        path.write_bytes(data)
    assert told > 100
    assert table_of(path) == table


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


def test_many_small_groups_of_zeros_do_not_add_up(tmp_path):
    """Each unfolds to 1.6 MB, all of them to 160 MB; a hundredth as many are no bomb."""
    path = tmp_path / "zeros.parquet"
    for count, refused in ((100, True), (1, False)):
        zeros = pa.table({"a": np.zeros(200_000 * count)})
        pq.write_table(zeros, path, row_group_size=200_000)
        if refused:
            with pytest.raises(DatasetError, match="unfolds to more"):
                table_of(path)
        else:
            assert len(table_of(path)) == 200_000


def test_a_file_that_is_read_in_parts_may_unfold_to_much_in_all(
    tmp_path, monkeypatch
):
    """As histograms of thousands of episodes do, whose pictures are alike."""
    monkeypatch.setattr(parquet, "_ALWAYS", 1 << 16)
    monkeypatch.setattr(parquet, "_MOST_FOLDED", 1)
    path = tmp_path / "counts.pq"
    table = pa.table({"a": np.zeros(50_000, dtype=np.int64)})
    pq.write_table(table, path, row_group_size=5_000, compression="zstd")
    with pytest.raises(DatasetError, match="unfolds to more"):
        ParquetRows(path)
    assert len(ParquetRows(path, in_parts=True).rows(4_998, 5_004)) == 6
    pq.write_table(table, path, row_group_size=50_000, compression="zstd")
    with pytest.raises(DatasetError, match="unfolds to more"):
        ParquetRows(path, in_parts=True)

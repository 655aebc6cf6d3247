"""The SHA-256 of rows: what is told when they are written is told when they are read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.features import Feature
from piperline.lerobot.columns import arrow_type
from piperline.lerobot.digests import rows_digest, written_digest

ROWS = 3
KINDS = {
    "scalar": Feature("float32", (1,)),
    "vector": Feature("float32", (4,)),
    "image of numbers": Feature("float64", (2, 3)),
    "half": Feature("float16", (2,)),
    "flags": Feature("bool", (2,)),
    "bytes": Feature("uint8", (5,)),
    "whole": Feature("int64", (1,)),
}


def column(feature: Feature) -> pa.Array:
    numbers = np.arange(ROWS * np.prod(feature.shape)) % 7
    rows = numbers.astype(feature.dtype).reshape(ROWS, *feature.shape)
    values = rows.reshape(-1) if feature.shape == (1,) else rows
    return pa.array(values.tolist(), arrow_type(feature))


@pytest.mark.parametrize("name", KINDS)
def test_written_and_read(tmp_path: Path, name: str) -> None:
    feature = KINDS[name]
    table = pa.table({name: column(feature), "index": np.arange(ROWS)})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    read = pq.read_table(path)
    assert written_digest(table) == rows_digest(read)
    assert written_digest(table.slice(1)) != rows_digest(read)


def test_nothing_is_told_of_what_may_be_read_as_another_type() -> None:
    assert written_digest(pa.table({"text": ["a", "b"]})) is None

"""Columns of values as Arrow arrays."""

import numpy as np
import pyarrow as pa
import pytest

from piperline.features import array_of

VALUES = [
    np.arange(5, dtype=np.int64),
    np.arange(10, dtype=np.float32)[::2],
    np.array([1.5, np.nan, np.inf], np.float64),
    np.array([], np.float32),
    np.arange(4, dtype=np.uint8),
    np.array([True, False, True]),
    np.array(["a", "b"], dtype=object),
]


@pytest.mark.parametrize("values", VALUES, ids=lambda v: f"{v.dtype} {len(v)}")
def test_a_column_is_what_arrow_makes_of_it(values):
    expected, found = pa.array(values), array_of(values)
    found.validate(full=True)
    assert found.type == expected.type
    assert found.null_count == 0
    assert str(found) == str(expected)  # of nan too


def test_a_column_outlives_the_values():
    values = np.arange(1000, dtype=np.float32)
    column = array_of(values)
    del values
    assert column[999].as_py() == 999

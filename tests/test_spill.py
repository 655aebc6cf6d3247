"""What is large lies in files, and holds the same as in memory."""

import errno
import tracemalloc

import numpy as np
import pytest

from piperline import spill


@pytest.fixture(params=["in memory", "in files"])
def held(request, monkeypatch):
    if request.param == "in files":
        monkeypatch.setattr(spill, "_HELD", 1000)


@pytest.mark.usefixtures("held")
def test_rows_come_back(tmp_path):
    parts = [
        np.arange(start, start + 30, dtype=np.float32).reshape(10, 3)
        for start in range(0, 900, 30)
    ]
    first, *others = parts
    rows = spill.SpilledRows(first, tmp_path)
    for part in others:
        rows.add(part)
    found = rows.array()
    assert found.dtype == np.float32
    assert np.array_equal(found, np.concatenate(parts))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="another type or width"):
        rows.add(first.astype(np.float64))


@pytest.mark.usefixtures("held")
def test_a_scratch_array_can_be_filled_and_sorted(tmp_path):
    values = spill.scratch((2, 500), np.int64, tmp_path)
    values[:] = np.arange(1000)[::-1].reshape(2, 500)
    values.sort(axis=1)
    assert values[0].tolist() == list(range(500, 1000))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_and_no_signal(tmp_path, monkeypatch):
    monkeypatch.setattr(spill, "_HELD", 1000)
    with pytest.raises(OSError) as error:  # noqa: PT011 - which it is, is looked at
        spill.scratch((1 << 58,), np.uint8, tmp_path)
    assert error.value.errno in {errno.ENOSPC, errno.EFBIG}


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("full", [False, True])
def test_arrays_are_stacked_also_where_the_disk_is_full(full, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, "full")

    if full:
        monkeypatch.setattr("os.posix_fallocate", no_room)
    arrays = [np.full((4, 30), number, np.float32) for number in range(9)]
    found = spill.stacked(iter(arrays), 9)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.stack(arrays))


def test_large_arrays_take_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(spill, "_HELD", 1 << 16)

    def peak(count: int) -> int:
        tracemalloc.start()
        rows = spill.SpilledRows(np.zeros((1000, 10), np.float32), tmp_path)
        for _ in range(count):
            rows.add(np.ones((1000, 10), np.float32))
        assert rows.array().sum() == 10_000 * count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(200) < peak(50) + (1 << 16)

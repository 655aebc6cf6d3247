"""Work that threads share."""

import threading
from collections.abc import Iterator

import pytest

from piperline.threads import in_threads


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_what_comes_of_each_item_is_in_order(batch: int) -> None:
    found = in_threads(lambda number: number * 2, range(100), 3, batch=batch)

    assert list(found) == list(range(0, 200, 2))


def test_items_are_taken_as_threads_become_free() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield number

    found = in_threads(abs, items(), 2)

    assert [next(found) for _ in range(10)] == list(range(10))
    assert taken < 100


def test_several_threads_are_at_work() -> None:
    both = threading.Barrier(2, timeout=30)

    assert len(list(in_threads(lambda _: both.wait(), range(4), 2))) == 4


def test_what_the_work_raises_is_raised_and_nothing_new_is_begun() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    with pytest.raises(ValueError, match="three"):
        list(in_threads(work, range(100_000), 2))

    assert len(begun) < 100


def test_a_batch_under_way_is_not_gone_on_with_when_nobody_waits_for_it():
    begun: list[int] = []
    second, go_on = threading.Event(), threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 10:
            second.set()
            go_on.wait(30)
        return number

    found = in_threads(work, range(100), 1, batch=10)
    assert next(found) == 0
    assert second.wait(30)
    threading.Timer(0.5, go_on.set).start()
    found.close()

    assert begun == list(range(11))

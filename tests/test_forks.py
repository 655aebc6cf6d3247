"""Work of many items by forks: the same results in the same order, and faults that are told."""

import os
import signal

import pytest

from piperline.forks import FEWEST, call_each

MANY = range(5 * FEWEST + 3)


@pytest.mark.measured
@pytest.mark.parametrize("processes", [1, 2, 3, 64])
def test_results_are_in_the_order_of_the_items(processes):
    asked = call_each(lambda item: (item, os.getpid()), MANY, processes)
    assert [item for item, _ in asked] == list(MANY)
    forks = {process for _, process in asked} - {os.getpid()}
    assert bool(forks) == (processes > 1)


def test_few_items_are_not_worth_a_fork():
    few = range(2 * FEWEST - 1)
    assert set(call_each(lambda _: os.getpid(), few, 8)) == {os.getpid()}


def test_forks_see_what_is_in_memory():
    seen = {item: object() for item in MANY}
    assert call_each(lambda item: id(seen[item]), MANY, 4) == [
        id(one) for one in seen.values()
    ]


def test_what_goes_wrong_in_a_fork_is_told_with_its_place():
    def divide(item):
        return 1 // (MANY[-1] - item)

    with pytest.raises(RuntimeError, match=r"(?s)in divide.*ZeroDivisionError"):
        call_each(divide, MANY, 3)


def test_a_fork_that_is_killed_is_no_result():
    mother = os.getpid()

    def die(_item):
        if os.getpid() != mother:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RuntimeError, match="a fork ended with -9"):
        call_each(die, MANY, 2)

"""Work of many items by forks: the same results in the same order, and faults that are told."""

import os
import signal
import subprocess
import sys

import pytest

from piperline.forks import FEWEST, call_each
from piperline.process import ChildDied

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

    with pytest.raises(ChildDied, match="-9"):
        call_each(die, MANY, 2)


DEATH = """
import os, signal, sys
from piperline.forks import call_each
from piperline.process import ChildDied
mother, dies = os.getpid(), sys.argv[1]
def much(_item):
    if dies == "mother" and os.getpid() == mother:
        os.kill(mother, signal.SIGKILL)
    if dies == "fork" and os.getppid() == mother:
        os.kill(os.getpid(), signal.SIGKILL)
    return bytes(1 << 16)  # more than fits into a pipe
try:
    call_each(much, range(300), 4)
except ChildDied as death:
    print(death)
"""


@pytest.mark.parametrize(("dies", "told"), [("fork", "-9"), ("mother", "")])
def test_a_fork_ends_with_the_process_that_waits_for_it(dies, told):
    # What is left would hold on to the pipe that this test reads.
    ended = subprocess.run(
        [sys.executable, "-c", DEATH, dies],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout.strip(), ended.stderr) == (told, "")


def test_where_no_process_can_be_forked_it_takes_longer():
    # of the user's processes: with capabilities (root) the limit does not count
    script = (
        "import os, resource, sys\n"
        "from piperline.forks import call_each\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "before = set(os.listdir('/proc/self/fd'))\n"
        "found = call_each(lambda item: (item, os.getpid()), range(300), 4)\n"
        "assert found == [(item, os.getpid()) for item in range(300)]\n"
        "assert set(os.listdir('/proc/self/fd')) == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

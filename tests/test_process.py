"""Our processes may die at any moment: that is told when they should answer, and never before."""

import os
import signal
import sys
from itertools import chain, repeat
from pathlib import Path

import pytest

from piperline.memory import at_most_more
from piperline.process import (
    Child,
    ChildDied,
    Died,
    Pool,
    Silent,
    heard_from,
    one_thread,
)

pytestmark = pytest.mark.measured

ECHO = """
from piperline.process import parent
def main(descriptor):
    with parent(descriptor) as connection:
        while True:
            connection.send(connection.recv())
"""
HALF = """
import os, signal
def main(descriptor):
    os.write(descriptor, (1000).to_bytes(4, "big") + b"the beginning of a message")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module that children can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def made(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return made


THREADS = """
import os
import numpy, pyarrow
from piperline.process import parent
def main(descriptor):
    with parent(descriptor) as connection:
        connection.send(len(os.listdir("/proc/self/task")))
"""


def pid_of(child: Child) -> int:
    return child._process.pid


def test_what_is_sent_comes_back(module):
    child = Child(module("echo", ECHO))
    child.send({"frames": 3})
    assert heard_from([child]) == [child]
    assert child.receive() == {"frames": 3}
    child.end()
    assert not Path(f"/proc/{pid_of(child)}").exists()


@pytest.mark.parametrize(
    "size", [1, 1 << 20], ids=["small", "larger-than-the-socket-holds"]
)
def test_a_death_is_told_when_an_answer_is_due(module, size):
    child = Child(module("echo", ECHO))
    child.send("is there")
    child.receive()
    os.kill(pid_of(child), signal.SIGKILL)
    os.waitid(os.P_PID, pid_of(child), os.WEXITED | os.WNOWAIT)
    child.send(b"x" * size)
    child.send(b"x" * size)
    with pytest.raises(ChildDied) as death:
        child.receive()
    assert death.value.code == -signal.SIGKILL
    child.end(at_once=True)


def test_a_death_in_the_middle_of_a_message(module):
    child = Child(module("half", HALF))
    with pytest.raises(ChildDied) as death:
        child.receive()
    assert death.value.code == -signal.SIGKILL
    child.end()


def test_one_that_is_at_work_is_ended_at_once(module):
    child = Child(
        module(
            "sleeper",
            "import time\ndef main(descriptor):\n    time.sleep(600)\n",
        )
    )
    child.end(at_once=True)
    assert not Path(f"/proc/{pid_of(child)}").exists()


def test_the_same_python(module):
    text = "import sys\nfrom piperline.process import parent\n"
    text += (
        "def main(descriptor):\n    with parent(descriptor) as c:\n"
        "        c.send(sys.executable)\n"
    )
    child = Child(module("where", text))
    assert child.receive() == sys.executable
    child.end()


WORK = """
import os, signal
from piperline.process import serve_units
def work(setup, unit, send):
    if unit == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    send("begun")
    return setup + unit
def main(descriptor):
    serve_units(descriptor, work, at_once=AT_ONCE)
"""


@pytest.mark.parametrize(("processes", "at_once"), [(1, 1), (2, 1), (2, 2)])
def test_a_pool_does_all_units_and_tells_of_the_way(module, processes, at_once):
    name = module(f"work{at_once}", WORK.replace("AT_ONCE", str(at_once)))
    units = iter("abcde")
    told: dict[str, list[object]] = {}
    with Pool[str](name, at_once=at_once) as pool:
        pool.start(processes)
        for unit, message in pool.run(lambda: next(units, None), "set up for "):
            told.setdefault(unit, []).append(message)
    assert told == {unit: ["begun", f"set up for {unit}"] for unit in "abcde"}


def test_a_process_of_a_pool_that_dies_costs_only_its_unit(module):
    units = iter(["a", "die", "b"])
    with Pool[str](module("work1", WORK.replace("AT_ONCE", "1"))) as pool:
        pool.start(1)
        # the last message of each
        results = dict(pool.run(lambda: next(units, None), ""))
    assert results == {"a": "a", "die": Died(-signal.SIGKILL), "b": "b"}


def test_units_may_follow_from_others(module):
    units, done = ["a"], list[str]()
    with Pool[str](module("work1", WORK.replace("AT_ONCE", "1"))) as pool:
        pool.start(2)
        for unit, message in pool.run(
            lambda: units.pop() if units else None, ""
        ):
            if message == unit and len(done) < 3:
                done.append(unit)
                units.append(f"{unit}a")
    assert done == ["a", "aa", "aaa"]


def test_a_pool_that_is_left_tells_what_was_not_done(module):
    text = WORK.replace("AT_ONCE", "1").replace(
        "return setup + unit", "import time; time.sleep(600)"
    )
    units = iter(["a"])
    pool = Pool[str](module("work_long", text))
    pool.start(1)
    assert next(pool.run(lambda: next(units, None), "")) == ("a", "begun")
    assert pool.end() == ["a"]


def test_a_process_that_loads_when_its_pool_ends_is_not_waited_for(
    module, tmp_path
):
    there = tmp_path / "loaded"
    text = f"import time\ntime.sleep(2)\nopen({str(there)!r}, 'x').close()\n"
    pool = Pool[str](module("work_late", text + WORK))
    pool.start(2)
    assert pool.end() == []
    assert not there.exists()


def test_a_process_that_says_nothing_for_too_long_costs_only_its_unit(module):
    """Loading libraries does not count."""
    text = "import time\ntime.sleep(1)\n" + WORK.replace(
        "AT_ONCE", "1"
    ).replace(
        'if unit == "die":',
        'if unit == "hang":\n        time.sleep(600)\n    if unit == "die":',
    )
    units = iter(["a", "hang", "b"])
    with Pool[str](module("work_hanging", text)) as pool:
        pool.start(1)
        results = dict(pool.run(lambda: next(units, None), "", 0.5))
    assert results == {"a": "a", "hang": Silent(0.5), "b": "b"}


def test_a_process_has_a_limit_of_memory(module):
    text = WORK.replace("AT_ONCE", "1").replace(
        "return setup + unit",
        "import resource; return resource.getrlimit(resource.RLIMIT_AS)[0]",
    )
    units = iter(["a"])
    with Pool[str](module("work_limited", text), memory=1 << 32) as pool:
        pool.start(1)
        ((_, _), (_, limit)) = pool.run(lambda: next(units, None))
    assert limit <= 1 << 32


def test_a_process_may_take_less_for_a_while(module):
    """200 MB are too much only while 100 MB more are allowed."""
    text = WORK.replace("AT_ONCE", "1").replace(
        "return setup + unit",
        """from piperline.memory import at_most_more
    try:
        with at_most_more(100 << 20):
            bytearray(200 << 20)
    except MemoryError:
        return len(bytearray(200 << 20))""",
    )
    units = iter(["a"])
    with Pool[str](module("work_lowered", text), memory=8 << 30) as pool:
        pool.start(1)
        assert list(pool.run(lambda: next(units, None)))[-1] == ("a", 200 << 20)
    with at_most_more(1):  # this process has no limit of ours
        assert len(bytearray(50 << 20)) == 50 << 20


def test_each_run_of_a_pool_has_its_setup(module):
    with Pool[str](module("work1", WORK.replace("AT_ONCE", "1"))) as pool:
        pool.start(1)
        for setup in ("first ", "second "):
            units = chain("a", repeat(None))
            assert dict(pool.run(units.__next__, setup)) == {"a": setup + "a"}


def test_no_unit_waits_for_a_process_that_is_still_being_started(
    module, tmp_path
):
    first = tmp_path / "first"
    text = (
        "import time\nfrom pathlib import Path\n"
        f"first = Path({str(first)!r})\n"
        "if first.exists():\n    time.sleep(600)\nfirst.touch()\n"
    )
    name = module("work_slow", text + WORK.replace("AT_ONCE", "1"))
    with Pool[str](name) as pool:
        pool.start(1)
        one = iter(["a"])
        assert dict(pool.run(lambda: next(one, None), "")) == {"a": "a"}
        pool.start(2)
        more = iter("bcd")
        results = dict(pool.run(lambda: next(more, None), ""))
    assert results == {"b": "b", "c": "c", "d": "d"}


def test_only_what_is_loaded_within_has_one_thread(monkeypatch):
    name = "OPENBLAS_NUM_THREADS"
    monkeypatch.delenv(name, raising=False)
    with one_thread():
        assert os.environ[name] == "1"
    assert name not in os.environ
    monkeypatch.setenv(name, "3")  # what a user wants holds
    with one_thread():
        assert os.environ[name] == "3"
    assert os.environ[name] == "3"


def test_a_process_that_forks_has_one_thread_whatever_is_set(
    module, monkeypatch
):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "8")
    child = Child(module("threads", THREADS), forks=True)
    assert child.receive() == 1
    child.end()

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

from piperline.cli.app import app, run
from tests.helpers.threads import programs
from tests.oracle.official import OfficialReader

# The same examples in each run: a change fails by what it changed.
# `HYPOTHESIS_PROFILE=explore` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# only its free space is looked at; names come from tempfile
MEMORY = Path("/dev/shm")  # noqa: S108
ROOM = 4 << 30


def work_in_memory() -> None:
    """Let temporary files lie in memory if there is room: on a disk, fsync takes minutes in all.

    `TMPDIR` is asked first: with it the tests run on any other file system.
    """
    if (
        "TMPDIR" not in os.environ
        and MEMORY.is_dir()
        and shutil.disk_usage(MEMORY).free > ROOM
    ):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


work_in_memory()

MEASURED = "COVERAGE_PROCESS_CONFIG"
"""By this, a process of Python measures which lines it runs: it takes half as much time again."""

_measuring = os.environ.get(MEASURED, "")


def _measure(measured: bool) -> None:
    """Let processes that are started from now on measure themselves, or not."""
    if _measuring and measured:
        os.environ[MEASURED] = _measuring
    else:
        os.environ.pop(MEASURED, None)


if "PYTEST_XDIST_WORKER" in os.environ:  # it measures itself by now

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item: pytest.Item) -> Generator[None]:
        """Measure the processes of tests that are marked so: they run lines that no test runs.

        Tests that repeat what others run are not measured at all if they are marked so.
        """
        _measure(item.get_closest_marker("measured") is not None)
        coverage = Coverage.current()
        if coverage is None or item.get_closest_marker("unmeasured") is None:
            return (yield)
        coverage.stop()
        try:
            return (yield)
        finally:
            coverage.start()


FIRST = ("slurm", "slow", "oracle")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, and keep together those that share a server.

    pytest-xdist gives each worker a run of this list and lets idle ones take from the ends: so one
    worker starts SLURM and the official readers, and none is left with a long test at the end.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    marks = {mark.name for mark in item.iter_markers()}
    return next(
        (turn for turn, name in enumerate(FIRST) if name in marks), len(FIRST)
    )


# Commands are shown as the shell would find them.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def official_reader(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OfficialReader]:
    reader = OfficialReader(tmp_path_factory.mktemp("oracle"))
    yield reader
    reader.close()


@pytest.fixture
def workers_in_threads(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For tests whose subject is not the worker process; see `tests.helpers.threads`.

    In a file that uses it for all tests, those that are marked `in_processes` have real ones.
    """
    if request.node.get_closest_marker("in_processes") is None:
        monkeypatch.setattr("piperline.process.subprocess", programs())


@pytest.fixture
def ranks_in_threads(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for ranks of shards, which then share datatrove's log: one after the other."""
    if request.node.get_closest_marker("in_processes") is None:
        started = programs("piperline.cluster.ranks")
        monkeypatch.setattr("piperline.process.subprocess", started)


@pytest.fixture
def convert(
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run `piperline convert`: exit code, standard output, the error message."""

    def command(*tokens: object) -> tuple[int, str, str]:
        code = run(app, ["convert", *map(str, tokens), "--workers", "1"])
        out, err = capsys.readouterr()
        return code, out, err[err.find("error:") :] if "error:" in err else ""

    return command


@pytest.fixture(autouse=True)
def no_real_time() -> Iterator[None]:
    """Nothing makes this process a real-time one: what it starts would leave no CPU to others."""
    yield
    assert os.sched_getscheduler(0) == os.SCHED_OTHER

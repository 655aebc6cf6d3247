"""A program: two attempts at one rank, one of them stopped before a change to the file system until the other is done.

    python -m tests.cluster.two_attempts FOLDER

`FOLDER/data` holds the recordings. Changes of each kind are tried in turn, twice: the second attempt
does all of its work, or stops before a change of its own until the first has ended. For each try a
line tells what came of it, as JSON: the changes, the exit codes of both attempts, and what lies
beside the recordings in the end.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from piperline.cluster.job_folder import JobFolder
from piperline.cluster.launch import plan_shards
from piperline.cluster.ranks import run_rank
from piperline.cluster.work import save_work
from piperline.convert.job import Job, make_job
from piperline.convert.stage import staging_area
from piperline.errors import PiperlineError
from piperline.recordings.layout import load_layout
from tests.helpers.trees import tree

_CHANGES = {"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"}


def main(folder: Path) -> None:
    number, stopped = 0, True
    while stopped:
        stopped = _first_waits_for_all(_Site(folder, number), number)
        number += 1
    changes = number - 1
    for number in range(changes):
        _each_waits(_Site(folder, number), number, (number * 5 + 3) % changes)


class _Site:
    """A job of one rank that is about to begin."""

    def __init__(self, folder: Path, number: int) -> None:
        self.root = folder / f"site-{number}"
        self.root.mkdir()
        self.job = JobFolder(self.root / "logs/job")
        self.job.root.mkdir(parents=True)
        (self.job.root / "id").write_text("the same in each try")
        target = self.root / "home/set"
        work = plan_shards([folder / "data"], target, _one_camera(), self.job, world=1)
        target.parent.mkdir(parents=True)
        with self.job.locked(), staging_area(target, work.plan, root=work.staging_root):
            self.digest = save_work(self.job, work)

    def attempt(self, stop_before: int = -1) -> int:
        """Start an attempt, which stops before a change of that number; its process."""
        return _forked(
            lambda: _attempt(self.job, self.digest, stop_before=stop_before, below=self.root)
        )

    def tell(self, **known: object) -> None:
        """Tell what came of a try, and remove it."""
        sys.stdout.write(json.dumps({**known, "home": tree(self.root / "home")}) + "\n")
        sys.stdout.flush()
        shutil.rmtree(self.root)


def _one_camera() -> Job:
    """The changes for a further camera are of the same kinds."""
    layout = load_layout("piper")
    return make_job(layout=replace(layout, cameras={"mid": layout.cameras["mid"]}))


def _first_waits_for_all(site: _Site, number: int) -> bool:
    """False if the first attempt makes no more than `number` changes."""
    first = site.attempt(number)
    stopped = _stopped(first)
    second = _ended(site.attempt())
    site.tell(changes=[number], codes=[second, _went_on(first) if stopped else 0])
    return stopped


def _each_waits(site: _Site, one: int, other: int) -> None:
    first = site.attempt(one)
    _stopped(first)
    second = site.attempt(other)
    waits = _stopped(second)
    codes = [_went_on(first), _went_on(second) if waits else 0]
    site.tell(changes=[one, other], codes=codes)


def _stopped(pid: int) -> bool:
    return os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _went_on(pid: int) -> int:
    os.kill(pid, signal.SIGCONT)
    return _ended(pid)


def _forked(body: Callable[[], object]) -> int:
    """The number of a process that does `body`: 0 when it did, 1 when it failed in a way that is told, 2 else."""
    pid = os.fork()
    if pid:
        return pid
    code = 2
    try:
        body()
        code = 0
    except (PiperlineError, FileNotFoundError):
        code = 1
    finally:
        os._exit(code)


def _attempt(job: JobFolder, digest: str, *, stop_before: int = -1, below: Path = Path()) -> None:
    made = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal made
        if stop_before < 0 or not _is_change(event, arguments) or str(below) not in str(arguments):
            return
        if made == stop_before:
            os.kill(os.getpid(), signal.SIGSTOP)
        made += 1

    sys.addaudithook(count)
    run_rank(job.root, 0, digest)


def _is_change(event: str, arguments: tuple[object, ...]) -> bool:
    if event != "open":
        return event in _CHANGES
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

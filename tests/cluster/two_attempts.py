"""A program: two attempts at one rank, one of them stopped before a change until the other is done.

    python -m tests.cluster.two_attempts FOLDER

`FOLDER/data` holds the recordings. A change of each kind is tried in turn, twice: the second
attempt does all of its work, or stops before a change of its own until the first has ended. For
each try a line tells what came of it, as JSON: the changes, the exit codes of both attempts, and
what lies beside the recordings in the end.
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
from tests.helpers.crash_points import (
    InThisProcess,
    forked,
    import_all,
    in_this_process,
    is_change,
    stop_here,
    stopped,
)
from tests.helpers.trees import tree


def main(folder: Path) -> None:
    import_all()
    changes = _one_of_each_kind(_Site(folder, "undisturbed"))
    for number, change in enumerate(changes):
        _first_waits_for_all(_Site(folder, f"all-{number}"), change)
    for number, one in enumerate(changes):
        other = changes[(number * 5 + 3) % len(changes)]
        _each_waits(_Site(folder, f"each-{number}"), one, other)


class _Site:
    """A job of one rank that is about to begin."""

    def __init__(self, folder: Path, name: str) -> None:
        self.root = folder / name
        self.root.mkdir()
        self.job = JobFolder(self.root / "logs/job")
        self.job.root.mkdir(parents=True)
        (self.job.root / "id").write_text("the same in each try")
        target = self.root / "home/set"
        work = plan_shards(
            [folder / "data"],
            target,
            _one_camera(),
            self.job,
            world=1,
            pool=InThisProcess(),  # type: ignore[arg-type]
        )
        target.parent.mkdir(parents=True)
        with (
            self.job.locked(),
            staging_area(target, work.plan, root=work.staging_root),
        ):
            self.digest = save_work(self.job, work)

    def attempt(self, stop_before: str = "") -> int:
        """Start an attempt, which stops before the first change of that kind; its process."""
        changes = _Changes(self.root, stop_before)
        return forked(
            lambda: _code(lambda: changes.follow(self.job, self.digest))
        )

    def tell(self, **known: object) -> None:
        """Tell what came of a try, and remove it."""
        sys.stdout.write(
            json.dumps({**known, "home": tree(self.root / "home")}) + "\n"
        )
        sys.stdout.flush()
        shutil.rmtree(self.root)


def _one_camera() -> Job:
    """The changes for a further camera are of the same kinds."""
    layout = load_layout("piper")
    return make_job(
        layout=replace(layout, cameras={"mid": layout.cameras["mid"]})
    )


def _one_of_each_kind(site: _Site) -> list[str]:
    """Do a whole attempt; gives the kinds of its changes, each once."""
    code = _ended(site.attempt())
    kinds = json.loads((site.root / "changes.json").read_text())
    site.tell(changes=[], codes=[code])
    return list(dict.fromkeys(kinds))


def _first_waits_for_all(site: _Site, change: str) -> None:
    first = site.attempt(change)
    waits = stopped(first)
    second = _ended(site.attempt())
    site.tell(
        changes=[change], codes=[second, _went_on(first) if waits else -1]
    )


def _each_waits(site: _Site, one: str, other: str) -> None:
    first = site.attempt(one)
    stopped(first)
    second = site.attempt(other)
    waits = stopped(second)
    codes = [_went_on(first), _went_on(second) if waits else 0]
    site.tell(changes=[one, other], codes=codes)


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _went_on(pid: int) -> int:
    os.kill(pid, signal.SIGCONT)
    return _ended(pid)


def _code(body: Callable[[], object]) -> int:
    """0, 1 for an error that is told, or 2."""
    try:
        body()
    except (PiperlineError, FileNotFoundError):
        return 1
    except BaseException:  # noqa: BLE001 - the parent tells the code
        return 2
    return 0


class _Changes:
    """Tells the kinds of an attempt's changes below a folder; stops before one of them, once.

    Threads make changes too: their order is not the same each time, but their kinds are. And two
    of them may be about to make a change when the attempt stops.
    """

    def __init__(self, below: Path, stop_before: str) -> None:
        self._below, self._stop_before = f"{below}/", stop_before
        self._kinds: list[str] = []

    def follow(self, job: JobFolder, digest: str) -> None:
        """Do the work of the rank; then tell the kinds of its changes, in order."""
        sys.addaudithook(self._count)
        with in_this_process():
            run_rank(job.root, 0, digest)
        kinds, self._below = self._kinds, ""
        Path(job.root.parents[1] / "changes.json").write_text(json.dumps(kinds))

    def _count(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._below or not is_change(event, arguments):
            return
        paths = [str(part) for part in arguments if self._below in str(part)]
        if not paths:
            return
        below = [path.partition(self._below)[2] for path in paths]
        kind = " ".join([event, *map(_kind, below)])
        self._kinds.append(kind)
        if kind == self._stop_before:
            self._stop_before = ""
            stop_here()


def _kind(path: str) -> str:
    """A path without what differs from attempt to attempt.

    What lies in a folder under the attempt's own name is seen by nobody else: all of one kind.
    """
    parts = path.split("/")
    own = next(
        (number for number, part in enumerate(parts) if "tmp-" in part),
        len(parts),
    )
    name = parts[own].partition("tmp-")[0] if own < len(parts) else ""
    return "/".join(
        [*parts[:own], name, "inside" if own + 1 < len(parts) else ""]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

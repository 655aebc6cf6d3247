"""A program: a command ended before each of its changes to the file system, and then run again.

    python -m tests.helpers.crash_points COMMAND FOLDER

`FOLDER/start` holds recordings, or whatever the command takes (see `COMMANDS`). For each change a
line tells what came of it, as JSON: which change, the exit code of the second run, and what lies in
the folder in the end.

One run does it for all changes: stopped before each of them, it leaves what it would leave if it
were killed there. A second run is made with a copy of that; then the first goes on.
"""

import importlib
import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast
from unittest.mock import patch

from piperline.cluster import launch, shards_work
from piperline.cluster.job_folder import JobFolder
from piperline.cluster.ranks import run_rank
from piperline.convert.job import Job, make_job
from piperline.convert.look import look
from piperline.convert.messages import Done, Failed, Look, LookSetup
from piperline.convert.plan import PlannedEpisode
from piperline.convert.pool import Failure
from piperline.convert.run import convert
from piperline.convert.stage import Staging
from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.errors import (
    PiperlineError,
    RecordingError,
    TaskFailed,
    VideoError,
    output_error,
)
from piperline.files import identity
from piperline.hdf5.copy import write_file
from piperline.hdf5.plan import NewFile
from piperline.hdf5.split_repack import (
    check_leftovers,
    find_files,
    repack_plan,
    write_plan,
)
from piperline.hdf5.top_level import episodes
from piperline.output import publish
from piperline.recordings.layout import Layout, load_layout
from piperline.recordings.reader import here
from piperline.sync import SyncOptions, sync
from piperline.sync.run import Workers
from piperline.transfer import TransferOptions, aggregate, edit, migrate
from tests.helpers.trees import tree

_CHANGES = {"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"}


class InThisProcess:
    """Looks and stages as workers do, one thing after the other.

    So that every change is made by this process.
    """

    def __init__(self, _count: int = 1) -> None:
        self.read = here

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def expect(self, *_: object) -> None:
        pass

    def look(
        self, looks: Sequence[Look], setup: LookSetup
    ) -> Iterator[tuple[Look, object]]:
        for unit in looks:
            messages: list[object] = []
            end: Done | Failed = Done()
            try:
                look(setup, unit, messages.append)
            except PiperlineError as error:
                end = Failed(error)
            yield from ((unit, message) for message in (*messages, end))

    def stage(
        self,
        episodes: Sequence[PlannedEpisode],
        job: Job,
        root: Path,
        *,
        moved: Callable[[int, int], None],
        done: Callable[[PlannedEpisode], None],
        measured: Collection[str] = frozenset(),
    ) -> list[Failure]:
        assert not measured
        failures = []
        for episode in episodes:
            try:
                Staging(root).stage_episode(episode, job, moved)
            except OSError as error:
                raise output_error(error, root) or error from error
            except (RecordingError, VideoError, TaskFailed) as error:
                failures.append(Failure(episode, error))
            else:
                done(episode)
        return failures


def in_this_process() -> AbstractContextManager[object]:
    """Let ranks do all of their work in this process."""
    return patch.object(shards_work, "WorkerPool", InThisProcess)


class WritersInThisProcess:
    """Writes files as the processes of repacking do."""

    def write(
        self, files: Sequence[NewFile], *, allow_external: bool = False
    ) -> Iterator[NewFile]:
        for new in files:
            write_file(new, allow_external=allow_external)
            yield new


def one_camera() -> Layout:
    layout = load_layout("piper")
    return replace(layout, cameras={"mid": layout.cameras["mid"]})


def _convert(site: Path) -> None:
    convert(
        [site / "data"],
        site / "out",
        make_job(layout=one_camera()),
        pool=InThisProcess(),  # type: ignore[arg-type]
    )


def _overwrite(site: Path) -> None:
    job = make_job(layout=one_camera(), video="copy")
    convert(
        [site / "data"],
        site / "out",
        job,
        overwrite=True,
        pool=InThisProcess(),  # type: ignore[arg-type]
    )


def _aggregate(site: Path) -> None:
    aggregate([site / "a", site / "b"], site / "out")


def _aggregate_over(site: Path) -> None:
    aggregate(
        [site / "a", site / "b"],
        site / "out",
        options=TransferOptions(overwrite=True),
    )


def _migrate(site: Path) -> None:
    migrate(site / "a", "v3.0", output=site / "out")


def _migrate_in_place(site: Path) -> None:
    migrate(site / "a", "v3.0")


def _edit(site: Path) -> None:
    """Done twice, it is refused: what was renamed is not there any more."""
    plan = EditPlan(
        {0: EpisodeEdit(start=Moment(1))},
        dataset=DatasetEdit(rename_cameras={"mid": "top"}),
    )
    edit(site / "a", plan)


def _sync(site: Path) -> None:
    pool = cast("Workers", InThisProcess())
    sync([site / "data"], site / "out", SyncOptions(pool=pool))


def _shards(site: Path) -> None:
    """Without datatrove, which does the ranks in processes of its own."""
    folder = JobFolder(site / "logs/job")
    work = launch.plan_shards(
        [site / "data"],
        site / "home/set",
        make_job(layout=one_camera()),
        folder,
        world=1,
        pool=InThisProcess(),  # type: ignore[arg-type]
    )
    with ExitStack() as stack, in_this_process():
        stack.enter_context(folder.locked())
        state = launch._prepare(stack, folder, work)
        for rank in state.missing:
            run_rank(folder.root, rank, state.digest)


def _repack(site: Path) -> None:
    output = site / "repacked"
    found = [
        group
        for path in find_files(site / "data")
        for group in episodes(path, site / "data")
    ]
    plan = repack_plan(found, output, per_file=1)
    check_leftovers(plan, output, "repack_")
    writers: Any = WritersInThisProcess()
    for _ in write_plan(plan, same_only=True, writers=writers):
        pass


COMMANDS: dict[str, Callable[[Path], None]] = {
    "convert": _convert,
    "overwrite": _overwrite,
    "aggregate": _aggregate,
    "aggregate-over": _aggregate_over,
    "migrate": _migrate,
    "migrate-in-place": _migrate_in_place,
    "edit": _edit,
    "sync": _sync,
    "sync-v30": _sync,
    "shards": _shards,
    "repack": _repack,
}


_LATE = ("av.subtitles.stream", "numpy.ma", "pyarrow.compute")
"""What commands import on their way: done once, the forks need not do it again."""


def import_all() -> None:
    """Import what is imported late otherwise, before processes are forked."""
    for name in _LATE:
        importlib.import_module(name)


def main(command: str, folder: Path, *, exchange: bool) -> None:
    run, site = COMMANDS[command], folder / "site"
    import_all()
    second = SecondRuns(lambda: run(site), exchange=exchange)
    shutil.copytree(folder / "start", site)
    first = forked(lambda: _stopping(lambda: run(site), exchange=exchange))
    before: dict[str, str] = {}
    for number in itertools.count():
        waits = stopped(first)
        left = _without_own_names(tree(site))
        # else it was about to change what is the same as it was
        if left != before or not waits:
            told = {"change": number, **_ended_here(site, second)}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
        before = left
        if not waits:
            return
        os.kill(first, signal.SIGCONT)


_IDENTITY = re.compile(rb"\b\d+ \d+\b")
_LONGEST_RECORD = 1000
"""Bytes of the files that name a folder by its identity, at the most."""


def _ended_here(site: Path, second: "SecondRuns") -> dict[str, object]:
    """What a second run makes of what lies there; afterwards all is as it was."""
    kept = site.with_name("kept")
    site.rename(kept)
    _copy(kept, site)
    told = {"again": second.run(), "site": _made(site)}
    shutil.rmtree(site)
    kept.rename(site)
    return told


def _copy(folder: Path, copy: Path) -> None:
    """Copy a folder; where its files name folders in it by identity, they name the copies."""
    shutil.copytree(folder, copy, symlinks=True)
    copies = {
        identity(path).encode(): identity(
            copy / path.relative_to(folder)
        ).encode()
        for path in folder.rglob("*")
        if path.is_dir()
    }
    for path in copy.rglob("*"):
        if path.is_file() and path.stat().st_size < _LONGEST_RECORD:
            text = path.read_bytes()
            named = _IDENTITY.sub(
                lambda known: copies.get(known[0], known[0]), text
            )
            if named != text:
                path.write_bytes(named)


class SecondRuns:
    """One process that does all second runs: what Python sets up at first, it does once.

    Threads may stay behind in it, so nothing is forked from it.
    """

    def __init__(self, run: Callable[[], None], *, exchange: bool) -> None:
        fork = multiprocessing.get_context("fork")
        self._there, there = fork.Pipe()

        def answer() -> None:
            while there.recv():
                there.send(_code(run, exchange=exchange))

        fork.Process(target=answer, daemon=True).start()
        there.close()  # so that its end is seen

    def run(self) -> int:
        """0, or 1 if it fails."""
        self._there.send(True)
        return int(self._there.recv())


def _made(site: Path) -> dict[str, str]:
    """What lies in the folder, without the records of a job, which tell times."""
    return {
        name: text
        for name, text in tree(site).items()
        if not name.startswith("logs/")
    }


def _without_own_names(files: dict[str, str]) -> dict[str, str]:
    """The files of a folder, names of temporary ones made equal."""
    return {
        re.sub(r"tmp-\S+?-\d+-[0-9a-f]+", "tmp", name): text
        for name, text in files.items()
    }


def forked(body: Callable[[], int]) -> int:
    """The number of a process that does `body` and ends with the code that this gives."""
    pid = os.fork()
    if not pid:
        os._exit(body())
    return pid


def stop_here() -> None:
    """Stop this process, whichever of its threads this is, until it is told to go on."""
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def stopped(pid: int) -> bool:
    """Whether a process stops, once it has done so or has ended."""
    return os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])


def _stopping(body: Callable[[], None], *, exchange: bool) -> int:
    """Without exchange, what comes before the first one is the same as with it."""
    if exchange:
        _stop_before_changes()
    return _code(body, exchange=exchange, tried=_stop_before_changes)


def _code(
    body: Callable[[], None],
    *,
    exchange: bool,
    tried: Callable[[], None] = lambda: None,
) -> int:
    def cannot(_one: Path, _other: Path) -> bool:
        tried()
        return False

    try:
        with patch.object(
            publish, "_exchange", publish._exchange if exchange else cannot
        ):
            body()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        return 1
    return 0


def _stop_before_changes() -> None:
    def look(event: str, arguments: tuple[object, ...]) -> None:
        if is_change(event, arguments):
            stop_here()

    sys.addaudithook(look)


def is_change(event: str, arguments: tuple[object, ...]) -> bool:
    if event != "open":
        return event in _CHANGES
    flags = arguments[2]
    return isinstance(flags, int) and bool(
        flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )


if __name__ == "__main__":
    main(
        sys.argv[1], Path(sys.argv[2]), exchange="--no-exchange" not in sys.argv
    )

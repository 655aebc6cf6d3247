"""Ranks through datatrove: in processes on this machine, or as tasks of SLURM jobs. The only door to datatrove.

datatrove starts the ranks and keeps their logs and statistics. What is done is for `run.records` to say.
"""

import json
import os
import pickle
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats

from piperline.cluster.diary import NOBODY, Diary, Listener
from piperline.cluster.job_folder import FINISH, JobFolder, RankRecord
from piperline.cluster.slurm import SlurmOptions, max_array_size, submit
from piperline.cluster.work import ConvertWork, Work, load_work
from piperline.convert.messages import Crashed, Done, Failed, Moved, Staged
from piperline.convert.pool import died
from piperline.convert.worker import Reporter
from piperline.errors import PiperlineError, Place
from piperline.files import own_name, sync
from piperline.process import Child, ChildDied, heard_from, parent


def do_rank(
    root: Path,
    rank: int,
    digest: str,
    listener: Listener = NOBODY,
) -> RankRecord:
    """Do the part of one rank of the job in the folder `root`, or the last step, and take down how it went.

    `digest` is that of the work, from `save_work`.

    Raises:
        PiperlineError: it failed.
    """
    folder = JobFolder(root)
    work = load_work(folder, digest)
    if work is None:
        raise PiperlineError(
            "the job folder tells nothing to do", place=Place(file=folder.run_file)
        )
    diary = Diary(folder, rank, listener, RankRecord.begin(work.key(rank)))
    folder.note(rank, diary.record)
    try:
        if rank != FINISH:
            work.do(rank, diary)
        elif isinstance(work, ConvertWork):
            work.finish(diary)
    except BaseException as error:
        words = "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
        folder.note(rank, diary.record.ended(error=words))
        raise
    folder.note(rank, diary.record.ended())
    return diary.record


class RankStep(PipelineStep):  # type: ignore[misc]
    """The only step of the pipeline: one rank's part.

    Args:
        folder: the job's folder.
        digest: of the work, from `save_work`.
        finish: it is the last step that is to be done, not a rank.
        listener: who is told what it does, besides its log.
    """

    name = "piperline"
    type = "robot recordings"

    def __init__(
        self, folder: str, digest: str, *, finish: bool = False, listener: Listener = NOBODY
    ) -> None:
        super().__init__()
        self.folder, self.digest, self.finish, self._listener = folder, digest, finish, listener

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        """Do the part of `rank`."""
        with self.track_time("rank"):
            number = FINISH if self.finish else rank
            record = do_rank(
                Path(self.folder), number, self.digest, replace(self._listener, say=logger.info)
            )
        self.stat_update("episodes", value=record.episodes)
        self.stat_update("images", value=record.images)
        return data


class _Local(LocalPipelineExecutor):  # type: ignore[misc]
    """One rank, in this process.

    datatrove's own `run` would put ranks into a pool, which hangs for ever when a worker is killed, and starts a
    manager process, which outlives a parent that is killed.
    """

    def __init__(self, step: RankStep, world: int, rank: int) -> None:
        super().__init__(
            [step],
            world,
            1,
            logging_dir=step.folder,
            skip_completed=False,
            local_tasks=1,
            local_rank_offset=rank,
        )

    def run(self) -> PipelineStats:
        """Do it."""
        return self._run_for_rank(self.local_rank_offset, local_rank=1)


@dataclass(frozen=True)
class Setup:
    """The first message to a process that does ranks."""

    folder: Path
    digest: str
    world: int


def main(descriptor: int) -> None:
    """Do the ranks whose numbers come over the socket `descriptor`, until it is closed."""
    with parent(descriptor) as connection:
        setup: Setup = connection.recv()
        while True:
            connection.send(_answer(setup, connection.recv(), connection))


def _answer(setup: Setup, rank: int, connection: Connection) -> Done | Failed | Crashed:
    report = Reporter(connection)
    listener = Listener(moved=report, staged=lambda: connection.send(Staged()))
    try:
        _Local(
            RankStep(str(setup.folder), setup.digest, listener=listener), setup.world, rank
        ).run()
        report.flush()
    except PiperlineError as error:
        return Failed(error)
    except Exception as error:
        return Crashed(f"{type(error).__name__}: {error}")
    return Done()


class _Slot(Child):
    """A process that does ranks one after the other."""

    rank: int

    def begin(self, rank: int) -> None:
        self.rank = rank
        self.send(rank)


def run_here(
    folder: JobFolder,
    work: Work,
    digest: str,
    ranks: Sequence[int],
    *,
    slots: int,
    listener: Listener,
) -> dict[int, PiperlineError]:
    """Do ranks on this machine; one that dies costs only itself.

    Args:
        folder: of the job.
        work: what it does.
        digest: of the work, from `save_work`.
        ranks: those that are to be done.
        slots: how many at a time.
        listener: who is told what they do.

    Returns:
        What went wrong, by rank.
    """
    queue, failed, busy = list(ranks), dict[int, PiperlineError](), list[_Slot]()
    _Local(RankStep(str(folder.root), digest), work.world, 0).save_executor_as_json()
    setup = Setup(folder.root, digest, work.world)
    with (folder.root / "workers.log").open("ab") as log:
        try:
            while queue or busy:
                while queue and len(busy) < slots:
                    busy.append(_start(setup, queue.pop(0), log.fileno()))
                for slot in heard_from(busy):
                    if _heard(slot, queue, failed, folder, listener):
                        busy.remove(slot)
                        slot.end()
        finally:
            for slot in busy:
                slot.end(at_once=True)
    _merge_statistics(folder)
    return failed


def _start(setup: Setup, rank: int, log: int) -> _Slot:
    slot = _Slot(__name__, log)
    slot.send(setup)
    slot.begin(rank)
    return slot


def _heard(
    slot: _Slot,
    queue: list[int],
    failed: dict[int, PiperlineError],
    folder: JobFolder,
    listener: Listener,
) -> bool:
    """Take what a process says; whether there is nothing more for it to do, or it died."""
    try:
        message = slot.receive()
    except ChildDied as death:
        failed[slot.rank] = died(death.code, Place(file=folder.log_of(slot.rank)))
        return True
    match message:
        case Moved(images, size):
            listener.moved(images, size)
            return False
        case Staged():
            listener.staged()
            return False
        case Failed(error):
            failed[slot.rank] = error
        case Crashed(trace):
            failed[slot.rank] = PiperlineError(
                "a fault in piperline, please report it",
                place=Place(file=folder.log_of(slot.rank)),
                found=trace,
            )
    if queue:
        slot.begin(queue.pop(0))
        return False
    return True


def _merge_statistics(folder: JobFolder) -> None:
    merged = PipelineStats()
    for file in sorted((folder.root / "stats").glob("*.json")):
        with suppress(ValueError):  # the rank was killed while datatrove wrote them
            merged += PipelineStats.from_json(json.loads(file.read_text(encoding="utf-8")))
    with (folder.root / "stats.json").open("w", encoding="utf-8") as target:
        merged.save_to_disk(target)


class _Slurm(SlurmPipelineExecutor):  # type: ignore[misc]
    """Ranks as tasks of SLURM arrays.

    datatrove's own `launch_job` chains arrays so that what depends on them waits for the last one only, passes
    options that were not given, and keeps the list of ranks in a file that the next launch overwrites.

    Args:
        step: what a rank does.
        world: how many ranks there are.
        ranks: which of them are to be done.
        options: what is asked of SLURM.
        name: of the jobs.
        root: the folder of logs.
    """

    def __init__(
        self,
        step: RankStep,
        world: int,
        ranks: Sequence[int],
        *,
        options: SlurmOptions,
        name: str,
        root: Path,
    ) -> None:
        interpreter = Path(sys.executable)
        here = f"export PATH={shlex.quote(str(interpreter.parent))}:$PATH"
        super().__init__(
            [step],
            tasks=world,
            time="",
            partition="",
            qos=None,
            cpus_per_task=options.cpus_per_task,
            job_name=name,
            env_command=f"set -e\n{options.env_command or here}",
            max_array_size=max_array_size(),
            logging_dir=str(root),
            skip_completed=False,
            with_srun=False,
        )
        self.ranks = list(ranks)
        self.options = options
        self.python = "python" if options.env_command else interpreter.name

    def get_sbatch_args(self, max_array: int = 1) -> dict[str, str]:
        """Only what was asked for."""
        base = super().get_sbatch_args(max_array)
        kept = {
            name: base[name]
            for name in ("job-name", "output", "error", "array", "requeue", "nodes")
        }
        wanted = {**kept, "kill-on-invalid-dep": "yes", **self.options.directives()}
        return {name: shlex.quote(str(value)) if value else value for name, value in wanted.items()}

    def launch(self, arrays: dict[str, list[int]]) -> None:
        """Submit the ranks, as many arrays as it takes; they wait for all of `arrays`, and are put behind them."""
        launch = (
            Path(self.logging_dir.path)
            / "launches"
            / f"{time.strftime('%Y%m%d-%H%M%S')}-{own_name()}"
        )
        launch.mkdir(parents=True)
        self.save_executor_as_json()
        pickled = launch / "executor.pik"
        pickled.write_bytes(pickle.dumps(self))
        sync(pickled)
        after = [f"--dependency=afterok:{':'.join(arrays)}"] if arrays else []
        for offset in range(0, len(self.ranks), self.max_array_size):
            ranks = self.ranks[offset : offset + self.max_array_size]
            command = f"{self.python} -m datatrove.tools.launch_pickled_pipeline {shlex.quote(str(pickled))}"
            script = self.get_launch_file_contents(self.get_sbatch_args(len(ranks)), command)
            (launch / f"{offset}.slurm").write_text(script, encoding="utf-8")
            arrays[submit(script, [f"--export=ALL,PIPERLINE_FIRST={offset}", *after])] = ranks

    def run(self) -> None:
        """In a task of an array: do its rank."""
        index = int(os.environ["SLURM_ARRAY_TASK_ID"]) + int(os.environ["PIPERLINE_FIRST"])
        self._run_for_rank(max(self.ranks[index], 0))


def submit_ranks(
    folder: JobFolder, work: Work, digest: str, ranks: Sequence[int], options: SlurmOptions
) -> list[str]:
    """Submit `ranks` of the work of `digest` to SLURM; for a conversion also the last step, after their success.

    Returns:
        The ids of the jobs; that of the last step is the last one.

    Raises:
        UsageError: there is no sbatch.
        TaskFailed: sbatch refuses.
    """
    arrays: dict[str, list[int]] = {}
    root, name = folder.root, folder.root.name
    try:
        if ranks:
            step = RankStep(str(root), digest)
            _Slurm(step, work.world, ranks, options=options, name=name, root=root).launch(arrays)
        if isinstance(work, ConvertWork):
            step = RankStep(str(root), digest, finish=True)
            _Slurm(
                step, 1, [FINISH], options=options, name=f"{name}_finish", root=root / "finish"
            ).launch(arrays)
    finally:
        folder.note_slurm_jobs(arrays)  # also of those that were taken before one was refused
    return list(arrays)

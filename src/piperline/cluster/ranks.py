"""Ranks through datatrove, here or as tasks of SLURM jobs. The only door to datatrove.

datatrove starts the ranks and keeps their logs and statistics. What is done is for the records in
the job's folder to say.
"""

import json
import os
import pickle
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats

from piperline.cluster.job_folder import JobFolder, RankRecord, job_name_for
from piperline.cluster.report import NOBODY, Listener, RankReport
from piperline.cluster.slurm import (
    SlurmOptions,
    max_array_size,
    refuse_lines,
    submit,
)
from piperline.cluster.work import Work, load_work
from piperline.convert.messages import Done, Failed, Moved, Staged
from piperline.convert.worker import Reporter
from piperline.errors import PiperlineError, Place
from piperline.files import own_name, sync
from piperline.process import Died, Pool, serve_units
from piperline.recordings.limits import died
from piperline.recordings.reader import Crashed


def run_rank(
    root: Path, rank: int, digest: str, listener: Listener = NOBODY
) -> RankRecord:
    """Do the part of one rank of the job in the folder `root`, and record how it went.

    `digest` is that of the work, from `save_work`.

    Raises:
        PiperlineError: it failed.
    """
    folder = JobFolder(root)
    work = load_work(folder, digest)
    if work is None:
        raise PiperlineError(
            "the job folder tells nothing to do",
            place=Place(file=folder.run_file),
            expected="what this version of piperline wrote there when the job began",
            found="no such file, or one of another version",
            next_step="run the command again that began the job",
        )
    report = RankReport(
        folder, rank, listener, _begun(folder, rank, work.key(rank))
    )
    folder.note(rank, report.record)
    try:
        work.run(rank, report)
    except BaseException as error:
        text = "\n".join(
            [
                str(error) or type(error).__name__,
                *getattr(error, "__notes__", ()),
            ]
        )
        folder.note(rank, report.record.ended(error=text))
        raise
    folder.note(rank, report.record.ended())
    return report.record


def _begun(folder: JobFolder, rank: int, key: str) -> RankRecord:
    """The record of this attempt; what an earlier one has made of the same key stays known."""
    earlier = folder.record(rank)
    begun = RankRecord.begin(key)
    if earlier and earlier.key == key:
        return replace(begun, made=earlier.made)
    return begun


class RankStep(PipelineStep):  # type: ignore[misc]
    """The only step of the pipeline: one rank's part.

    Args:
        folder: the job's folder.
        digest: of the work, from `save_work`.
        listener: who is told what it does, besides its log.
    """

    name = "piperline"
    type = "robot recordings"

    def __init__(
        self, folder: str, digest: str, *, listener: Listener = NOBODY
    ) -> None:
        super().__init__()
        self.folder, self.digest, self._listener = folder, digest, listener

    def run(
        self,
        data: Any,  # noqa: ANN401 - whatever comes
        rank: int = 0,
        world_size: int = 1,  # noqa: ARG002 - whatever comes
    ) -> Any:  # noqa: ANN401 - whatever comes
        """Do the part of `rank`."""
        with self.track_time("rank"):
            listener = replace(self._listener, say=logger.info)
            record = run_rank(Path(self.folder), rank, self.digest, listener)
        self.stat_update("episodes", value=record.episodes)
        self.stat_update("images", value=record.images)
        return data


class _Local(LocalPipelineExecutor):  # type: ignore[misc]
    """One rank, in this process.

    datatrove's own `run` would put ranks into a pool, which hangs for ever when a worker is killed,
    and starts a manager process, which outlives a parent that is killed.
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
class RankSetup:
    """What a process that does ranks is told first."""

    folder: Path
    digest: str
    world: int


def main(descriptor: int) -> None:
    """Do the ranks whose numbers come over the socket `descriptor`, until it is closed."""
    serve_units(descriptor, _work)


def _work(
    setup: RankSetup, rank: int, send: Callable[[object], None]
) -> Done | Failed | Crashed:
    report = Reporter(send)
    listener = Listener(moved=report, staged=lambda: send(Staged()))
    step = RankStep(str(setup.folder), setup.digest, listener=listener)
    try:
        _Local(step, setup.world, rank).run()
        report.flush()
    except PiperlineError as error:
        return Failed(error)
    except Exception as error:  # noqa: BLE001 - it is told with its traceback
        return Crashed(f"{type(error).__name__}: {error}")
    return Done()


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
    _Local(
        RankStep(str(folder.root), digest), work.world, 0
    ).save_executor_as_json()
    setup = RankSetup(folder.root, digest, work.world)
    todo, failed = iter(ranks), dict[int, PiperlineError]()
    with (
        (folder.root / "workers.log").open("ab") as log,
        Pool[int](__name__, log=log.fileno()) as pool,
    ):
        pool.start(min(slots, len(ranks)))
        for rank, message in pool.run(lambda: next(todo, None), setup):
            if isinstance(message, Moved):
                listener.moved(message.frames, message.size)
            elif isinstance(message, Staged):
                listener.staged()
            elif not isinstance(message, Done):
                failed[rank] = _error_of(
                    message, Place(file=folder.log_of(rank))
                )
    _merge_statistics(folder)
    return failed


def _error_of(message: Any, log: Place) -> PiperlineError:  # noqa: ANN401 - whatever comes
    match message:
        case Failed(error):
            return error
        case Died(code):
            return died(code, log)
        case Crashed(trace):
            return PiperlineError(
                "a fault in piperline, please report it",
                place=log,
                found=trace,
                next_step="report what was found, and run the same command again: "
                "what is done is kept",
            )
    raise AssertionError(message)


def _merge_statistics(folder: JobFolder) -> None:
    merged = PipelineStats()
    for file in sorted((folder.root / "stats").glob("*.json")):
        # the rank was killed while datatrove wrote them
        with suppress(ValueError):
            merged += PipelineStats.from_json(
                json.loads(file.read_text(encoding="utf-8"))
            )
    with (folder.root / "stats.json").open("w", encoding="utf-8") as target:
        merged.save_to_disk(target)


class _Slurm(SlurmPipelineExecutor):  # type: ignore[misc]
    """Ranks as tasks of SLURM arrays.

    datatrove's own `launch_job` chains arrays so that what depends on them waits for the last one
    only, passes options that were not given, and keeps the list of ranks in a file that the next
    launch overwrites.

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
            for name in ("job-name", "array", "requeue", "nodes")
        }
        # sbatch(1), filename pattern
        folder = self.slurm_logs_folder.replace("%", "%%")
        logs = dict.fromkeys(("output", "error"), f"{folder}/%A_%a.out")
        wanted = {
            **kept,
            **logs,
            "kill-on-invalid-dep": "yes",
            **self.options.directives(),
        }
        return {
            name: shlex.quote(str(value)) if value else value
            for name, value in wanted.items()
        }

    def launch(
        self,
        after: Sequence[str],
    ) -> dict[str, list[int]]:
        """Submit the ranks, as many arrays as it takes; they wait for the success of jobs `after`.

        Returns:
            By the id of each array, the ranks of its tasks. If sbatch refuses one, those that it
            took are noted in the job's folder all the same.
        """
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{own_name()}"
        launch = Path(self.logging_dir.path) / "launches" / stamp
        launch.mkdir(parents=True)
        self.save_executor_as_json()
        pickled = launch / "executor.pik"
        pickled.write_bytes(pickle.dumps(self))
        sync(pickled)
        program = f"{self.python} -m datatrove.tools.launch_pickled_pipeline"
        command = f"{program} {shlex.quote(str(pickled))}"
        dependency = (
            [f"--dependency=afterok:{':'.join(after)}"] if after else []
        )
        arrays: dict[str, list[int]] = {}
        try:
            for offset in range(0, len(self.ranks), self.max_array_size):
                ranks = self.ranks[offset : offset + self.max_array_size]
                script = self.get_launch_file_contents(
                    self.get_sbatch_args(len(ranks)), command
                )
                (launch / f"{offset}.slurm").write_text(
                    script, encoding="utf-8"
                )
                exported = f"--export=ALL,PIPERLINE_FIRST={offset}"
                arrays[submit(script, [exported, *dependency])] = ranks
        finally:
            JobFolder(Path(self.logging_dir.path)).note_slurm_jobs(arrays)
        return arrays

    def run(self) -> None:
        """In a task of an array: do its rank."""
        index = int(os.environ["SLURM_ARRAY_TASK_ID"]) + int(
            os.environ["PIPERLINE_FIRST"]
        )
        self._run_for_rank(self.ranks[index])


def submit_ranks(
    folder: JobFolder,
    work: Work,
    digest: str,
    ranks: Sequence[int],
    options: SlurmOptions,
    *,
    name: str | None = None,
    after: Sequence[str] = (),
) -> list[str]:
    """Submit `ranks` of a job to SLURM.

    Args:
        folder: of the job.
        work: what it does.
        digest: of the work, from `save_work`.
        ranks: those that are to be done.
        options: what is asked of SLURM.
        name: of the SLURM jobs; None takes that of the folder.
        after: ids of jobs that must have succeeded first.

    Returns:
        The ids of the SLURM jobs.

    Raises:
        UsageError: there is no sbatch, or it cannot take the path of the folder.
        TaskFailed: sbatch refuses.
    """
    refuse_lines("a folder of logs", str(folder.root))
    step = RankStep(str(folder.root), digest)
    # datatrove writes it into the script
    known = job_name_for("", name or folder.root.name)
    executor = _Slurm(
        step, work.world, ranks, options=options, name=known, root=folder.root
    )
    return list(executor.launch(after))

"""What the commands that work in ranks have in common: the options of SLURM, and what is said of a job."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from piperline.cli.console import Output
from piperline.cli.progress import progress_bar
from piperline.errors import UsageError

if TYPE_CHECKING:
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.launch import Launched
    from piperline.cluster.slurm import SlurmOptions
    from piperline.cluster.work import Work


LOGS = Path("./logs")
SLURM = Group("On SLURM", sort_key=4)


@Parameter(name="*", group=SLURM)
@dataclass(frozen=True)
class ClusterFlags:
    """What is asked of SLURM; what is not given is left to the cluster.

    Attributes:
        partition: the partition.
        time: the time limit of a task, as sbatch takes it: 04:00:00, or 2-00.
        qos: the quality of service.
        cpus_per_task: CPUs of a task; it has as many processes.
        mem_per_cpu: memory, as sbatch takes it: 4000M.
        sbatch: further options of sbatch, without the dashes: --sbatch account=robots --sbatch exclusive
        env_command: a shell command that makes the environment on the node; otherwise this very interpreter is used.
        wait: follow the jobs until they end; Ctrl-C ends the following, not the jobs.
    """

    partition: str | None = None
    time: str | None = None
    qos: str | None = None
    cpus_per_task: int = 1
    mem_per_cpu: str | None = None
    sbatch: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    env_command: str | None = None
    wait: Annotated[bool, Parameter(negative=())] = False

    def options(self) -> "SlurmOptions":
        """For the library."""
        from piperline.cluster.slurm import SlurmOptions

        if self.cpus_per_task < 1:
            raise UsageError("--cpus-per-task is at least 1", found=str(self.cpus_per_task))
        return SlurmOptions(
            self.partition,
            self.time,
            self.qos,
            self.cpus_per_task,
            self.mem_per_cpu,
            self.sbatch,
            self.env_command,
        )


NO_FLAGS = ClusterFlags()


def unused_flags(out: Output, flags: ClusterFlags) -> None:
    """Say that options of SLURM have no effect, where they are given and SLURM is not asked for."""
    if flags != NO_FLAGS:
        out.note(
            "the options of SLURM have no effect without --slurm 1: this machine does the work"
        )


def run_job(
    out: Output,
    folder: "JobFolder",
    work: "Work",
    flags: ClusterFlags | None,
    *,
    slots: int | None = None,
) -> "Launched":
    """Do what is missing of a job, and say so.

    Args:
        out: where to say it.
        folder: of the job.
        work: what is to be done.
        flags: submit it to SLURM; None does it here.
        slots: how many ranks at a time, here.
    """
    from piperline.cluster.launch import launch
    from piperline.cluster.status import follow

    with progress_bar(out) as watch:
        launched = launch(
            folder, work, slurm=flags.options() if flags else None, slots=slots, watch=watch
        )
    if not launched.ranks and launched.complete and not launched.jobs:
        out.data(f"Nothing to do: {_all_of(launched)} done.")
        afresh = f"give another --job-name, or remove the log folder {folder.root}"
        if work.kind != "shards":  # shards are made again in their place
            afresh += f"; and add --overwrite, or move {work.output(0)} away"
        out.data(f"To start afresh, {afresh}.")
        _show_left_out(out, folder, work)
        return launched
    if launched.kept:
        out.data(
            f"{len(launched.kept)} of {len(launched.kept) + len(launched.ranks)} parts were done already"
        )
    if not launched.jobs:
        _show_left_out(out, folder, work)
        return launched
    out.data(f"submitted SLURM jobs: {' '.join(launched.jobs)} ({len(launched.ranks)} tasks)")
    if flags is None or not flags.wait:
        out.data(f"how they fare: {folder.status_command}")
        return launched
    with progress_bar(out) as watch:
        follow(folder, watch)
    _show_left_out(out, folder, work)
    return launched


def _show_left_out(out: Output, folder: "JobFolder", work: "Work") -> None:
    """Name what ranks found that cannot be converted; what the plan leaves out has been named before."""
    for rank in range(work.world):
        record = folder.record(rank)
        for line in record.left_out if record and record.key == work.key(rank) else ():
            out.data(f"left out: {line}")


def _all_of(launched: "Launched") -> str:
    count = len(launched.kept)
    return f"all {count} parts are" if count > 1 else "it is"

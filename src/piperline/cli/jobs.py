"""What the commands that work in ranks share: the options of SLURM, and what is said of a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from piperline.cli.console import Output
from piperline.cli.progress import progress_bar
from piperline.cli.reviewed import REVIEW, found_lines, review_command
from piperline.cluster.slurm import SlurmOptions
from piperline.text import plural

if TYPE_CHECKING:
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.launch import Launched
    from piperline.cluster.review import RankReview
    from piperline.cluster.work import Work


LOGS = Path("./logs")
SLURM = Group("On SLURM", sort_key=4)


@Parameter(name="*", group=SLURM)
@dataclass(frozen=True)
class ClusterFlags(SlurmOptions):
    """What is asked of SLURM; what is not given is left to the cluster.

    Attributes:
        wait: follow the jobs until they end; Ctrl-C ends the following, not the jobs.
    """

    wait: Annotated[bool, Parameter(negative=())] = False


NO_FLAGS = ClusterFlags()


def given_names(flags: ClusterFlags) -> list[str]:
    """The options of SLURM that are given."""
    usual = vars(NO_FLAGS)
    given = [
        name for name, value in vars(flags).items() if value != usual[name]
    ]
    return [f"--{name.replace('_', '-')}" for name in given]


def note_unused(out: Output, flags: ClusterFlags) -> None:
    """Say that options of SLURM have no effect, where they are given without SLURM."""
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
    afresh: str = "",
    slots: int | None = None,
) -> "Launched":
    """Do what is missing of a job, and say so.

    Args:
        out: where to say it.
        folder: of the job.
        work: what is to be done.
        flags: submit it to SLURM; None does it here.
        afresh: what else starts the work afresh, besides another job.
        slots: how many ranks at a time, here.
    """
    from piperline.cluster.launch import launch

    with progress_bar(out) as watch:
        launched = launch(folder, work, slurm=flags, slots=slots, watch=watch)
    wait = bool(flags and flags.wait)
    report_launch(out, folder, launched, wait=wait, afresh=afresh)
    if wait or launched.complete:
        show_left_out(out, folder, work)
    return launched


def report_launch(
    out: Output,
    folder: "JobFolder",
    launched: "Launched",
    *,
    wait: bool,
    afresh: str = "",
) -> None:
    """Say what came of a launch; with `wait`, follow its SLURM jobs until they end.

    Raises:
        TaskFailed: the job is not complete then.
    """
    from piperline.cluster.status import follow

    if not launched.ranks and launched.complete:
        count = len(launched.kept)
        what = f"all {count} parts are" if count > 1 else "it is"
        out.data(f"Nothing to do: {what} done.")
        step = (
            f"give another --job-name, or remove the log folder {folder.root}"
        )
        out.data(f"To start afresh, {step}{afresh}.")
        return
    if launched.kept:
        total = len(launched.kept) + len(launched.ranks)
        out.data(
            f"{len(launched.kept)} of {plural(total, 'part')} were done already"
        )
    if not launched.jobs:
        return
    tasks = (
        f" ({plural(len(launched.ranks), 'task')})" if launched.ranks else ""
    )
    out.data(f"submitted SLURM jobs: {' '.join(launched.jobs)}{tasks}")
    if not wait:
        out.data(f"to see their status: {folder.status_command}")
        return
    with progress_bar(out) as watch:
        follow(folder, watch)


def rank_review(
    inputs: Sequence[Path], target: Path, layout: str | None
) -> "RankReview":
    """The review that ranks make, wherever they run; see `review_command`."""
    from piperline.cluster.review import RankReview

    command = review_command(inputs, target, layout)
    return RankReview(REVIEW.absolute(), command)


def show_review(out: Output, found: Mapping[str, Any] | None) -> None:
    """Say what a review of the recordings of a job found, where one was made."""
    if found is None:
        return
    from piperline.convert.review import Reviewed

    review = Reviewed.of_document(found)
    for line in found_lines(review, found["next"]):
        out.data(line)


def show_left_out(out: Output, folder: "JobFolder", work: "Work") -> None:
    """Name what ranks left out; what the plan leaves out has been named before."""
    for rank in range(work.world):
        record = folder.record(rank)
        for line in (
            record.left_out if record and record.key == work.key(rank) else ()
        ):
            out.data(f"left out: {line}")

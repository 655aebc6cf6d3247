"""`piperline shards`: conversion in parallel, as shards, and their aggregation."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from piperline.cli.app import run
from piperline.cli.console import Output
from piperline.cli.convert import left_out_lines
from piperline.cli.jobs import (
    LOGS,
    NO_FLAGS,
    ClusterFlags,
    note_unused,
    rank_review,
    run_job,
    show_review,
)
from piperline.cli.progress import progress_bar
from piperline.cli.scripts import chosen_files
from piperline.errors import UsageError
from piperline.hub.repo_id import repo_folder
from piperline.text import plural

if TYPE_CHECKING:
    from piperline.cluster.shards_work import ShardsWork
    from piperline.cluster.status import RankState
    from piperline.convert.job import Job
    from piperline.recordings.reader import Read


Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True)
class ShardFlags:
    """Which recordings become which shards: all that makes the same shards again.

    Attributes:
        repo_id: owner/name; the shards are $HF_LEROBOT_HOME/owner/name_world_N_rank_0, ...
        hdf5_root: the folder of the recordings.
        hdf5_files: files in that folder; several, or given several times.
        all: every HDF5 file of the folder.
        workers: how many shards; each is made by a process, or by a SLURM task. Otherwise the CPUs
            of this machine.
        format: the LeRobot version of the shards.
        video: how images become videos; see `piperline convert --help`.
        encoder: what makes H.264, the same for all shards: x264, nvenc, or auto, which looks at the
            machine that runs this command.
        layout: a name from `piperline layout list`, or the path of a TOML file.
        robot_type: LeRobot's name for the robot; otherwise the layout's (piper: bi_piper).
        fps: frames a second; otherwise the layout's (piper: 30).
        task: the task text of episodes that have none of their own.
        skip_bad: leave out what cannot be converted and list it, instead of failing.
    """

    repo_id: str
    hdf5_root: Path = Path("./data")
    hdf5_files: Annotated[
        list[Path] | None, Parameter(consume_multiple=True, negative=())
    ] = None
    all: Flag = False
    workers: int | None = None
    format: Literal["v2.1", "v3.0"] = "v3.0"
    video: Literal["h264", "av1", "copy"] = "h264"
    encoder: Literal["x264", "nvenc", "auto"] = "x264"
    layout: str | None = None
    robot_type: str | None = None
    fps: float | None = None
    task: str | None = None
    skip_bad: Flag = False

    def inputs(self) -> list[Path]:
        """The recordings, as files and folders."""
        return chosen_files(self.hdf5_root, self.hdf5_files, every=self.all)

    def job(self, inputs: Sequence[Path], read: "Read") -> "Job":
        """For the library."""
        from piperline.convert.job import make_job

        return make_job(
            layout=self.layout,
            inputs=inputs,
            video=self.video,
            encoder=self.encoder,
            fps=self.fps,
            robot_type=self.robot_type,
            task=self.task,
            format=self.format,
            read=read,
        )

    def as_options(self) -> Iterator[str]:
        """These flags as they are written on a command line."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value is False:
                continue
            yield "--" + field.name.replace("_", "-")
            if value is not True:
                yield from map(
                    str, value if isinstance(value, list) else [value]
                )


def convert(
    *,
    shards: ShardFlags,
    slurm: Literal[0, 1] = 0,
    logs_dir: Path = LOGS,
    job_name: str = "convert_hdf5",
    overwrite: Flag = False,
    review: bool = True,
    json: Flag = False,
    cluster: ClusterFlags = NO_FLAGS,
) -> None:
    """Convert recordings into shards.

    Args:
        shards: which recordings become which shards.
        slurm: 1 submits the work to SLURM.
        logs_dir: where the folder of the job lies.
        job_name: the folder of the job: its records and logs.
        overwrite: replace shards of other recordings.
        review: end with what a review of the recordings finds, by the way.
        json: print the result as JSON.
        cluster: what is asked of SLURM.
    """
    if slurm and shards.workers is None:
        raise UsageError(
            "how many shards?",
            expected="a number of SLURM tasks, each of which makes a shard",
            found="no --workers",
            next_step="add --workers 8, for example",
        )
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.launch import plan_shards
    from piperline.cluster.status import reviewed
    from piperline.convert.pool import WorkerPool
    from piperline.process import usable_cpus

    world = usable_cpus() if shards.workers is None else shards.workers
    shards = replace(shards, workers=world)
    out, inputs = Output(json_wanted=json), shards.inputs()
    folder = JobFolder.named(logs_dir, job_name)
    target = repo_folder(shards.repo_id)
    with WorkerPool(1) as pool, progress_bar(out) as watch:
        work = plan_shards(
            inputs,
            target,
            shards.job(inputs, pool.read),
            folder,
            world=world,
            cpus=cluster.cpus_per_task if slurm else 1,
            skip_bad=shards.skip_bad,
            overwrite=overwrite,
            command=(
                *shards.as_options(),
                "--logs-dir",
                str(logs_dir),
                "--job-name",
                job_name,
            ),
            review=rank_review(inputs, target, shards.layout)
            if review
            else None,
            watch=watch,
            pool=pool,
        )
    _show_plan(out, work)
    if not slurm:
        note_unused(out, cluster)
    slots = min(work.world, usable_cpus())
    launched = run_job(
        out, folder, work, cluster if slurm else None, slots=slots
    )
    complete, found = launched.complete or bool(slurm and cluster.wait), None
    if complete and review:
        found = reviewed(folder)
        show_review(out, found)
    if complete:
        out.data(f"the shards: {work.target}_world_{work.world}_rank_0, ...")
        out.data(
            "to make one dataset of them: piperline shards aggregate "
            f"--repo-id {shards.repo_id} --num-shards {work.world}"
        )
    out.document(
        {
            "shards": [work.output(rank) for rank in range(work.filled)],
            "complete": complete,
            "jobs": launched.jobs,
            "review": found,
        }
    )


def _show_plan(out: Output, work: "ShardsWork") -> None:
    plan = work.plan
    frames = [part.frames for part in work.parts if part.episodes]
    low, high = min(frames), max(frames)
    shares = f"{low} to {high} frames" if low < high else plural(low, "frame")
    out.data(
        f"{plural(len(plan.episodes), 'episode')}, {plural(plan.frames, 'frame')} in "
        f"{plural(len(frames), 'shard')} of {shares}"
    )
    first, last = len(frames), work.world - 1
    if first <= last:
        empty = (
            f"shards {first} to {last}" if first < last else f"shard {first}"
        )
        out.data(f"empty: {empty}; there are fewer episodes than workers")
    for line in left_out_lines(plan.left_out):
        out.data(line)


def aggregate(
    *,
    repo_id: str,
    num_shards: int,
    output_repo_id: str | None = None,
    slurm: Literal[0, 1] = 0,
    workers: int = 1,  # noqa: ARG001 - a documented option
    logs_dir: Path = LOGS,
    job_name: str = "aggregate_hdf5",
    overwrite: Flag = False,
    review: bool = True,
    json: Flag = False,
    cluster: ClusterFlags = NO_FLAGS,
) -> None:
    """Make one dataset of shards.

    Args:
        repo_id: owner/name, as it was given when the shards were made.
        num_shards: how many there are: the --workers of the conversion.
        output_repo_id: owner/name of the dataset; otherwise the shards' own.
        slurm: 1 submits the work to SLURM.
        workers: documented, and without effect: one process appends the shards in order, as fast
            as the disk goes.
        logs_dir: where the folder of the job lies.
        job_name: the folder of the job: its records and logs.
        overwrite: replace a dataset that piperline made.
        review: end with what the review found that went with the conversion.
        json: print the result as JSON.
        cluster: what is asked of SLURM.
    """
    from piperline.cluster.aggregate_work import AggregateWork
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.status import reviewed_shards

    out = Output(json_wanted=json)
    folder = JobFolder.named(logs_dir, job_name)
    target = repo_folder(repo_id).absolute()
    if num_shards < 1:
        raise UsageError(
            "there must be at least one shard",
            expected="the --workers of the conversion",
            found=f"--num-shards {num_shards}",
            next_step="give the number of folders that "
            f"`ls -d {shlex.quote(str(target))}_world_*` lists",
        )
    dataset = repo_folder(output_repo_id or repo_id).absolute()
    if not slurm:
        note_unused(out, cluster)
    work = AggregateWork.of_shards(
        target, num_shards, dataset, overwrite=overwrite
    )
    afresh = f"; and add --overwrite, or move {dataset} away"
    launched = run_job(
        out, folder, work, cluster if slurm else None, afresh=afresh
    )
    complete, found = launched.complete or bool(slurm and cluster.wait), None
    if complete and review:
        found = reviewed_shards(target, num_shards)
        show_review(out, found)
    if complete:
        out.data(f"the dataset: {dataset}")
    out.document(
        {
            "output": dataset,
            "complete": complete,
            "jobs": launched.jobs,
            "review": found,
        }
    )


def status(
    *, logs_dir: Path = LOGS, job_name: str = "convert_hdf5", json: Flag = False
) -> None:
    """Show job status: how far each rank is, and why some failed.

    Args:
        logs_dir: where the folder of the job lies.
        job_name: the folder of the job.
        json: print it as JSON.
    """
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.status import reviewed, states

    out = Output(json_wanted=json)
    folder = JobFolder.named(logs_dir, job_name)
    found = states(folder)
    for state in found:
        for line in _state_lines(state):
            out.data(line)
    counts = Counter(state.state for state in found)
    out.data(
        ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    )
    show_review(out, reviewed(folder))
    out.document([asdict(state) for state in found])


def _state_lines(state: "RankState") -> Iterator[str]:
    from piperline.cluster.status import name_of

    if state.state == "empty":
        return
    text, record = f"{name_of(state)}: {state.state}", state.record
    if state.episodes:
        text += f", {plural(state.episodes, 'episode')}"
    if record and record.images and record.seconds:
        text += f"; {record.episodes} encoded, {record.images / record.seconds:.0f} images/s"
    if record and state.state == "running":
        started = datetime.fromtimestamp(record.started, UTC)
        text += f"; on {record.host} since {started:%Y-%m-%d %H:%M:%S} UTC"
    yield text
    for line in record.left_out if record else ():
        yield f"    left out: {line}"
    for line in state.why.splitlines():
        yield f"    {line}"


def _script(
    command: Callable[..., None], name: str, words: str, example: str
) -> Callable[[], int]:
    """A documented script: one command as a program of its own."""

    def main() -> int:
        script = App(
            name=name,
            help=words,
            help_format="markdown",
            help_epilogue=f"Examples:\n\n    {example}",
        )
        script.default(command)
        return run(script)

    return main


convert_hdf5_shards = _script(
    convert,
    "convert_hdf5_shards.py",
    "Convert recordings in parallel, into shards. A second run does only what is missing.",
    "python convert_parallel/convert_hdf5_shards.py --hdf5-root ./data --all "
    '--repo-id "your/repo" --workers 4',
)

aggregate_hdf5_shards = _script(
    aggregate,
    "aggregate_hdf5_shards.py",
    "Make one dataset of the shards of convert_hdf5_shards.py.",
    'python convert_parallel/aggregate_hdf5_shards.py --repo-id "your/repo" --num-shards 4',
)

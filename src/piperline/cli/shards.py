"""`piperline shards`: conversion in parallel, as shards, and their aggregation."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from piperline.cli.app import run
from piperline.cli.console import Output
from piperline.cli.jobs import LOGS, NO_FLAGS, ClusterFlags, run_job, unused_flags
from piperline.cli.progress import progress_bar
from piperline.cli.scripts import chosen_files
from piperline.errors import UsageError
from piperline.hub.repo_id import repo_folder
from piperline.text import printable

if TYPE_CHECKING:
    from piperline.cluster.status import RankState
    from piperline.cluster.work import ConvertWork


Flag = Annotated[bool, Parameter(negative=())]


def convert(
    *,
    repo_id: str,
    hdf5_root: Path = Path("./data"),
    hdf5_files: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
    all: Flag = False,
    robot_type: str | None = None,
    fps: float | None = None,
    workers: int | None = None,
    slurm: Literal[0, 1] = 0,
    logs_dir: Path = LOGS,
    job_name: str = "convert_hdf5",
    format: Literal["v2.1", "v3.0"] = "v3.0",
    video: Literal["h264", "av1", "copy"] = "h264",
    layout: str | None = None,
    task: str | None = None,
    skip_bad: Flag = False,
    overwrite: Flag = False,
    cluster: ClusterFlags = NO_FLAGS,
) -> None:
    """Convert recordings into shards.

    Args:
        repo_id: owner/name; the shards are $HF_LEROBOT_HOME/owner/name_world_N_rank_0, ...
        hdf5_root: the folder of the recordings.
        hdf5_files: files in that folder; several, or given several times.
        all: every HDF5 file of the folder.
        robot_type: LeRobot's name for the robot; otherwise the layout's (piper: bi_piper).
        fps: frames a second; otherwise the layout's (piper: 30).
        workers: how many shards; each is made by a process, or by a SLURM task. Otherwise the CPUs of this machine.
        slurm: 1 submits the work to SLURM.
        logs_dir: where the folder of the job lies.
        job_name: the folder of the job: its records and logs.
        format: the LeRobot version of the shards.
        video: how images become videos; see `piperline convert --help`.
        layout: a name from `piperline layout list`, or the path of a TOML file.
        task: the task text of episodes that have none of their own.
        skip_bad: leave out what cannot be converted and list it, instead of failing.
        overwrite: replace shards of other recordings.
        cluster: what is asked of SLURM.
    """
    if slurm and workers is None:
        raise UsageError("how many shards?", next_step="give --workers N")
    inputs = chosen_files(hdf5_root, hdf5_files, every=all)
    options = {
        "layout": layout,
        "video": video,
        "fps": fps,
        "robot_type": robot_type,
        "task": task,
        "format": format,
    }
    chosen = ["--all"] if all else ["--hdf5-files", *map(str, hdf5_files or [])]
    typed = ["--hdf5-root", str(hdf5_root), *chosen, "--repo-id", repo_id]
    typed += ["--logs-dir", str(logs_dir), "--job-name", job_name]
    typed += [
        text
        for name, value in options.items()
        if value is not None
        for text in (_option(name), str(value))
    ]
    run = {
        "workers": workers,
        "skip_bad": skip_bad,
        "overwrite": overwrite,
        "typed": typed,
        "cluster": cluster,
    }
    _convert(
        inputs,
        repo_folder(repo_id),
        options,
        run,
        logs=logs_dir / job_name,
        flags=cluster if slurm else None,
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _convert(
    inputs: Sequence[Path],
    target: Path,
    options: dict[str, Any],
    run: dict[str, Any],
    *,
    logs: Path,
    flags: ClusterFlags | None,
) -> None:
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.launch import prepare
    from piperline.convert.job import make_job
    from piperline.process import usable_cpus

    out, folder = Output(), JobFolder(logs.absolute())
    world = usable_cpus() if run["workers"] is None else run["workers"]
    typed = (*run["typed"], "--workers", str(world), *(["--skip-bad"] if run["skip_bad"] else []))
    with progress_bar(out) as watch:
        work = prepare(
            "shards",
            inputs,
            target,
            make_job(**options, inputs=inputs),
            folder,
            world=world,
            cpus=flags.cpus_per_task if flags else 1,
            skip_bad=run["skip_bad"],
            overwrite=run["overwrite"],
            command=typed,
            watch=watch,
        )
    _show_plan(out, work)
    if not flags:
        unused_flags(out, run["cluster"])
    launched = run_job(out, folder, work, flags, slots=min(world, usable_cpus()))
    if launched.complete or (flags and flags.wait):
        repo_id = f"{target.parent.name}/{target.name}"
        out.data(f"the shards: {target}_world_{world}_rank_0, ...")
        out.data(
            f"to make one dataset of them: piperline shards aggregate --repo-id {repo_id} --num-shards {world}"
        )


def _show_plan(out: Output, work: "ConvertWork") -> None:
    plan = work.plan
    frames = [part.frames for part in work.parts if part.episodes]
    shares = f"{min(frames)} to {max(frames)}" if len(set(frames)) > 1 else str(frames[0])
    out.data(
        f"{len(plan.episodes)} episodes, {plan.frames} frames in {len(frames)} shards of {shares} frames"
    )
    if len(frames) < work.world:
        empty = (
            f"{len(frames)} to {work.world - 1}"
            if len(frames) < work.world - 1
            else str(len(frames))
        )
        out.data(f"empty: shards {empty}; there are fewer episodes than workers")
    for left in plan.left_out:
        out.data(f"left out: {left.file}: {printable(left.episode or '')}: {left.reason}")


def aggregate(
    *,
    repo_id: str,
    num_shards: int,
    output_repo_id: str | None = None,
    slurm: Literal[0, 1] = 0,
    workers: int = 1,
    logs_dir: Path = LOGS,
    job_name: str = "aggregate_hdf5",
    overwrite: Flag = False,
    cluster: ClusterFlags = NO_FLAGS,
) -> None:
    """Make one dataset of shards.

    Args:
        repo_id: owner/name, as it was given when the shards were made.
        num_shards: how many there are: the --workers of the conversion.
        output_repo_id: owner/name of the dataset; otherwise the shards' own.
        slurm: 1 submits the work to SLURM.
        workers: documented, and without effect: one process appends the shards in order, as fast as the disk goes.
        logs_dir: where the folder of the job lies.
        job_name: the folder of the job: its records and logs.
        overwrite: replace a dataset that piperline made at that place.
        cluster: what is asked of SLURM.
    """
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.work import AggregateWork

    out, folder = Output(), JobFolder((logs_dir / job_name).absolute())
    if num_shards < 1:
        raise UsageError("there must be at least one shard", found=f"--num-shards {num_shards}")
    target, dataset = (
        repo_folder(repo_id).absolute(),
        repo_folder(output_repo_id or repo_id).absolute(),
    )
    if not slurm:
        unused_flags(out, cluster)
    work = AggregateWork("aggregate", target, num_shards, dataset, overwrite)
    launched = run_job(out, folder, work, cluster if slurm else None)
    if launched.complete or (slurm and cluster.wait):
        out.data(f"the dataset: {dataset}")


def status(*, logs_dir: Path = LOGS, job_name: str = "convert_hdf5", json: Flag = False) -> None:
    """Show how the parts of a job fare, and why some failed.

    Args:
        logs_dir: where the folder of the job lies.
        job_name: the folder of the job.
        json: print it as JSON.
    """
    from piperline.cluster.job_folder import FINISH, JobFolder
    from piperline.cluster.status import states

    out = Output(json_wanted=json)
    found = states(JobFolder((logs_dir / job_name).absolute()))
    for state in found:
        if state.state != "empty":
            out.data(_line(state, last=state.rank == FINISH))
    counts = Counter(state.state for state in found)
    out.data(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    out.document([asdict(state) for state in found])


def _line(state: "RankState", *, last: bool) -> str:
    name = "last step" if last else f"rank {state.rank}"
    text = f"{name}: {state.state}" + (f", {state.episodes} episodes" if state.episodes else "")
    record = state.record
    if record and record.images and record.seconds:
        text += f"; {record.episodes} encoded, {record.images / record.seconds:.0f} images/s"
    if record and state.state == "running":
        text += f"; on {record.host} since {datetime.fromtimestamp(record.started, UTC):%Y-%m-%d %H:%M:%S} UTC"
    left_out = [f"left out: {line}" for line in record.left_out] if record else []
    return "\n".join([text, *(f"    {line}" for line in (*left_out, *state.why.splitlines()))])


def _script(command: Callable[..., None], name: str, words: str, example: str) -> Callable[[], int]:
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
    'python convert_parallel/convert_hdf5_shards.py --hdf5-root ./data --all --repo-id "your/repo" --workers 4',
)

aggregate_hdf5_shards = _script(
    aggregate,
    "aggregate_hdf5_shards.py",
    "Make one dataset of the shards of convert_hdf5_shards.py.",
    'python convert_parallel/aggregate_hdf5_shards.py --repo-id "your/repo" --num-shards 4',
)

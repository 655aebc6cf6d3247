"""`piperline convert`: recordings to a LeRobot dataset."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from piperline.cli.console import Output
from piperline.cli.jobs import LOGS, NO_FLAGS, SLURM, ClusterFlags, run_job
from piperline.cli.progress import progress_bar
from piperline.errors import HubError, OutputExists, UsageError
from piperline.hub.repo_id import repo_folder
from piperline.recordings.layout import Color
from piperline.text import printable, size_text

if TYPE_CHECKING:
    from piperline.convert.plan import LeftOut
    from piperline.convert.run import ConvertResult
    from piperline.plan import EditPlan


_WHAT = Group("What is recorded", sort_key=1)
_HOW = Group("What it becomes", sort_key=2)
_RUN = Group("How the run goes", sort_key=3)


def convert(
    inputs: Annotated[list[Path], Parameter(name="IN", negative=(), consume_multiple=True)],
    /,
    *,
    repo_id: Annotated[str | None, Parameter(group=_HOW)] = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"), group=_HOW)] = None,
    format: Annotated[Literal["v2.1", "v3.0"], Parameter(group=_HOW)] = "v2.1",
    video: Annotated[Literal["h264", "av1", "copy"], Parameter(group=_HOW)] = "h264",
    resize: Annotated[str | None, Parameter(group=_HOW)] = None,
    robot_type: Annotated[str | None, Parameter(group=_HOW)] = None,
    layout: Annotated[str, Parameter(group=_WHAT)] = "piper",
    fps: Annotated[float | None, Parameter(group=_WHAT)] = None,
    task: Annotated[str | None, Parameter(group=_WHAT)] = None,
    color: Annotated[Color | None, Parameter(group=_WHAT)] = None,
    episodes: Annotated[str | None, Parameter(group=_WHAT)] = None,
    plan: Annotated[Path | None, Parameter(group=_WHAT)] = None,
    groot: Annotated[bool, Parameter(group=_HOW)] = True,
    data_mb: Annotated[float, Parameter(group=_HOW)] = 100,
    video_mb: Annotated[float, Parameter(group=_HOW)] = 200,
    skip_bad: Annotated[bool, Parameter(group=_RUN, negative=())] = False,
    workers: Annotated[int | None, Parameter(name=("--workers", "-w"), group=_RUN)] = None,
    overwrite: Annotated[bool, Parameter(group=_RUN, negative=())] = False,
    resume: Annotated[bool, Parameter(group=_RUN)] = True,
    dry_run: Annotated[bool, Parameter(group=_RUN, negative=())] = False,
    push: Annotated[bool, Parameter(group=_RUN, negative=())] = False,
    json: Annotated[bool, Parameter(group=_RUN, negative=())] = False,
    slurm: Annotated[bool, Parameter(group=SLURM, negative=())] = False,
    logs_dir: Annotated[Path, Parameter(group=SLURM)] = LOGS,
    job_name: Annotated[str | None, Parameter(group=SLURM)] = None,
    cluster: ClusterFlags = NO_FLAGS,
) -> None:
    """Convert HDF5 recordings into a LeRobot dataset.

    Args:
        inputs: HDF5 files, and folders of them (*.hdf5, *.h5), in this order; those of a folder in natural order.
        repo_id: owner/name; the dataset goes to $HF_LEROBOT_HOME/owner/name.
        output: the dataset's folder, instead of --repo-id.
        format: the LeRobot version.
        video: h264: x264 superfast, crf 23, key frame every 10 frames, no B-frames, 1 thread, yuv420p; plays anywhere.
            av1: SVT-AV1 preset 12, crf 30, key frame every 2: LeRobot's defaults, and scm=1, so that small changes are
            not skipped; slower.
            copy: the recorded JPEG bytes as they are (MJPEG in MP4): exact, fastest, largest.
        resize: WIDTHxHEIGHT of the video, for example 320x240; otherwise as recorded.
        robot_type: LeRobot's name for the robot; otherwise the layout's.
        layout: a name from `piperline layout list`, or the path of a TOML file.
        fps: frames a second, a whole number; otherwise the layout's.
        task: the task text of episodes that have none of their own.
        color: how the recorded colours are meant: rgb, bgr (raw arrays), or swapped-jpeg (red and blue exchanged
            before the JPEG was made); otherwise the layout's.
        episodes: which of the episodes found: numbers from 0 and ranges (0:10,15), or names (episode_1*).
        plan: a plan.toml of `piperline review`: episodes to leave out, to trim, to tell otherwise.
        groot: write the statistics that GR00T would otherwise compute before training (v2.1).
        data_mb: v3.0: MiB at which a new data file is begun.
        video_mb: v3.0: MiB at which a new video file is begun.
        skip_bad: leave out what cannot be converted and list it, instead of failing.
        workers: processes; otherwise the CPUs that this process may use.
        overwrite: replace a dataset that piperline made at that place.
        resume: use what an earlier run has staged.
        dry_run: show the plan and write nothing.
        push: upload the dataset to the Hugging Face Hub as --repo-id.
        json: print the result as JSON.
        slurm: submit the work as --workers SLURM tasks; a last job puts the dataset together.
        logs_dir: where the folder of the job lies: its records and logs.
        job_name: the folder of the job; otherwise convert_ and the name of the dataset.
        cluster: what is asked of SLURM.
    """
    out = Output(json_wanted=json)
    options = {
        "layout": layout,
        "video": video,
        "fps": fps,
        "robot_type": robot_type,
        "task": task,
        "color": color,
        "resize": _size(resize),
        "format": format,
        "groot": groot,
        "data_mb": data_mb,
        "video_mb": video_mb,
    }
    run: dict[str, Any] = {"episodes": episodes, "skip_bad": skip_bad}
    if plan is not None:
        run["edits"] = _edits(plan)
    target = _target(repo_id, output, push=push)
    if workers is not None and workers < 1:
        raise UsageError("there must be at least one worker process", found=f"--workers {workers}")
    here = {"--push": push, "--json": json, "--no-resume": not resume, "--plan": plan is not None}
    _check_slurm(here, cluster, slurm=slurm)
    if dry_run:
        _show_plan(out, inputs, target, options, run, overwrite=overwrite)
        return
    if slurm:
        logs = logs_dir / (job_name or f"convert_{target.name}")
        convert_on_slurm(
            out,
            inputs,
            target,
            options,
            {**run, "world": workers, "overwrite": overwrite},
            logs=logs,
            flags=cluster,
        )
        return
    more = {"workers": workers, "overwrite": overwrite, "resume": resume}
    run_conversion(out, inputs, target, options, {**run, **more}, push_to=repo_id if push else None)


def convert_on_slurm(
    out: Output,
    inputs: list[Path],
    target: Path,
    options: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    logs: Path,
    flags: ClusterFlags,
) -> None:
    """Submit a conversion to SLURM, or what is missing of it.

    Args:
        out: where to say so.
        inputs: files and folders.
        target: the dataset's folder, on a disk that all nodes share.
        options: of `piperline.convert.run.make_job`.
        run: of `piperline.cluster.launch.prepare`.
        logs: the folder of the job, on that disk too.
        flags: what is asked of SLURM.
    """
    from piperline.cluster.job_folder import JobFolder
    from piperline.cluster.launch import prepare
    from piperline.convert.job import make_job

    if run["world"] is None:
        raise UsageError(
            "among how many SLURM tasks is the work to be divided?", next_step="give --workers N"
        )
    folder = JobFolder(logs.absolute())
    with progress_bar(out) as watch:
        cpus = flags.cpus_per_task
        work = prepare(
            "convert", inputs, target, make_job(**options), folder, cpus=cpus, watch=watch, **run
        )
    for line in _left_out(work.plan.left_out):
        out.data(line)
    launched = run_job(out, folder, work, flags)
    if launched.complete or flags.wait:
        out.data(f"LeRobot {work.plan.job.format} dataset: {target}")


def _target(repo_id: str | None, output: Path | None, *, push: bool) -> Path:
    if push and not repo_id:
        raise UsageError("--push needs --repo-id", next_step="add --repo-id owner/name")
    if output:
        return output
    if repo_id:
        return repo_folder(repo_id)
    raise UsageError(
        "where shall the dataset go?", next_step="add --repo-id owner/name, or --output FOLDER"
    )


def _check_slurm(options: Mapping[str, bool], cluster: ClusterFlags, *, slurm: bool) -> None:
    """See that no option is given that would have no effect."""
    here = [name for name, given in options.items() if given]
    if slurm and here:
        step = (
            "push the dataset when the jobs are done: piperline push"
            if "--push" in here
            else "leave it out"
        )
        raise UsageError(
            "an option does not go with --slurm", found=", ".join(here), next_step=step
        )
    if not slurm and cluster != NO_FLAGS:
        raise UsageError(
            "options of SLURM are given, and --slurm is not",
            next_step="add --slurm, or leave them out",
        )


def _edits(path: Path) -> "EditPlan":
    from piperline.plan import read_plan

    return read_plan(path)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UsageError(
            "--resize takes WIDTHxHEIGHT",
            expected="two whole numbers",
            found=text,
            next_step="for example 320x240",
        )
    return int(parts[0]), int(parts[1])


def _show_plan(
    out: Output,
    inputs: list[Path],
    target: Path,
    options: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    from piperline.convert.job import make_job
    from piperline.convert.run import plan_run
    from piperline.output.publish import check_free

    check_free(target, overwrite=overwrite)
    with progress_bar(out) as watch:
        plan = plan_run(inputs, make_job(**options), watch=watch, **run)
    cameras = plan.episodes[0].cameras
    out.data(
        f"would write {target}: {len(plan.episodes)} episodes, {plan.frames} frames, {len(cameras)} cameras"
    )
    for name, header in cameras.items():
        out.data(
            f"  camera {printable(name)}: {header.width}x{header.height}, recorded as {header.storage}"
        )
    for number, episode in enumerate(plan.episodes):
        where = printable(f"{episode.source} {episode.name}")
        out.data(f"  {number:6} {where}: {episode.length} frames, {episode.task!r}")
    for line in _left_out(plan.left_out):
        out.data(line)
    out.document(
        {
            "output": str(target),
            "frames": plan.frames,
            "episodes": [
                {"source": e.source, "episode": e.name, "length": e.length, "task": e.task}
                for e in plan.episodes
            ],
            "left_out": [asdict(item) for item in plan.left_out],
        }
    )


def run_conversion(
    out: Output,
    inputs: list[Path],
    target: Path,
    options: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    push_to: str | None = None,
) -> None:
    """Convert, show how far it is, and what came of it.

    Args:
        out: where to say so.
        inputs: files and folders.
        target: the dataset's folder.
        options: of `piperline.convert.run.make_job`.
        run: of `piperline.convert.run.convert`.
        push_to: the repository to upload the dataset to.
    """
    from piperline.convert.pool import WorkerPool
    from piperline.process import usable_cpus

    workers = run.get("workers")
    with WorkerPool(
        usable_cpus() if workers is None else workers
    ) as pool:  # they load their libraries while this process loads its own
        from piperline.convert.job import make_job
        from piperline.convert.run import convert

        if push_to:
            from piperline.hub import push_pull as hub

            hub.check_login(push_to)
        with progress_bar(out) as watch:
            try:
                result = convert(inputs, target, make_job(**options), watch=watch, pool=pool, **run)
            except OutputExists as error:
                if push_to:
                    command = shlex.join(["piperline", "push", str(target), "--repo-id", push_to])
                    error.add_note(f"To upload the dataset that is there: {command}")
                raise
    for line in (*summary(result), _next(result)):
        out.data(line)
    document = asdict(result)
    if push_to:
        try:
            pushed = hub.push(target, push_to)
        except HubError as error:
            command = shlex.join(["piperline", "push", str(target), "--repo-id", push_to])
            error.add_note(
                f"The dataset is complete; only the upload is to be run again: {command}"
            )
            raise
        out.data(f"{pushed.url} (tag {pushed.tag})")
        document["pushed"] = asdict(pushed)
    out.document(document)


def summary(result: "ConvertResult") -> Iterator[str]:
    """What came of a conversion, in lines for people."""
    rate = result.frames * result.cameras / result.seconds
    yield (
        f"{result.episodes} episodes, {result.frames} frames, {result.cameras} cameras, {len(result.tasks)} tasks"
        f" in {result.seconds:.1f} s ({rate:.0f} images/s)"
    )
    if result.reused:
        yield f"{result.reused} episodes had been encoded by an earlier run"
    yield from _left_out(result.left_out)
    sizes = (
        f"{size_text(result.dataset_bytes)}, from {size_text(result.recorded_bytes)} of recordings"
    )
    yield f"LeRobot {result.format} dataset: {result.output} ({sizes})"


def _next(result: "ConvertResult") -> str:
    further = {"v2.1": "groot preflight {}", "v3.0": "migrate {} --to v2.1"}[result.format]
    return "next: piperline " + further.format(shlex.quote(str(result.output)))


def _left_out(left_out: Sequence["LeftOut"]) -> Iterator[str]:
    for item in left_out:
        where = f"{item.file}: {item.episode}" if item.episode else str(item.file)
        yield printable(f"left out: {where}: {item.reason}")

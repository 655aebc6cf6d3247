"""`piperline convert`: recordings to a LeRobot dataset."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.cli.jobs import (
    LOGS,
    NO_FLAGS,
    SLURM,
    ClusterFlags,
    given_names,
    rank_review,
    report_launch,
    show_left_out,
    show_review,
)
from piperline.cli.progress import progress_bar
from piperline.cli.reviewed import (
    REVIEW,
    found_lines,
    note_lines,
    review_command,
)
from piperline.errors import HubError, OutputExists, UsageError, check_workers
from piperline.text import few_of_each, message_of, plural, printable, size_text

if TYPE_CHECKING:
    from piperline.cluster.job_folder import JobFolder
    from piperline.convert.forecast import ConversionForecast
    from piperline.convert.plan import LeftOut, Plan
    from piperline.convert.run import ConvertResult
from piperline.cli.convert_flags import DatasetFlags, RecordingFlags, RunFlags

_RECORDED, _DATASET, _RUN = RecordingFlags(), DatasetFlags(), RunFlags()


def convert(
    inputs: Annotated[
        list[Path], Parameter(name="IN", negative=(), consume_multiple=True)
    ],
    /,
    *,
    dataset: DatasetFlags = _DATASET,
    recorded: RecordingFlags = _RECORDED,
    how: RunFlags = _RUN,
    slurm: Annotated[
        bool,
        Parameter(
            group=SLURM,
            negative=(),
        ),
    ] = False,
    logs_dir: Annotated[Path, Parameter(group=SLURM)] = LOGS,
    job_name: Annotated[str | None, Parameter(group=SLURM)] = None,
    cluster: ClusterFlags = NO_FLAGS,
) -> None:
    """Convert HDF5 recordings into a LeRobot dataset.

    Args:
        inputs: HDF5 files, and folders of them (*.hdf5, *.h5), in this order; those of a folder in
            natural order.
        dataset: the dataset that is made.
        recorded: what the recordings hold.
        how: how the run goes.
        slurm: submit the work as --workers SLURM tasks; a last job puts the dataset together.
        logs_dir: where the folder of the job lies: its records and logs.
        job_name: the folder of the job; otherwise convert_ and the name of the dataset.
        cluster: what is asked of SLURM.
    """
    out = Output(json_wanted=how.json)
    if how.push and not dataset.repo_id:
        raise UsageError(
            "--push needs --repo-id",
            expected="the repository to upload to",
            found="--push alone",
            next_step="add --repo-id owner/name",
        )
    target = dataset.folder()
    _check_flags(how, cluster, slurm=slurm)
    if slurm and recorded.plan:
        raise UsageError(
            "--plan does not go with --slurm",
            expected="a plan that one machine carries out",
            found=f"--slurm --plan {printable(str(recorded.plan))}",
            next_step="leave out --slurm",
        )
    if how.dry_run:
        _show_plan(out, inputs, recorded, dataset, how)
    elif slurm:
        from piperline.cluster.job_folder import JobFolder, job_name_for

        name = (
            job_name_for("convert_", target.name)
            if job_name is None
            else job_name
        )
        folder = JobFolder.named(logs_dir, name)
        _convert_on_slurm(
            out, inputs, recorded, dataset, how, folder=folder, flags=cluster
        )
    else:
        run_conversion(out, inputs, recorded, dataset, how)


def _convert_on_slurm(
    out: Output,
    inputs: list[Path],
    recorded: RecordingFlags,
    dataset: DatasetFlags,
    how: RunFlags,
    *,
    folder: "JobFolder",
    flags: ClusterFlags,
) -> None:
    """Submit a conversion to SLURM, or what is missing of it."""
    from piperline.convert.pool import WorkerPool

    if how.workers is None:
        raise UsageError(
            "among how many SLURM tasks is the work to be divided?",
            expected="a number of tasks, from 1",
            found="no --workers",
            next_step="add --workers 8, for example",
        )
    target = dataset.folder()
    review = (
        rank_review(inputs, target, recorded.layout) if how.review else None
    )
    with WorkerPool(1) as pool, progress_bar(out) as watch:
        from piperline.cluster.launch import plan_conversion, submit_conversion
        from piperline.cluster.status import reviewed

        shards, aggregation = plan_conversion(
            inputs,
            target,
            dataset.job(inputs, recorded, pool.read, verify=how.verify),
            folder,
            world=how.workers,
            cpus=flags.cpus_per_task,
            episodes=recorded.episodes,
            skip_bad=how.skip_bad,
            overwrite=how.overwrite,
            review=review,
            watch=watch,
            pool=pool,
        )
    for line in left_out_lines(shards.plan.left_out):
        out.data(line)
    launched = submit_conversion(folder, shards, aggregation, flags)
    afresh = f"; and add --overwrite, or move {aggregation.output(0)} away"
    report_launch(out, folder, launched, wait=flags.wait, afresh=afresh)
    complete, found = launched.complete or flags.wait, None
    if complete:
        show_left_out(out, folder, shards)
        out.data(f"LeRobot {dataset.format} dataset: {target}")
    if complete and review:
        found = reviewed(folder)
        show_review(out, found)
    out.document(
        {
            "output": target,
            "complete": complete,
            "jobs": launched.jobs,
            "review": found,
        }
    )


def _check_flags(how: RunFlags, cluster: ClusterFlags, *, slurm: bool) -> None:
    """See that no option is given that would have no effect.

    Raises:
        UsageError: there is one, or there is to be no worker.
    """
    check_workers(how.workers)
    local = {
        "--push": how.push,
        "--no-resume": not how.resume,
    }
    local["--sign"] = bool(how.sign)
    given = [name for name, value in local.items() if value]
    if slurm and given:
        push = (
            "leave it out, and push the dataset when the jobs are done: "
            "piperline push DATASET --repo-id owner/name"
        )
        raise UsageError(
            "an option does not go with --slurm",
            expected=f"none of {', '.join(local)}",
            found=", ".join(given),
            next_step=push if how.push else "leave it out",
        )
    if not slurm and cluster != NO_FLAGS:
        raise UsageError(
            "options of SLURM are given, and --slurm is not",
            expected="--slurm, or none of its options",
            found=", ".join(given_names(cluster)),
            next_step="add --slurm, or leave them out",
        )


def _show_plan(
    out: Output,
    inputs: list[Path],
    recorded: RecordingFlags,
    dataset: DatasetFlags,
    how: RunFlags,
) -> None:
    from piperline.convert.pool import WorkerPool

    # The worker loads its libraries while this process loads its own.
    with WorkerPool(1) as pool, progress_bar(out) as watch:
        from piperline.convert.forecast import forecast
        from piperline.convert.run import plan_run
        from piperline.output.publish import check_free
        from piperline.process import usable_cpus

        target = dataset.folder()
        check_free(target, overwrite=how.overwrite, thorough=False)
        plan = plan_run(
            inputs,
            dataset.job(inputs, recorded, pool.read, verify=how.verify),
            episodes=recorded.episodes,
            skip_bad=how.skip_bad,
            edits=recorded.edits(),
            watch=watch,
            pool=pool,
        )
    workers = how.workers or usable_cpus()
    expected = forecast(plan, workers)
    for line in _plan_lines(plan, target):
        out.data(line)
    out.data(_forecast_line(plan, expected, workers))
    episodes = [
        {
            "source": made.planned.source,
            "episode": made.planned.name,
            "length": made.length,
            "task": made.tasks[0],
            "tasks": made.tasks,
        }
        for made in plan.made
    ]
    out.document(
        {
            "layout": plan.job.layout.name,
            "notes": plan.notes,
            "output": str(target),
            "format": plan.job.format,
            "video": plan.job.settings.video.mode,
            "fps": plan.job.settings.fps,
            "expected_bytes": expected.bytes,
            "expected_seconds": round(expected.seconds, 1),
            "frames": plan.frames,
            "episodes": episodes,
            "left_out": [asdict(item) for item in plan.left_out],
        }
    )


def _forecast_line(
    plan: "Plan", expected: "ConversionForecast", workers: int
) -> str:
    settings = plan.job.settings
    is_copy = settings.video.mode == "copy"
    more = "" if is_copy else ", with noisy cameras several times that"
    return (
        f"it becomes LeRobot {plan.job.format}, --video {settings.video.mode}, "
        f"{settings.fps} frames a second: about {size_text(expected.bytes)}{more}, in about "
        f"{max(1, expected.seconds):,.0f} s with {plural(workers, 'worker')}"
    )


def _plan_lines(plan: "Plan", target: Path) -> Iterator[str]:
    cameras = plan.episodes[0].cameras
    made = plan.made
    yield (
        f"would write {target}: {plural(len(made), 'episode')}, "
        f"{plural(plan.frames, 'frame')}, {plural(len(cameras), 'camera')}, "
        f"layout {plan.job.layout.name}"
    )
    for name, header in cameras.items():
        size = f"{header.width}x{header.height}"
        yield f"  camera {printable(name)}: {size}, recorded as {header.kind}"
    for number, episode in enumerate(made):
        planned = episode.planned
        where = printable(f"{planned.source} {planned.name}")
        yield (
            f"  {number:6} {where}: {plural(episode.length, 'frame')}, "
            f"{', then '.join(map(repr, episode.tasks))}"
        )
    yield from left_out_lines(plan.left_out)
    yield from note_lines(plan.notes)


def run_conversion(
    out: Output,
    inputs: list[Path],
    recorded: RecordingFlags,
    dataset: DatasetFlags,
    how: RunFlags,
) -> None:
    """Convert, show how far it is, and what came of it.

    Args:
        out: where to say so.
        inputs: files and folders.
        recorded: what the recordings hold.
        dataset: what is made, and where; with `how.push` it has a repository id.
        how: how the run goes.
    """
    from piperline.convert.pool import WorkerPool
    from piperline.process import one_thread

    # A worker loads its libraries while this process loads its own.
    with WorkerPool(how.workers) as pool:
        with one_thread():
            from piperline.convert.run import convert

        target, push_to = (
            dataset.folder(),
            dataset.repo_id if how.push else None,
        )
        if push_to:
            from piperline.hub.push_pull import check_login

            check_login(push_to)
        with progress_bar(out) as watch:
            try:
                result = convert(
                    inputs,
                    target,
                    dataset.job(inputs, recorded, pool.read, verify=how.verify),
                    episodes=recorded.episodes,
                    skip_bad=how.skip_bad,
                    edits=recorded.edits(),
                    overwrite=how.overwrite,
                    resume=how.resume,
                    review=REVIEW if how.review else None,
                    watch=watch,
                    pool=pool,
                )
            except OutputExists as error:
                if push_to:
                    command = _push_command(target, push_to)
                    error.add_note(
                        f"To upload the dataset that is there: {command}"
                    )
                raise
    if how.sign:
        from piperline.seal.signature import sign

        out.note(f"signed by {sign(target, how.sign)}")
    for line in summary(result):
        out.data(line)
    document = asdict(result)
    if result.review:
        command = review_command(inputs, target, recorded.layout)
        document["review"] = result.review.document(command)
        for line in found_lines(result.review, command):
            out.data(line)
    out.data(_next(result))
    if push_to:
        document["pushed"] = _push(out, target, push_to)
    out.document(document)


def _push(
    out: Output,
    target: Path,
    repo_id: str,
) -> dict[str, object]:
    from piperline.hub.push_pull import push

    try:
        pushed = push(target, repo_id)
    except HubError as error:
        command = _push_command(target, repo_id)
        error.add_note(
            f"The dataset is complete; only the upload is to be run again: {command}"
        )
        raise
    out.data(f"{pushed.url} (tag {pushed.tag})")
    return asdict(pushed)


def _push_command(target: Path, repo_id: str) -> str:
    return shlex.join(["piperline", "push", str(target), "--repo-id", repo_id])


def summary(result: "ConvertResult") -> Iterator[str]:
    """What came of a conversion, in lines for people."""
    if result.up_to_date:
        yield f"up to date: {result.output} was made of these recordings, and none has changed"
        return
    counts = {
        "episode": result.episodes,
        "frame": result.frames,
        "camera": result.cameras,
        "task": len(result.tasks),
    }
    rate = result.frames * result.cameras / result.seconds
    text = ", ".join(plural(count, word) for word, count in counts.items())
    yield f"{text} in {result.seconds:.1f} s ({rate:.0f} images/s)"
    if result.reused:
        yield f"{plural(result.reused, 'episode')} had been encoded by an earlier run"
    yield from left_out_lines(result.left_out)
    yield from note_lines(result.notes)
    made, source = (
        size_text(result.dataset_bytes),
        size_text(result.recorded_bytes),
    )
    yield (
        f"LeRobot {result.format} dataset: {result.output} ({made}, from {source} of recordings)"
    )


def _next(result: "ConvertResult") -> str:
    further = {"v2.1": "groot preflight {}", "v3.0": "migrate {} --to v2.1"}[
        result.format
    ]
    return "next: piperline " + further.format(shlex.quote(str(result.output)))


def left_out_lines(left_out: Sequence["LeftOut"]) -> Iterator[str]:
    """What was left out, and why, a line each; of many that are alike the first ones."""
    few, more = few_of_each(left_out, _kind_of)
    for item in few:
        where = (
            f"{item.file}: {item.episode}" if item.episode else str(item.file)
        )
        yield printable(f"left out: {where}: {item.reason}")
    for (file, message), count in more.items():
        yield printable(
            f"left out: {file}: and {count:,} more like these, which --json names: {message}"
        )


def _kind_of(item: "LeftOut") -> tuple[Path, str]:
    return item.file, message_of(item.reason)

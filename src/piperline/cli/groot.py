"""`piperline groot`: from a dataset to a training run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.finding import Severity, command, fails
from piperline.groot.settings import Launch, Settings
from piperline.groot.versions import (
    DEFAULT_HORIZON,
    DEFAULT_VERSION,
    Version,
    target,
)
from piperline.text import plural

if TYPE_CHECKING:
    from piperline.groot.checks.sampling import TrainingForecast
    from piperline.groot.loader import Meta
    from piperline.groot.modality_config import Choice
    from piperline.groot.preflight import PreflightReport


Several = Annotated[tuple[str, ...] | None, Parameter(consume_multiple=True)]
Flag = Annotated[bool, Parameter(negative=())]
Training = Annotated[Settings, Parameter(name="*")]


def config(
    dataset: Path,
    *,
    version: Version = DEFAULT_VERSION,
    horizon: int = DEFAULT_HORIZON,
    relative: Several = None,
    cameras: Several = None,
    output: Path | None = None,
    overwrite: Flag = False,
    settings: Training = Settings(),  # noqa: B008 - frozen
) -> None:
    """Write the modality config, the launch script and modality.json of a GR00T version.

    Args:
        dataset: folder of a LeRobot v2.1 dataset.
        version: of GR00T.
        horizon: steps of an action chunk.
        relative: action groups relative to the state; by default the arms.
        cameras: cameras in the order in which the model sees them; by default all.
        output: folder of the files; config_for_gr00tn16 (or as the version is called) here, if not
            told.
        overwrite: replace files there that differ.
        settings: how to train.
    """
    from piperline.groot.config_files import (
        files,
        prepare,
        shipped_files,
        write_files,
    )

    console, goal = Output(), target(version)
    meta, choice, guessed = prepare(
        dataset, goal, horizon=horizon, relative=relative, cameras=cameras
    )
    folder = output or Path(goal.folder)
    texts = files(meta, choice, goal, settings)
    unedited = shipped_files(meta, choice, goal)
    write_files(folder, texts, overwrite=overwrite, unedited=unedited)
    if guessed:
        write_files(dataset / "meta", {"modality.json": texts["modality.json"]})
    _tell_of_choice(console, meta, choice, guessed=guessed)
    for name in texts:
        console.data(str(folder / name))
    chosen = ["--relative", *choice.relative] if relative else []
    stats = command(
        "piperline", "groot", "stats", dataset, "--horizon", horizon, *chosen
    )
    given = ["--version", version] if version != DEFAULT_VERSION else []
    if (relative or cameras) and goal.family != "n1.5":
        given += [
            "--config",
            *(str(folder / name) for name in texts if name.endswith(".py")),
        ]
    elif horizon != DEFAULT_HORIZON:
        given += ["--horizon", str(horizon)]
    preflight = command("piperline", "groot", "preflight", dataset, *given)
    console.note(f"next: {stats} && {preflight}")


def _tell_of_choice(
    console: Output, meta: "Meta", choice: "Choice", *, guessed: bool
) -> None:
    """What nobody asked for by name: groups that were guessed, cameras that are left out."""
    from piperline.groot.modality import MODALITY_FILE, depth_cameras

    groups = meta.groups("action").items()
    spans = ", ".join(
        f"{name} {span['start']}:{span['end']}" for name, span in groups
    )
    if guessed:
        console.note(
            f"guessed the groups from the names of the dimensions: {spans}; correct them in "
            f"{MODALITY_FILE}"
        )
        relative = ", ".join(choice.relative) or "none"
        console.note(
            f"relative to the state: {relative}; --relative names them"
        )
    depth = ", ".join(depth_cameras(meta.schema))
    if depth:
        console.note(
            f"left out: {depth}: depth, which GR00T would take for colours"
        )


def stats(
    dataset: Path, *, horizon: int = DEFAULT_HORIZON, relative: Several = None
) -> None:
    """Write stats.json and relative_stats.json, the exact numbers that GR00T N1.6 would compute.

    Args:
        dataset: folder of a LeRobot v2.1 dataset with meta/modality.json.
        horizon: steps of an action chunk.
        relative: action groups relative to the state; by default the arms.
    """
    from piperline.groot import stats as groot

    groot.write_groot_stats(dataset, horizon=horizon, relative=relative)
    console = Output()
    for name in (groot.STATS_FILE, groot.RELATIVE_FILE, groot.FINGERPRINT_FILE):
        console.data(str(dataset / name))
    console.note(
        "GR00T N1.7 of June 2026 and later computes both once more, to equal values, and marks "
        "them so that N1.6 stops at them: run this command again before you change back"
    )


def check(
    dataset: Path,
    *,
    version: Version = DEFAULT_VERSION,
    horizon: int | None = None,
    config: Path | None = None,
    gpus: int = Launch.gpus,
    batch: int = Launch.batch,
    workers: int = Launch.workers,
    shard_size: int = Launch.shard_size,
    sampling_rate: float = Launch.sampling_rate,
    output_dir: Path | None = None,
    base_model: Path | None = None,
    tables_only: Flag = False,
    fail_on: Severity = "error",
    json: Flag = False,
) -> int:
    """Check a dataset for a training run with GR00T; no GPU needed.

    Exit code 1 if there is a finding of the severity of --fail-on.

    Args:
        dataset: folder of a LeRobot dataset.
        version: of GR00T.
        horizon: steps of an action chunk; by default that of --config, or 16.
        config: modality config .py of N1.6 or N1.7, which is executed as training would; what
            `groot config` would write, by default.
        gpus: GPUs of the training machine.
        batch: samples of one step, on all GPUs together.
        workers: data-loader processes of each GPU.
        shard_size: steps of a shard (GR00T's --shard_size).
        sampling_rate: share of an episode that goes into one shard (GR00T's
            --episode_sampling_rate).
        output_dir: folder for checkpoints, looked into for old ones.
        base_model: folder of the checkpoint to start from, looked into for statistics.
        tables_only: leave the videos out.
        fail_on: severity that makes the exit code 1.
        json: findings and forecast as JSON.
    """
    from piperline.groot.preflight import preflight

    settings = Launch(
        gpus, batch, workers, shard_size, sampling_rate, output_dir, base_model
    )
    report = preflight(
        dataset,
        version=version,
        horizon=horizon,
        config=config,
        launch=settings,
        videos=not tables_only,
    )
    console = Output(json_wanted=json)
    _show(console, report)
    _tell_of_stats(console, dataset, version)
    console.document(report.document())
    return int(fails(report.findings, fail_on))


def launch(
    dataset: Path,
    *,
    checkout: Path,
    version: Version = DEFAULT_VERSION,
    horizon: int | None = None,
    relative: Several = None,
    config: Path | None = None,
    run: Flag = False,
    settings: Training = Settings(),  # noqa: B008 - frozen
) -> int:
    """Check the Isaac-GR00T checkout and the dataset, and print the training command.

    Nothing is started if preflight finds an error.

    Args:
        dataset: folder of a LeRobot v2.1 dataset.
        checkout: folder of Isaac-GR00T.
        version: of GR00T, which the checkout must be of.
        horizon: steps of an action chunk; by default those of the config, or 16 in a new one.
        relative: action groups relative to the state; those of the config, or the arms, if not
            told.
        config: modality config .py; by default the one in the checkout's config_for_gr00tn16,
            which is written if it is absent.
        run: start the command.
        settings: how to train.
    """
    from piperline.groot.launch import plan_launch, start

    console = Output()
    plan = plan_launch(
        dataset,
        checkout,
        version=version,
        horizon=horizon,
        relative=relative,
        config=config,
        settings=settings,
    )
    _show(console, plan.report)
    console.data(plan.line)
    _tell_of_stats(console, dataset, version)
    if fails(plan.report.findings, "error"):
        console.note("not started: correct the errors first")
        return 1
    return start(plan) if run else 0


def _show(console: Output, report: "PreflightReport") -> None:
    for finding in report.findings:
        console.data(str(finding))
    if not report.findings:
        console.data("no findings")
    if report.forecast is not None:
        for line in _forecast(report.forecast):
            console.data(line)


def _tell_of_stats(console: Output, dataset: Path, version: Version) -> None:
    if target(version).computes_stats_again:
        again = command("piperline", "groot", "stats", dataset)
        console.note(
            "this version computes the statistics once more, to equal values, and marks them so "
            f"that N1.6 stops at them; to change back: {again}"
        )


def _forecast(values: "TrainingForecast") -> Iterator[str]:
    """What training will take, in lines for people."""
    size = f"{plural(values.episodes, 'episode')}, {plural(values.frames, 'frame')}"
    samples = [plural(values.usable_steps, "usable sample")]
    if values.shards:
        samples.append(plural(values.shards, "shard"))
    steps = plural(max(1, round(values.steps_per_epoch)), "optimiser step")
    yield f"{size}: {', '.join(samples)}, {steps} per epoch"
    yield (
        f"about {values.decode_cpu_ms_per_sample:.0f} ms of CPU to decode a sample "
        f"({values.decoded_frames_per_sample:.1f} frames of each camera)"
    )
    yield (
        f"about {values.worker_memory_bytes / 1e9:.1f} GB of memory per data-loader worker, "
        f"{values.all_workers_memory_bytes / 1e9:.0f} GB in all"
    )
    if values.hold_error is not None:
        yield f"open loop: a trained model must beat holding the pose, MAE {values.hold_error:.3g}"

"""Assembly: staged episodes become a dataset, in one ordered pass and one rename."""

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from piperline import __version__
from piperline.convert.plan import Plan, PlannedEpisode
from piperline.convert.stage import Staging, work_folder
from piperline.convert.verdict import verdict_of
from piperline.episode import EncodedEpisode
from piperline.errors import TaskFailed
from piperline.features import Schema, layout_schema
from piperline.files import identity, own_name, sweep_removed, write_whole
from piperline.groot.modality import write_modality
from piperline.groot.stats import WrittenRows, write_groot_stats
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.lerobot import WriterOptions, open_writer
from piperline.lerobot.card import declare_license
from piperline.lerobot.info import PROVENANCE
from piperline.output.publish import publish
from piperline.seal.seal import write_seal


def assemble(
    staging: Staging, plan: Plan, output: Path, *, replaces: str | None = None
) -> Schema:
    """Make the dataset of a plan whose episodes are all staged: one ordered pass, then one rename.

    What is staged stays; a run that begins when the dataset has its name removes it (`sweep`).

    Returns:
        The dataset's schema.

    Raises:
        TaskFailed: an episode is not staged.
        OutputExists: something came to lie at `output` meanwhile.
    """
    # another attempt may be at work as well
    folder = staging.root / f"dataset-{own_name()}"
    schema = write_dataset(staging, plan, folder)
    write_whole(staging.plan_file, plan.to_json())
    write_whole(staging.published_file, identity(folder))
    publish(folder, output, replaces=replaces)
    return schema


def sweep(output: Path) -> None:
    """Remove the staging folder of a run that was killed after its dataset had got its name."""
    staging = Staging(work_folder(output))
    marked = staging.published_file.is_file() and output.is_dir()
    if marked and staging.published_file.read_text(
        encoding="utf-8"
    ) == identity(output):
        staging.remove()
    sweep_removed(staging.root)


def write_dataset(staging: Staging, plan: Plan, folder: Path) -> Schema:
    """Write the dataset of a plan whose episodes are all staged.

    Args:
        staging: where the episodes are.
        plan: which episodes, in which order.
        folder: is made; the caller gives it its final name with `publish`.

    Returns:
        The dataset's schema.

    Raises:
        TaskFailed: an episode is not staged.
    """
    folder.mkdir()
    schema = _schema(plan, _staged(staging, plan, 0))
    written = WrittenRows() if _wants_groot_stats(plan, schema) else None
    job = plan.job
    options = WriterOptions(
        link=True, data_mb=job.data_mb, video_mb=job.video_mb
    )
    writer = open_writer(job.format, folder, schema, options)
    with closing(writer):
        for number in range(len(plan.episodes)):
            rows = writer.add(_staged(staging, plan, number))
            if written:
                written.add(rows)
        writer.finish()
    if job.license:
        declare_license(folder / "README.md", job.license)
    if write_modality(folder, schema) and written:
        write_groot_stats(folder, written=written)
    write_provenance(plan, folder)
    staged = (
        _staged(staging, plan, number) for number in range(len(plan.episodes))
    )
    write_seal(
        folder, verdict_of(folder, staged) if job.settings.verify else None
    )
    return schema


def _wants_groot_stats(plan: Plan, schema: Schema) -> bool:
    """Whether GR00T's statistics belong to the dataset: it reads v2.1 only, and whole chunks."""
    wanted = plan.job.groot and plan.job.format == "v2.1" and schema.groups
    return bool(wanted) and any(
        episode.length >= DEFAULT_HORIZON for episode in plan.episodes
    )


def write_provenance(plan: Plan, folder: Path) -> None:
    """Record how the dataset in `folder` was made: layout, settings, sources, what was left out."""
    text = json.dumps(provenance(plan), indent=2, ensure_ascii=False)
    write_whole(folder / PROVENANCE, text + "\n")


def _staged(staging: Staging, plan: Plan, number: int) -> EncodedEpisode:
    planned = plan.episodes[number]
    episode = staging.load(planned.key)
    if episode is None or episode.length != planned.length:
        staging.discard(planned.key)
        raise TaskFailed(
            "an episode is not staged",
            place=planned.place,
            next_step="run the same command again",
        )
    return episode


def _schema(plan: Plan, first: EncodedEpisode) -> Schema:
    cameras = {
        name: clip.info
        for name, clip in zip(
            plan.episodes[0].cameras, first.clips.values(), strict=True
        )
    }
    return layout_schema(
        plan.job.layout,
        cameras=cameras,
        depth={
            name: header.depth
            for name, header in plan.episodes[0].cameras.items()
            if header.depth
        },
        fps=plan.job.settings.fps,
        robot_type=plan.job.robot_type,
    )


def edits_of(episode: PlannedEpisode) -> dict[str, Any]:
    """What an edit plan did to an episode; nothing where it did nothing."""
    found: dict[str, Any] = {}
    if episode.first:
        found["first_frame"] = episode.first
    if episode.swapped:
        found["red_and_blue_exchanged"] = list(episode.swapped)
    return found


def provenance(plan: Plan) -> dict[str, Any]:
    """How a dataset is made: what `meta/piperline.json` holds, as JSON."""
    settings = plan.job.settings
    return {
        "made_by": f"piperline {__version__}",
        "format": plan.job.format,
        "layout": asdict(plan.job.layout),
        "video": asdict(settings.video),
        "fps": settings.fps,
        "size": settings.size,
        "groot": plan.job.groot,
        "episodes": [
            {
                "source": e.source,
                "episode": e.name,
                "length": e.length,
                **edits_of(e),
            }
            for e in plan.episodes
        ],
        "left_out": [
            {
                "source": left.file.name,
                "episode": left.episode,
                "reason": left.reason,
            }
            for left in plan.left_out
        ],
    }

"""Assembly: staged episodes become a dataset, in one ordered pass and one rename."""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

from piperline.convert.plan import Plan, PlannedEpisode
from piperline.convert.provenance import write_provenance
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
from piperline.lerobot.dataset import Dataset
from piperline.output.publish import publish
from piperline.seal.known import known_parts
from piperline.seal.seal import write_seal


class Standing(Protocol):
    """A dataset whose episodes are taken over as they are."""

    @property
    def dataset(self) -> Dataset:
        """The dataset."""

    def encoded(self, episode: PlannedEpisode) -> EncodedEpisode | None:
        """An episode; None where the dataset does not have it."""


def assemble(
    staging: Staging,
    plan: Plan,
    output: Path,
    *,
    replaces: str | None = None,
    standing: Standing | None = None,
) -> Schema:
    """Make the dataset of a plan whose episodes are all at hand: one ordered pass, then one rename.

    Args:
        staging: where the episodes are.
        plan: which episodes, in which order.
        output: the name that the dataset gets.
        replaces: the identity of the dataset that it replaces; see `give_name`.
        standing: has the episodes that are not staged.

    Returns:
        The dataset's schema.

    Raises:
        TaskFailed: an episode is not staged.
        OutputExists: something came to lie at `output` meanwhile.
    """
    # another attempt may be at work as well
    folder = staging.root / f"dataset-{own_name()}"
    schema = write_dataset(staging, plan, folder, standing)
    write_whole(staging.plan_file, plan.to_json())
    write_whole(staging.published_file, identity(folder))
    publish(folder, output, replaces=replaces)
    staging.remove()
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


def write_dataset(
    staging: Staging, plan: Plan, folder: Path, standing: Standing | None = None
) -> Schema:
    """Write the dataset of a plan whose episodes are all at hand.

    Args:
        staging: where the episodes are.
        plan: which episodes, in which order.
        folder: is made; the caller gives it its final name with `publish`.
        standing: has the episodes that are not staged.

    Returns:
        The dataset's schema.

    Raises:
        TaskFailed: an episode is not staged.
    """
    folder.mkdir()
    at_hand = partial(_at_hand, staging, plan, standing)
    schema = _schema(plan, at_hand(0))
    written = WrittenRows(folder) if _wants_groot_stats(plan, schema) else None
    job = plan.job
    options = WriterOptions(
        link=True, data_mb=job.data_mb, video_mb=job.video_mb
    )
    writer = open_writer(job.format, folder, schema, options)
    with closing(writer):
        for number in range(len(plan.episodes)):
            rows = writer.add(at_hand(number))
            if written:
                written.add(rows)
        writer.finish()
        origins = writer.origins
    if job.license:
        declare_license(folder / "README.md", job.license)
    if write_modality(folder, schema) and written:
        write_groot_stats(folder, written=written)
    write_provenance(plan, folder)
    episodes = map(at_hand, range(len(plan.episodes)))
    write_seal(
        folder,
        verdict_of(folder, episodes) if job.settings.verify else None,
        known=known_parts([standing.dataset] if standing else [], origins),
    )
    return schema


def _wants_groot_stats(plan: Plan, schema: Schema) -> bool:
    """Whether GR00T's statistics belong to the dataset: it reads v2.1 only, and whole chunks."""
    wanted = plan.job.groot and plan.job.format == "v2.1" and schema.groups
    return bool(wanted) and any(
        episode.length >= DEFAULT_HORIZON for episode in plan.episodes
    )


def _at_hand(
    staging: Staging, plan: Plan, standing: Standing | None, number: int
) -> EncodedEpisode:
    planned = plan.episodes[number]
    taken = standing.encoded(planned) if standing else None
    episode = taken or staging.load(planned.key)
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

"""Assembly: staged episodes become a dataset, in one ordered pass and one rename."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from piperline import __version__
from piperline.convert.plan import MadeEpisode, Plan, PlannedEpisode
from piperline.convert.stage import Staging, work_folder
from piperline.convert.verdict import verdict_of
from piperline.edits.editor import Editor
from piperline.edits.episodes import edited
from piperline.edits.pictures import Pictures
from piperline.edits.plan import DatasetEdit
from piperline.edits.schema import SchemaEdit
from piperline.episode import Clip, EncodedEpisode
from piperline.errors import TaskFailed
from piperline.features import Schema, camera_key, layout_schema
from piperline.files import identity, own_name, sweep_removed, write_whole
from piperline.groot.modality import write_modality
from piperline.groot.stats import WrittenRows, write_groot_stats
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.lerobot import WriterOptions, open_writer
from piperline.lerobot.card import declare_license
from piperline.lerobot.info import PROVENANCE
from piperline.output.publish import publish
from piperline.recordings.layout import Layout
from piperline.seal.seal import write_seal
from piperline.video.recut import Recutter


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
    staged = _schema(plan, _staged(staging, plan.episodes[0]))
    change = SchemaEdit(plan.edit, staged)
    wanted = _wants_groot_stats(plan, staged)
    written = WrittenRows(folder) if wanted else None
    job = plan.job
    options = WriterOptions(
        link=True, data_mb=job.data_mb, video_mb=job.video_mb
    )
    with _carrying_out(plan, change, folder) as (editor, pictures):
        coming = _episodes(staging, plan, editor)
        first = next(coming)
        schema = pictures.schema_of(first)
        with closing(
            open_writer(job.format, folder, schema, options)
        ) as writer:
            for episode in chain([first], coming):
                rows = writer.add(episode)
                if written:
                    written.add(rows)
            writer.finish()
    if job.license:
        declare_license(folder / "README.md", job.license)
    if write_modality(folder, staged, change.modality) and written:
        write_groot_stats(folder, written=written)
    write_provenance(plan, folder)
    expected = _expected(staging, plan, change)
    write_seal(
        folder, verdict_of(folder, expected) if job.settings.verify else None
    )
    return schema


@contextmanager
def _carrying_out(
    plan: Plan, change: SchemaEdit, folder: Path
) -> Iterator[tuple[Editor, Pictures]]:
    """What carries the edit plan out; videos that are cut lie beside the dataset meanwhile."""
    pieces = folder.with_name(f"{folder.name}.pieces")
    pieces.mkdir()
    made = {"video": asdict(plan.job.settings.video)}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, pieces, ignore_errors=True)
        # A recorded video whose packets were copied may have headers that ours cannot go on with.
        pictures = Pictures(
            change.schema,
            pieces,
            quantiles=plan.job.format == "v3.0",
            reencode=True,
        )
        recutter = Recutter(pieces, made, reencode=True)
        stack.enter_context(closing(pictures))
        stack.enter_context(closing(recutter))
        editor = Editor(plan.edit, change, pictures=pictures, recutter=recutter)
        yield editor, pictures


def _episodes(
    staging: Staging, plan: Plan, editor: Editor
) -> Iterator[EncodedEpisode]:
    """The episodes of the dataset, in order."""
    for planned in plan.episodes:
        episode = _staged(staging, planned)
        for piece in planned.made:
            if plan.edit or planned.pieces:
                yield editor.piece(
                    episode, piece, planned.place, plan.job.format
                )
            else:
                yield episode


def _expected(
    staging: Staging, plan: Plan, change: SchemaEdit
) -> Iterator[EncodedEpisode]:
    """The rows that the episodes of the dataset must have, and what is known of their videos."""
    for planned in plan.episodes:
        episode = _staged(staging, planned)
        for piece in planned.made:
            yield edited(
                episode, piece, plan.edit, change, made=partial(_seen, plan)
            )


def _seen(plan: Plan, clip: Clip) -> Clip:
    """A clip as long as the plan leaves it; what was looked at is that of all of its frames."""
    if plan.edit.every == 1:
        return clip
    count = len(range(0, clip.count, plan.edit.every))
    return replace(clip, count=count, proof=None)


def _wants_groot_stats(plan: Plan, schema: Schema) -> bool:
    """Whether GR00T's statistics belong to the dataset: it reads v2.1 only, and whole chunks."""
    wanted = plan.job.groot and plan.job.format == "v2.1" and schema.groups
    return bool(wanted) and any(
        episode.length >= DEFAULT_HORIZON for episode in plan.made
    )


def write_provenance(plan: Plan, folder: Path) -> None:
    """Record how the dataset in `folder` was made: layout, settings, sources, what was left out."""
    text = json.dumps(provenance(plan), indent=2, ensure_ascii=False)
    write_whole(folder / PROVENANCE, text + "\n")


def _staged(staging: Staging, planned: PlannedEpisode) -> EncodedEpisode:
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
        fps=plan.fps,
        robot_type=plan.job.robot_type,
    )


def entry_of(
    made: MadeEpisode, edit: DatasetEdit, layout: Layout
) -> dict[str, Any]:
    """What the record tells of an episode: its recording, and what an edit plan left of it.

    Args:
        made: the episode.
        edit: what was done to all of them.
        layout: of the recordings.
    """
    planned, piece, every = made.planned, made.piece, edit.every
    entry: dict[str, Any] = {
        "source": planned.source,
        "episode": planned.name,
        "length": made.length,
    }
    if planned.swapped:
        entry["red_and_blue_exchanged"] = list(planned.swapped)
    frames = planned.frames[piece.start : piece.stop : every]
    if planned.taken or not piece.whole or every > 1:
        stop = planned.frames.stop if planned.taken else piece.stop
        entry["frames"] = [frames.start, stop]
    if frames.step > 1:
        entry["every"] = frames.step
    changes = _changes(made, edit, layout)
    return {**entry, "edited": changes} if changes else entry


def _changes(
    made: MadeEpisode, edit: DatasetEdit, layout: Layout
) -> dict[str, Any]:
    """What is not as it was recorded, beside the frames; see `edits.recorded`."""
    told = made.planned.tasks
    given = (
        told if made.piece.instruction is None else (made.piece.instruction,)
    )
    names = edit.rename_instructions
    new = list(dict.fromkeys(names.get(text, text) for text in given))
    order = {}
    for key, dimensions in edit.reorder_dimensions.items():
        known = layout.vectors[key].dimension_names
        order[key] = [known.index(name) for name in dimensions]
    changes = {
        "instructions": [] if new == list(told) else new,
        "cameras": {
            camera_key(after): camera_key(before)
            for before, after in edit.rename_cameras.items()
        },
        "order": order,
    }
    return {name: change for name, change in changes.items() if change}


def provenance(plan: Plan) -> dict[str, Any]:
    """How a dataset is made: what `meta/piperline.json` holds, as JSON."""
    settings = plan.job.settings
    record = {
        "made_by": f"piperline {__version__}",
        "format": plan.job.format,
        "layout": asdict(plan.job.layout),
        "video": asdict(settings.video),
        "fps": plan.fps // plan.edit.every,
        "size": settings.size,
        "groot": plan.job.groot,
        "episodes": [
            entry_of(made, plan.edit, plan.job.layout) for made in plan.made
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
    if plan.asked.edits:
        edited_by = {
            "by": f"piperline {__version__}",
            "plan": json.loads(plan.asked.edits),
        }
        record["edited"] = [edited_by]
    return record

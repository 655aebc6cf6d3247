"""Assembly: staged episodes become a dataset, in one ordered pass and one rename."""

import shutil
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from piperline.convert.plan import MadeEpisode, Plan, PlannedEpisode
from piperline.convert.provenance import write_provenance
from piperline.convert.stage import Staging, work_folder
from piperline.convert.verdict import verdict_of
from piperline.edits.editor import Editor
from piperline.edits.episodes import edited
from piperline.edits.pictures import Pictures
from piperline.edits.plan import DatasetEdit
from piperline.edits.schema import SchemaEdit
from piperline.episode import Clip, EncodedEpisode
from piperline.errors import TaskFailed
from piperline.features import Schema, layout_schema
from piperline.files import identity, own_name, sweep_removed, write_whole
from piperline.groot.modality import write_modality
from piperline.groot.stats import WrittenRows, write_groot_stats
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.lerobot import (
    DatasetWriter,
    Origins,
    WriterOptions,
    open_writer,
)
from piperline.lerobot.card import declare_license
from piperline.lerobot.dataset import Dataset
from piperline.output.publish import publish
from piperline.seal.known import known_parts
from piperline.seal.seal import write_seal
from piperline.video.recut import Recutter

if TYPE_CHECKING:
    from piperline.convert.early import EarlyAssembly

Made = tuple[Schema, Collection[str]]
"""A dataset's schema; and its files that were on the disk before, as others of a standing one."""


class Standing(Protocol):
    """A dataset whose episodes are taken over as they are."""

    @property
    def dataset(self) -> Dataset:
        """The dataset."""

    def has(self, planned: PlannedEpisode, plan: Plan) -> bool:
        """Whether it has all that a plan makes of an episode."""

    def encoded(self, made: MadeEpisode, edit: DatasetEdit) -> EncodedEpisode:
        """An episode that it has."""

    def leading(self, plan: Plan) -> tuple[int, int]:
        """How many planned episodes, from the first on, are its first; how many it has of them."""


def assemble(
    staging: Staging,
    plan: Plan,
    output: Path,
    *,
    replaces: str | None = None,
    standing: Standing | None = None,
    early: "EarlyAssembly | None" = None,
) -> Schema:
    """Make the dataset of a plan whose episodes are all at hand: one ordered pass, then one rename.

    What is staged stays; a run that begins when the dataset has its name removes it (`sweep`).

    Args:
        staging: where the episodes are.
        plan: which episodes, in which order.
        output: the name that the dataset gets.
        replaces: the state of the dataset that it replaces; see `give_name`.
        standing: has the episodes that are not staged.
        early: has put episodes together already, if its plan is still this one.

    Returns:
        The dataset's schema.

    Raises:
        TaskFailed: an episode is not staged.
        OutputExists: something came to lie at `output` meanwhile.
    """
    made = early.finish(plan) if early else None
    if early and made:
        folder = early.folder
    else:
        folder = dataset_folder(staging)
        made = write_dataset(staging, plan, folder, standing)
    schema, known = made
    staging.note_plan(plan)
    write_whole(staging.published_file, identity(folder))
    publish(folder, output, replaces=replaces, known=known)
    return schema


def dataset_folder(staging: Staging) -> Path:
    """Where a dataset is put together: a name of its own, since another attempt may be at work."""
    return staging.root / f"dataset-{own_name()}"


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
) -> Made:
    """Write the dataset of a plan whose episodes are all at hand.

    Args:
        staging: where the episodes are.
        plan: which episodes, in which order.
        folder: is made; the caller gives it its final name with `publish`.
        standing: has the episodes that are not staged.

    Raises:
        TaskFailed: an episode is not staged.
    """
    return all_done(writing(staging, plan, folder, standing))


Steps = Generator[PlannedEpisode | None, None, Made]


def all_done(steps: Steps) -> Made:
    """Take the steps of `writing` that are left; what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Made = end.value
            return made


def writing(
    staging: Staging, plan: Plan, folder: Path, standing: Standing | None = None
) -> Steps:
    """Write a dataset as `write_dataset` does, in steps.

    Yields:
        An episode before it is taken, which has to be at hand by then; at last None, before what is
        done when all are written.
    """
    folder.mkdir()
    at_hand = _AtHand(staging, plan, standing)
    planned, taken = at_hand.sample()
    if taken is None:
        yield planned
    first = next(taken) if taken else at_hand.staged(planned)
    staged = _schema(plan, planned, first)
    change = SchemaEdit(plan.edit, staged)
    wanted = _wants_groot_stats(plan, staged)
    written = WrittenRows(folder) if wanted else None
    job = plan.job
    options = WriterOptions(
        link=True, data_mb=job.data_mb, video_mb=job.video_mb
    )
    with _carrying_out(plan, change, folder) as (editor, pictures):
        coming = _episodes(at_hand, plan, editor)
        if standing and standing.has(plan.episodes[0], plan):
            schema = _as_it_stands(change.schema, standing, plan)
        else:
            planned, made = next(coming)
            first = next(made)
            schema = pictures.schema_of(first)
            coming = chain([(planned, chain([first], made))], coming)
        with closing(
            open_writer(job.format, folder, schema, options)
        ) as writer:
            taken_first = _take_first(writer, standing, plan, written)
            if taken_first:
                coming = _episodes(at_hand, plan, editor, behind=taken_first)
            for planned, made in coming:
                yield planned
                for episode in made:
                    rows = writer.add(episode)
                    if written:
                        written.add(rows)
            yield None
            writer.finish()
            origins = writer.origins
    if job.license:
        declare_license(folder / "README.md", job.license)
    if write_modality(folder, staged, change.modality) and written:
        write_groot_stats(folder, written=written)
    write_provenance(plan, folder)
    expected = _expected(at_hand, plan, change)
    write_seal(
        folder,
        verdict_of(folder, expected) if job.settings.verify else None,
        known=known_parts([standing.dataset] if standing else [], origins),
    )
    return schema, list(_standing_files(origins, standing))


def _standing_files(
    origins: Origins, standing: Standing | None
) -> Iterator[str]:
    """The files that are those of a dataset that was published."""
    if standing:
        root = f"{standing.dataset.root}/"
        for name, source in origins.files.items():
            if source.startswith(root):
                yield name


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


_Planned = tuple[PlannedEpisode, Iterator[EncodedEpisode] | None]
"""An episode, and what is taken over of it; None where it is staged."""


class _AtHand:
    """The episodes of a plan: staged, or those of a dataset that has them as they are to be."""

    def __init__(
        self, staging: Staging, plan: Plan, standing: Standing | None
    ) -> None:
        self._staging, self._plan, self._standing = staging, plan, standing

    def sample(self) -> _Planned:
        """One whose cameras are those of all before they are edited."""
        episodes = self._plan.episodes
        if self._standing is None:
            return episodes[0], None
        if self._plan.edit:
            return next(filter(self._staging.is_staged, episodes)), None
        return min(self, key=lambda each: bool(each[0].kept))

    def __iter__(self) -> Iterator[_Planned]:
        """Each planned episode, and what is taken over of it; None where it is staged."""
        standing = self._standing
        made = iter(self._plan.made)
        for planned in self._plan.episodes:
            pieces = [next(made) for _ in planned.made]
            if standing and standing.has(planned, self._plan):
                edit = self._plan.edit
                yield planned, (standing.encoded(each, edit) for each in pieces)
            else:
                yield planned, None

    def staged(self, planned: PlannedEpisode) -> EncodedEpisode:
        """A staged episode.

        Raises:
            TaskFailed: it is not there.
        """
        return _staged(self._staging, planned)


def _as_it_stands(schema: Schema, standing: Standing, plan: Plan) -> Schema:
    """A schema whose cameras are those of a dataset: an edit may have encoded its first videos."""
    if not plan.edit:
        return schema
    known = standing.dataset.info.features
    cameras = {key: known[key] for key in schema.cameras}
    return replace(schema, features={**schema.features, **cameras})


def _take_first(
    writer: DatasetWriter,
    standing: Standing | None,
    plan: Plan,
    written: WrittenRows | None,
) -> int:
    """Take over the episodes that have the numbers that they had; how many planned ones."""
    if standing is None:
        return 0
    planned, made = standing.leading(plan)
    if not made or not writer.take_first(standing.dataset, made):
        return 0
    if written:
        for index in range(made):
            written.add(standing.dataset.reader.table(index))
    return planned


def _episodes(
    at_hand: _AtHand, plan: Plan, editor: Editor, *, behind: int = 0
) -> Iterator[tuple[PlannedEpisode, Iterator[EncodedEpisode]]]:
    """The planned episodes behind some; each with the episodes of the dataset that it becomes."""
    for planned, taken in islice(at_hand, behind, None):
        yield planned, taken or _made_of(planned, at_hand, plan, editor)


def _made_of(
    planned: PlannedEpisode, at_hand: _AtHand, plan: Plan, editor: Editor
) -> Iterator[EncodedEpisode]:
    """What becomes of a staged episode, which is read when the first is asked for."""
    episode = at_hand.staged(planned)
    for piece in planned.made:
        if plan.edit or planned.pieces:
            yield editor.piece(episode, piece, planned.place, plan.job.format)
        else:
            yield episode


def _expected(
    at_hand: _AtHand, plan: Plan, change: SchemaEdit
) -> Iterator[EncodedEpisode]:
    """The rows that the episodes of the dataset must have, and what is known of their videos."""
    for planned, taken in at_hand:
        if taken:
            yield from taken
            continue
        episode = at_hand.staged(planned)
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


def _schema(
    plan: Plan, planned: PlannedEpisode, first: EncodedEpisode
) -> Schema:
    cameras = {
        name: clip.info
        for name, clip in zip(
            planned.cameras, first.clips.values(), strict=True
        )
    }
    return layout_schema(
        plan.job.layout,
        cameras=cameras,
        depth={
            name: header.depth
            for name, header in planned.cameras.items()
            if header.depth
        },
        fps=plan.fps,
        robot_type=plan.job.robot_type,
    )

"""`edit`: a dataset as a plan leaves it; only frames between a cut and a key frame are encoded."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from piperline import __version__
from piperline.edits.document import plan_document
from piperline.edits.editor import Editor, check_renames
from piperline.edits.pictures import Pictures, tells_distances
from piperline.edits.pieces import KnownEpisode, Piece, fit
from piperline.edits.plan import (
    EditPlan,
    EpisodeEdit,
    address,
    check_dataset_edit,
    fingerprint,
    refuse_changed,
    refuse_other_dataset,
)
from piperline.edits.recorded import changes_of, edited_of
from piperline.edits.schema import SchemaEdit
from piperline.errors import DatasetError, Place, UsageError
from piperline.features import CAMERA_PREFIX
from piperline.files import snapshot, sync_tree, syncing
from piperline.groot.stats import WrittenRows, write_groot_stats
from piperline.lerobot import Origins, WriterOptions
from piperline.lerobot.columns import task_columns
from piperline.lerobot.dataset import Dataset, open_dataset
from piperline.output.publish import check_output
from piperline.output.workspace import Workplace, was_published, workplace
from piperline.recordings.find import recording_near
from piperline.seal.known import known_parts
from piperline.seal.seal import SEAL, write_seal
from piperline.text import plural, printable
from piperline.transfer.carried import carry_files, common_schema, own_columns
from piperline.transfer.compare import MODALITY, check_cameras, read_modality
from piperline.transfer.edited import EditedEpisodes
from piperline.transfer.record import read_record, write_record
from piperline.transfer.result import EditOptions, EditResult
from piperline.transfer.transfer import told, wants_groot_stats, write_episodes
from piperline.video.clips import ClipReader
from piperline.video.recut import Recutter, Work, is_lossless_depth


@dataclass(frozen=True)
class PieceWork:
    """What a changed piece of an episode takes.

    Attributes:
        index: the number of the episode.
        start, stop: the frames that stay, half-open.
        work: of all its cameras together.
    """

    index: int
    start: int
    stop: int
    work: Work


@dataclass(frozen=True)
class Preview:
    """What an edit would do.

    Attributes:
        episodes, frames: of the new dataset.
        work: of all videos.
        changed: the pieces of videos that are not taken over whole.
    """

    episodes: int
    frames: int
    work: Work
    changed: tuple[PieceWork, ...]


_DEFAULTS = EditOptions()


def edit(
    dataset: Path,
    plan: EditPlan,
    *,
    output: Path | None = None,
    options: EditOptions = _DEFAULTS,
) -> EditResult:
    """Carry out a plan on a dataset.

    Args:
        dataset: its folder.
        plan: what is to be done.
        output: the new dataset's folder; None gives it the name of the old one, which is kept
            beside it, as `migrate` does.
        options: how.

    Raises:
        DatasetError: the dataset cannot be read, or a video not be cut.
        UsageError: the plan does not fit the dataset; nothing was touched.
        OutputExists: there is something at `output`.
        OutputError: the output cannot be written.
    """
    request = json.dumps(
        [
            "edit",
            str(dataset.resolve()),
            repr(plan),
            options.reencode,
        ]
    )
    target = output or dataset.resolve()
    if output is not None and not was_published(output, request):
        check_output(
            output,
            [dataset],
            overwrite=options.overwrite,
            thorough=False,
        )
        _Change(dataset, plan)  # before a folder is made for the output
    # Before the dataset is opened: what a killed edit left at its path is put right.
    with workplace(target, request) as place:
        if place.finished:
            return EditResult.of_existing(target, (), place.backup)
        change = _Change(dataset, plan)
        if output is None:
            result = change.carry_out(place, options)
            return replace(result, output=target, backup=place.exchange())
        replaces = check_output(output, [dataset], overwrite=options.overwrite)
        result = change.carry_out(place, options)
        place.publish(replaces=replaces)
    return replace(result, output=target)


def preview_edit(
    dataset: Path, plan: EditPlan, *, reencode: bool = False
) -> Preview:
    """Tell what `edit` would do; nothing is written.

    Args:
        dataset: its folder.
        plan: what is to be done.
        reencode: as in `EditOptions`.

    Raises:
        DatasetError: the dataset cannot be read, or a video not be cut.
        UsageError: the plan does not fit the dataset.
    """
    change = _Change(dataset, plan)
    with closing(Recutter(None, change.record, reencode=reencode)) as recutter:
        return change.preview(recutter)


class _Change:
    """A plan that fits a dataset.

    Args:
        root: the dataset's folder.
        plan: what is to be done.

    Attributes:
        record: how the dataset was made.

    Raises:
        DatasetError: the dataset cannot be read.
        UsageError: the plan does not fit it.
    """

    def __init__(self, root: Path, plan: EditPlan) -> None:
        if not plan:
            raise UsageError(
                "the plan changes nothing",
                expected="something to do: --drop, --trim, --task and others",
                found="nothing",
                next_step="say what is to be done; `piperline edit --help` lists what there is",
            )
        check_dataset_edit(plan.dataset)
        self._before = snapshot(root)
        self._dataset, self._plan = open_dataset(root), plan
        check_cameras(self._dataset)
        self._notes: list[str] = []
        self.record = read_record(root)
        self._entries = _entries(self._dataset, self.record)
        schema = common_schema([self._dataset], self._notes)
        known = _known_episodes(self._dataset, self._entries)
        fitted = fit(plan, known, fps=schema.fps)
        self._pieces = fitted.pieces
        _refuse_colours(fitted.edits)
        self._notes += _check_made_of(
            self._dataset, self._entries, plan, fitted.edits
        )
        check_renames(plan, self._dataset.tasks)
        self._schema = SchemaEdit(plan.dataset, schema)
        self._check_depth()
        self._old_modality = read_modality(self._dataset.folder)
        self._modality = self._schema.modality(self._old_modality)

    def _check_depth(self) -> None:
        """See that depth images that would be encoded again keep every bit.

        Raises:
            DatasetError: some would have to be.
        """
        every = self._plan.dataset.every
        features = self._schema.schema.features
        depth = [
            old
            for new, old in self._schema.keys.items()
            if features[new].is_depth and features[new].is_video
        ]
        cut = [piece for piece in self._pieces if not piece.whole or every > 1]
        if not depth or not cut:
            return
        told = True
        with closing(ClipReader()) as reader:
            for piece in cut:
                clips = self._dataset.episode(piece.index).clips
                for key in depth:
                    feature = self._dataset.schema.features[key]
                    told &= tells_distances(feature, clips[key].info)
                    span = piece.span(clips[key])
                    kept = every == 1 and reader.is_cuttable(span)
                    if not kept and not is_lossless_depth(span.info):
                        raise self._depth_error(piece, key)
        pieces = plural(len(cut), "episode")
        self._notes.append(
            f"statistics of depth of {pieces} that the plan cuts are those of their videos, "
            "which keep 12 bits of a distance"
            if told
            else f"statistics of depth are left out of {pieces} that the plan cuts: "
            "the videos do not tell distances"
        )

    def _depth_error(self, piece: Piece, key: str) -> DatasetError:
        return DatasetError(
            "depth images cannot be cut inside of a group of pictures",
            place=Place(
                file=self._dataset.root,
                episode=str(piece.index),
                camera=key,
                frame=piece.start,
            ),
            expected="a cut at key frames, and every frame; or lossless depth: HEVC, gray12le",
            found=f"frames {piece.start} to {piece.stop}",
            next_step="cut elsewhere, or leave the camera out: "
            f"--drop-camera {key.removeprefix(CAMERA_PREFIX)}",
        )

    def _length(self, piece: Piece) -> int:
        return len(
            range(
                piece.start,
                piece.stop,
                self._plan.dataset.every,
            )
        )

    def preview(self, recutter: Recutter) -> Preview:
        """What is to be done; nothing is written."""
        every = self._plan.dataset.every
        whole, changed = Work(0, 0), []
        for piece in self._pieces:
            if piece.whole and every == 1:
                whole += Work(
                    self._length(piece) * len(self._schema.schema.cameras), 0
                )
            else:
                work = self._work(piece, recutter)
                changed.append(
                    PieceWork(piece.index, piece.start, piece.stop, work)
                )
        work = sum((each.work for each in changed), whole)
        frames = sum(map(self._length, self._pieces))
        return Preview(len(self._pieces), frames, work, tuple(changed))

    def _work(self, piece: Piece, recutter: Recutter) -> Work:
        clips = self._dataset.episode(piece.index).clips
        kept = [
            clips[key] for key in self._schema.keys.values() if key in clips
        ]
        every = self._plan.dataset.every
        spans = [piece.span(clip) for clip in kept]
        return sum(
            (recutter.work(span, every) for span in spans),
            Work(0, 0),
        )

    def carry_out(self, place: Workplace, options: EditOptions) -> EditResult:
        """Make the new dataset in `place.dataset`."""
        dataset, made, schema = self._dataset, place.dataset, self._schema
        version, notes = dataset.version, [*self._notes]
        pictures = Pictures(
            schema.schema,
            place.pieces,
            quantiles=version == "v3.0",
            reencode=options.reencode,
        )
        recutter = Recutter(
            place.pieces, self.record, reencode=options.reencode
        )
        editor = Editor(
            self._plan.dataset,
            schema,
            pictures=pictures,
            recutter=recutter,
            instruction_columns=task_columns(dataset.schema),
        )
        episodes = EditedEpisodes(dataset, self._pieces, editor)
        own = own_columns(episodes.parts, version, notes)
        longest = max(map(self._length, self._pieces))
        wanted = wants_groot_stats([dataset], version, [self.record], longest)
        written = WrittenRows(made) if wanted else None
        with closing(pictures), closing(recutter):
            _, frames, origins = write_episodes(
                version,
                made,
                WriterOptions(
                    link=True,
                    data_mb=dataset.info.data_mb,
                    video_mb=dataset.info.video_mb,
                    own_columns=own,
                ),
                episodes=episodes,
                pictures=pictures,
                notes=notes,
                written=written,
                watch=options.watch,
            )
        self._complete(made, written, origins, notes)
        self._refuse_changed()
        notes += [f"{dataset.root}: {note}" for note in dataset.notes]
        return EditResult(
            output=made,
            format=version,
            episodes=len(self._pieces),
            frames=frames,
            tasks=tuple(open_dataset(made).tasks),
            notes=(*notes, *told(pictures)),
            work=recutter.done,
        )

    def _refuse_changed(self) -> None:
        """See that nobody changed the dataset meanwhile.

        Raises:
            DatasetError: somebody did.
        """
        now = snapshot(self._dataset.root)
        changed = {
            name
            for name in self._before.keys() | now.keys()
            if self._before.get(name) != now.get(name)
        }
        if changed:
            raise DatasetError(
                "the dataset has changed while it was edited",
                place=Place(file=self._dataset.root / min(changed)),
                expected="a dataset that nothing writes to",
                found=f"{plural(len(changed), 'file')} that came, went or changed",
                next_step="run the same command again when nothing writes to it any more",
            )

    def _complete(
        self,
        made: Path,
        written: WrittenRows | None,
        origins: Origins,
        notes: list[str],
    ) -> None:
        """Write what `meta/` holds beside LeRobot's own files, and bring all of it to the disk."""
        with syncing(made):
            self._keep_modality(made)
            write_record(made, self._new_record())
            carry_files([self._dataset], made, notes)
            if written:
                write_groot_stats(made, written=written)
            write_seal(made, known=known_parts([self._dataset], origins))
        sync_tree(made / "meta")

    def _keep_modality(self, made: Path) -> None:
        if self._old_modality is None:
            return
        if self._modality == self._old_modality:
            shutil.copyfile(
                self._dataset.folder.path(MODALITY), made / MODALITY
            )
            return
        text = json.dumps(self._modality, indent=4, ensure_ascii=False) + "\n"
        (made / MODALITY).write_text(text, encoding="utf-8")

    def _new_record(self) -> dict[str, Any]:
        record = {"made_by": f"piperline {__version__}", **self.record}
        record["format"] = self._dataset.version
        if "fps" in record:
            record["fps"] = self._schema.schema.fps
        record["episodes"] = [self._entry(piece) for piece in self._pieces]
        known = self.record.get("edited")
        before = known if isinstance(known, list) else []
        record["edited"] = [*before, self._edited()]
        return record

    def _entry(self, piece: Piece) -> dict[str, Any]:
        """How a new episode was made: which frames of its source it has, and of those each n-th."""
        entry = dict(self._entries[piece.index])
        known, every = edited_of(entry), self._plan.dataset.every
        entry["length"] = self._length(piece)
        if not piece.whole or every > 1:
            first, step = known.first, known.every
            entry["frames"] = [
                first + piece.start * step,
                first + (piece.stop - 1) * step + 1,
            ]
            if every * step > 1:
                entry["every"] = every * step
        entry.pop("edited", None)
        changes = changes_of(known, self._schema, self._instructions(piece))
        return {**entry, "edited": changes} if changes else entry

    def _instructions(self, piece: Piece) -> list[str] | None:
        """The instructions that a piece was given; None where it keeps its own."""
        old = self._dataset.episodes[piece.index].tasks
        given = old if piece.instruction is None else (piece.instruction,)
        names = self._plan.dataset.rename_instructions
        new = list(dict.fromkeys(names.get(text, text) for text in given))
        return None if new == list(old) else new

    def _edited(self) -> dict[str, Any]:
        """The plan, and what it was applied to."""
        folder = self._dataset.folder
        sealed = folder.path(SEAL if folder.has(SEAL) else "meta/info.json")
        return {
            "by": f"piperline {__version__}",
            "plan": plan_document(self._plan),
            "applied_to": {
                "episodes": len(self._dataset),
                "frames": sum(row.length for row in self._dataset.episodes),
                "seal": hashlib.sha256(sealed.read_bytes()).hexdigest(),
            },
        }


def _entries(
    dataset: Dataset,
    record: dict[str, Any],
) -> list[dict[str, Any]]:
    """What the record tells of each episode; empty where it tells nothing."""
    found = record.get("episodes")
    if not isinstance(found, list) or len(found) != len(dataset):
        return [{} for _ in dataset.episodes]
    return list(map(_as_object, found))


def _as_object(entry: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return entry if isinstance(entry, dict) else {}


def _known_episodes(
    dataset: Dataset, entries: list[dict[str, Any]]
) -> list[KnownEpisode]:
    return [
        KnownEpisode(row.length, *_source(entry))
        for row, entry in zip(dataset.episodes, entries, strict=True)
    ]


def _source(entry: dict[str, Any]) -> tuple[str, str]:
    """The recording of an episode and its name there; empty where they are not known."""
    source, name = entry.get("source"), entry.get("episode")
    known = isinstance(source, str) and isinstance(name, str)
    return (str(source), str(name)) if known else ("", "")


def _check_made_of(
    dataset: Dataset,
    entries: Sequence[dict[str, Any]],
    plan: EditPlan,
    edits: Mapping[int, EpisodeEdit],
) -> list[str]:
    """See that the plan was made for this dataset, or for the recordings that it was made of.

    Returns:
        A note where recordings are not here, and the dataset does not tell what they were.

    Raises:
        BadEpisode: a recording is another.
        DatasetError: the dataset is another.
    """
    absent = 0
    for index, edit in edits.items():
        now, recorded = (
            dataset.folder.made_of(index),
            entries[index].get("made_of"),
        )
        if edit.made_of in {"", now, recorded}:
            continue
        place = Place(file=dataset.root, episode=str(index))
        source, name = _source(entries[index])
        if index in plan.episodes or not source:
            refuse_other_dataset(edit, now, place)
        if isinstance(recorded, str):
            place = Place(file=dataset.root, episode=address(source, name))
            refuse_changed(edit, recorded, place)
        path = recording_near(source, dataset.root)
        if path is None:
            absent += 1
            continue
        stat = path.stat()
        now = fingerprint(source, stat.st_size, stat.st_mtime_ns, name)
        refuse_changed(edit, now, Place(file=path, episode=name))
    if not absent:
        return []
    told = f"the recordings of {plural(absent, 'episode')} of the plan are not here"
    return [f"{told}: whether they have changed since was not looked at"]


def _refuse_colours(edits: Mapping[int, EpisodeEdit]) -> None:
    """See that no colours are to be put right: the frames of a dataset are encoded.

    Raises:
        UsageError: some are.
    """
    for index, edit in edits.items():
        if edit.swap_red_blue:
            raise UsageError(
                "red and blue cannot be exchanged in the videos of a dataset",
                place=Place(episode=str(index)),
                expected="a plan without swap_red_blue: every frame would be encoded again",
                found=printable(", ".join(edit.swap_red_blue)),
                next_step="carry the plan out on the recordings: "
                "`piperline convert RECORDINGS --plan PLAN`",
            )

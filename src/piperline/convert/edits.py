"""An edit plan on recordings: which episodes are staged, and which pieces of them are kept.

Episodes are staged whole, so that a conversion cuts as an edit of the dataset does: the same plan
makes the same dataset. Only a lower rate of videos that have to be encoded is taken from the
recorded images: nothing is encoded twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from piperline.convert.job import Job
from piperline.edits.editor import check_renames
from piperline.edits.pieces import Fit, KnownEpisode, Piece, fit
from piperline.edits.plan import (
    DatasetEdit,
    EditPlan,
    EpisodeEdit,
    check_dataset_edit,
    fingerprint,
    refuse_changed,
)
from piperline.edits.schema import SchemaEdit
from piperline.episode import VideoInfo
from piperline.errors import UsageError
from piperline.features import Schema, layout_schema
from piperline.groot.modality import modality
from piperline.recordings.image_spans import ImageSpan, exchanged
from piperline.recordings.instructions import spans_from
from piperline.recordings.recorded_episode import Episode
from piperline.text import printable

if TYPE_CHECKING:
    from piperline.convert.plan import PlannedEpisode


def images_of(
    episode: Episode, planned: "PlannedEpisode", camera: str
) -> ImageSpan:
    """The images of a camera that are staged of an episode."""
    stream = episode.stream(camera, planned.frames.stop)
    return ImageSpan(stream, planned.frames, swap=camera in planned.swapped)


def vectors_of(
    episode: Episode, planned: "PlannedEpisode"
) -> dict[str, NDArray[np.float32]]:
    """The rows that are staged of an episode, by feature name: float32 (length, D)."""
    frames = planned.frames
    whole = episode.vectors(frames.stop)
    return {
        key: rows[frames.start :: frames.step] for key, rows in whole.items()
    }


@dataclass(frozen=True)
class CarriedOut:
    """What a plan makes of recorded episodes.

    Attributes:
        kept: the episodes that are staged, with the pieces that are kept of each.
        dropped: those that the plan leaves out, with the reason.
        edit: what is done to all of them when the dataset is put together.
    """

    kept: list["PlannedEpisode"]
    dropped: list[tuple["PlannedEpisode", str]]
    edit: DatasetEdit


def carried_out(
    planned: Sequence["PlannedEpisode"], plan: EditPlan, job: Job
) -> CarriedOut:
    """The episodes as a plan wants them.

    Args:
        planned: all of them, in order.
        plan: what is to be done.
        job: how they are converted.

    Raises:
        UsageError: the plan names what is not there, or nothing would be left.
        BadEpisode: a recording has changed since the plan was made.
    """
    check_dataset_edit(plan.dataset)
    known = [KnownEpisode(e.length, e.source, e.name) for e in planned]
    fitted = fit(plan, known, fps=job.settings.fps)
    for index, edit in fitted.edits.items():
        e = planned[index]
        now = fingerprint(e.source, e.size, e.mtime_ns, e.name)
        refuse_changed(edit, now, e.place)
    check_renames(plan, (task for e in planned for task in e.tasks))
    schema = _schema(planned[0], job)
    SchemaEdit(plan.dataset, schema).modality(modality(schema))
    gone = plan.dataset.drop_cameras
    kept_cameras = [_without(episode, gone) for episode in planned]
    thinned = _is_thinned(plan.dataset, job, planned[0])
    staged = _thinned if thinned else _whole
    kept: list[PlannedEpisode] = []
    for index, pieces in _by_episode(fitted).items():
        swapped = fitted.edits.get(index, EpisodeEdit()).swap_red_blue
        episode = _with_colours(kept_cameras[index], swapped)
        kept += staged(episode, pieces, plan.dataset.every)
    dropped = [
        (planned[index], edit.reason or "the plan leaves it out")
        for index, edit in sorted(fitted.edits.items())
        if edit.drop
    ]
    rest = replace(plan.dataset, drop_cameras=())
    if thinned:
        rest = replace(rest, every=1)
    return CarriedOut(kept, dropped, rest)


def _is_thinned(edit: DatasetEdit, job: Job, episode: "PlannedEpisode") -> bool:
    """Whether only every n-th recorded image is encoded; JPEG that are kept are thinned later."""
    encoded = job.settings.video.codec is not None or any(
        header.depth for header in episode.cameras.values()
    )
    return edit.every > 1 and encoded


def _by_episode(fitted: Fit) -> Mapping[int, list[Piece]]:
    found: dict[int, list[Piece]] = {}
    for piece in fitted.pieces:
        found.setdefault(piece.index, []).append(piece)
    return found


def _whole(
    episode: "PlannedEpisode", pieces: Sequence[Piece], _every: int
) -> Iterator["PlannedEpisode"]:
    """An episode that is staged whole, and cut when the dataset is put together."""
    plain = [replace(piece, index=0) for piece in pieces]
    changed = len(plain) > 1 or plain[0].instruction or not plain[0].whole
    yield replace(episode, pieces=tuple(plain) if changed else ())


def _thinned(
    episode: "PlannedEpisode", pieces: Sequence[Piece], every: int
) -> Iterator["PlannedEpisode"]:
    """An episode of which every n-th frame of each piece is staged."""
    for piece in pieces:
        taken = (piece.start, piece.stop, every)
        length = len(range(*taken))
        told = Piece(0, 0, length, whole=True, instruction=piece.instruction)
        spans = _thinned_spans(episode, piece, every)
        yield replace(
            episode,
            length=length,
            taken=taken,
            task=spans[0][1] if spans else episode.task,
            spans=spans if len(spans) > 1 else (),
            pieces=(told,) if piece.instruction else (),
        )


def _thinned_spans(
    episode: "PlannedEpisode", piece: Piece, every: int
) -> tuple[tuple[int, str], ...]:
    """When the instruction changes among every n-th frame of a piece."""
    spans = spans_from(episode.spans, piece.start, piece.stop - piece.start)
    starts: dict[int, str] = {}
    for (
        start,
        told,
    ) in spans:  # of two that begin at one frame, the later one holds
        starts[-(-start // every)] = told
    rows = len(range(piece.start, piece.stop, every))
    return tuple(
        (start, told) for start, told in starts.items() if start < rows
    )


def _schema(episode: "PlannedEpisode", job: Job) -> Schema:
    """The features of the dataset before it is edited, as far as names and sizes go."""
    cameras = {
        name: VideoInfo("", "", header.width, header.height, job.settings.fps)
        for name, header in episode.cameras.items()
    }
    return layout_schema(
        job.layout,
        cameras=cameras,
        depth={
            name: header.depth
            for name, header in episode.cameras.items()
            if header.depth
        },
        fps=job.settings.fps,
        robot_type=job.robot_type,
    )


def _without(
    episode: "PlannedEpisode", gone: Sequence[str]
) -> "PlannedEpisode":
    cameras = {
        name: header
        for name, header in episode.cameras.items()
        if name not in gone
    }
    return replace(episode, cameras=cameras)


def _with_colours(
    episode: "PlannedEpisode", swapped: tuple[str, ...]
) -> "PlannedEpisode":
    unknown = [name for name in swapped if name not in episode.cameras]
    if unknown:
        raise UsageError(
            "the plan names cameras that the episode does not have",
            place=episode.place,
            expected=", ".join(map(printable, episode.cameras)),
            found=", ".join(map(printable, unknown)),
            next_step="correct the names in swap_red_blue of the plan",
        )
    put_right = {
        name: replace(header, color=exchanged(header.color))
        for name, header in episode.cameras.items()
        if name in swapped
    }
    return replace(
        episode, cameras={**episode.cameras, **put_right}, swapped=swapped
    )

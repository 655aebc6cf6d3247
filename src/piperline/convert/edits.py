"""An edit plan carried out by a conversion: episodes left out, trimmed, told otherwise.

Cameras left out or put right.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, UsageError
from piperline.plan import EditPlan, EpisodeEdit, address, fingerprint
from piperline.recordings.images import ImageSpan, exchanged
from piperline.recordings.instructions import spans_from
from piperline.recordings.recorded_episode import Episode
from piperline.text import printable

if TYPE_CHECKING:
    from piperline.convert.plan import PlannedEpisode


def images_of(
    episode: Episode, planned: "PlannedEpisode", camera: str
) -> ImageSpan:
    """The images of a camera that a planned episode keeps."""
    frames = range(planned.first, planned.first + planned.length)
    stream = episode.stream(camera, frames.stop)
    return ImageSpan(stream, frames, swap=camera in planned.swapped)


def vectors_of(
    episode: Episode, planned: "PlannedEpisode"
) -> dict[str, NDArray[np.float32]]:
    """The rows that a planned episode keeps, by feature name: float32 (length, D)."""
    whole = episode.vectors(planned.first + planned.length)
    return {key: rows[planned.first :] for key, rows in whole.items()}


def carried_out(
    planned: Sequence["PlannedEpisode"], edits: EditPlan
) -> tuple[list["PlannedEpisode"], list[tuple["PlannedEpisode", str]]]:
    """The episodes as the plan wants them, and those that it leaves out, with the reason.

    Raises:
        UsageError: the plan names what is not there, or nothing would be left.
        BadEpisode: a recording has changed since the plan was made.
    """
    known = {address(e.source, e.name) for e in planned}
    missing = [name for name in edits.episodes if name not in known]
    cameras = set(planned[0].cameras)
    unknown = [name for name in edits.drop_cameras if name not in cameras]
    if missing or unknown:
        found = ", ".join(map(printable, (*missing, *unknown)))
        raise UsageError(
            "the plan names episodes or cameras that are not among the recordings",
            found=found[:500],
            next_step="give the recordings that were reviewed, or take the entries out",
        )
    kept, dropped = [], []
    for episode in planned:
        edit = edits.episodes.get(address(episode.source, episode.name))
        if edit is not None:
            _refuse_changed(episode, edit)
        if edit is not None and edit.drop:
            dropped.append((episode, edit.reason or "the plan leaves it out"))
        else:
            kept.append(_edited(episode, edit, edits.drop_cameras))
    if not kept:
        raise UsageError(
            "the plan leaves no episode",
            next_step="take entries with drop out of it",
        )
    return kept, dropped


def _refuse_changed(episode: "PlannedEpisode", edit: EpisodeEdit) -> None:
    now = fingerprint(
        episode.source, episode.size, episode.mtime_ns, episode.name
    )
    if edit.made_of and edit.made_of != now:
        raise BadEpisode(
            "the recording has changed since the plan was made",
            place=episode.place,
            expected=f"the file that was reviewed ({edit.made_of})",
            found=f"another size or time of change ({now})",
            next_step="review the recordings again: `piperline review`",
        )


def _edited(
    episode: "PlannedEpisode",
    edit: EpisodeEdit | None,
    drop_cameras: Sequence[str],
) -> "PlannedEpisode":
    cameras = {
        name: c
        for name, c in episode.cameras.items()
        if name not in drop_cameras
    }
    episode = replace(episode, cameras=cameras)
    if edit is None:
        return episode
    start, end = edit.trim or (0, None)
    stop = episode.length if end is None else end
    if not 0 <= start < stop <= episode.length:
        raise BadEpisode(
            "the plan trims an episode to frames that it does not have",
            place=episode.place,
            expected=f"frames from 0 to {episode.length}",
            found=f"{start}:{stop}",
            next_step="correct the entry, or review the recordings again",
        )
    unknown = [
        name for name in edit.swap_red_blue if name not in episode.cameras
    ]
    if unknown:
        raise UsageError(
            "the plan names cameras that the episode does not have",
            place=episode.place,
            expected=", ".join(map(printable, episode.cameras)),
            found=", ".join(map(printable, unknown)),
        )
    spans = spans_from(episode.spans, start, stop - start)
    put_right = {
        name: replace(header, color=exchanged(header.color))
        for name, header in episode.cameras.items()
        if name in edit.swap_red_blue
    }
    return replace(
        episode,
        cameras={**episode.cameras, **put_right},
        first=start,
        length=stop - start,
        is_cut=stop - start < episode.length,
        task=edit.instruction or (spans[0][1] if spans else episode.task),
        is_retold=edit.instruction is not None,
        spans=spans if len(spans) > 1 and not edit.instruction else (),
        swapped=edit.swap_red_blue,
    )

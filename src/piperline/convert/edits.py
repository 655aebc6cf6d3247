"""An edit plan carried out by a conversion: episodes left out, trimmed, told otherwise.

Cameras left out or put right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from piperline.episode import Clip
from piperline.errors import BadEpisode, UsageError
from piperline.plan import EditPlan, EpisodeEdit, address, fingerprint
from piperline.recordings.images import CameraHeader, ImageStream, Payload
from piperline.recordings.instructions import spans_from
from piperline.recordings.recorded_episode import Episode
from piperline.recordings.rules import Color, Mirrored
from piperline.text import printable
from piperline.video.clips import ClipReader

if TYPE_CHECKING:
    from piperline.convert.plan import PlannedEpisode


@dataclass(frozen=True)
class EditedImages:
    """A span of the images of a camera, perhaps with red and blue exchanged back.

    Frames count from its start.

    Attributes:
        stream: the recorded images, up to the end of the span.
        first: the number of the first frame of the span.
        swap: whether red and blue are exchanged.
    """

    stream: ImageStream
    first: int
    swap: bool

    @property
    def length(self) -> int:
        """How many frames."""
        return self.stream.length - self.first

    @property
    def color(self) -> Color:
        """How the colours are meant: exchanged once more where they are to be put right."""
        return _exchanged(self.stream.color) if self.swap else self.stream.color

    @property
    def mirrored(self) -> Mirrored:
        """How the recorded images are mirrored."""
        return self.stream.mirrored

    def header(self) -> CameraHeader:
        """How the images are stored and how large they are."""
        return replace(self.stream.header(), color=self.color)

    def clip(self) -> Clip | None:
        """The span of a video whose packets are the images, and stand alone, if there is one."""
        clip = self.stream.clip()
        if clip is None or not self.first:
            return clip
        span = replace(
            clip, first=clip.first + self.first, count=self.length, whole=False
        )
        return span if ClipReader().piece(span) else None

    def files(self) -> Iterator[Path]:
        """The files beside the recording that hold the images, if such do."""
        return self.stream.files()

    def __iter__(self) -> Iterator[Payload]:
        """The images of the span in order; those before it are read and passed over."""
        return islice(self.stream, self.first, None)

    def jpeg(
        self,
        frame: int,
        data: bytes,
    ) -> tuple[bytes, int, int]:
        """Check a JPEG; see `ImageStream.jpeg`."""
        return self.stream.jpeg(self.first + frame, data)

    def bad(self, frame: int, found: str) -> BadEpisode:
        """The error for an image that cannot be used; it tells the frame of the recording."""
        return self.stream.bad(self.first + frame, found)


def _exchanged(color: Color) -> Color:
    return "swapped-jpeg" if color == "rgb" else "rgb"


def images_of(
    episode: Episode, planned: "PlannedEpisode", camera: str
) -> EditedImages:
    """The images of a camera that a planned episode keeps."""
    stream = episode.stream(camera, planned.first + planned.length)
    return EditedImages(stream, planned.first, camera in planned.swapped)


def vectors_of(
    episode: Episode, planned: "PlannedEpisode"
) -> dict[str, NDArray[np.float32]]:
    """The rows that a planned episode keeps, by feature name: float32 (length, D)."""
    whole = episode.vectors(planned.first + planned.length)
    return {key: rows[planned.first :] for key, rows in whole.items()}


@dataclass(frozen=True)
class CarriedOut:
    """What a plan leaves of some episodes.

    Attributes:
        kept: the episodes as the plan wants them.
        dropped: those that it leaves out, with the reason.
        refused: why it cannot be carried out on others.
    """

    kept: "list[PlannedEpisode]"
    dropped: "list[tuple[PlannedEpisode, str]]"
    refused: list[BadEpisode]


def carried_out(
    planned: Sequence["PlannedEpisode"], edits: EditPlan, *, some: bool = False
) -> CarriedOut:
    """Carry out a plan.

    Args:
        planned: the episodes as they are recorded.
        edits: the plan.
        some: whether these are only some of the episodes that the plan is for.

    Raises:
        UsageError: the plan names what is not there, or nothing would be left.
    """
    _refuse_unknown(planned, edits, some=some)
    result = CarriedOut([], [], [])
    for episode in planned:
        edit = edits.episodes.get(address(episode.source, episode.name))
        try:
            if edit is not None:
                _refuse_changed(episode, edit)
            if edit is not None and edit.drop:
                reason = edit.reason or "the plan leaves it out"
                result.dropped.append((episode, reason))
            else:
                edited = _edited(episode, edit, edits.drop_cameras)
                result.kept.append(edited)
        except BadEpisode as error:
            result.refused.append(error)
    if not some and len(result.dropped) == len(planned):
        raise UsageError(
            "the plan leaves no episode",
            next_step="take entries with drop out of it",
        )
    return result


def _refuse_unknown(
    planned: Sequence["PlannedEpisode"], edits: EditPlan, *, some: bool
) -> None:
    known = {address(e.source, e.name) for e in planned}
    missing = [
        name for name in edits.episodes if not some and name not in known
    ]
    cameras = set(planned[0].cameras)
    unknown = [name for name in edits.drop_cameras if name not in cameras]
    if missing or unknown:
        found = ", ".join(map(printable, (*missing, *unknown)))
        raise UsageError(
            "the plan names episodes or cameras that are not among the recordings",
            found=found[:500],
            next_step="give the recordings that were reviewed, or take the entries out",
        )


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
        name: replace(header, color=_exchanged(header.color))
        for name, header in episode.cameras.items()
        if name in edit.swap_red_blue
    }
    return replace(
        episode,
        cameras={**episode.cameras, **put_right},
        first=start,
        length=stop - start,
        task=edit.instruction or (spans[0][1] if spans else episode.task),
        spans=spans if len(spans) > 1 and not edit.instruction else (),
        swapped=edit.swap_red_blue,
    )

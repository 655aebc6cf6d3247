"""The recordings that a dataset is held against. What is asked of `recordings` is asked here."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from piperline.edits.recorded import UNEDITED, Edited
from piperline.errors import Place, RecordingError
from piperline.recordings.depth import DepthFrames
from piperline.recordings.find import find_recordings
from piperline.recordings.image_spans import ImageSpan
from piperline.recordings.images import ImageStream, Payload
from piperline.recordings.instructions import spans_from
from piperline.recordings.layout import Layout
from piperline.recordings.reader import reading_at, still_reading
from piperline.recordings.recorded_episode import Episode, EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.video.decoder import Picture, PictureDecoder, resized
from piperline.video.image_header import is_png
from piperline.video.likeness import View

_TRIED = 3

Bad = Mapping[tuple[str, str | None], RecordingError]
"""Why files, and episodes of them by name, are not to be read: reading them crashes."""
_NOTHING_BAD: Bad = MappingProxyType({})


@dataclass(frozen=True)
class RecordedEpisode:
    """An episode of a recording.

    Attributes:
        path: the file.
        source: the file as it is told from others: its folder's name and its own.
        name: of the episode in it.
    """

    path: Path
    source: str
    name: str


@dataclass(frozen=True)
class Sources:
    """The recordings.

    Attributes:
        layout: what they hold.
        episodes: all of them, in order.
        problems: files that cannot be read, or are not what the layout says.
        bad: why files, and episodes of them by name, are not to be read: they crash.
    """

    layout: Layout
    episodes: tuple[RecordedEpisode, ...]
    problems: tuple[RecordingError, ...]
    bad: Bad = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        inputs: Sequence[Path],
        layout: Layout,
        bad: Bad = _NOTHING_BAD,
    ) -> "Sources":
        """The episodes of the files and folders `inputs`.

        Args:
            inputs: the files and folders.
            layout: what they hold.
            bad: what of them is not to be read, and why.

        Raises:
            RecordingError: an input is missing, or a folder holds no recordings.
        """
        episodes: list[RecordedEpisode] = []
        problems: list[RecordingError] = []
        for path, source in find_recordings(inputs):
            try:
                names = _names(path, layout, bad)
            except RecordingError as error:
                problems.append(error)
                continue
            episodes += [RecordedEpisode(path, source, name) for name in names]
        return cls(layout, tuple(episodes), tuple(problems), bad)


def _names(
    path: Path,
    layout: Layout,
    bad: Bad,
) -> list[str]:
    """The names of the episodes of a recording.

    Raises:
        RecordingError: it cannot be read, or is not what the layout says.
    """
    if (str(path), None) in bad:
        raise bad[str(path), None]
    reading_at(Place(file=path))
    with Recording(path, layout) as recording:
        names = recording.episodes()
        known = [name for name in names if (str(path), name) not in bad]
        _check_any(recording, known)
    return names


def _check_any(recording: Recording, names: Sequence[str]) -> None:
    """See that one of the first episodes is what the layout says.

    Raises:
        RecordingError: none is.
    """
    problem: RecordingError | None = None
    for name in names[:_TRIED]:
        try:
            recording.episode(name).header()
        except RecordingError as error:
            problem = problem or error
        else:
            return
    if problem:
        raise problem


class OpenEpisode:
    """An episode of an open recording as edits left it, with the pictures of its cameras.

    Args:
        episode: of the recording.
        header: what is known of it.
        edited: what was done to it.
        size: width and height of the videos by camera name: pictures of other sizes are scaled.

    Attributes:
        header: what is known of the recorded episode.
        length: how many frames edits left.
        spans: the recorded instructions of these, where they change.
    """

    def __init__(
        self,
        episode: Episode,
        header: EpisodeHeader,
        edited: Edited,
        size: Mapping[str, tuple[int, int]],
    ) -> None:
        self.header = header
        self._episode, self._edited, self._size = episode, edited, size
        stop = header.length if edited.stop is None else edited.stop
        self._frames = range(
            edited.first, min(stop, header.length), edited.every
        )
        self.length = len(self._frames)
        first, stop = self._frames.start, self._frames.stop
        spans = spans_from(header.spans, first, stop - first)
        self.spans = tuple(
            (-(-start // edited.every), told) for start, told in spans
        )

    def vectors(self) -> Mapping[str, NDArray[np.float32]]:
        """The vectors by feature key, float32 of shape (length, D).

        Raises:
            BadEpisode: a value is not finite, or cannot be read.
        """
        frames = self._frames
        kept = slice(frames.start, frames.stop, frames.step)
        whole = self._episode.vectors(self.header.length)
        return {
            key: self._ordered(key, rows[kept]) for key, rows in whole.items()
        }

    def _ordered(
        self, key: str, rows: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        order = self._edited.order.get(key)
        known = order is not None and len(order) == rows.shape[1]
        return rows[:, order] if known else rows

    def stream(self, camera: str) -> ImageStream:
        """The recorded images of a camera, as bytes or arrays."""
        whole = self.whole(camera)
        swap = camera in self._edited.exchanged
        return ImageSpan(whole, self._frames, swap=swap)

    def whole(self, camera: str) -> ImageStream:
        """All recorded images of a camera, whatever edits left of them."""
        return self._episode.stream(camera, self.header.length)

    def depth(self, camera: str) -> DepthFrames:
        """Makes distances of the recorded images of a depth camera."""
        header = self.header.cameras[camera]
        return DepthFrames(self.stream(camera), header, self._size.get(camera))

    def pictures(self, camera: str) -> "RecordedPictures":
        """The recorded pictures of a camera, decoded as they are asked for."""
        return RecordedPictures(self.stream(camera), self._size.get(camera))


class RecordedPictures:
    """The pictures of a camera, asked for in rising order, with one step back at most.

    Args:
        stream: the recorded images.
        size: width and height that they are scaled to; None keeps them.
    """

    _KEPT = 3

    def __init__(
        self, stream: ImageStream, size: tuple[int, int] | None
    ) -> None:
        self.length = stream.length
        self._stream, self._size = stream, size
        self._payloads: Iterator[tuple[int, Payload]] = enumerate(stream)
        self._held: deque[tuple[int, Payload]] = deque(maxlen=self._KEPT)
        self._decoder = PictureDecoder(
            swap=stream.color != "rgb", mirrored=stream.mirrored
        )
        self._views: dict[int, View] = {}

    def view(self, frame: int) -> View:
        """What is compared of frame `frame`.

        Raises:
            BadEpisode: the image is damaged.
        """
        if frame not in self._views:
            view = View.of(self.picture(frame))
            kept = {
                key: old
                for key, old in self._views.items()
                if key > frame - self._KEPT
            }
            self._views = {**kept, frame: view}
        return self._views[frame]

    def picture(self, frame: int) -> Picture:
        """Frame `frame`, decoded.

        Raises:
            BadEpisode: the image is damaged.
        """
        while not self._held or self._held[-1][0] < frame:
            still_reading()
            self._held.append(next(self._payloads))
        payload = next(
            payload for number, payload in self._held if number == frame
        )
        picture = self._decoded(frame, payload)
        if self._size and self._size != (picture.width, picture.height):
            return resized(picture, *self._size)
        return picture

    def _decoded(self, frame: int, payload: Payload) -> Picture:
        if not isinstance(payload, bytes):
            return self._decoder.raw(payload)
        if not is_png(payload):
            payload = self._stream.jpeg(frame, payload)[0]
        try:
            return self._decoder.encoded(payload)
        except ValueError as error:
            raise self._stream.bad(frame, str(error)) from error


def jpegs(stream: ImageStream) -> Iterator[bytes]:
    """The recorded JPEG of a stream, without padding.

    Raises:
        BadEpisode: an image is not JPEG, or cut short.
    """
    for frame, payload in enumerate(stream):
        if not isinstance(payload, bytes):
            raise stream.bad(frame, "a raw array, not JPEG")
        yield stream.jpeg(frame, payload)[0]


@contextmanager
def open_episode(
    sources: Sources,
    episode: RecordedEpisode,
    edited: Edited = UNEDITED,
    size: Mapping[str, tuple[int, int]] = MappingProxyType({}),
) -> Iterator[OpenEpisode]:
    """An episode of a recording as edits left it, open while the context is.

    Raises:
        RecordingError: it is not what the layout says.
    """
    file = str(episode.path)
    problem = sources.bad.get((file, episode.name)) or sources.bad.get(
        (file, None)
    )
    if problem:
        raise problem
    reading_at(Place(file=episode.path, episode=episode.name))
    with Recording(episode.path, sources.layout) as recording:
        found = recording.episode(episode.name)
        yield OpenEpisode(found, found.header(), edited, size)

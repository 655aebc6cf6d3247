"""Recorded images as they are read, counted for whoever watches a run."""

from collections.abc import Callable, Iterable, Iterator

from piperline.recordings.images import Payload

Progress = Callable[[int, int], None]
"""Called with the numbers of frames and of recorded bytes since the last call."""

_REPORT_FRAMES = 25


def counted(
    images: Iterable[Payload], progress: Progress
) -> Iterator[tuple[int, Payload]]:
    """The images with their numbers; now and then it is told how many were taken.

    Args:
        images: of a camera.
        progress: is told.
    """
    frames = size = 0
    for number, payload in enumerate(images):
        yield number, payload
        frames += 1
        size += len(payload) if isinstance(payload, bytes) else payload.nbytes
        if frames == _REPORT_FRAMES:
            progress(frames, size)
            frames = size = 0
    progress(frames, size)

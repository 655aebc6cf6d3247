"""Small videos for people: H.264 that browsers play, a frame for each recorded image."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.video.frame import VideoFrame

from piperline.video.decoder import Picture, put_right, resized
from piperline.video.encoder import VideoSettings, VideoWriter
from piperline.video.thumbnails import DECODED_WIDTH

_SETTINGS = VideoSettings(
    "h264",
    "libx264",
    # A key frame every third of a second, so that a browser finds any frame at once.
    {"preset": "superfast", "crf": "30", "g": "10", "bf": "0"},
)


class PreviewWriter:
    """Writes a small video; a context manager. Left by an exception, it leaves the file unfinished.

    Args:
        path: the mp4 file to make.
        height, width: of the images, in pixels.
        fps: frames a second.
        swap: red and blue were exchanged when an image was recorded; they are put right.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        *,
        fps: int,
        swap: bool = False,
    ) -> None:
        self._width, self._height = preview_size(height, width)
        self._swap = swap
        self._writer = VideoWriter(path, _SETTINGS, fps=fps)
        self._last: Picture | None = None

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, value, traceback)

    def add(self, picture: Picture | None) -> None:
        """Add a decoded picture of any size; for None, one that does not decode, the last again."""
        if picture is not None:
            self._last = self._fitted(picture)
        elif self._last is None:
            grey = np.full(
                (self._height, self._width, 3),
                128,
                dtype=np.uint8,
            )
            self._last = VideoFrame.from_ndarray(grey, format="rgb24")
        self._writer.add(self._last)

    def _fitted(self, picture: Picture) -> Picture:
        if self._swap:
            picture = put_right(picture)
        if (picture.width, picture.height) == (self._width, self._height):
            return picture
        return resized(picture, self._width, self._height)


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Width and height of the small video of images of this size.

    They are even, as 4:2:0 wants them, and the shape stays nearly the same.
    """
    scale = min(1.0, DECODED_WIDTH / width)
    return max(2, round(width * scale / 2) * 2), max(
        2, round(height * scale / 2) * 2
    )


def video_file(folder: Path, number: int) -> Path:
    """The small video of a camera of an episode.

    Args:
        folder: of the episode's videos.
        number: of the camera, in the episode's order; its name is untrusted, and names no file.
    """
    return folder / f"{number}.mp4"

"""The images of a camera that lie in a video file beside the recording."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piperline.episode import Clip
from piperline.errors import BadEpisode, DatasetError, Place
from piperline.recordings.beside import inside
from piperline.recordings.datasets import REPAIR
from piperline.recordings.images import CameraHeader
from piperline.recordings.rules import Color, Mirrored
from piperline.text import natural_key
from piperline.video.clips import ClipReader
from piperline.video.decoder import decode, probe

_LARGEST_SIDE = 1 << 14


def find_videos(
    recording: Path,
    pattern: str,
) -> list[tuple[str, Path]]:
    """The video files of a pattern in a recording's folder.

    Args:
        recording: the HDF5 file.
        pattern: a relative path; `{stem}` stands for the recording's name without its suffix, one
            `*` in its last part for the name of a camera.

    Returns:
        What `*` stands for, and the file, in natural order.
    """
    name = pattern.replace("{stem}", recording.stem)
    above, _, last = name.rpartition("/")
    folder = inside(recording.resolve().parent, above)
    if folder is None or not folder.is_dir():
        return []
    before, star, behind = last.partition("*")
    found = []
    for path in sorted(folder.iterdir(), key=lambda one: natural_key(one.name)):
        middle = (
            path.name.removeprefix(before).removesuffix(behind) if star else ""
        )
        same = path.name == before + middle + behind and bool(middle) == bool(
            star
        )
        if same and inside(folder, path.name) is not None and path.is_file():
            found.append((middle, path))
    return found


def frames_in(path: Path, place: Place) -> int:
    """How many frames the index of a video file counts.

    Raises:
        BadEpisode: it is no video that can be read.
    """
    try:
        return probe(path)[1]
    except DatasetError as error:
        raise _unreadable(path, place, error) from error


class VideoStream:
    """The images of one camera of one episode, decoded from a video file.

    Args:
        path: the file.
        color: how its colours are meant.
        mirrored: how its images are mirrored.
        place: file, episode and camera.
        rows: the number of the image for each frame, rising; int64, shape (frames,).
    """

    def __init__(
        self,
        path: Path,
        color: Color,
        *,
        mirrored: Mirrored,
        place: Place,
        rows: NDArray[np.int64],
    ) -> None:
        self.color, self.mirrored, self.length = color, mirrored, len(rows)
        self._path, self._rows = path, rows
        self._place = replace(place, file=path)

    def header(self) -> CameraHeader:
        """How large the images are.

        Raises:
            BadEpisode: the file cannot be read, or claims an absurd size.
        """
        try:
            info, _ = probe(self._path)
        except DatasetError as error:
            raise _unreadable(self._path, self._place, error) from error
        if not (
            0 < info.width <= _LARGEST_SIDE and 0 < info.height <= _LARGEST_SIDE
        ):
            raise self.bad(0, f"{info.width}x{info.height} pixels")
        clip = self.clip()
        return CameraHeader(
            "video",
            info.height,
            info.width,
            self.color,
            self.mirrored,
            packets=(clip.info.codec, clip.info.fps) if clip else None,
        )

    def clip(self) -> Clip | None:
        """The frames as packets: of a simple file, one after the other from a key frame on.

        Raises:
            DatasetError: the file cannot be read.
        """
        info, count = probe(self._path)
        first = int(self._rows[0])
        in_a_row = int(self._rows[-1]) - first + 1 == self.length
        clip = Clip(self._path, first, self.length, info, count == self.length)
        usual = info.pix_fmt == "yuv420p" and in_a_row
        return clip if usual and ClipReader().piece(clip) else None

    def files(self) -> Iterator[Path]:
        """The video."""
        yield self._path

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The images in order, uint8 of shape (H, W, 3).

        Raises:
            BadEpisode: the file does not decode, or holds fewer images.
        """
        wanted = 0
        try:
            for number, image in enumerate(
                decode(
                    self._path,
                    0,
                    int(self._rows[-1]) + 1,
                )
            ):
                while wanted < self.length and self._rows[wanted] == number:
                    yield image
                    wanted += 1
        except DatasetError as error:
            raise _unreadable(self._path, self._place, error) from error
        if wanted < self.length:
            raise self.bad(wanted, f"{wanted} images for {self.length} frames")

    def jpeg(
        self,
        frame: int,
        data: bytes,
    ) -> tuple[bytes, int, int]:
        """There are no JPEG bytes in a video."""
        raise self.bad(frame, f"{len(data)} bytes")

    def bad(self, frame: int, found: str) -> BadEpisode:
        """The error for an image that cannot be used."""
        return BadEpisode(
            "an image of the video is damaged",
            place=replace(
                self._place,
                frame=int(
                    self._rows[
                        min(
                            frame,
                            self.length - 1,
                        )
                    ]
                ),
            ),
            expected="a video with an image for each frame, all of one size",
            found=found,
            next_step=REPAIR,
        )


def _unreadable(path: Path, place: Place, error: DatasetError) -> BadEpisode:
    return BadEpisode(
        error.message,
        place=replace(place, file=path),
        expected="a video file that FFmpeg reads",
        found=error.found or path.name,
        next_step=REPAIR,
    )

"""Pictures of an episode on one sheet: people would rather look."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piperline.errors import OutputExists, Place, RecordingError, output_error
from piperline.files import write_new
from piperline.recordings.hdf5 import listed
from piperline.recordings.images import ImageStream
from piperline.recordings.layout import Layout
from piperline.recordings.recording import Recording
from piperline.video.decoder import PictureDecoder, rgb
from piperline.video.images import contact_sheet, encode_png

_SHEET_WIDTH = 1920
_FRAMES = 8
_MOST = 400


def frames_sheet(
    path: Path,
    layout: Layout,
    episode: str,
    *,
    cameras: Sequence[str] = (),
    every: int | None = None,
) -> NDArray[np.uint8]:
    """Lay frames of an episode out: rows of eight, in time from the left, one camera after the other.

    Args:
        path: the recording.
        layout: what it holds.
        episode: the episode's name.
        cameras: the cameras that are wanted; all if empty.
        every: take every so-many-th frame; eight, evenly spaced, if None.

    Returns:
        uint8, shape (H, W, 3), RGB, at most 1920 wide.

    Raises:
        RecordingError: the recording does not fit the layout, has no such episode or camera, or a frame is damaged.
    """
    with Recording(path, layout) as recording:
        names = recording.episodes()
        if episode not in names:
            raise RecordingError(
                f"there is no episode {episode}", place=Place(file=path), expected=listed(names)
            )
        found = recording.episode(episode)
        header = found.header()
        unknown = [name for name in cameras if name not in header.cameras]
        if unknown:
            expected = listed(list(header.cameras))
            raise RecordingError(
                f"there is no camera {listed(unknown)}", place=found.place, expected=expected
            )
        last = header.length - 1
        evenly = np.linspace(0, last, min(_FRAMES, header.length)).round().astype(int).tolist()
        numbers = frozenset(range(0, header.length, every) if every else evenly)
        if len(numbers) > _MOST:
            raise RecordingError(
                f"more than {_MOST} frames do not fit on a sheet", next_step="a larger --every"
            )
        rows = []
        for name in cameras or header.cameras:
            pictures = _pictures(found.stream(name, header.length), numbers)
            rows += [
                pictures[start : start + _FRAMES] for start in range(0, len(pictures), _FRAMES)
            ]
    return contact_sheet(rows, max_width=_SHEET_WIDTH)


def _pictures(stream: ImageStream, numbers: Collection[int]) -> list[NDArray[np.uint8]]:
    decoder = PictureDecoder(swap=stream.color != "rgb", turn=stream.turned)
    pictures = []
    for number, payload in enumerate(stream):
        if number not in numbers:
            continue
        try:
            picture = (
                decoder.encoded(payload) if isinstance(payload, bytes) else decoder.raw(payload)
            )
        except ValueError as error:
            raise stream.bad(number, str(error)) from error
        pictures.append(rgb(picture))
    return pictures


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture as PNG.

    Raises:
        OutputExists: there is such a file already.
        OutputError: it cannot be written.
    """
    try:
        write_new(path, encode_png(image))
    except FileExistsError:
        raise OutputExists(
            "there is a file already", place=Place(file=path), next_step="name another file"
        ) from None
    except OSError as error:
        raise output_error(error, path) or error from error

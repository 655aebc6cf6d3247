"""Images of an episode on one sheet: people would rather look."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from piperline.errors import (
    LayoutMismatch,
    OutputExists,
    Place,
    RecordingError,
    UsageError,
    output_error,
)
from piperline.files import write_new
from piperline.hdf5.episode_table import open_fitting
from piperline.recordings.images import ImageStream, Payload
from piperline.recordings.layout import Layout, builtin_layouts
from piperline.recordings.recorded_episode import Episode, EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.recordings.rules import Color, Mirrored
from piperline.text import listed, printable
from piperline.video.decoder import PictureDecoder, rgb
from piperline.video.depth_codes import gray, upright
from piperline.video.depth_unit import DepthUnit
from piperline.video.images import (
    contact_sheet,
    encode_jpeg,
    encode_png,
    fitted,
    row_width,
)
from piperline.video.letters import LETTER_WIDTH, caption

Image = NDArray[np.uint8]

_Item = TypeVar("_Item")

_SHEET_WIDTH = 1920
_IN_A_ROW = 8
_MOST = 400
_GAP = 4
_LETTERS_BELOW = (
    12  # that a caption should have room for, before its letters get larger
)
_ENCODERS = {".png": encode_png, ".jpg": encode_jpeg, ".jpeg": encode_jpeg}


@dataclass(frozen=True)
class Sheet:
    """A contact sheet.

    Attributes:
        image: uint8, shape (H, W, 3), RGB.
        episode: the name of the episode.
        instruction: what the robot was told, or None.
        layout: the name of the layout through which the recording was seen.
        cameras: their names, from the top.
        frames: the indices of the frames of each camera, from 0.
    """

    image: Image
    episode: str
    instruction: str | None
    layout: str
    cameras: tuple[str, ...]
    frames: tuple[int, ...]


def frames_sheet(
    path: Path,
    layout: Layout | None = None,
    episode: str | None = None,
    *,
    cameras: Sequence[str] = (),
    every: int | None = None,
    color: Color | None = None,
) -> Sheet:
    """Lay frames of an episode out: rows of eight, one camera after the other.

    Above all stand file, episode and instruction, above each camera its name, below each image its
    frame and its time.

    Args:
        path: the recording.
        layout: what it holds; the built-in layout that fits it if None.
        episode: the episode's name, or its index in natural order, from 0; may be None if there is
            one only.
        cameras: the cameras that are wanted; all if empty.
        every: take every so-many-th frame; eight, evenly spaced, if None.
        color: how colours were recorded, if not as the layout says.

    Raises:
        UsageError: there are several episodes and none is named, or too many frames are asked for.
        RecordingError: the recording does not fit the layout, has no such episode or camera, or a
            frame is damaged.
    """
    with open_fitting(path, layout) as recording:
        if recording is None:
            raise _no_layout(path)
        if color:
            recording.layout = _recolored(recording.layout, color)
        return _sheet(recording, episode, cameras, every)


def _sheet(
    recording: Recording,
    episode: str | None,
    wanted: Sequence[str],
    every: int | None,
) -> Sheet:
    name = _chosen(recording, episode)
    found = recording.episode(name)
    header = found.header()
    cameras = _cameras(found, header, wanted)
    frames = _frames(header.length, every)
    title = (
        f"{recording.path.name}  {name}: {header.task or '(no instruction)'}"
    )
    images = [
        _images(
            found.stream(camera, header.length),
            frames,
            header.cameras[camera].depth,
        )
        for camera in cameras
    ]
    return Sheet(
        image=_laid_out(title, cameras, images, frames, recording.layout.fps),
        episode=name,
        instruction=header.task,
        layout=recording.layout.name,
        cameras=cameras,
        frames=tuple(frames),
    )


def _no_layout(path: Path) -> LayoutMismatch:
    return LayoutMismatch(
        "no built-in layout fits this file",
        place=Place(file=path),
        expected=" or ".join(builtin_layouts()),
        found="other groups and datasets, or other shapes",
        next_step="describe the file in a layout of its own: "
        f"piperline layout draft {printable(shlex.quote(str(path)))}",
    )


def _recolored(layout: Layout, color: Color) -> Layout:
    rules = layout.cameras.items()
    return replace(
        layout,
        cameras={name: rule.recolored(color) for name, rule in rules},
    )


def _chosen(recording: Recording, episode: str | None) -> str:
    """The name of the episode that is meant."""
    names = recording.episodes()
    if episode in names:
        return episode
    if episode is None and len(names) == 1:
        return names[0]
    place = Place(file=recording.path)
    expected = f"{listed(names)}; or an index, 0 to {len(names) - 1}"
    if episode is None:
        raise UsageError(
            f"there are {len(names)} episodes in this file: which one?",
            place=place,
            expected=expected,
            found="no --episode",
            next_step="add --episode 0",
        )
    if episode.isdecimal() and int(episode) < len(names):
        return names[int(episode)]
    message = f"there is no episode {printable(episode)}"
    raise RecordingError(
        message,
        place=place,
        expected=expected,
        next_step="give --episode 0 for the first",
    )


def _cameras(
    found: Episode, header: EpisodeHeader, wanted: Sequence[str]
) -> tuple[str, ...]:
    unknown = [name for name in wanted if name not in header.cameras]
    if unknown:
        message = f"there is no camera {listed(unknown)}"
        raise RecordingError(
            message,
            place=found.place,
            expected=listed(list(header.cameras)),
            next_step="name those that are there, or leave out --camera for all",
        )
    return tuple(wanted or header.cameras)


def _frames(length: int, every: int | None) -> list[int]:
    if every is None:
        evenly = np.linspace(0, length - 1, min(_IN_A_ROW, length))
        return [int(index) for index in evenly.round()]
    if every < 1:
        raise UsageError(
            "--every counts frames, from 1",
            expected="--every 1, or more",
            found=f"--every {every}",
            next_step="give --every 30, for example, or leave it out: eight frames",
        )
    frames = range(0, length, every)
    if len(frames) > _MOST:
        message = f"{len(frames)} frames of each camera do not fit on a sheet"
        step = f"--every {-(-length // _MOST)}"
        raise UsageError(
            message,
            expected=f"at most {_MOST}",
            found=f"--every {every} of {length} frames",
            next_step=step,
        )
    return list(frames)


def _images(
    stream: ImageStream, frames: Collection[int], depth: DepthUnit | None
) -> list[Image]:
    decoder = PictureDecoder(
        swap=stream.color != "rgb", mirrored=stream.mirrored
    )
    wanted = frozenset(frames)
    images = []
    for index, payload in enumerate(stream):
        if index not in wanted:
            continue
        try:
            images.append(_image(decoder, payload, depth, stream.mirrored))
        except ValueError as error:
            raise stream.bad(index, str(error)) from error
    return images


def _image(
    decoder: PictureDecoder,
    payload: Payload,
    depth: DepthUnit | None,
    mirrored: Mirrored,
) -> Image:
    if depth:
        return gray(upright(decoder.depth(payload), mirrored), depth)
    if isinstance(payload, bytes):
        return rgb(decoder.encoded(payload))
    return rgb(decoder.raw(payload))


def _laid_out(
    title: str,
    cameras: Sequence[str],
    images: Sequence[list[Image]],
    frames: Sequence[int],
    fps: int,
) -> Image:
    """The whole sheet: text above all and above each camera, a caption below each image."""
    rows = [row for camera in images for row in _cut(camera)]
    small = iter(fitted(rows, gap=_GAP, max_width=_SHEET_WIDTH))
    captions = [f"{index}  {index / fps:.2f} s" for index in frames]
    widest = max(row_width(row, _GAP) for row in rows)
    width = min(widest + _GAP, _SHEET_WIDTH) - 2 * _GAP
    sheet: list[list[Image]] = [[_strip(title, width)]]
    for camera in cameras:
        sheet.append([_strip(camera, width)])
        sheet += [_captioned(next(small), texts) for texts in _cut(captions)]
    return contact_sheet(sheet, gap=_GAP)


def _cut(items: list[_Item]) -> Iterator[list[_Item]]:
    for start in range(0, len(items), _IN_A_ROW):
        yield items[start : start + _IN_A_ROW]


def _strip(text: str, width: int) -> Image:
    return caption(
        printable(text), width, scale=2 if width > _SHEET_WIDTH // 3 else 1
    )


def _captioned(
    row: Sequence[Image],
    texts: Sequence[str],
) -> list[Image]:
    return [
        _with_text_below(image, text)
        for image, text in zip(row, texts, strict=True)
    ]


def _with_text_below(image: Image, text: str) -> Image:
    width = image.shape[1]
    scale = max(1, min(2, width // (LETTER_WIDTH * _LETTERS_BELOW)))
    return np.concatenate([image, caption(text, width, scale=scale)])


def write_image(path: Path, image: Image) -> None:
    """Write an image as PNG or JPEG, as its name ends.

    Args:
        path: a name that ends with .png, .jpg or .jpeg; no file of that name is replaced.
        image: uint8, shape (H, W, 3), RGB.

    Raises:
        UsageError: the name ends otherwise.
        OutputExists: there is such a file already.
        OutputError: it cannot be written.
    """
    check_image_name(path)
    encode = _ENCODERS[path.suffix.lower()]
    try:
        write_new(path, encode(image))
    except FileExistsError:
        message = "output already exists (not changed)"
        raise OutputExists(
            message,
            place=Place(file=path),
            expected="a name that is free",
            found="a file",
            next_step="name another file",
        ) from None
    except OSError as error:
        raise output_error(error, path) or error from error


def check_image_name(path: Path) -> None:
    """See that an image can be written under a name.

    Raises:
        UsageError: the name does not end with .png, .jpg or .jpeg.
    """
    if path.suffix.lower() not in _ENCODERS:
        raise UsageError(
            "images are written as PNG or JPEG",
            expected=f"a name that ends with {', '.join(_ENCODERS)}",
            found=printable(path.name),
            next_step=f"name it {printable(path.stem) or 'image'}.png",
        )

"""The cameras of an episode: which there are, where their images lie, and a stream of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import LayoutMismatch, Place
from piperline.recordings.datasets import Datasets, OpenDataset
from piperline.recordings.hdf5 import describe, resolve
from piperline.recordings.images import FrameStream, ImageStream
from piperline.recordings.layout import Layout
from piperline.recordings.rules import CameraRule
from piperline.recordings.video_files import VideoStream, find_videos, frames_in
from piperline.text import listed, stored

_RAW_AXES = 4  # frames, height, width, colours
_LONGEST_NAME = 100  # bytes of a camera's name, which becomes a file's


@dataclass(frozen=True)
class FoundCamera:
    """A camera of an episode.

    Attributes:
        rule: how it is declared.
        name: of its dataset, or the path of its video file.
        rows: how many images there are.
        star: what `*` stands for in its paths.
        found: its dataset; None where its images lie in a video file.
    """

    rule: CameraRule
    name: str
    rows: int
    star: str = ""
    found: OpenDataset | None = None

    @property
    def timestamps(self) -> str | None:
        """The dataset with the time of each image, where it has one of its own."""
        times = self.rule.timestamps
        return times.replace("*", self.star) if times else None


def find_cameras(layout: Layout, datasets: Datasets) -> dict[str, FoundCamera]:
    """The cameras of an episode by name, in the order of the layout.

    Raises:
        LayoutMismatch: one is missing, holds no rows, or cannot be told by its name.
        BadEpisode: a video cannot be read, or a link leaves the file.
    """
    cameras: dict[str, FoundCamera] = {}
    for name, rule in layout.cameras.items():
        matches = (
            _videos(rule, datasets) if rule.video else _datasets(rule, datasets)
        )
        found = [one for one in matches if not _is_left_out(one.star, rule)]
        if not found and not rule.optional:
            raise _missing(name, rule, datasets)
        for one in found:
            key = name.replace("*", rule.rename.get(one.star, one.star))
            _check_name(key, rule, datasets)
            if key in cameras:
                raise _twice(key, cameras[key].name, one.name, datasets)
            cameras[key] = one
    return cameras


def open_stream(
    camera: FoundCamera,
    lengths: h5py.Dataset | None,
    *,
    place: Place,
    rows: NDArray[np.int64],
    suggestion: Callable[[], str] | None,
) -> ImageStream:
    """The images of a camera for some rows, read as they are asked for."""
    rule = camera.rule
    if camera.found is not None:
        data = camera.found.data
        return FrameStream(
            data, rule, lengths, place=place, rows=rows, suggestion=suggestion
        )
    color, path = rule.color_of("video"), Path(camera.name)
    return VideoStream(
        path,
        color,
        mirrored=rule.mirrored,
        place=place,
        rows=rows,
    )


def _videos(rule: CameraRule, datasets: Datasets) -> list[FoundCamera]:
    place = datasets.place
    pattern = (rule.video or "").replace("{episode}", place.episode or "")
    return [
        FoundCamera(rule, str(path), frames_in(path, place), star)
        for star, path in find_videos(Path(place.file or ""), pattern)
    ]


def _datasets(rule: CameraRule, datasets: Datasets) -> list[FoundCamera]:
    if "*" not in rule.paths[0]:
        found = datasets.first(rule.paths)
        return [_of_dataset(rule, found, datasets)] if found else []
    tried = (datasets.matching(path) for path in rule.paths)
    matches = next(filter(None, tried), [])
    matches = [
        (star, path) for star, path in matches if not _is_left_out(star, rule)
    ]
    if rule.images_only:
        matches = [
            (star, path)
            for star, path in matches
            if _holds_images(path, datasets)
        ]
    return [
        _of_dataset(rule, datasets.need([path]), datasets, star)
        for star, path in matches
    ]


def _is_left_out(star: str, rule: CameraRule) -> bool:
    return any(fnmatchcase(star, pattern) for pattern in rule.leave_out)


def _of_dataset(
    rule: CameraRule, found: OpenDataset, datasets: Datasets, star: str = ""
) -> FoundCamera:
    if not found.shape:
        message, expected = (
            "the dataset does not hold images",
            "a row for each frame",
        )
        raise datasets.mismatch(
            message, found.name, expected, describe(found.data)
        )
    return FoundCamera(rule, found.name, found.shape[0], star, found)


def _holds_images(path: str, datasets: Datasets) -> bool:
    data = resolve(datasets.root, path, datasets.place)
    if not isinstance(data, h5py.Dataset):
        return False
    return bool(data.dtype == np.uint8 and len(data.shape or ()) == _RAW_AXES)


def _check_name(name: str, rule: CameraRule, datasets: Datasets) -> None:
    """See that a camera's name, which may come from the recording, can be that of a file."""
    if (
        name.isprintable()
        and 0 < len(stored(name)) <= _LONGEST_NAME
        and "/" not in name
    ):
        return
    expected = f"names of cameras, of at most {_LONGEST_NAME} bytes"
    message = "the cameras cannot be told by their names"
    where = datasets.full(rule.video or rule.paths[0])
    raise datasets.mismatch(message, where, expected, listed([name]))


def _twice(
    name: str, first: str, second: str, datasets: Datasets
) -> LayoutMismatch:
    return datasets.mismatch(
        f"two cameras would be called {name}",
        second,
        "different names: `rename` or `leave_out` in the layout",
        f"{first} and {second}",
    )


def _missing(name: str, rule: CameraRule, datasets: Datasets) -> LayoutMismatch:
    if rule.video:
        error = datasets.mismatch(
            "a video is missing",
            "",
            f"the file {rule.video}",
            "no such file in the folder",
        )
        error.place = replace(datasets.place, camera=name)
        return error
    if "*" not in name:
        datasets.need(rule.paths)
    path = rule.paths[0]
    above = path.partition("*")[0].rpartition("/")[0]
    folder = (
        resolve(datasets.root, above, datasets.place)
        if above
        else datasets.root
    )
    there = isinstance(folder, h5py.Group)
    message = (
        "there are no cameras" if there else "the cameras do not lie in a group"
    )
    found = describe(folder) if there else datasets.instead_of(above)
    expected = f"a dataset for each camera at {path}"
    return datasets.mismatch(message, datasets.full(above), expected, found)

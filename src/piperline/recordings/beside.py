"""Files beside a recording: images that it names, instructions, and what its recorder was told.

Both the name of such a file and what it holds are untrusted: nothing outside the folder that is
meant is read, and nothing of an absurd size.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from piperline.errors import BadEpisode, Place
from piperline.files import read_plain
from piperline.text import printable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

_TEXT_SUFFIXES = (".json", ".txt", ".npy")
_FOLDERS_ABOVE = 4
_LONGEST_NAME = 4096
_MAX_TEXT_BYTES = 4 << 20
_MAX_IMAGE_BYTES = 64 << 20


@dataclass(frozen=True)
class Beside:
    """What files beside a recording are, which hold a part of an episode.

    Attributes:
        fingerprint: of their names, sizes and times of change; empty where there are none.
        newest_ns: when the last of them changed, in nanoseconds.
        frames: how many of the episode they hold, from its start.
    """

    fingerprint: str = ""
    newest_ns: int = 0
    frames: int = 0


def fingerprint_beside(
    folder: Path, files: Iterable[Path], frames: int
) -> Beside:
    """What tells whether the files of `frames` frames have changed, wherever their folder lies."""
    digest = hashlib.sha256()
    newest = count = 0
    for path in files:
        size, changed = _size_and_time(path)
        name = os.path.relpath(path, folder)
        told = json.dumps([name, size, changed])
        digest.update(told.encode("utf-8", "surrogatepass"))
        newest, count = max(newest, changed), count + 1
    if not count:
        return Beside()
    return Beside(digest.hexdigest()[:32], newest, frames)


def _size_and_time(path: Path) -> tuple[int, int]:
    """Bytes and nanoseconds; -1 and 0 where there is no such file: told when it is read."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def find_beside(recording: Path, name: str) -> Path | None:
    """The nearest text file of a name in a recording's folder and four folders above, or None.

    Args:
        recording: the HDF5 file.
        name: a relative path that goes down only, of a file that ends with .json, .txt or .npy.
    """
    if PurePosixPath(name).suffix not in _TEXT_SUFFIXES:
        return None
    folder = recording.resolve().parent
    for base in [folder, *folder.parents[:_FOLDERS_ABOVE]]:
        path = inside(base, name)
        if path is not None and path.is_file():
            return path
    return None


def inside(folder: Path, name: str) -> Path | None:
    """The path of `name`, unless that or a link leads out of `folder`; None if it does."""
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
        return None
    return path if path.is_relative_to(folder.resolve()) else None


def read_beside(path: Path, place: Place) -> object:
    """What a file holds: the values of JSON, the lines of a text, the texts of a .npy array.

    Raises:
        BadEpisode: it cannot be read, is larger than 4 MiB, or is not what its name says.
    """
    try:
        _refuse_large(path, _MAX_TEXT_BYTES)
        if path.suffix == ".npy":
            texts: object = np.load(
                path, mmap_mode="r", allow_pickle=False
            ).tolist()
            return texts
        text = path.read_text(encoding="utf-8-sig")
        values: object = (
            json.loads(text) if path.suffix == ".json" else text.splitlines()
        )
    except (OSError, ValueError, RecursionError, EOFError) as error:
        raise BadEpisode(
            f"the file {path.name} beside the recording cannot be read",
            place=Place(file=path, episode=place.episode),
            expected=f"{path.suffix} without pickles, at most {_MAX_TEXT_BYTES >> 20} MiB",
            found=printable(str(error)),
            next_step="repair or remove the file, or leave the episode out with --skip-bad",
        ) from error
    return values


def _refuse_large(path: Path, limit: int) -> None:
    size = path.stat().st_size
    if size > limit:
        raise ValueError(f"{path.name} has {size} bytes")


def value_at(value: object, key: str | None) -> object:
    """What lies in JSON values under a key; dots lead further down. None where nothing does."""
    for part in key.split(".") if key else ():
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def names_image(value: bytes) -> str | None:
    """The path of an image file that a recorded value is; None where it is no such path."""
    if len(value) > _LONGEST_NAME or not value.lower().endswith(
        tuple(s.encode() for s in IMAGE_SUFFIXES)
    ):
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def read_image(folder: Path, name: str) -> bytes:
    """The bytes of an image file in a recording's folder.

    Raises:
        ValueError: it lies outside the folder, is missing, or is larger than 64 MiB.
    """
    path = inside(folder, name)
    if path is None:
        raise ValueError(f"the path {name} leads out of the recording's folder")
    try:
        return read_plain(path, _MAX_IMAGE_BYTES)
    except OSError as error:
        raise ValueError(
            f"the file {name} cannot be read: {error.strerror}"
        ) from error

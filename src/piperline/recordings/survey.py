"""What a file of an unknown recorder holds: episodes, and what their datasets seem to be."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, PiperlineError, Place
from piperline.recordings.beside import names_image
from piperline.recordings.hdf5 import (
    attribute,
    datasets_below,
    describe,
    lookup,
    member_names,
    open_file,
    reading,
    refuse_foreign_storage,
    resolve,
)
from piperline.recordings.hdf5_rows import read_rows
from piperline.recordings.reader import reading_at
from piperline.recordings.vector_rules import MAX_DIMENSIONS
from piperline.text import natural_key
from piperline.video.image_header import is_png, png_header

Kind = Literal[
    "images",
    "image files",
    "depth",
    "times",
    "flags",
    "numbers",
    "text",
    "other",
]

_SAMPLE_ROWS = 2000
_SAMPLE_BYTES = 64 << 20
_MAX_ATTRIBUTES = 100
_NUMBERED = re.compile(r"(.*?)([0-9]+)$")
_ENDS = ("terminals", "terminal", "episode_ends", "is_last", "ends")


@dataclass(frozen=True)
class Surveyed:
    """A dataset of an episode.

    Attributes:
        path: below the episode.
        kind: what it seems to be.
        rows: how many; 0 for a single value.
        width: numbers in a row.
        shape: type and shape, in words.
        evidence: what the kind is told from.
        low, high: of the first rows.
        text: of a single text.
    """

    path: str
    kind: Kind
    rows: int
    width: int
    shape: str
    evidence: str
    low: float = 0.0
    high: float = 0.0
    storage: str = ""
    text: str = ""


@dataclass(frozen=True)
class Survey:
    """A file.

    Attributes:
        at: where its episodes are, as layouts say it.
        evidence: what that is told from.
        episodes: how many.
        ends: the dataset at whose true rows episodes end, if there is one.
        datasets: of the first episode, in the order of the file.
        attributes: of the first episode, by their references.
    """

    at: str
    evidence: str
    episodes: int
    ends: str | None
    datasets: tuple[Surveyed, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def survey(path: Path) -> Survey:
    """Look at a file and its first episode.

    Raises:
        RecordingError: it cannot be opened or read.
    """
    place = Place(file=path)
    reading_at(place)
    with open_file(path) as file:
        at, evidence, count, root, number = _episodes(file, place)
        found = []
        for data in datasets_below(root, place):
            relative = data.name.removeprefix(root.name.rstrip("/") + "/")
            plain = _unnumbered(relative, number)
            if plain is not None:
                found.append(_surveyed(plain, data, place))
        ends = next(
            (one.path for one in found if one.path in _ENDS and at == "file"),
            None,
        )
        attributes = _attributes(file, root, place)
    return Survey(at, evidence, count, ends, tuple(found), attributes)


def _unnumbered(path: str, number: str | None) -> str | None:
    """A path with `{number}` for an episode's number; None for the datasets of others."""
    if number is None:
        return path
    match = _NUMBERED.match(path)
    if match is None or match[2] != number:
        return None
    return match[1] + "{number}"


# --- episodes -------------------------------------------------------------------------------------


def _episodes(
    file: h5py.File, place: Place
) -> tuple[str, str, int, h5py.Group, str | None]:
    """Where episodes are, the evidence, how many, the first one's group, its number in names."""
    tries = [
        ("", True),
        *((parent, True) for parent in _groups(file, place)),
        ("", False),
    ]
    for parent, numbered in tries:
        group = resolve(file, parent, place) if parent else file
        if not isinstance(group, h5py.Group) or not (
            numbered or _only_groups(file, place)
        ):
            continue
        names = _episode_groups(group, place, numbered=numbered)
        first = resolve(group, names[0], place) if names else None
        if isinstance(first, h5py.Group):
            at = _pattern(parent, names, _groups(group, place))
            inside = (
                f"groups {names[0]} to {names[-1]}"
                if len(names) > 1
                else f"group {names[0]}"
            )
            return at, f"{inside} of /{parent}", len(names), first, None
    pairs = _numbered(file, place)
    if pairs:
        prefix, numbers = pairs
        words = f"datasets {prefix}{numbers[0]} to {prefix}{numbers[-1]}"
        return prefix + "{number}", words, len(numbers), file, numbers[0]
    return "file", "no group that looks like an episode", 1, file, None


def _groups(group: h5py.Group, place: Place) -> list[str]:
    names = sorted(member_names(group, place), key=natural_key)
    return [
        name
        for name in names
        if isinstance(_quietly(group, name, place), h5py.Group)
    ]


def _only_groups(group: h5py.Group, place: Place) -> bool:
    return len(_groups(group, place)) == len(member_names(group, place))


def _quietly(group: h5py.Group, name: str, place: Place) -> object:
    try:
        return resolve(group, name, place)
    except PiperlineError:
        return None


def _episode_groups(
    group: h5py.Group, place: Place, *, numbered: bool
) -> list[str]:
    """The groups that look like episodes: with vectors, and images if any group has some."""
    names = _groups(group, place)
    inside = {name: _holds(group, name, place) for name in names}
    with_images = any(images for _, images in inside.values())
    return [
        name
        for name, (vectors, images) in inside.items()
        if vectors
        and (images or not with_images)
        and (bool(_NUMBERED.match(name)) if numbered else images)
    ]


def _holds(
    group: h5py.Group,
    name: str,
    place: Place,
) -> tuple[bool, bool]:
    """Whether there are vectors and images below a group."""
    inside = _quietly(group, name, place)
    if not isinstance(inside, h5py.Group):
        return False, False
    found = [
        (data.shape or (), data.dtype) for data in datasets_below(inside, place)
    ]
    vectors = any(
        len(shape) == 2 and dtype.kind in "fi"  # noqa: PLR2004
        for shape, dtype in found
    )
    images = any(
        (len(shape) == 4 and dtype == np.uint8)  # noqa: PLR2004
        or (len(shape) == 1 and dtype.kind in "OSV")
        for shape, dtype in found
    )
    return vectors, images


def _pattern(
    parent: str,
    names: list[str],
    groups: list[str],
) -> str:
    """The path of the episodes, as a layout says it."""
    if not parent and names == groups:
        return "groups"
    prefixes = {
        match[1] if (match := _NUMBERED.match(name)) else "" for name in names
    }
    prefix = prefixes.pop() if len(prefixes) == 1 else ""
    return f"{parent}/{prefix}*" if parent else f"{prefix}*"


def _numbered(
    file: h5py.File,
    place: Place,
) -> tuple[str, list[str]] | None:
    """The prefix and the numbers of datasets that lie in numbered pairs at the top."""
    numbers: dict[str, list[str]] = defaultdict(list)
    for name in sorted(member_names(file, place), key=natural_key):
        match = _NUMBERED.match(name)
        if (
            match
            and match[1]
            and isinstance(_quietly(file, name, place), h5py.Dataset)
        ):
            numbers[match[1]].append(match[2])
    first = next(iter(numbers.values()), [])
    pairs = [prefix for prefix, found in numbers.items() if found == first]
    return (pairs[0], numbers[pairs[0]]) if len(pairs) > 1 else None


def _attributes(
    file: h5py.File, root: h5py.Group, place: Place
) -> dict[str, Any]:
    """The attributes of an episode and of the groups above it, by their references."""
    found: dict[str, Any] = {}
    nodes: list[tuple[str, Any]] = [("", root)]
    above = root.name.strip("/").split("/")[:-1]
    if root.name != "/":
        nodes += [
            (f"/{'/'.join(above)}", root.parent),
            *([("/", file)] if above else []),
        ]
    for prefix, node in nodes:
        with reading(place, BadEpisode):
            names = list(node.attrs)[:_MAX_ATTRIBUTES]
        for name in names:
            found[f"{prefix}@{name}"] = attribute(node, name, place)
    return found


# --- datasets -------------------------------------------------------------------------------------


def _surveyed(path: str, data: h5py.Dataset, place: Place) -> Surveyed:
    shape = describe(data)
    try:
        refuse_foreign_storage(data, place)
        return _classified(path, data, shape, place)
    except PiperlineError as error:
        return Surveyed(path, "other", 0, 0, shape, error.message)


def _classified(
    path: str, data: h5py.Dataset, words: str, place: Place
) -> Surveyed:
    with reading(place, BadEpisode):
        dtype, shape = data.dtype, data.shape
    if not shape:
        return _single(path, data, words, place)
    rows, width = shape[0], math.prod(shape[1:])
    if not rows:
        return Surveyed(path, "other", 0, 0, words, "it is empty")
    if (
        dtype == np.uint8
        and len(shape) == 4  # noqa: PLR2004
        and 3  # noqa: PLR2004
        in {
            shape[1],
            shape[3],
        }
    ):
        return Surveyed(
            path,
            "images",
            rows,
            width,
            words,
            "bytes of three colours",
            storage="raw",
        )
    one_each = dtype.kind in "SVO" and len(shape) == 1
    if one_each or (dtype == np.uint8 and len(shape) == 2):  # noqa: PLR2004 - padded images
        return _images(path, data, rows, words, place)
    if dtype.kind in "fiub" and len(shape) <= 2 and width <= MAX_DIMENSIONS:  # noqa: PLR2004
        return _numbers(path, data, words, place)
    depth = dtype.kind in "uf" and len(shape) in {3, 4} and min(shape[1:3]) > 16  # noqa: PLR2004
    kind: Kind = "depth" if depth else "other"
    evidence = (
        "images of one value a pixel" if depth else "neither images nor vectors"
    )
    return Surveyed(path, kind, rows, width, words, evidence)


def _single(
    path: str, data: h5py.Dataset, words: str, place: Place
) -> Surveyed:
    value = lookup(
        data.parent,
        data.name.rpartition("/")[2],
        place,
    )
    if isinstance(value, (bytes, str)):
        text = (
            value.decode("utf-8", "replace")
            if isinstance(value, bytes)
            else value
        )
        return Surveyed(path, "text", 0, 0, words, "one text", text=text)
    number = (
        float(value)
        if isinstance(
            value,
            (np.integer, np.floating),
        )
        else 0.0
    )
    return Surveyed(path, "other", 0, 0, words, "one value", number, number)


def _images(
    path: str, data: h5py.Dataset, rows: int, words: str, place: Place
) -> Surveyed:
    with reading(place, BadEpisode):
        row = read_rows(data.id, data.dtype, 0, 1)[0]
    value = row.encode() if isinstance(row, str) else row
    first = (
        value
        if isinstance(value, bytes)
        else bytes(np.asarray(value).tobytes())
    )
    if first.startswith(b"\xff\xd8"):
        return Surveyed(
            path, "images", rows, 0, words, "begins as JPEG", storage="jpeg"
        )
    if is_png(first) and png_header(first).bits > 8:  # noqa: PLR2004 - bits of a colour
        return Surveyed(path, "depth", rows, 0, words, "PNG of 16 bits")
    if is_png(first):
        return Surveyed(
            path, "images", rows, 0, words, "begins as PNG", storage="png"
        )
    name = names_image(first.rstrip(b"\0"))
    if name is not None:
        return Surveyed(
            path, "image files", rows, 0, words, f"names such as {name}"
        )
    text = first.rstrip(b"\0").decode("utf-8", "replace")
    if text.isprintable() and text:
        return Surveyed(path, "text", rows, 0, words, "texts", text=text)
    return Surveyed(
        path, "other", rows, 0, words, "bytes that are no JPEG or PNG"
    )


def _numbers(
    path: str, data: h5py.Dataset, words: str, place: Place
) -> Surveyed:
    rows, width = data.shape[0], math.prod(data.shape[1:])
    row = max(1, width * data.dtype.itemsize)
    count = max(1, min(rows, _SAMPLE_ROWS, _SAMPLE_BYTES // row))
    with reading(place, BadEpisode):
        sample = read_rows(
            data.id,
            data.dtype,
            0,
            count,
        ).astype(np.float64)
    finite = sample[np.isfinite(sample)]
    low, high = (
        float(finite.min(initial=np.inf)),
        float(finite.max(initial=-np.inf)),
    )
    if not finite.size:
        low = high = 0.0
    evidence = f"{width} numbers a row, {low:.3g} to {high:.3g}"
    kind: Kind = "numbers"
    if width == 1 and _rises(sample.ravel()) and "time" in path.lower():
        kind, evidence = "times", f"numbers that rise from {low:.6g}"
    elif (
        width == 1
        and set(np.unique(finite)) <= {0.0, 1.0}
        and data.dtype.kind in "bui"
    ):
        kind, evidence = "flags", "0 and 1"
    return Surveyed(path, kind, rows, width, words, evidence, low, high)


def _rises(values: NDArray[np.float64]) -> bool:
    return len(values) > 1 and bool((np.diff(values) > 0).all())


def rows_of(found: tuple[Surveyed, ...]) -> Iterator[int]:
    """The numbers of rows of what may be a part of frames."""
    for one in found:
        if one.kind in {"images", "image files", "numbers"} and one.rows:
            yield one.rows

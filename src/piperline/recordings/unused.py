"""What a recording holds and a layout does not use: nothing is left out without a word."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import h5py

from piperline.errors import PiperlineError
from piperline.recordings.hdf5 import describe, member_names, resolve
from piperline.recordings.layout import Layout
from piperline.recordings.recorded_episode import Episode
from piperline.text import printable

_MOST_OBJECTS = 1000
_DEEPEST = 16


@dataclass(frozen=True)
class Unused:
    """A dataset that no part of a layout reads.

    Attributes:
        path: below the episode.
        shape: type and shape, in words.
        reason: why it is left out, where the layout says so.
    """

    path: str
    shape: str
    reason: str | None = None


def unused_datasets(episode: Episode, layout: Layout) -> list[Unused]:
    """The datasets of an episode that its layout does not use, in the order of the file, at most a thousand."""
    used = episode.used
    top = episode.root.name.rstrip("/") + "/"
    found = []
    for data in _datasets(episode):
        path = data.name.removeprefix(top)
        if data.name not in used:
            found.append(Unused(path, describe(data), _reason(path, layout)))
    return found


def _reason(path: str, layout: Layout) -> str | None:
    reasons = (why for pattern, why in layout.left_out.items() if fnmatchcase(path, pattern))
    return next(reasons, None)


def unused_notes(episode: Episode, layout: Layout) -> list[str]:
    """A line for each dataset that is not used; those of one reason are told together."""
    notes: list[str] = []
    reasons: dict[str, list[str]] = {}
    for one in unused_datasets(episode, layout):
        if one.reason is None:
            notes.append(f"not used: {printable(one.path)}, {one.shape}")
        else:
            reasons.setdefault(one.reason, []).append(printable(one.path))
    told = [f"left out, {why}: {', '.join(paths)}" for why, paths in reasons.items()]
    return [*notes, *told]


def _datasets(episode: Episode) -> Iterator[h5py.Dataset]:
    """The datasets below an episode; what leads out of the file or cannot be read is not among them."""
    waiting: list[tuple[h5py.Group, int]] = [(episode.root, 0)]
    seen = 0
    while waiting:
        group, depth = waiting.pop(0)
        try:
            names = member_names(group, episode.place)
        except PiperlineError:
            continue
        for name in names:
            seen += 1
            if seen > _MOST_OBJECTS:
                return
            node = _member(group, name, episode)
            if isinstance(node, h5py.Dataset):
                yield node
            elif isinstance(node, h5py.Group) and depth < _DEEPEST:
                waiting.append((node, depth + 1))


def _member(group: h5py.Group, name: str, episode: Episode) -> object:
    try:
        return resolve(group, name, episode.place)
    except PiperlineError:
        return None

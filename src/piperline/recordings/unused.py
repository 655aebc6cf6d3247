"""What a recording holds and a layout does not use: nothing is left out without a word."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from piperline.recordings.hdf5 import datasets_below, describe
from piperline.recordings.layout import Layout
from piperline.recordings.recorded_episode import Episode
from piperline.recordings.times import disagrees, measured_rate
from piperline.text import printable


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
    """The datasets of an episode that its layout does not use, level by level."""
    used = episode.used
    top = episode.root.name.rstrip("/") + "/"
    found = []
    for data in datasets_below(episode.root, episode.place):
        path = data.name.removeprefix(top)
        if data.name not in used:
            found.append(
                Unused(
                    path,
                    describe(data),
                    _reason(path, layout),
                )
            )
    return found


def _reason(path: str, layout: Layout) -> str | None:
    reasons = (
        why
        for pattern, why in layout.left_out.items()
        if fnmatchcase(path, pattern)
    )
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
    told = [
        f"left out, {why}: {', '.join(paths)}" for why, paths in reasons.items()
    ]
    return [*notes, *told]


def rate_notes(episode: Episode, layout: Layout, length: int) -> list[str]:
    """A line where a recorder tells a rate that is not the layout's, which does not ask for it.

    Args:
        episode: whose marks are read.
        layout: with the rate that is written.
        length: frames of the episode.
    """
    rule, fps = layout.time, layout.fps
    if rule.timestamps or rule.rate or rule.align or rule.file:
        return []  # told by the episode's own notes
    marks = episode.marks(length)
    told = {"the recording": marks.rate}
    if marks.times is not None:
        told["its clock"] = measured_rate(marks.times)
    return [
        f"{who} tells {rate:.4g} frames a second, {fps} are written: see --fps"
        for who, rate in told.items()
        if rate is not None and disagrees(rate, fps)
    ]

"""A layout held against a file: what fits, what does not, and what is left unused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from piperline.errors import PiperlineError
from piperline.recordings.layout import Layout
from piperline.recordings.recorded_episode import Episode, EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.recordings.unused import Unused, unused_datasets


@dataclass(frozen=True)
class CheckedEpisode:
    """What a layout finds in the first episode that fits it.

    Attributes:
        name: of the episode.
        header: its length, instruction, cameras and notes.
        layout: the layout with what the episode tells: names of dimensions, the rate.
        sources: of each vector, the datasets that it is made of.
        unused: the datasets that the layout does not use.
    """

    name: str
    header: EpisodeHeader
    layout: Layout
    sources: Mapping[str, tuple[str, ...]]
    unused: tuple[Unused, ...]


@dataclass(frozen=True)
class LayoutCheck:
    """A layout held against a file.

    Attributes:
        episodes: how many there are, those aside that the layout's filters leave out.
        left_out: the names of those, and why.
        first: the first that fits; None where none does.
        problems: what is wrong with others, by name.
    """

    episodes: int
    left_out: Mapping[str, str]
    first: CheckedEpisode | None
    problems: Mapping[str, PiperlineError]


def check_layout(
    layout: Layout,
    path: Path,
    bad: Mapping[str, PiperlineError] = MappingProxyType({}),
) -> LayoutCheck:
    """Hold a layout against all episodes of a file, without reading their frames.

    Args:
        layout: what the file should hold.
        path: the file.
        bad: why some episodes cannot be read, by their names.

    Raises:
        RecordingError: the file cannot be opened, or holds no episodes.
    """
    first = None
    problems: dict[str, PiperlineError] = {}
    with Recording(path, layout) as recording:
        names = recording.episodes()
        for name in names:
            try:
                if name in bad:
                    raise bad[name]
                episode = recording.episode(name)
                header = episode.header()
                episode.vectors(header.length)
            except PiperlineError as error:
                # its traceback would keep the episode open
                problems[name] = error.with_traceback(None)
                continue
            first = first or _checked(episode, header, layout)
        return LayoutCheck(len(names), recording.left_out(), first, problems)


def _checked(
    episode: Episode, header: EpisodeHeader, layout: Layout
) -> CheckedEpisode:
    known = episode.settled_layout()
    sources = {key: _paths(known, key) for key in known.vectors}
    shown = replace(known, signs=layout.signs)
    return CheckedEpisode(
        episode.name,
        header,
        shown,
        sources,
        tuple(unused_datasets(episode, layout)),
    )


def _paths(layout: Layout, key: str) -> tuple[str, ...]:
    rule = layout.vectors[key]
    if rule.next_of:
        return (f"the next {rule.next_of}",)
    return tuple(
        dict.fromkeys(path for part in rule.sources for path in part.paths)
    )

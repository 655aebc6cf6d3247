"""The episodes of a recording at a glance: what a conversion would take, and what would not fit."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from piperline.errors import PiperlineError
from piperline.recordings.detect import fitting_layouts, settle
from piperline.recordings.layout import Layout
from piperline.recordings.recorded_episode import EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.recordings.unused import rate_notes, unused_notes
from piperline.text import printable


@dataclass(frozen=True)
class EpisodeSummary:
    """One episode.

    Attributes:
        name: of its group.
        instruction: what the robot was told, or None.
        frames: how many; None if the episode does not fit.
        cameras: by name, such as `jpeg 640x480`.
        ranges: the smallest and the largest value of each vector, by feature name.
        problem: why it does not fit the layout.
    """

    name: str
    instruction: str | None = None
    frames: int | None = None
    cameras: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class EpisodeTable:
    """The episodes of a file, seen through a layout.

    Attributes:
        layout: its name.
        fps: frames a second.
        rows: the episodes in natural order.
        notes: what the layout leaves unused of the first that fits, and a rate that is another.
    """

    layout: str
    fps: int
    rows: Sequence[EpisodeSummary]
    notes: Sequence[str] = ()

    @property
    def frames(self) -> int:
        """The frames of all episodes that fit."""
        return sum(row.frames or 0 for row in self.rows)

    @property
    def misfits(self) -> int:
        """How many episodes do not fit the layout."""
        return sum(row.problem is not None for row in self.rows)

    def camera_kinds(self) -> dict[str, dict[str, int]]:
        """For each camera, how its images are stored, and in how many episodes."""
        kinds: dict[str, dict[str, int]] = {}
        for row in self.rows:
            for camera, kind in row.cameras.items():
                counts = kinds.setdefault(camera, {})
                counts[kind] = counts.get(kind, 0) + 1
        return kinds


@dataclass(frozen=True)
class EpisodeCount:
    """How many episodes a file holds, seen through a layout.

    Attributes:
        layout: its name; None if none fits.
        whole_file: the file is one episode: its groups are parts of it.
        fps: frames a second.
        episodes: how many fit.
        misfits: how many do not.
        frames: of those that fit.
        problem: the first episode that crashes what reads it, and how.
    """

    layout: str | None = None
    whole_file: bool = False
    fps: int = 0
    episodes: int = 0
    misfits: int = 0
    frames: int = 0
    problem: str | None = None


@contextmanager
def open_fitting(
    path: Path, layout: Layout | None = None
) -> Iterator[Recording | None]:
    """Open a file with the first built-in layout that one of its first episodes fits.

    Args:
        path: the file.
        layout: take this one instead, whether it fits or not.

    Yields:
        The recording; None if no layout fits.

    Raises:
        RecordingError: the file cannot be opened.
    """
    if layout is not None:
        with Recording(path, layout) as recording:
            yield recording
        return
    fitting = fitting_layouts(path)
    if not fitting:
        yield None
        return
    with Recording(path, settle(fitting[0], [path])) as recording:
        yield recording


def _header(
    recording: Recording, name: str, bad: Mapping[str, PiperlineError]
) -> EpisodeHeader | None:
    if name in bad:
        return None
    try:
        return recording.episode(name).header()
    except PiperlineError:
        return None


def episode_table(
    path: Path, bad: Mapping[str, PiperlineError] = MappingProxyType({})
) -> EpisodeTable | None:
    """The episodes of a file, seen through the built-in layout that fits it; None if none does.

    Args:
        path: the file.
        bad: why some episodes cannot be read, by their names.

    Raises:
        RecordingError: the file cannot be opened.
    """
    with open_fitting(path) as recording:
        if recording is None:
            return None
        rows = [_row(recording, name, bad) for name in recording.episodes()]
        layout = recording.layout
        notes = _notes(recording, rows)
        return EpisodeTable(layout.name, layout.fps, rows, notes)


def _notes(recording: Recording, rows: Sequence[EpisodeSummary]) -> list[str]:
    first = next((row for row in rows if row.frames), None)
    if first is None:
        return []
    episode, layout = recording.episode(first.name), recording.layout
    return [
        *rate_notes(episode, layout, first.frames or 0),
        *unused_notes(episode, layout),
    ]


def _row(
    recording: Recording, name: str, bad: Mapping[str, PiperlineError]
) -> EpisodeSummary:
    try:
        if name in bad:
            raise bad[name]
        episode = recording.episode(name)
        header = episode.header()
        vectors = episode.vectors(header.length)
    except PiperlineError as error:
        return EpisodeSummary(name, problem=_problem(error))
    stored = header.cameras.items()
    return EpisodeSummary(
        name=name,
        instruction=header.task,
        frames=header.length,
        cameras={
            camera: f"{h.kind} {h.width}x{h.height}" for camera, h in stored
        },
        ranges={
            key: (float(v.min()), float(v.max())) for key, v in vectors.items()
        },
    )


def _problem(error: PiperlineError) -> str:
    hdf5_path = error.place.hdf5_path if error.place else None
    parts = filter(None, [error.message, hdf5_path, error.found])
    return ": ".join(map(printable, parts))


def count_episodes(
    path: Path,
    layout: Layout | None = None,
    bad: Mapping[str, PiperlineError] = MappingProxyType({}),
) -> EpisodeCount:
    """Count the episodes of a file and their frames; only headers are read.

    Args:
        path: the file.
        layout: what the file should hold; the built-in layout that fits it if None.
        bad: why some episodes cannot be read, by their names.

    Raises:
        RecordingError: the file cannot be opened, or holds no episode of `layout`.
    """
    with open_fitting(path, layout) as recording:
        if recording is None:
            return EpisodeCount()
        headers = [
            _header(recording, name, bad) for name in recording.episodes()
        ]
        lengths = [header.length for header in headers if header]
        return EpisodeCount(
            layout=recording.layout.name,
            whole_file=recording.layout.episodes.at == "file",
            fps=recording.layout.fps,
            episodes=len(lengths),
            misfits=len(headers) - len(lengths),
            frames=sum(lengths),
            problem=next(
                (f"{name}: {_problem(bad[name])}" for name in bad), None
            ),
        )

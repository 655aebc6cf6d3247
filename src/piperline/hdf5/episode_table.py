"""The episodes of a recording at a glance: what is in it for a conversion, and what would not fit."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from piperline.errors import PiperlineError
from piperline.hdf5.cells import cells, clipped, padded
from piperline.process import parent
from piperline.recordings.detect import fitting_layouts, settle
from piperline.recordings.recorded_episode import EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.text import printable

_WIDTH = 80


@dataclass(frozen=True)
class EpisodeRow:
    """One episode.

    Attributes:
        name: of its group.
        task: its instruction.
        frames: how many; None if the episode does not fit.
        cameras: by name, such as `jpeg 640x480`.
        ranges: the smallest and the largest value of each vector, by feature name.
        problem: why it does not fit the layout.
    """

    name: str
    task: str | None = None
    frames: int | None = None
    cameras: Mapping[str, str] | None = None
    ranges: Mapping[str, tuple[float, float]] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class EpisodeTable:
    """The episodes of a file, seen through a layout.

    Attributes:
        layout: its name.
        fps: frames a second.
        rows: the episodes in natural order.
    """

    layout: str
    fps: int
    rows: Sequence[EpisodeRow]

    @property
    def frames(self) -> int:
        """The frames of all episodes that fit."""
        return sum(row.frames or 0 for row in self.rows)


def episode_table(path: Path) -> EpisodeTable | None:
    """The episodes of a file, seen through the first built-in layout that one of its first episodes fits, or None."""
    with _fitting(path) as (recording, names):
        if recording is None:
            return None
        rows = [_row(recording, episode) for episode in names]
        return EpisodeTable(recording.layout.name, recording.layout.fps, rows)


def main(descriptor: int) -> None:
    """The process of `piperline.hdf5.table_process`: a path comes over a socket, and the table of that file goes back."""
    with (
        parent(descriptor) as connection,
        suppress(PiperlineError, OSError),
    ):  # the caller finds out itself
        connection.send(episode_table(connection.recv()))


def frame_count(path: Path) -> int | None:
    """The frames of all episodes that fit; None if no built-in layout does. Only headers are read."""
    with _fitting(path) as (recording, names):
        if recording is None:
            return None
        headers = [_header(recording, episode) for episode in names]
        return sum(header.length for header in headers if header)


@contextmanager
def _fitting(path: Path) -> Iterator[tuple[Recording | None, list[str]]]:
    fitting = fitting_layouts(path)
    if not fitting:
        yield None, []
        return
    with Recording(path, settle(fitting[0], [path])) as recording:
        yield recording, recording.episodes()


def _header(recording: Recording, name: str) -> EpisodeHeader | None:
    try:
        return recording.episode(name).header()
    except PiperlineError:
        return None


def _row(recording: Recording, name: str) -> EpisodeRow:
    try:
        episode = recording.episode(name)
        header = episode.header()
        vectors = episode.vectors(header.length)
    except PiperlineError as error:
        parts = (
            error.message,
            str(error.place.hdf5_path or "") if error.place else "",
            error.found,
        )
        return EpisodeRow(name, problem=": ".join(printable(part) for part in parts if part))
    return EpisodeRow(
        name,
        header.task,
        header.length,
        {camera: f"{h.storage} {h.width}x{h.height}" for camera, h in header.cameras.items()},
        {key: (float(values.min()), float(values.max())) for key, values in vectors.items()},
    )


def table_lines(table: EpisodeTable) -> Iterator[str]:
    """The table in lines of at most 80 characters."""
    bad = sum(row.problem is not None for row in table.rows)
    seconds = table.frames / table.fps
    yield (
        f"recording, layout {table.layout}: {len(table.rows)} episodes, {table.frames:,} frames,"
        f" {seconds:,.1f} s at {table.fps} frames a second"
    )
    yield from _camera_lines(table.rows)
    width = min(24, max([7, *(cells(printable(row.name)) for row in table.rows)]))
    yield f"  {'episode':{width}} {'frames':>6} {'seconds':>7} {'state':>15} {'action':>15}  instruction"
    for row in table.rows:
        yield from _lines(row, width, table.fps)
    if bad:
        yield f"  {bad} of {len(table.rows)} episodes do not fit"


def _camera_lines(rows: Sequence[EpisodeRow]) -> Iterator[str]:
    """Each camera with its kinds of pictures; more than one only if episodes differ."""
    kinds: dict[str, dict[str, int]] = {}
    for row in rows:
        for camera, kind in (row.cameras or {}).items():
            counts = kinds.setdefault(camera, {})
            counts[kind] = counts.get(kind, 0) + 1
    for camera, counts in kinds.items():
        several = [f"{kind} in {count} episodes" for kind, count in counts.items()]
        yield f"  camera {printable(camera)}: {', '.join(several if len(several) > 1 else counts)}"


def _lines(row: EpisodeRow, width: int, fps: int) -> Iterator[str]:
    name = "  " + padded(printable(row.name), width)
    if row.frames is None or row.ranges is None:
        yield from wrap(f"{name} does not fit: {row.problem}", _WIDTH, subsequent_indent="      ")
        return
    ranges = [f"{low:.3g} .. {high:.3g}" for low, high in row.ranges.values()][:2]
    text = f"{name} {row.frames:6} {row.frames / fps:7.1f}" + "".join(
        f" {part:>15}" for part in ranges
    )
    text += f"  {printable(row.task or '(none)')}"
    yield clipped(text, _WIDTH)

"""Where reviews meet recordings and datasets: the only module here that knows how they are read."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from piperline.errors import BadEpisode, PiperlineError, Place, RecordingError
from piperline.plan import fingerprint
from piperline.recordings.find import find_recordings
from piperline.recordings.layout import Layout
from piperline.recordings.recording import Episode, Recording
from piperline.signals.camera import CameraSignals, measure
from piperline.signals.episode import FORM, EpisodeSignals


@dataclass(frozen=True)
class Unit:
    """One episode that is to be measured.

    Attributes:
        file: the recording.
        source: the file as it is told from others.
        session: what was recorded in one go.
        name: of the episode.
        key: names the file's content, the episode, and how it is measured.
        made_of: names the file's content and the episode, for a plan.
    """

    file: Path
    source: str
    session: str
    name: str
    key: str
    made_of: str


@dataclass(frozen=True)
class Unread:
    """An episode, or a file, that cannot be read."""

    place: Place
    error: PiperlineError


def find_units(
    inputs: Sequence[Path | str], layout: Layout, *, pictures: bool
) -> tuple[list[Unit], list[Unread]]:
    """The episodes of some recordings, in order, and the files that cannot be read.

    Raises:
        RecordingError: there are no recordings.
    """
    units: list[Unit] = []
    unread: list[Unread] = []
    for path, source in find_recordings(inputs):
        try:
            units += _units(path, source, layout, pictures=pictures)
        except RecordingError as error:
            unread.append(Unread(Place(file=path), error))
    return _with_sessions(units, layout), unread


def _units(path: Path, source: str, layout: Layout, *, pictures: bool) -> Iterator[Unit]:
    stat = path.stat()
    with Recording(path, layout) as recording:
        for name in recording.episodes():
            identity = [
                FORM,
                source,
                stat.st_size,
                stat.st_mtime_ns,
                name,
                pictures,
                asdict(layout),
            ]
            text = json.dumps(identity, sort_keys=True)
            key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            made_of = fingerprint(source, stat.st_size, stat.st_mtime_ns, name)
            yield Unit(path, source, path.name, name, key, made_of)


def _with_sessions(units: Sequence[Unit], layout: Layout) -> list[Unit]:
    """Sessions are files; where files hold an episode each, they are folders. Keys that are twice become unlike."""
    files = {unit.file for unit in units}
    by_folder = layout.episodes.at == "file" or len(files) == len(units) > 1
    names = {file.name for file in files}
    seen: set[str] = set()
    found = []
    for unit in units:
        session = unit.file.resolve().parent.name if by_folder else unit.file.name
        if not by_folder and len(names) < len(files):
            session = unit.source
        key = unit.key
        if key in seen:
            key = hashlib.sha256(f"{key} {unit.file.resolve()}".encode()).hexdigest()[:32]
        seen.add(key)
        found.append(replace(unit, session=session, key=key))
    return found


def measure_unit(unit: Unit, layout: Layout, *, pictures: bool) -> EpisodeSignals:
    """Read an episode once, and measure it.

    Raises:
        RecordingError: it cannot be read.
    """
    with Recording(unit.file, layout) as recording:
        episode = recording.episode(unit.name)
        header = episode.header()
        vectors = episode.vectors(header.length)
        cameras = _cameras(episode, layout) if pictures else {}
        marks = episode.marks(header.length)
    return EpisodeSignals(
        file=str(unit.file),
        session=unit.session,
        name=unit.name,
        index=0,
        instruction=header.task or "",
        vectors=vectors,
        cameras=cameras,
        labels=marks.labels,
        times=marks.times,
        rows_behind=marks.behind,
        key=unit.key,
    )


def _cameras(episode: Episode, layout: Layout) -> dict[str, CameraSignals]:
    header = episode.header()
    found = {}
    for name, camera in header.cameras.items():
        rule = layout.cameras.get(name) or layout.cameras["*"]
        stream = episode.stream(name, header.length)
        measured = measure(stream, camera.height, camera.width, swap=rule.color != "rgb")
        if len(measured.damaged) == header.length:
            raise BadEpisode(
                "no image of a camera decodes", place=replace(episode.place, camera=name)
            )
        found[name] = measured
    return found

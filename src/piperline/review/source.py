"""What is reviewed: recordings seen through a layout, or a dataset; here it is found and read."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

from piperline.edits.plan import fingerprint
from piperline.errors import (
    DatasetError,
    PiperlineError,
    Place,
    RecordingError,
)
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.detect import find_layout, settle
from piperline.recordings.find import find_recordings
from piperline.recordings.layout import Layout
from piperline.recordings.reader import Read, here, over_parts
from piperline.recordings.recording import Recording
from piperline.review.videos import whole_folder
from piperline.signals.dataset import is_dataset, measure_episode, sessions_of
from piperline.signals.episode import FORM, STATE, EpisodeSignals
from piperline.signals.recorded import measured_cameras, signals_of
from piperline.text import printable


@dataclass(frozen=True)
class ReviewUnit:
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


@dataclass(frozen=True)
class ReviewSubject:
    """What is reviewed.

    Attributes:
        name: of the layout, or the version of the dataset.
        robot_type: LeRobot's name for the robot.
        names: of the dimensions of the state.
        fps: frames a second.
        state: the feature that is taken for the state.
        has_instructions: whether episodes should tell one.
        depth: names of depth cameras: they are not looked at.
        layout: of recordings; None for a dataset.
    """

    name: str
    robot_type: str
    names: tuple[str, ...]
    fps: int
    state: str
    has_instructions: bool
    layout: Layout | None = None
    depth: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What is not looked at."""
        names = ", ".join(map(printable, self.depth))
        return [f"depth was not looked at: {names}"] if names else []


def find_subject(
    inputs: Sequence[Path | str],
    named: Layout | None,
    *,
    pictures: bool,
    read: Read = here,
) -> tuple[ReviewSubject, list[ReviewUnit], list[Unread]]:
    """What is reviewed, its episodes in order, and the files that cannot be read.

    Args:
        inputs: recordings, or one dataset.
        named: the layout of the recordings; None finds the built-in one that fits.
        pictures: whether images are looked at.
        read: calls what reads a recording.

    Raises:
        RecordingError: there are no recordings.
        DatasetError: the dataset cannot be read.
    """
    if len(inputs) == 1 and is_dataset(Path(inputs[0])):
        return _dataset(Path(inputs[0]), pictures=pictures)
    layout = settle(named or find_layout(inputs, read), inputs, read)
    found = _recordings(inputs, layout, read, pictures=pictures)
    return subject_of(layout), *found


def subject_of(layout: Layout) -> ReviewSubject:
    """Recordings of a layout, as what is reviewed."""
    state = STATE if STATE in layout.vectors else next(iter(layout.vectors))
    return ReviewSubject(
        layout.name,
        layout.robot_type,
        layout.vectors[state].dimension_names,
        layout.fps,
        state,
        bool(layout.tasks),
        layout,
        tuple(name for name, rule in layout.cameras.items() if rule.depth),
    )


def _dataset(
    root: Path, *, pictures: bool
) -> tuple[ReviewSubject, list[ReviewUnit], list[Unread]]:
    dataset = open_dataset(root)
    schema = dataset.info.schema
    vectors = [
        key
        for key, feature in schema.features.items()
        if "float" in feature.dtype
    ]
    state = STATE if STATE in vectors else next(iter(vectors), STATE)
    feature = schema.features.get(state)
    width = feature.shape[0] if feature and feature.shape else 0
    names = tuple(feature.names or ()) if feature else ()
    if len(names) != width:
        names = tuple(f"{state}_{i}" for i in range(width))
    robot_type = schema.robot_type or "unknown"
    subject = ReviewSubject(
        dataset.version,
        robot_type,
        names,
        schema.fps,
        state,
        has_instructions=True,
        depth=tuple(
            key.removeprefix("observation.images.")
            for key in schema.cameras
            if schema.features[key].is_depth
        ),
    )
    stat = (root / "meta" / "info.json").stat()
    units = []
    for row, session in zip(
        dataset.episodes, sessions_of(root, len(dataset)), strict=True
    ):
        number = str(row.episode_index)
        identity = [
            FORM,
            str(root.resolve()),
            stat.st_mtime_ns,
            number,
            row.length,
            pictures,
        ]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        units.append(
            ReviewUnit(
                root,
                root.name,
                session,
                number,
                key,
                dataset.folder.made_of(row.episode_index),
            )
        )
    missing = [
        name.removeprefix("observation.images.")
        for name in dataset.missing_cameras
    ]
    unread = [
        Unread(Place(file=root, camera=name), _no_videos(root, name))
        for name in missing
    ]
    return subject, units, unread


def _no_videos(root: Path, camera: str) -> DatasetError:
    return DatasetError(
        "the videos of a camera are missing: it was not looked at",
        place=Place(file=root, camera=camera),
        next_step="see where meta/info.json says that videos lie (video_path)",
        expected="a video of each episode",
        found="none",
    )


def _recordings(
    inputs: Sequence[Path | str], layout: Layout, read: Read, *, pictures: bool
) -> tuple[list[ReviewUnit], list[Unread]]:
    units: list[ReviewUnit] = []
    unread: list[Unread] = []
    for path, source in find_recordings(inputs, layout.episodes.files):
        try:
            names, bad = over_parts(read, path, _names, path, layout)
            units += _units(path, source, names, layout, pictures=pictures)
            unread += [
                Unread(Place(file=path, episode=name), error)
                for name, error in bad.items()
            ]
        except RecordingError as error:
            unread.append(Unread(Place(file=path), error))
    return with_sessions(units, layout), unread


def _names(
    path: Path,
    layout: Layout,
    bad: Mapping[str, PiperlineError] = MappingProxyType({}),
) -> tuple[list[str], dict[str, PiperlineError]]:
    """The names of episodes that are to be measured, and why others cannot be.

    A file may hold 100,000 groups that are no episodes: here it is opened once for all of them.
    """
    found: list[str] = []
    problems: dict[str, PiperlineError] = {}
    with Recording(path, layout) as recording:
        for name in recording.episodes():
            try:
                if name in bad:
                    raise bad[name]
                recording.episode(name).check_structure()
            except PiperlineError as error:
                # its traceback would keep the episode open
                problems[name] = error.with_traceback(None)
            else:
                found.append(name)
    return found, problems


def _units(
    path: Path,
    source: str,
    names: Sequence[str],
    layout: Layout,
    *,
    pictures: bool,
) -> Iterator[ReviewUnit]:
    stat, text = path.stat(), layout_text(layout)
    for name in names:
        of = (source, stat.st_size, stat.st_mtime_ns, name)
        yield recorded_unit(path, of, text, pictures=pictures)


def layout_text(layout: Layout) -> str:
    """All of a layout, for `recorded_unit`."""
    return json.dumps(asdict(layout), sort_keys=True)


def recorded_unit(
    path: Path, of: tuple[str, int, int, str], layout: str, *, pictures: bool
) -> ReviewUnit:
    """An episode of a recording, by itself: see `with_sessions`.

    Args:
        path: the recording.
        of: as it is told from others; its size in bytes and time of change in nanoseconds; the
            episode's name.
        layout: of the recording, see `layout_text`.
        pictures: whether images are looked at.
    """
    source, _, _, name = of
    measured = json.dumps([FORM, *of, pictures])
    text = f"{measured[:-1]}, {layout}]"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    key = digest.hexdigest()[:32]
    return ReviewUnit(path, source, path.name, name, key, fingerprint(*of))


def with_sessions(
    units: Sequence[ReviewUnit], layout: Layout
) -> list[ReviewUnit]:
    """Sessions are files; where files hold an episode each, they are folders.

    Keys that are there twice become unlike.
    """
    files = {unit.file for unit in units}
    by_folder = layout.episodes.at == "file" or len(files) == len(units) > 1
    names = {file.name for file in files}
    seen: set[str] = set()
    found = []
    for unit in units:
        session = (
            unit.file.resolve().parent.name if by_folder else unit.file.name
        )
        if not by_folder and len(names) < len(files):
            session = unit.source
        key = unit.key
        if key in seen:
            key = hashlib.sha256(
                f"{key} {unit.file.resolve()}".encode()
            ).hexdigest()[:32]
        seen.add(key)
        found.append(replace(unit, session=session, key=key))
    return found


def measure_unit(
    unit: ReviewUnit,
    layout: Layout | None,
    *,
    pictures: bool,
    videos: Path | None = None,
) -> EpisodeSignals:
    """Read an episode once, and measure it; of a dataset where there is no layout.

    Args:
        unit: the episode.
        layout: of the recordings.
        pictures: look at the images too.
        videos: where a folder of small videos of it is made, named by its key.

    Raises:
        RecordingError: it cannot be read.
        DatasetError: the same, for a dataset.
    """
    if pictures and videos and not (videos / unit.key).is_dir():
        with whole_folder(videos / unit.key) as films:
            return _measured(unit, layout, films, pictures=True)
    return _measured(unit, layout, None, pictures=pictures)


def _measured(
    unit: ReviewUnit,
    layout: Layout | None,
    films: Path | None,
    *,
    pictures: bool,
) -> EpisodeSignals:
    if layout is None:
        found = measure_episode(
            unit.file, int(unit.name), films, pictures=pictures
        )
        return replace(found, session=unit.session, key=unit.key)
    with Recording(unit.file, layout) as recording:
        episode = recording.episode(unit.name)
        cameras = measured_cameras(episode, layout, films) if pictures else {}
        found = signals_of(episode, cameras)
    return replace(found, session=unit.session, key=unit.key)

"""A look at one recording, in a process of its own: what untrusted files can do ends with it."""

from collections.abc import Callable
from dataclasses import replace

from piperline.convert.encode import refuse_video
from piperline.convert.job import Job
from piperline.convert.messages import Look, LookSetup, Names, Planned, Refused
from piperline.convert.plan import PlannedEpisode, Selection
from piperline.errors import BadEpisode, Place, RecordingError, VideoError
from piperline.lerobot.info import LONGEST_SECONDS
from piperline.recordings.recording import EpisodeHeader, Recording


def look(setup: LookSetup, unit: Look, send: Callable[[object], None]) -> None:
    """Send the names of the episodes of a recording, then of each chosen one whether it will do.

    Args:
        setup: what is asked of all recordings.
        unit: the recording, and where to go on.
        send: takes a message.

    Raises:
        RecordingError: the file is no recording.
    """
    selection = Selection(setup.episodes)
    with Recording(unit.file, setup.job.layout) as recording:
        names = recording.episodes()
        send(Names(tuple(names)))
        chosen = [name for i, name in enumerate(names, unit.before) if selection(i, name)]
        for name in chosen[unit.answered :]:
            send(_looked(recording, name, unit.source, setup.job))


def _looked(recording: Recording, name: str, source: str, job: Job) -> Planned | Refused:
    try:
        return Planned(_planned(recording, name, source, job))
    except (RecordingError, VideoError) as error:
        return Refused(error)
    except MemoryError:
        return Refused(out_of_memory(Place(file=recording.path, episode=name)))


def out_of_memory(place: Place) -> BadEpisode:
    """The error for a recording that takes more memory than a worker may have."""
    return BadEpisode(
        "this takes more memory than a recording may need",
        place=place,
        expected="images and vectors that fit into some gigabytes together",
        found="no memory left",
        next_step="leave it out with --skip-bad",
    )


def _planned(recording: Recording, name: str, source: str, job: Job) -> PlannedEpisode:
    place = Place(file=recording.path, episode=name)
    header = recording.episode(name).header()
    stat = recording.path.stat()
    _check_seconds(header, place, job)
    for camera, found in header.cameras.items():
        rule = job.layout.cameras.get(camera) or job.layout.cameras["*"]
        refuse_video(
            job.settings, replace(place, camera=camera), found, swapped=rule.color == "swapped-jpeg"
        )
    task = header.task or job.task
    if not task:
        attribute = job.layout.task.attribute
        raise BadEpisode(
            "the episode has no task text",
            place=place,
            expected=f"text in the attribute {attribute}" if attribute else "the option --task",
            found="none, or empty",
            next_step="give one for all such episodes: --task 'pick up the apple'",
        )
    return PlannedEpisode(
        recording.path,
        source,
        stat.st_size,
        stat.st_mtime_ns,
        name,
        header.length,
        task,
        dict(header.cameras),
    )


def _check_seconds(header: EpisodeHeader, place: Place, job: Job) -> None:
    seconds = LONGEST_SECONDS[job.format]
    limit = seconds * job.settings.fps
    if header.length > limit:
        raise BadEpisode(
            f"the episode is longer than LeRobot {job.format} can hold",
            place=place,
            expected=f"at most {limit} frames ({seconds} s at {job.settings.fps} frames a second)",
            found=f"{header.length} frames",
            next_step="record shorter episodes, or cut this one in the recording; "
            "or leave it out with --skip-bad",
        )

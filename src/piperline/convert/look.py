"""A look at one recording, in a process of its own: what untrusted files can do ends with it."""

from collections.abc import Callable
from dataclasses import replace

from piperline.convert.encode import refuse_video
from piperline.convert.job import Job
from piperline.convert.messages import Look, LookSetup, Names, Planned, Refused
from piperline.convert.plan import PlannedEpisode
from piperline.convert.selection import Selection
from piperline.errors import BadEpisode, Place, RecordingError, VideoError
from piperline.lerobot.info import LONGEST_SECONDS
from piperline.recordings.limits import out_of_memory
from piperline.recordings.recorded_episode import EpisodeHeader
from piperline.recordings.recording import Recording
from piperline.recordings.unused import rate_notes, unused_notes


def look(
    setup: LookSetup,
    unit: Look,
    send: Callable[[object], None],
) -> None:
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
        send(
            Names(
                tuple(names),
                tuple(recording.left_out().items()),
            )
        )
        chosen = [
            name
            for i, name in enumerate(names, unit.before)
            if selection(i, name)
        ]
        for number, name in enumerate(chosen[unit.answered :], unit.answered):
            send(
                _looked(
                    recording, name, unit.source, setup.job, first=number == 0
                )
            )


def _looked(
    recording: Recording, name: str, source: str, job: Job, *, first: bool
) -> Planned | Refused:
    try:
        episode = recording.episode(name)
        header = episode.header()
        planned = _planned(recording, name, source, job, header)
        episode.vectors(header.length)  # numbers that are none are told now
        unused: tuple[str, ...] = ()
        if first:
            unused = (
                *rate_notes(episode, job.layout, header.length),
                *unused_notes(episode, job.layout),
            )
    except (RecordingError, VideoError) as error:
        return Refused(error)
    except MemoryError:
        return Refused(out_of_memory(Place(file=recording.path, episode=name)))
    return Planned(planned, header.notes, unused)


def _planned(
    recording: Recording,
    name: str,
    source: str,
    job: Job,
    header: EpisodeHeader,
) -> PlannedEpisode:
    place = Place(file=recording.path, episode=name)
    stat = recording.path.stat()
    _check_seconds(header, place, job)
    for camera, found in header.cameras.items():
        refuse_video(job.settings, replace(place, camera=camera), found)
        if found.depth and job.format != "v3.0":
            raise _no_depth(replace(place, camera=camera), job)
    task = header.task or job.task
    if not task:
        sources = [rule.described for rule in job.layout.tasks]
        raise BadEpisode(
            "the episode has no task text",
            place=place,
            expected=f"text in {' or '.join(sources)}"
            if sources
            else "the option --task",
            found=header.no_task,
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
        beside=recording.episode(name).beside(header.length),
        spans=header.spans,
    )


def _no_depth(place: Place, job: Job) -> VideoError:
    return VideoError(
        f"LeRobot {job.format} has no depth: its reader refuses statistics of one channel",
        place=place,
        expected="LeRobot v3.0, which holds depth from lerobot 0.6 on",
        found="a camera that the layout calls depth",
        next_step="add --format v3.0, or leave the camera out of the layout",
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

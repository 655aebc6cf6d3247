"""Episodes of recordings, measured."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from piperline.errors import BadEpisode
from piperline.recordings.layout import Layout
from piperline.recordings.recorded_episode import Episode
from piperline.signals.camera import CameraSignals, measure
from piperline.signals.episode import EpisodeSignals
from piperline.video.preview import PreviewWriter, video_file


def signals_of(
    episode: Episode, cameras: Mapping[str, CameraSignals]
) -> EpisodeSignals:
    """The signals of a recorded episode: rows and marks are read, cameras were measured.

    Raises:
        RecordingError: it cannot be read.
    """
    header = episode.header()
    marks = episode.marks(header.length)
    return EpisodeSignals(
        file=str(episode.place.file),
        session="",
        name=str(episode.place.episode),
        index=0,
        instruction=header.task or "",
        vectors=episode.vectors(header.length),
        cameras=cameras,
        labels=marks.labels,
        times=marks.times,
        rows_behind=marks.behind,
    )


def measured_cameras(
    episode: Episode,
    layout: Layout,
    films: Path | None = None,
    *,
    swapped: Sequence[str] = (),
) -> dict[str, CameraSignals]:
    """Measure the images of an episode, each read once.

    Args:
        episode: as recorded.
        layout: of the recording.
        films: the folder for small videos of it, if they are wanted.
        swapped: cameras whose red and blue are exchanged once more.

    Raises:
        RecordingError: they cannot be read, or none of a camera decodes.
    """
    header = episode.header()
    found = {}
    pictures = [
        (name, camera)
        for name, camera in header.cameras.items()
        if camera.depth is None
    ]
    for number, (name, camera) in enumerate(pictures):
        size = camera.height, camera.width
        swap = (camera.color != "rgb") is not (name in swapped)
        video = video_file(films, number) if films else None
        with (
            PreviewWriter(video, *size, fps=layout.fps, swap=swap)
            if video
            else nullcontext() as w
        ):
            stream = episode.stream(name, header.length)
            measured = measure(stream, *size, swap=swap, film=w)
        if len(measured.damaged) == header.length:
            raise BadEpisode(
                "no image of a camera decodes",
                place=replace(episode.place, camera=name),
                expected="JPEG or PNG that decode",
                found=f"{header.length} of {header.length} damaged",
                next_step="copy or record it again, or leave it out with --skip-bad",
            )
        found[name] = measured
    return found

"""The videos of a dataset in themselves: there, whole, as many frames as rows, and they decode."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from piperline.errors import DatasetError, Place
from piperline.features import Feature
from piperline.finding import Finding
from piperline.process import usable_cpus
from piperline.seal.contents import Contents
from piperline.threads import in_threads
from piperline.verify.decoded import DecodedFrames
from piperline.verify.progress import Tally
from piperline.verify.report import Looked
from piperline.video.decoder import probe
from piperline.video.mp4 import is_whole
from piperline.video.packets import first_number, pictures

_CHANNELS = (1, 3)
_REMEDY = "fetch the dataset again, or make it anew"


@dataclass(frozen=True)
class Span:
    """The frames of an episode in a video file: half-open."""

    episode: int
    first: int
    stop: int


@dataclass(frozen=True)
class SpannedVideo:
    """A video file of a camera, and the spans of it that episodes have, in order."""

    path: Path
    camera: str
    spans: tuple[Span, ...]

    def place(self, frame: int | None = None) -> Place:
        """The file, and what of it has the frame of that number in it."""
        if frame is None:
            alone = len(self.spans) == 1
            episode = str(self.spans[0].episode) if alone else None
            return Place(file=self.path, episode=episode, camera=self.camera)
        holding = (
            span for span in self.spans if span.first <= frame < span.stop
        )
        span = next(holding, self.spans[-1])
        return Place(
            self.path, None, str(span.episode), self.camera, frame - span.first
        )


def frame_size(feature: Feature) -> tuple[int, int]:
    """Width and height of a camera's frames; some datasets tell the channels first."""
    names = feature.names or ()
    if "height" in names and "width" in names:
        return feature.shape[names.index("width")], feature.shape[
            names.index("height")
        ]
    height, width = (
        feature.shape[:2]
        if feature.shape[-1] in _CHANNELS
        else feature.shape[-2:]
    )
    return width, height


def video_files(contents: Contents) -> list[SpannedVideo]:
    """Every video file that an episode has a span of."""
    spans: dict[tuple[Path, str], list[Span]] = {}
    for episode, row in enumerate(contents.episodes):
        for camera in contents.cameras:
            path, first = contents.span(episode, camera)
            span = Span(episode, first, first + row.length)
            spans.setdefault((path, camera), []).append(span)
    return [
        SpannedVideo(
            *key,
            tuple(held),
        )
        for key, held in spans.items()
    ]


def missing_cameras(files: Sequence[SpannedVideo]) -> list[str]:
    """Cameras that are declared and of which there is no video at all."""
    there = {file.camera for file in files if file.path.exists()}
    return sorted({file.camera for file in files} - there)


def check_videos(
    contents: Contents,
    files: Sequence[SpannedVideo],
    looked: Looked,
    ends: DecodedFrames | None,
) -> Iterator[Finding]:
    """Every video is there, whole, has the frames of its episodes, and decodes at its ends.

    Args:
        contents: the dataset.
        files: its video files.
        looked: counts what is looked at.
        ends: takes down the first and the last frame of each; None decodes nothing.
    """

    def look(file: SpannedVideo) -> list[Finding]:
        return _look(contents, file, ends)

    for findings in in_threads(look, files, usable_cpus()):
        looked.videos += 1
        yield from findings


def check_the_rest(
    contents: Contents,
    files: Sequence[SpannedVideo],
    decoded: DecodedFrames,
    progress: Tally,
) -> Iterator[Finding]:
    """Every video decodes to its end; what was decoded already is not decoded again.

    Args:
        contents: the dataset.
        files: its video files.
        decoded: what was decoded.
        progress: told of what was passed.
    """
    every = sum(row.length for row in contents.episodes) * len(contents.cameras)
    progress.begin("videos", every)
    progress.moved(min(every, decoded.count))

    def decode(file: SpannedVideo) -> tuple[list[Finding], int]:
        try:
            info, frames = probe(file.path, pix_fmt="unknown")
        except DatasetError:  # found already
            return [], 0
        fps = info.fps or contents.info.fps
        numbers = _numbers(file, frames, fps)
        missing = decoded.missing(file.path, numbers)
        return _decode(file, fps, missing, decoded), len(missing)

    for findings, count in in_threads(decode, files, usable_cpus()):
        progress.moved(count)
        yield from findings


def _look(
    contents: Contents, file: SpannedVideo, ends: DecodedFrames | None
) -> list[Finding]:
    """What is wrong with a file."""
    if not file.path.exists():
        return [_error("video-missing", "the video is missing", file.place())]
    declared = (contents.info.features[file.camera].info or {}).get(
        "video.pix_fmt"
    )
    try:
        info, frames = probe(file.path, pix_fmt=str(declared or "unknown"))
    except DatasetError as error:
        message = f"{error.message}: {error.found or ''}".rstrip(": ")
        return [_error("video-unreadable", message, file.place())]
    found = []
    if not is_whole(file.path):
        message = "the video is not as long as its boxes say: cut short, or something was appended"
        found.append(_error("video-truncated", message, file.place()))
    if info.fps != contents.info.fps:
        message = (
            f"the video runs at {info.fps} frames a "
            f"second, the dataset at {contents.info.fps}"
        )
        found.append(_error("video-rate", message, file.place()))
    width, height = frame_size(contents.info.features[file.camera])
    if (info.height, info.width) != (height, width):
        message = f"the video is {info.width}x{info.height}, info.json says {width}x{height}"
        found.append(_error("video-size", message, file.place()))
    fps = info.fps or contents.info.fps
    numbers = _numbers(file, frames, fps)
    found += _check_spans(file, numbers)
    if ends is None:
        return found
    wanted = sorted({numbers.start, max(numbers.start, numbers.stop - 1)})
    return [*found, *_decode(file, fps, wanted, ends)]


def _numbers(file: SpannedVideo, frames: int, fps: int) -> range:
    """The numbers of the frames of a file: a v3.0 dataset's episodes may begin as late as it."""
    if not min(span.first for span in file.spans):
        return range(frames)
    first = first_number(file.path, fps)
    return range(first, first + frames)


def _check_spans(file: SpannedVideo, held: range) -> Iterator[Finding]:
    """The spans lie behind one another from the first to the last frame of the file."""
    reached = held.start
    for span in sorted(file.spans, key=lambda span: span.first):
        if span.first != reached:
            numbers = {"begins": span.first, "before_ends": reached}
            message = f"the episode begins at frame {span.first}, the one before ends at {reached}"
            place = Place(
                file=file.path, episode=str(span.episode), camera=file.camera
            )
            yield _error("video-span", message, place, **numbers)
        reached = span.stop
    if reached != held.stop:
        frames, rows = len(held), reached - held.start
        message = (
            f"the video has {frames} frames, its episodes have {rows} rows"
        )
        yield _error(
            "video-frames", message, file.place(), frames=frames, rows=rows
        )


def _decode(
    file: SpannedVideo, fps: int, wanted: Sequence[int], decoded: DecodedFrames
) -> list[Finding]:
    """What does not decode of the wanted frames; `decoded` takes down what does."""
    count = 0
    try:
        for number, _ in pictures(file.path, fps, wanted):
            decoded.add(file.path, number)
            count += 1
    except DatasetError as error:
        message = f"the video does not decode: {error.found or error.message}"
        bad = wanted[count] if count < len(wanted) else None
        return [_error("video-undecodable", message, file.place(bad))]
    if count != len(wanted):
        message = f"{len(wanted) - count} of {len(wanted)} frames do not decode"
        return [_error("video-undecodable", message, file.place())]
    return []


def _error(
    code: str,
    message: str,
    place: Place,
    **numbers: int,
) -> Finding:
    return Finding(code, "error", message, place, numbers, _REMEDY)

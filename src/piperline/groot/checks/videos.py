"""Checks: the videos. The header of every file; a few decoded frames of some."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.codes import REMEDIES
from piperline.detectors.pictures import BLACK
from piperline.episode import VideoInfo
from piperline.errors import DatasetError, Place
from piperline.finding import Finding, Severity
from piperline.groot.checks.inputs import Subject
from piperline.groot.checks.reviewed import (
    VideoClip,
    check_pictures,
    check_still,
)
from piperline.signals.camera import CameraSignals, measure
from piperline.threads import in_threads
from piperline.video.decoder import decode_at, probe
from piperline.video.file import VideoFile

_CODECS = frozenset({"h264", "hevc", "mjpeg", "av1", "vp9", "mpeg4"})
_THREADS = 2
_CLIPS = 300
"""So many videos are decoded at most, evenly spread."""
_MOMENTS = (0.1, 0.5, 0.9)
_SAME, _SAME_SHARE = 32, 1e-3
"""Two frames are the same if at most this share of pixels differs by more than this many levels.

Lossy encoding of a still image stays below, a moving arm does not.
"""
_MOVED = 0.05
_COLOURED, _BLUE_SHARE, _BLUE_TO_ORANGE = 24, 0.3, 10
"""Red and blue may be exchanged if this share of an image is blue, and ten times less is orange.

A pixel has a colour if its channels differ by the first number, of 255 levels.
"""


def _clips(subject: Subject) -> list[VideoClip]:
    if not subject.meta.info.get("video_path"):
        return []
    spans = subject.rows.spans
    features = subject.meta.schema.features
    cameras = [
        (camera, subject.meta.video_key(camera))
        for camera in subject.choice.cameras
    ]
    return [
        VideoClip(
            camera,
            key,
            episode,
            subject.meta.video_file(key, episode),
            stop - start,
            rows[1] - rows[0],
        )
        for episode, (start, stop) in subject.rows.episodes(
            subject.meta
        ).items()
        for rows in [spans[subject.meta.data_file(episode)]]
        for camera, key in cameras
        if key in features
    ]


def check_headers(subject: Subject) -> Iterator[Finding]:
    """Every video exists, opens, has a supported codec and as many frames as its episode."""
    clips = _clips(subject)
    if not clips and subject.choice.cameras and subject.rows.spans:
        message = (
            "info.json has no video_path: GR00T would train without images"
        )
        place = Place(file=subject.meta.root / "meta/info.json")
        yield Finding(
            "video-path",
            "error",
            message,
            place,
            remedy="tell video_path there, or convert again",
        )
    cameras: dict[str, list[tuple[VideoClip, VideoInfo]]] = {}
    probed = in_threads(_probe, clips, _THREADS)
    for clip, result in zip(clips, probed, strict=True):
        if isinstance(result, Finding):
            yield result
            continue
        yield from _check_count(clip, result[1])
        cameras.setdefault(clip.camera, []).append((clip, result[0]))
    for camera, entries in cameras.items():
        yield from _check_kind(subject, camera, entries)
    if subject.target.version == "n1.5":
        for entries in cameras.values():
            yield from _check_times(subject, [clip for clip, _ in entries])
    sizes = {
        camera: (entries[0][1].width, entries[0][1].height)
        for camera, entries in cameras.items()
    }
    if len(set(sizes.values())) > 1:
        listed = ", ".join(
            f"{camera} {width}x{height}"
            for camera, (width, height) in sizes.items()
        )
        message = (
            f"the cameras differ in size ({listed}): GR00T N1.6 before 2026-02-24 stops at mixed "
            "aspect ratios"
        )
        remedy = "convert with --resize 320x240, or use the tag n1.6.1-release"
        yield Finding(
            "camera-sizes",
            "warning",
            message,
            Place(file=subject.meta.root),
            {"sizes": sizes},
            remedy,
        )


def _probe(clip: VideoClip) -> tuple[VideoInfo, int] | Finding:
    place = Place(
        file=clip.path,
        episode=str(clip.episode),
        camera=clip.camera,
    )
    if not clip.path.exists():
        return Finding(
            "video-missing",
            "error",
            "the video is missing",
            place,
            {},
            "convert the episode again",
        )
    try:
        return probe(clip.path)
    except DatasetError as error:
        message = f"{error.message}: {error.found or ''}".rstrip(": ")
        return Finding(
            "video-unreadable",
            "error",
            message,
            place,
            remedy="convert the episode again",
        )


def _check_count(clip: VideoClip, frames: int) -> Iterator[Finding]:
    place = Place(
        file=clip.path,
        episode=str(clip.episode),
        camera=clip.camera,
    )
    numbers = {"frames": frames, "rows": clip.length}
    if 0 < frames < clip.length:
        message = (
            f"the video has {frames} frames, the episode {clip.length}: GR00T stops in a worker, "
            "during training"
        )
        yield Finding(
            "video-short",
            "error",
            message,
            place,
            numbers,
            "convert the episode again",
        )
    elif frames > clip.rows:
        message = (
            f"the video has {frames} frames, the episode {clip.rows}: accepted silently, maybe "
            "out of step"
        )
        yield Finding(
            "video-long",
            "warning",
            message,
            place,
            numbers,
            "convert the episode again",
        )


def _check_kind(
    subject: Subject, camera: str, entries: list[tuple[VideoClip, VideoInfo]]
) -> Iterator[Finding]:
    severity: Severity = (
        "error" if subject.target.version == "n1.5" else "warning"
    )
    clip, first = entries[0]
    shape, fps = (
        subject.meta.schema.features[clip.key].shape,
        subject.meta.schema.fps,
    )
    place = Place(file=clip.path, camera=camera)
    codecs = {info.codec for _, info in entries}
    if codecs - _CODECS:
        message = (
            f"{camera}: codec {', '.join(sorted(codecs - _CODECS))} is not decoded by GR00T's "
            "video backends"
        )
        yield Finding(
            "video-codec",
            "error",
            message,
            place,
            {"codecs": sorted(codecs)},
            "convert with --video h264",
        )
    elif "av1" in codecs and subject.target.family != "n1.7":
        message = (
            f"{camera} is AV1, which torchcodec decodes "
            "and decord, GR00T's fallback, does not"
        )
        remedy = (
            'check `python -c "import torchcodec"` in the training environment, or convert with '
            "--video h264"
        )
        yield Finding("video-av1", "warning", message, place, {}, remedy)
    if len({(info.width, info.height) for _, info in entries}) > 1 or shape[
        :2
    ] != (
        first.height,
        first.width,
    ):
        message = (
            f"{camera}: info.json says {shape[:2]} (height, width), the files "
            f"{(first.height, first.width)} or various"
        )
        yield Finding(
            "video-size",
            severity,
            message,
            place,
            remedy="convert all episodes with one --resize",
        )
    if first.fps != fps and _steady(clip, fps):
        message = f"{camera}: the video runs at {first.fps} frames a second, info.json says {fps}"
        numbers = {"video": first.fps, "info": fps}
        yield Finding(
            "video-fps",
            severity,
            message,
            place,
            numbers,
            "convert again with the right --fps",
        )


def _check_times(subject: Subject, clips: list[VideoClip]) -> Iterator[Finding]:
    """N1.5 asks for the frame that is shown at the time of a row; the others count frames."""
    fps = subject.meta.schema.fps
    for clip in clips:
        with VideoFile(clip.path, fps) as file:
            on_time = file.is_on_time()
        if not on_time:
            yield Finding(
                "video-times",
                "error",
                "the frames are not at frame / fps, and N1.5 reads them by time: it gets others, "
                "or stops; in a dataset that is made of this one they are",
                Place(
                    file=clip.path,
                    episode=str(clip.episode),
                    camera=clip.camera,
                ),
                {},
                subject.anew(),
            )


def _steady(clip: VideoClip, fps: int) -> bool:
    with VideoFile(clip.path, fps) as file:
        return file.steady_rate() is not None


def check_images(subject: Subject) -> Iterator[Finding]:
    """Three frames of up to 300 videos: light, swapped colours, still while the robot moves.

    What stands still is looked at frame by frame: a wrist camera may have nothing to see.
    """
    clips = [clip for clip in _clips(subject) if clip.length]
    chosen = [
        clip
        for clip in clips[
            :: max(
                1,
                -(-len(clips) // _CLIPS),
            )
        ]
        if not isinstance(_probe(clip), Finding)
    ]
    blue: dict[str, list[NDArray[np.float64]]] = {}
    still: dict[str, list[VideoClip]] = {}
    seen: dict[str, dict[int, CameraSignals]] = {}
    decoded = in_threads(_frames, chosen, _THREADS)
    for clip, frames in zip(chosen, decoded, strict=True):
        place = Place(
            file=clip.path, episode=str(clip.episode), camera=clip.camera
        )
        if not frames:
            message = "the video does not decode"
            yield Finding(
                "video-undecodable",
                "error",
                message,
                place,
                remedy="convert the episode again",
            )
            continue
        blue.setdefault(clip.camera, []).extend(
            _colours(frame) for frame in frames
        )
        signals = measure(frames, *frames[0].shape[:2])
        seen.setdefault(clip.camera, {})[clip.episode] = signals
        black = signals.mean < BLACK
        if any(black) and not all(black):
            message = (
                f"{sum(black)} of the {len(black)} frames looked at are black"
            )
            remedy = REMEDIES["picture-black"]
            yield Finding(
                "picture-black", "warning", message, place, {}, remedy
            )
        if not any(black) and _frozen(frames) and _moves(subject, clip):
            still.setdefault(clip.camera, []).append(clip)
    yield from check_pictures(subject, seen)
    for camera, suspects in still.items():
        others = [c for c in chosen if c.camera == camera and c not in suspects]
        yield from check_still(subject, suspects, others)
    for camera, shares in blue.items():
        blues, oranges = np.mean(shares, axis=0)
        if blues > _BLUE_SHARE and blues > _BLUE_TO_ORANGE * oranges:
            message = (
                f"{camera}: {100 * blues:.0f} % of the image is blue where skin, wood and "
                "cardboard would be orange "
                f"({100 * oranges:.0f} %): red and blue may be exchanged"
            )
            remedy = (
                'look at a frame; convert with the layout\'s color = "bgr" or "swapped-jpeg" if '
                "they are"
            )
            yield Finding(
                "video-red-blue",
                "warning",
                message,
                Place(camera=camera),
                {"blue": float(blues)},
                remedy,
            )


def _frames(clip: VideoClip) -> list[NDArray[np.uint8]]:
    numbers = sorted({int(moment * (clip.length - 1)) for moment in _MOMENTS})
    try:
        return list(decode_at(clip.path, numbers))
    except DatasetError:
        return []


def _frozen(frames: list[NDArray[np.uint8]]) -> bool:
    if len(frames) < len(_MOMENTS):
        return False
    apart = (
        np.abs(frame.astype(np.int16) - frames[0]).max(axis=2) > _SAME
        for frame in frames[1:]
    )
    return all(changed.mean() < _SAME_SHARE for changed in apart)


def _moves(subject: Subject, clip: VideoClip) -> bool:
    start, stop = subject.rows.episodes(subject.meta)[clip.episode]
    for name in subject.choice.state:
        values = subject.group("state", name)
        if values is not None:
            now = values[
                [
                    start + int(moment * (stop - start - 1))
                    for moment in _MOMENTS
                ]
            ]
            if (np.ptp(now, axis=0) > _MOVED * np.ptp(values, axis=0)).any():
                return True
    return False


def _colours(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The shares of blue and orange pixels: exchanging red and blue turns one into the other."""
    red, green, blue = (
        frame[::4, ::4, channel].astype(np.int16) for channel in range(3)
    )
    ordered = [
        (red < green) & (green < blue),
        (blue < green) & (green < red),
    ]
    return np.array(
        [(order & (np.abs(red - blue) > _COLOURED)).mean() for order in ordered]
    )

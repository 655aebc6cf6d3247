"""Depth images -> a video of codes, as LeRobot 0.6 has it, and statistics in the recorded unit."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from piperline.convert.counted import Progress, counted
from piperline.convert.witness import runs
from piperline.episode import Clip, Proof
from piperline.errors import SAME_AGAIN, Place, VideoError
from piperline.recordings.depth import DepthFrames
from piperline.recordings.images import CameraHeader, ImageStream
from piperline.stats import FeatureStats, image_stride, sample_frames
from piperline.video.decoder import probe
from piperline.video.depth import PIX_FMT, SETTINGS, codes_of, picture_of
from piperline.video.depth_codes import (
    LEROBOT,
    Codes,
    DepthMeter,
)
from piperline.video.depth_unit import MILLIMETRES
from piperline.video.encoder import VideoWriter
from piperline.video.packets import pictures


def encode_depth(
    stream: ImageStream,
    header: CameraHeader,
    path: Path,
    progress: Progress,
    *,
    fps: int,
    size: tuple[int, int] | None,
    verify: bool,
) -> tuple[Clip, FeatureStats]:
    """Make the video of a depth camera of an episode and take its statistics.

    Args:
        stream: the recorded images.
        header: how they are stored.
        path: the mp4 file to make.
        progress: told now and then how much is done.
        fps: frames a second.
        size: (width, height) that the images are scaled to; None keeps them.
        verify: decode what was encoded, and hold it against what was recorded.

    Raises:
        BadEpisode: an image is damaged or of another size.
        VideoError: the encoder fails, or the video does not hold what was recorded.
    """
    frames = DepthFrames(stream, header, size)
    samples = frozenset(sample_frames(stream.length))
    wanted = {number for run in runs(stream.length) for number in run}
    digests: dict[int, bytes] = {}
    meter = DepthMeter(frames.unit)
    with VideoWriter(path, SETTINGS, fps=fps) as writer:
        for number, payload in counted(stream, progress):
            depth = frames.distances(number, payload)
            codes = LEROBOT.codes(depth, frames.unit)
            writer.add(picture_of(codes))
            if number in samples:
                stride = image_stride(*codes.shape)
                meter.add(depth[::stride, ::stride])
            if verify and number in wanted:
                digests[number] = _digest(codes)
    info, count = probe(path, pix_fmt=PIX_FMT)
    if not count == writer.frames == stream.length:
        raise VideoError(
            "the video does not hold every frame",
            expected=f"{stream.length} frames",
            found=f"{writer.frames} given to the encoder, {count} in {path.name}",
            next_step=SAME_AGAIN,
        )
    clip = Clip(path, 0, count, info)
    if verify:
        clip = replace(clip, proof=_proof(path, fps, digests))
    steps = MILLIMETRES[frames.unit]
    return clip, FeatureStats.of_histogram(meter.histogram, len(samples), steps)


def _digest(codes: Codes) -> bytes:
    return sha256(codes.tobytes()).digest()


def _proof(path: Path, fps: int, digests: Mapping[int, bytes]) -> Proof:
    """See that a video holds the codes of frames, each its own.

    Raises:
        VideoError: it does not.
    """
    shown = {
        number: _digest(codes_of(picture))
        for number, picture in pictures(path, fps, sorted(digests))
    }
    wrong = [
        number
        for number, digest in digests.items()
        if shown.get(number) != digest
    ]
    if wrong:
        raise VideoError(
            "the video does not hold the recorded distances",
            place=Place(file=path, frame=wrong[0]),
            expected="the codes that were encoded, bit by bit",
            found=f"others in {len(wrong)} of {len(digests)} frames",
            next_step="leave the depth camera out of the layout, and report this",
        )
    return Proof(frames=len(shown))

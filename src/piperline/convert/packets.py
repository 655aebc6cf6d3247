"""A video beside a recording whose packets are kept: nothing but some frames is decoded."""

from dataclasses import replace
from pathlib import Path

from piperline.convert.counted import Progress
from piperline.episode import Clip, Proof
from piperline.errors import SAME_AGAIN, Place, VideoError
from piperline.stats import FeatureStats, image_stride, sample_frames
from piperline.video.clips import ClipReader
from piperline.video.decoder import probe
from piperline.video.digests import payloads_digest
from piperline.video.packets import packets
from piperline.video.pixel_counts import PixelCounter
from piperline.video.splice import cut


def copy_packets(
    source: Clip, path: Path, progress: Progress, *, verify: bool
) -> tuple[Clip, FeatureStats]:
    """Make the video of a camera of the packets of another, and take its statistics.

    Args:
        source: the recorded video; it stands alone.
        path: the mp4 file to make.
        progress: told how much is done.
        verify: hold the packets against the recorded ones.

    Raises:
        DatasetError: the recorded video cannot be read.
        VideoError: what was written is not what was read.
    """
    reader = ClipReader()
    try:
        cut(source, path, reader)
        samples = sample_frames(source.count)
        stride = image_stride(source.info.height, source.info.width)
        counter = PixelCounter(stride)
        for picture in reader.samples(source, samples):
            counter.add(picture)
    finally:
        reader.close()
    progress(source.count, path.stat().st_size)
    info, count = probe(path, pix_fmt=source.info.pix_fmt)
    clip = Clip(path, 0, count, info)
    if verify:
        clip = replace(clip, proof=_proof(source, clip))
    return clip, FeatureStats.of_histogram(counter.result(), len(samples))


def _proof(source: Clip, clip: Clip) -> Proof:
    """See that the packets are the recorded ones.

    Raises:
        VideoError: they are not.
    """
    fps = clip.info.fps
    there, recorded = (
        payloads_digest(packets(one.path, fps, one.first, source.count))
        for one in (clip, source)
    )
    if there != recorded:
        raise VideoError(
            "the video does not hold the recorded packets byte for byte",
            place=Place(file=clip.path),
            next_step=SAME_AGAIN,
        )
    return Proof(packets=source.count)

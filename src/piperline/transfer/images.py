"""Pictures of clips: statistics where a dataset has none, and encoding where packets cannot be cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import Schema
from piperline.pixels import count_pixels
from piperline.remux import Reader
from piperline.stats import FeatureStats, image_stride, sample_frames
from piperline.stills import decode_image
from piperline.video import MODES, VideoWriter, probe

__all__ = ["Pictures"]


class Pictures:
    """Looks at the pictures of episodes where that cannot be avoided.

    Args:
        schema: of the episodes.
        folder: where videos that are encoded again lie until the dataset is written.
        quantiles: whether image statistics must have quantiles.
        reencode: whether to encode again what cannot be cut.
    """

    def __init__(self, schema: Schema, folder: Path, *, quantiles: bool, reencode: bool) -> None:
        self._schema, self._folder = schema, folder
        self._quantiles, self._reencode = quantiles, reencode
        self._reader = Reader()
        self.encoded = 0
        self.measured = 0

    def close(self) -> None:
        """Close the videos that are still open."""
        self._reader.close()

    def complete(self, episode: EncodedEpisode, place: Place) -> EncodedEpisode:
        """`episode` with statistics of all cameras, and clips that can all be cut.

        Args:
            episode: as read from a dataset.
            place: dataset and number, for errors.

        Raises:
            DatasetError: a clip does not begin at a key frame, and is not to be encoded again.
        """
        stats = {key: self._clip_stats(episode, key) for key in self._schema.cameras}
        for key in self._schema.columns:
            if self._schema.features[key].dtype == "image":
                stats[key] = episode.camera_stats.get(key) or _image_stats(episode, key)
        clips = {key: self._clip(clip, replace(place, camera=key)) for key, clip in episode.clips.items()}
        return replace(episode, clips=clips, camera_stats=stats)

    def _clip_stats(self, episode: EncodedEpisode, key: str) -> FeatureStats:
        known = episode.camera_stats.get(key)
        if known is not None and (known.histogram is not None or not self._quantiles):
            return known
        self.measured += 1
        clip = episode.clips[key]
        samples = set(sample_frames(clip.count))
        stride = image_stride(clip.info.height, clip.info.width)
        histogram = np.zeros((3, 256), dtype=np.int64)
        for number, picture in enumerate(self._reader.pictures(clip)):
            if number in samples:
                histogram += count_pixels(picture, stride)
        return FeatureStats.of_histogram(histogram, len(samples))

    def _clip(self, clip: Clip, place: Place) -> Clip:
        if self._reader.is_cuttable(clip):
            return clip
        if not self._reencode:
            raise DatasetError(
                "this piece of the video does not begin and end at key frames: it cannot be cut without encoding again",
                place=replace(place, file=clip.path, frame=clip.first),
                next_step="add `--reencode`: only such pieces are encoded again",
            )
        self.encoded += 1
        path = self._folder / f"{self.encoded}.mp4"
        settings = MODES["av1"] if clip.info.codec == "av1" else MODES["h264"]
        with VideoWriter(path, settings, fps=clip.info.fps) as writer:
            for picture in self._reader.pictures(clip):
                writer.add(picture)
        info, frames = probe(path)
        return Clip(path, 0, frames, info)


def _image_stats(episode: EncodedEpisode, key: str) -> FeatureStats:
    """Statistics of images that are stored in a column."""
    samples = sample_frames(episode.length)
    histogram = np.zeros((3, 256), dtype=np.int64)
    for row in episode.table[key].take(samples).to_pylist():
        image: NDArray[np.uint8] = decode_image(row["bytes"])
        stride = image_stride(*image.shape[:2])
        pixels = image[::stride, ::stride].reshape(-1, 3)
        histogram += np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
    return FeatureStats.of_histogram(histogram, len(samples))

"""Pictures of clips: statistics where there are none, encoding where packets cannot be cut."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode
from piperline.errors import DatasetError, Place
from piperline.features import Schema, camera_feature
from piperline.stats import FeatureStats, image_stride, sample_frames
from piperline.video.clips import ClipReader
from piperline.video.decoder import probe
from piperline.video.encoder import MODES, VideoWriter
from piperline.video.images import decode_image
from piperline.video.pixel_counts import count_pixels

_LONG = 100  # frames; of fewer LeRobot takes all
_KEY_FRAMES = 8


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
        self._reader = ClipReader()
        # Each camera is decoded in a thread of its own, where its pictures have to be looked at.
        self._readers = {key: ClipReader() for key in schema.cameras}
        self._pool = ThreadPoolExecutor(max(1, len(schema.cameras)))
        self.encoded = 0
        self.measured = 0

    def close(self) -> None:
        """Close the videos that are still open."""
        self._pool.shutdown()
        for reader in (self._reader, *self._readers.values()):
            reader.close()

    def schema_of(self, first: EncodedEpisode) -> Schema:
        """The schema of the episodes as they are completed; `first` is the first of them.

        Cameras whose clips had to be encoded again are described as they are now.
        """
        again = {
            key: camera_feature(clip.info)
            for key, clip in first.clips.items()
            if clip.path.parent == self._folder
            and self._schema.features[key].shape[-1] > 1  # no depth
        }
        return replace(self._schema, features={**self._schema.features, **again})

    def complete(self, episode: EncodedEpisode, place: Place, version: str) -> EncodedEpisode:
        """`episode` with statistics of all cameras, and clips that can all be cut.

        Statistics of images are taken over only where they can be right: from histograms, or from
            v2 datasets. What
        lerobot 0.4.0 to 0.6.1 wrote into v3.0 is wrong by rounding and overflow.

        Args:
            episode: as read from a dataset.
            place: dataset and number, for errors.
            version: of that dataset.

        Raises:
            DatasetError: a clip does not begin at a key frame, and is not to be encoded again.
        """
        known = {
            key: stats
            for key, stats in episode.camera_stats.items()
            if stats.histogram is not None or (version != "v3.0" and not self._quantiles)
        }
        unknown = [key for key in self._schema.cameras if key not in known]
        measured = self._pool.map(
            _clip_stats, map(self._readers.get, unknown), map(episode.clips.get, unknown)
        )
        stats = {**known, **dict(zip(unknown, measured, strict=True))}
        self.measured += len(unknown)
        stats = {key: stats[key] for key in self._schema.cameras}
        for key in self._schema.columns:
            if self._schema.features[key].dtype == "image":
                stats[key] = known.get(key) or _image_stats(episode, key)
        clips = {
            key: self._clip(clip, replace(place, camera=key)) for key, clip in episode.clips.items()
        }
        return replace(episode, clips=clips, camera_stats=stats)

    def _clip(self, clip: Clip, place: Place) -> Clip:
        if self._reader.is_cuttable(clip):
            return clip
        if not self._reencode:
            raise DatasetError(
                "this piece of the video does not begin and end at key frames: "
                "it cannot be cut without encoding again",
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


def _clip_stats(reader: ClipReader, clip: Clip) -> FeatureStats:
    """Statistics of LeRobot's sample of the frames of a video; of a long one, of some key frames.

    LeRobot's sample of a long video can hardly be decoded without all other frames.
    """
    samples = sample_frames(clip.count)
    if clip.count > _LONG and len(keys := reader.key_frames(clip, _KEY_FRAMES)) == _KEY_FRAMES:
        samples = keys
    stride = image_stride(clip.info.height, clip.info.width)
    histogram = np.zeros((3, 256), dtype=np.int64)
    for picture in reader.samples(clip, samples):
        histogram += count_pixels(picture, stride)
    return FeatureStats.of_histogram(histogram, len(samples))


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

"""Pictures of episodes: statistics where there are none, encoding where it cannot be avoided."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode, VideoInfo
from piperline.errors import DatasetError, Place, VideoError
from piperline.features import Feature, Schema, camera_feature
from piperline.stats import FeatureStats, image_stride, sample_frames
from piperline.video.clips import ClipReader
from piperline.video.decoder import Picture, PictureDecoder, probe
from piperline.video.depth import PIX_FMT, codes_of
from piperline.video.depth_codes import HIGHEST_CODE, DepthMeter, DepthScale
from piperline.video.depth_unit import MILLIMETRES
from piperline.video.encoder import MODES, VideoWriter
from piperline.video.images import decode_image
from piperline.video.pixel_counts import PixelCounter, count_pixels
from piperline.video.recut import MORE_THAN_8_BITS, encode_clip, settings_of

_LONG = 100  # frames; of fewer LeRobot takes all
_KEY_FRAMES = 8
_BITS = 8


class Pictures:
    """Looks at the pictures of episodes where that cannot be avoided.

    Args:
        schema: of the episodes.
        folder: where videos that are encoded lie until the dataset is written.
        quantiles: whether image statistics must have quantiles.
        reencode: whether to encode again what cannot be cut.
        to_videos: whether images in columns become videos.
    """

    def __init__(
        self,
        schema: Schema,
        folder: Path,
        *,
        quantiles: bool,
        reencode: bool = False,
        to_videos: bool = False,
    ) -> None:
        self._schema, self._folder = schema, folder
        self._quantiles, self._reencode = quantiles, reencode
        self._images = _image_columns(schema)
        self._to_videos = self._images if to_videos else ()
        self._reader = ClipReader()
        # Each camera is decoded in a thread of its own, where its pictures have to be looked at.
        self._readers = {key: ClipReader() for key in schema.cameras}
        self._pool = ThreadPoolExecutor(max(1, len(schema.cameras)))
        self._files = 0
        self.encoded = 0
        self.measured = 0

    def close(self) -> None:
        """Close the videos that are still open."""
        self._pool.shutdown()
        for reader in (self._reader, *self._readers.values()):
            reader.close()

    def schema_of(self, first: EncodedEpisode) -> Schema:
        """The schema of the episodes as they are completed; `first` is the first of them.

        Cameras whose clips had to be encoded are described as they are now.
        """
        features = dict(self._schema.features)
        for key, clip in first.clips.items():
            if clip.path.parent == self._folder and not self._is_depth(key):
                features[key] = replace(
                    camera_feature(clip.info), own=_kept(features[key])
                )
        return replace(self._schema, features=features)

    def complete(
        self,
        episode: EncodedEpisode,
        place: Place,
        version: str,
        *,
        cut: Collection[str] = (),
    ) -> EncodedEpisode:
        """`episode` with statistics of all cameras, and clips that can all be cut.

        Statistics of images are taken over only where they can be right: from histograms, or from
        v2 datasets. What lerobot 0.4.0 to 0.6.1 wrote into v3.0 is wrong by rounding and overflow.
        Those of depth are kept: videos tell distances by 12 bits only.

        Args:
            episode: as read from a dataset.
            place: dataset and number, for errors.
            version: of that dataset.
            cut: cameras that had statistics, of other frames than now: those of depth are taken
                from the videos.

        Raises:
            DatasetError: a clip does not begin at a key frame, and is not to be encoded again; or
                an image does not decode.
        """
        stats = self._stats(episode, place, version)
        for key in filter(self._is_depth, cut):
            feature, clip = self._schema.features[key], episode.clips[key]
            measured = depth_stats(self._readers[key], clip, feature)
            if measured is not None:
                stats[key] = measured
        clips = {
            key: self._clip(clip, replace(place, camera=key))
            for key, clip in episode.clips.items()
        }
        table = episode.table
        for key in self._to_videos:
            clips[key], stats[key] = self._video(
                episode, key, replace(place, camera=key)
            )
            table = table.drop_columns([key])
        return replace(episode, table=table, clips=clips, camera_stats=stats)

    def _stats(
        self, episode: EncodedEpisode, place: Place, version: str
    ) -> dict[str, FeatureStats]:
        is_right = version != "v3.0" and not self._quantiles
        known = {
            key: stats
            for key, stats in episode.camera_stats.items()
            if stats.histogram is not None or is_right or self._is_depth(key)
        }
        unknown = [
            key
            for key in self._schema.cameras
            if key not in known and not self._is_depth(key)
        ]
        readers = [self._readers[key] for key in unknown]
        clips = [episode.clips[key] for key in unknown]
        known.update(
            zip(
                unknown,
                self._pool.map(_clip_stats, readers, clips),
                strict=True,
            )
        )
        self.measured += len(unknown)
        for key in self._images:
            if key not in known and key not in self._to_videos:
                known[key] = _image_stats(
                    episode, key, replace(place, camera=key)
                )
        return {
            key: known[key] for key in self._schema.features if key in known
        }

    def _is_depth(self, key: str) -> bool:
        feature = self._schema.features.get(key)
        return feature is not None and feature.is_depth

    def _clip(self, clip: Clip, place: Place) -> Clip:
        if self._reader.is_cuttable(clip):
            return clip
        place = replace(place, file=clip.path, frame=clip.first)
        if self._is_depth(str(place.camera)) or MORE_THAN_8_BITS.fullmatch(
            clip.info.pix_fmt
        ):
            raise DatasetError(
                "this piece of the video does not begin and end at key frames, "
                "and its pixels have more than the 8 bits that encoding again would keep",
                place=place,
                found=f"{clip.info.codec}, {clip.info.pix_fmt}",
                expected="a piece from key frame to key frame, or pixels of 8 bits",
                next_step="leave the camera, or the episode, out",
            )
        if not self._reencode:
            raise DatasetError(
                "this piece of the video does not begin and end at key frames: "
                "it cannot be cut without encoding again",
                place=place,
                next_step="add `--reencode`: only such pieces are encoded again",
                expected="a piece from key frame to key frame",
                found="one that begins, or ends, between them",
            )
        self.encoded += 1
        settings = settings_of({}, clip.info.codec)
        try:
            return encode_clip(self._reader, clip, self._next_file(), settings)
        except DatasetError as error:
            error.place = place
            raise

    def _next_file(self) -> Path:
        self._files += 1
        return self._folder / f"{self._files}.mp4"

    def _video(
        self, episode: EncodedEpisode, key: str, place: Place
    ) -> tuple[Clip, FeatureStats]:
        """A video of the images of a column, and their statistics as `convert` takes them."""
        path = self._next_file()
        samples = set(sample_frames(episode.length))
        histogram = np.zeros((3, 256), dtype=np.int64)
        decoder = PictureDecoder()
        size: tuple[int, int] | None = None
        with VideoWriter(
            path,
            MODES["h264"],
            fps=self._schema.fps,
        ) as writer:
            for number, data in enumerate(_image_bytes(episode.table[key])):
                picture = _decoded(decoder, data, replace(place, frame=number))
                size = _same_size(size, picture, replace(place, frame=number))
                writer.add(picture)
                if number in samples:
                    histogram += count_pixels(picture, image_stride(*size))
        info, frames = probe(path)
        return Clip(path, 0, frames, info), FeatureStats.of_histogram(
            histogram, len(samples)
        )


def _image_columns(schema: Schema) -> tuple[str, ...]:
    """The columns of images; those of depth hold distances, not colours."""
    return tuple(
        key
        for key in schema.columns
        if schema.features[key].dtype == "image"
        and not schema.features[key].is_depth
    )


def _kept(feature: Feature) -> dict[str, object]:
    return {
        name: value for name, value in feature.own.items() if name != "names"
    }


def _image_bytes(column: pa.ChunkedArray) -> list[bytes]:
    return [image["bytes"] for image in column.to_pylist()]


def _decoded(decoder: PictureDecoder, data: bytes, place: Place) -> Picture:
    try:
        picture = decoder.encoded(data)
    except ValueError as error:
        raise DatasetError(
            "an image does not decode",
            place=place,
            found=str(error),
            expected="a whole JPEG or PNG",
        ) from error
    if picture.format.components[0].bits > _BITS:
        raise DatasetError(
            "an image has more bits than a video keeps: it may hold distances",
            place=place,
            expected="8 bits a colour",
            found=picture.format.name,
            next_step="leave out `--images-to-videos`, or declare it as depth in info.json",
        )
    return picture


def _same_size(
    known: tuple[int, int] | None, picture: Picture, place: Place
) -> tuple[int, int]:
    """Height and width of a picture, which are those of all pictures of a video."""
    size = picture.height, picture.width
    if size[0] % 2 or size[1] % 2:
        raise DatasetError(
            "the sides of the images are odd: H.264 needs even ones",
            place=place,
            found=f"{size[1]}x{size[0]}",
            expected="even sides",
            next_step="leave out `--images-to-videos`",
        )
    if known is not None and size != known:
        raise DatasetError(
            "the images of a camera are of two sizes",
            place=place,
            expected=f"{known[1]}x{known[0]}",
            found=f"{size[1]}x{size[0]}",
            next_step="leave out `--images-to-videos`, or the episode",
        )
    return size


def _clip_stats(reader: ClipReader, clip: Clip) -> FeatureStats:
    """Statistics of LeRobot's sample of the frames of a video; of a long one, of some key frames.

    LeRobot's sample of a long video can hardly be decoded without all other frames.
    """
    samples = sample_frames(clip.count)
    if (
        clip.count > _LONG
        and len(keys := reader.key_frames(clip, _KEY_FRAMES)) == _KEY_FRAMES
    ):
        samples = keys
    stride = image_stride(clip.info.height, clip.info.width)
    counter = PixelCounter(stride)
    for picture in reader.samples(clip, samples):
        counter.add(picture)
    return FeatureStats.of_histogram(counter.result(), len(samples))


def tells_distances(feature: Feature, info: VideoInfo) -> bool:
    """Whether statistics of depth can be taken from videos of it."""
    return info.pix_fmt == PIX_FMT and _distances(feature) is not None


def _distances(feature: Feature) -> NDArray[np.float64] | None:
    """The distance in metres of each code; that of no reading is 0, as recorders have it."""
    info = feature.info or {}
    if info.get("depth_unit") not in MILLIMETRES:
        return None
    try:
        scale = DepthScale.of_info(info)
    except ValueError:
        return None
    distances = scale.metres(np.arange(HIGHEST_CODE + 1, dtype=np.uint16))
    distances[0] = 0
    return distances


def depth_stats(
    reader: ClipReader, clip: Clip, feature: Feature
) -> FeatureStats | None:
    """Statistics of LeRobot's sample of the distances in a video; None where it tells none."""
    distances = _distances(feature)
    if distances is None or not tells_distances(feature, clip.info):
        return None
    samples = sample_frames(clip.count)
    stride = image_stride(clip.info.height, clip.info.width)
    meter = DepthMeter("m")
    for picture in reader.samples(clip, samples):
        meter.add(distances[codes_of(picture)[::stride, ::stride]])
    return FeatureStats.of_histogram(
        meter.histogram, len(samples), feature.histogram_steps
    )


def _image_stats(
    episode: EncodedEpisode, key: str, place: Place
) -> FeatureStats:
    """Statistics of images that are stored in a column."""
    samples = sample_frames(episode.length)
    histogram = np.zeros((3, 256), dtype=np.int64)
    for number, data in zip(
        samples, _image_bytes(episode.table[key].take(samples)), strict=True
    ):
        image = _colours(data, replace(place, frame=number))
        stride = image_stride(*image.shape[:2])
        pixels = image[::stride, ::stride].reshape(-1, 3)
        histogram += np.stack(
            [np.bincount(channel, minlength=256) for channel in pixels.T]
        )
    return FeatureStats.of_histogram(histogram, len(samples))


def _colours(data: bytes, place: Place) -> NDArray[np.uint8]:
    try:
        return decode_image(data)
    except VideoError as error:
        raise DatasetError(
            "an image does not decode",
            place=place,
            found=str(error.found),
            expected="a whole JPEG or PNG",
        ) from error

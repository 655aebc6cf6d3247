"""Episode -> EncodedEpisode: one pass over each camera feeds encoder and image statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.convert.counted import Progress, counted
from piperline.convert.depth import encode_depth
from piperline.convert.packets import copy_packets
from piperline.convert.witness import Witness
from piperline.episode import Clip
from piperline.errors import SAME_AGAIN, Place, VideoError
from piperline.features import array_of, frame_times
from piperline.recordings.image_spans import AskedVideo, kept_clip
from piperline.recordings.images import CameraHeader, ImageStream, Payload
from piperline.signals.camera import CameraMeter
from piperline.stats import FeatureStats, image_stride, sample_frames
from piperline.video.decoder import (
    Picture,
    PictureDecoder,
    probe,
    raw_picture,
    resized,
)
from piperline.video.encoder import VideoSettings, VideoWriter, for_encoder
from piperline.video.image_header import check_playable
from piperline.video.pixel_counts import PixelCounter


@dataclass(frozen=True)
class EncodeSettings:
    """How recorded episodes become encoded ones.

    Attributes:
        video: how frames become a video.
        fps: frames a second.
        size: (width, height) that the frames are scaled to; None keeps them.
        verify: decode what was encoded, and hold it against the pictures.
    """

    video: VideoSettings
    fps: int
    size: tuple[int, int] | None = None
    verify: bool = False


def refuse_video(
    settings: EncodeSettings, place: Place, header: CameraHeader
) -> None:
    """See that the recorded images of a camera can become the video that is asked for.

    Depth becomes a video of codes, whatever is asked for.

    Raises:
        VideoError: they are to be kept, and are not standard JPEG of the wanted size; or an encoder
            does not take their size.
    """
    if header.depth:
        return
    width, height = settings.size or (header.width, header.height)
    if settings.video.mode == "h264" and (width % 2 or height % 2):
        even_width, even_height = (
            max(2, side // 2 * 2) for side in (width, height)
        )
        raise VideoError(
            "H.264 of 4:2:0 colour has even sides",
            place=place,
            expected="even numbers of pixels",
            found=f"{width}x{height}",
            next_step=f"add --resize {even_width}x{even_height}, or --video av1",
        )
    resized = settings.size not in {None, (header.width, header.height)}
    video = header.storage == "video"
    reasons = {
        f"they are {header.storage}, not JPEG": header.storage
        not in {"jpeg", "video"},
        "the video is not H.264 or AV1 of 4:2:0 colour without frames out of order": video
        and not header.packets,
        f"the video does not run at {settings.fps} frames a second": video
        and (header.packets or ("", 0))[1] != settings.fps,
        "red and blue are exchanged in them (swapped-jpeg)": header.color
        == "swapped-jpeg",
        "they are turned or mirrored (rotate, flip)": any(header.mirrored),
        "another size is asked for (--resize)": resized,
    }
    reason = next(
        (text for text, holds in reasons.items() if holds),
        None,
    )
    if settings.video.codec is None and reason:
        raise VideoError(
            "the images cannot be kept as they are",
            place=place,
            expected="standard JPEG, or a simple video, of the wanted size",
            found=reason,
            next_step="use --video h264 or --video av1, which encode",
        )


def kept_packets(
    stream: ImageStream, header: CameraHeader, settings: EncodeSettings
) -> Clip | None:
    """The clip of a recorded video, where its packets are the video that is asked for.

    Raises:
        VideoError: they are to be kept, and cannot be.
    """
    if header.packets is None:
        return None
    asked = AskedVideo(settings.video.mode, settings.fps, settings.size)
    clip = kept_clip(stream, header, asked)
    if clip is None and settings.video.codec is None:
        raise VideoError(
            "the packets of the video cannot be kept as they are",
            expected="a span that begins at a key frame",
            found=f"{stream.length} frames of it",
            next_step="use --video h264 or --video av1, which encode",
        )
    return clip


def encode_camera(
    stream: ImageStream,
    header: CameraHeader,
    settings: EncodeSettings,
    path: Path,
    progress: Progress,
    *,
    meter: CameraMeter | None = None,
) -> tuple[Clip, FeatureStats]:
    """Make the video of one camera of one episode and take its statistics.

    Args:
        stream: the recorded images.
        header: how they are stored, and the size that all must have.
        settings: how to encode.
        path: the mp4 file to make.
        progress: told now and then how much is done.
        meter: measures the recorded images; all are decoded for the video.

    Returns:
        The clip, as many frames as the stream is long, and the statistics of LeRobot's sample of
        frames, from the pixels before encoding.

    Raises:
        BadEpisode: an image is damaged or of another size.
        VideoError: the encoder fails, or the file does not hold every frame.
    """
    if header.depth:
        return encode_depth(
            stream,
            header,
            path,
            progress,
            fps=settings.fps,
            size=settings.size,
            verify=settings.verify,
        )
    kept = kept_packets(stream, header, settings)
    if kept:
        return copy_packets(kept, path, progress, verify=settings.verify)
    samples = frozenset(sample_frames(stream.length))
    witness = Witness(stream.length) if settings.verify else None
    with VideoWriter(path, settings.video, fps=settings.fps) as writer:
        reader = _PictureReader(stream, header, settings, writer, meter)
        pix_fmt = "yuv420p"
        for number, payload in counted(stream, progress):
            wanted = number in samples
            picture = reader.take(number, payload, wanted=wanted)
            if witness:
                _testify(
                    witness,
                    stream,
                    number,
                    payload,
                    None if reader.keeps else picture,
                )
            if picture is not None and reader.keeps:
                pix_fmt = picture.format.name
    info, count = probe(path, pix_fmt=pix_fmt)
    if not count == writer.frames == stream.length:
        raise VideoError(
            "the video does not hold every frame",
            expected=f"{stream.length} frames",
            found=f"{writer.frames} given to the encoder, {count} in {path.name}",
            next_step=SAME_AGAIN,
        )
    clip = Clip(path, 0, count, info)
    if witness:
        keeps = settings.video.codec is None
        check = (
            witness.check_kept
            if keeps
            else partial(witness.check, codec=info.codec)
        )
        clip = replace(clip, proof=check(path, settings.fps))
    return clip, FeatureStats.of_histogram(reader.counted(), len(samples))


def _testify(
    witness: Witness,
    stream: ImageStream,
    number: int,
    payload: Payload,
    picture: Picture | None,
) -> None:
    """Let a witness take down a frame: its picture, or the recorded JPEG that is kept."""
    if picture is not None:
        witness.saw(number, picture)
    elif isinstance(payload, bytes):
        witness.kept(stream.jpeg(number, payload)[0])


class _PictureReader:
    """Hands each recorded image to the writer, decoded or as it is."""

    def __init__(
        self,
        stream: ImageStream,
        header: CameraHeader,
        settings: EncodeSettings,
        writer: VideoWriter,
        meter: CameraMeter | None,
    ) -> None:
        self._stream, self._header, self._settings, self._writer = (
            stream,
            header,
            settings,
            writer,
        )
        self._meter = meter
        self._decoder = PictureDecoder(
            swap=stream.color != "rgb", mirrored=stream.mirrored
        )
        size = settings.size or (header.width, header.height)
        self._counter = PixelCounter(image_stride(*size))
        self.keeps = settings.video.codec is None

    def take(
        self, number: int, payload: bytes | np.ndarray, *, wanted: bool
    ) -> Picture | None:
        """Write frame `number`; return its picture, which in copy mode is made only if `wanted`.

        Args:
            number: of the frame.
            payload: as it is recorded.
            wanted: count its pixels.
        """
        meter, recorded = self._meter, payload
        if self._header.storage == "jpeg" and isinstance(payload, bytes):
            payload, height, width = self._stream.jpeg(number, payload)
            self._same_size(number, height, width)
            if self.keeps:
                self._playable(number, payload)
                self._writer.add_jpeg(payload, height, width)
                return self._counted(number, payload) if wanted else None
        if meter:
            meter.see(recorded)
        # What is done to a picture is done while it lies in the processor's cache.
        picture = self._decode(number, payload)
        measured = self._as_recorded(recorded) if meter else None
        if meter and measured:
            swap = self._stream.color != "rgb"
            meter.add_picture(measured, swap=swap)
        if self._settings.size:
            picture = resized(picture, *self._settings.size)
        if wanted:
            self._count(picture)
        encoded = for_encoder(picture)
        if meter and not measured:
            meter.add_picture(encoded, mirrored=self._stream.mirrored)
        self._writer.add(encoded)
        return picture

    def _counted(self, number: int, payload: Payload) -> Picture:
        picture = self._decode(number, payload)
        self._count(picture)
        return picture

    def _count(self, picture: Picture) -> None:
        """Count the pixels of the picture that was decoded last."""
        recorded = self._decoder.recorded
        exchanged = self._stream.color != "rgb"
        placed = self._settings.size or any(self._stream.mirrored)
        if recorded is None or placed or not exchanged:
            self._counter.add(picture)
            return
        # Of the recorded colours libjpeg's values are known, those put right are near them.
        self._counter.add(recorded, exchanged=True)

    def counted(self) -> NDArray[np.int64]:
        """What was counted; see `PixelCounter`."""
        return self._counter.result()

    def _as_recorded(self, payload: Payload) -> Picture | None:
        """The image that was decoded last, as it is measured; None: as the encoder gets it.

        Planes take less time than packed pixels: where these were recorded, it is measured as the
        encoder gets it, if that has the same size.
        """
        if isinstance(payload, bytes):
            recorded = self._decoder.recorded
            if recorded is not None and recorded.format.name != "rgb24":
                return recorded
            return recorded if self._settings.size else None
        return raw_picture(payload) if self._settings.size else None

    def _playable(self, number: int, payload: bytes) -> None:
        try:
            check_playable(payload)
        except ValueError as error:
            raise self._stream.bad(number, str(error)) from error

    def _decode(self, number: int, payload: bytes | np.ndarray) -> Picture:
        if not isinstance(payload, bytes):
            return self._decoder.raw(payload)
        try:
            picture = self._decoder.encoded(payload)
        except ValueError as error:
            raise self._stream.bad(number, str(error)) from error
        self._same_size(number, picture.height, picture.width)
        return picture

    def _same_size(self, number: int, height: int, width: int) -> None:
        if (height, width) != (self._header.height, self._header.width):
            expected = f"{self._header.width}x{self._header.height}"
            raise self._stream.bad(
                number,
                f"{width}x{height} pixels, the other images have {expected}",
            )


def episode_table(
    vectors: Mapping[str, NDArray[np.float32]], length: int, fps: int
) -> pa.Table:
    """The rows of an episode.

    Args:
        vectors: by feature name, float32 (length, D).
        length: rows.
        fps: frames a second.

    Returns:
        A table of `length` rows: each vector as a fixed-size list of float32, `timestamp` (float32,
        seconds from the start of the episode, see `frame_times`) and `frame_index` (int64).
    """
    lists = {
        key: pa.FixedSizeListArray.from_arrays(
            array_of(rows.ravel()), rows.shape[1]
        )
        for key, rows in vectors.items()
    }
    index = np.arange(length, dtype=np.int64)
    timestamps = array_of(frame_times(index, fps))
    return pa.table(
        {**lists, "timestamp": timestamps, "frame_index": array_of(index)}
    )

"""Encoded episodes for tests.

Real videos whose frames carry their number, rows that tell where they come from.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode
from piperline.features import Feature, Schema, camera_feature, frame_times
from piperline.stats import FeatureStats
from piperline.video.decoder import PictureDecoder, decode, probe
from piperline.video.encoder import MODES, Mode, VideoWriter
from piperline.video.images import encode_jpeg
from piperline.video.pixel_counts import count_pixels

FPS = 30
HEIGHT, WIDTH = 48, 64
_COLUMNS, _BITS = 8, 16


def numbered_frame(
    code: int, height: int = HEIGHT, width: int = WIDTH
) -> NDArray[np.uint8]:
    """An RGB image whose upper half shows the bits of `code` as blocks; survives lossy encoding."""
    frame = np.full((height, width, 3), (90, 120, 60), dtype=np.uint8)
    side_y, side_x = height // 4, width // _COLUMNS
    for bit in range(_BITS):
        row, column = divmod(bit, _COLUMNS)
        value = 235 if code >> bit & 1 else 20
        frame[
            row * side_y : (row + 1) * side_y,
            column * side_x : (column + 1) * side_x,
        ] = value
    return frame


def frame_code(frame: NDArray[np.uint8]) -> int:
    """The number that `numbered_frame` painted."""
    height, width = frame.shape[:2]
    side_y, side_x = height // 4, width // _COLUMNS
    centers = [
        frame[row * side_y + side_y // 2, column * side_x + side_x // 2].mean()
        for row in range(_BITS // _COLUMNS)
        for column in range(_COLUMNS)
    ]
    return sum((value > 127) << bit for bit, value in enumerate(centers))


def codes_of(path: Path, first: int = 0, count: int | None = None) -> list[int]:
    """The numbers of the frames of a video."""
    return [frame_code(frame) for frame in decode(path, first, count)]


def make_clip(
    path: Path,
    codes: Sequence[int],
    mode: Mode = "h264",
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> tuple[Clip, FeatureStats]:
    """A video of numbered frames of `size` (height, width), and its image statistics."""
    decoder = PictureDecoder()
    histogram = np.zeros((3, 256), dtype=np.int64)
    with VideoWriter(path, MODES[mode], fps=FPS) as writer:
        for code in codes:
            picture = decoder.raw(numbered_frame(code, *size))
            histogram += count_pixels(picture, 1)
            if mode == "copy":
                writer.add_jpeg(encode_jpeg(numbered_frame(code, *size)), *size)
            else:
                writer.add(picture)
    info, _ = probe(path)
    return Clip(path, 0, len(codes), info), FeatureStats.of_histogram(
        histogram, len(codes)
    )


def make_episode(
    folder: Path,
    number: int,
    length: int = 5,
    *,
    cameras: Sequence[str] = ("mid",),
    tasks: Sequence[str] = ("pick the cup",),
    mode: Mode = "h264",
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> EncodedEpisode:
    """An episode: state[i] = number + i/1000 + dimension.

    Frame i of camera c shows number * 100 + c * 1000 + i.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips, stats = {}, {}
    for place, camera in enumerate(cameras):
        key = f"observation.images.{camera}"
        codes = [
            (number * 100 + place * 1000 + i) % 65536 for i in range(length)
        ]
        clips[key], stats[key] = make_clip(
            folder / f"{camera}-{number}-{length}-{mode}-{size[0]}.mp4",
            codes,
            mode,
            size,
        )
    rows = np.arange(length)
    state = (number + rows[:, None] / 1000 + np.arange(14)[None, :]).astype(
        np.float32
    )
    table = pa.table(
        {
            "observation.state": pa.FixedSizeListArray.from_arrays(
                state.ravel(), 14
            ),
            "action": pa.FixedSizeListArray.from_arrays((-state).ravel(), 14),
            "timestamp": pa.array(frame_times(rows, FPS)),
            "frame_index": pa.array(rows.astype(np.int64)),
        }
    )
    several = len(tasks[:length]) > 1
    return EncodedEpisode(
        table=table,
        clips=clips,
        camera_stats=stats,
        tasks=tuple(tasks[:length]),
        task_rows=np.minimum(rows * len(tasks) // length, length - 1).astype(
            np.int64
        )
        if several
        else None,
    )


def schema_of(episode: EncodedEpisode) -> Schema:
    """The schema that `make_episode` fits."""
    names = tuple(f"joint_{number}.pos" for number in range(14))
    vectors = {
        key: Feature("float32", (14,), names)
        for key in ("observation.state", "action")
    }
    cameras = {
        key: camera_feature(clip.info) for key, clip in episode.clips.items()
    }
    return Schema(
        fps=FPS, robot_type="bi_piper", features={**vectors, **cameras}
    )

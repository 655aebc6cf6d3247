"""Datasets for GR00T's tests: smooth motion, commands two frames ahead, changing images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from piperline.episode import Clip, EncodedEpisode
from piperline.features import Feature, Schema, camera_feature, frame_times
from piperline.groot.modality import write_modality
from piperline.groot.stats import write_groot_stats
from piperline.lerobot import WriterOptions
from piperline.lerobot.v21 import V21Writer
from piperline.recordings.layout import load_layout
from piperline.stats import FeatureStats
from piperline.video.decoder import PictureDecoder, probe
from piperline.video.encoder import MODES, Mode, VideoWriter
from piperline.video.image_header import jpeg_payload
from piperline.video.images import encode_jpeg
from piperline.video.pixel_counts import count_pixels

LEAD = 2
"""Frames by which commands go ahead of states."""
PIPER = load_layout("piper").vectors["action"].dimension_names
CAMERAS = ("left_wrist", "mid", "right_wrist")


def motion(
    episode: int, length: int, names: Sequence[str], dtype: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """States and actions, shape (length, dimensions): slow waves for joints, steps for grippers."""
    time = np.arange(length + LEAD)[:, None] / 30
    dimension = np.arange(len(names))[None]
    waves = np.sin(2 * time * (1 + dimension % 3) + dimension + 0.7 * episode)
    # as far as a Piper can reach: its second joint goes up from 0, its third down
    waves += np.choose(dimension % 7, [0, 1.2, -1.2, 0, 0, 0, 0])
    shut = (np.sin(3 * time + dimension + episode) > 0) * 0.07
    values = np.where(["gripper" in name for name in names], shut, waves)
    noise = np.random.default_rng(episode).normal(
        scale=0.001, size=(length, len(names))
    )
    return (values[:length] + noise).astype(dtype), values[LEAD:].astype(dtype)


def picture(
    episode: int, camera: int, frame: int, size: tuple[int, int]
) -> np.ndarray:
    """A brown table with a grey block that moves."""
    height, width = size
    image = np.full((height, width, 3), (150, 110, 70), dtype=np.uint8)
    left = (3 * frame + 11 * episode + 7 * camera) % (width - 12)
    image[height // 3 : height // 3 + 12, left : left + 12] = 200
    return image


def write_clip(
    path: Path,
    pictures: Sequence[np.ndarray],
    mode: Mode = "h264",
    fps: int = 30,
) -> FeatureStats:
    """A video, and the statistics of its frames."""
    decoder, histogram = PictureDecoder(), np.zeros((3, 256), dtype=np.int64)
    with VideoWriter(path, MODES[mode], fps=fps) as writer:
        for pixels in pictures:
            histogram += count_pixels(decoder.raw(pixels), 1)
            if mode == "copy":
                writer.add_jpeg(*jpeg_payload(encode_jpeg(pixels)))
            else:
                writer.add(decoder.raw(pixels))
    return FeatureStats.of_histogram(histogram, len(pictures))


def make_dataset(
    root: Path,
    *,
    lengths: Sequence[int] = (40, 44, 36),
    names: Sequence[str] = PIPER,
    cameras: Sequence[str] = CAMERAS,
    size: tuple[int, int] = (48, 64),
    mode: Mode = "h264",
    fps: int = 30,
    tasks: Sequence[str] = ("pick the cup",),
    dtype: str = "float32",
    horizon: int = 16,
) -> Path:
    """Write a v2.1 dataset as `convert` would, with modality.json and statistics."""
    work = root.with_name(root.name + ".work")
    work.mkdir(parents=True)
    root.mkdir()
    writer = None
    for number, length in enumerate(lengths):
        state, action = motion(number, length, names, dtype)
        clips, stats = {}, {}
        for place, camera in enumerate(cameras):
            path = work / f"{number}-{camera}.mp4"
            key = f"observation.images.{camera}"
            stats[key] = write_clip(
                path,
                [
                    picture(number, place, frame, size)
                    for frame in range(length)
                ],
                mode,
                fps,
            )
            clips[key] = Clip(path, 0, length, probe(path)[0])
        rows = np.arange(length)
        table = pa.table(
            {
                "observation.state": pa.FixedSizeListArray.from_arrays(
                    state.ravel(), len(names)
                ),
                "action": pa.FixedSizeListArray.from_arrays(
                    action.ravel(), len(names)
                ),
                "timestamp": pa.array(frame_times(rows, fps)),
                "frame_index": pa.array(rows),
            }
        )
        if writer is None:
            vectors = {
                key: Feature(dtype, (len(names),), tuple(names))
                for key in ("observation.state", "action")
            }
            videos = {
                key: camera_feature(clip.info) for key, clip in clips.items()
            }
            schema = Schema(
                fps=fps, robot_type="bi_piper", features={**vectors, **videos}
            )
            writer = V21Writer(root, schema, WriterOptions(link=True))
        writer.add(
            EncodedEpisode(table, clips, stats, (tasks[number % len(tasks)],))
        )
    assert writer is not None
    writer.finish()
    write_modality(root, schema)
    write_groot_stats(root, horizon=horizon)
    return root

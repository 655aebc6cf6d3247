"""Preflight and GR00T's statistics: first the same numbers as the plain way, then the time.

Run: python bench/groot.py [FOLDER]. Needs about 2 GB there; takes a few minutes.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import Clip, EncodedEpisode
from piperline.features import camera_key, layout_schema
from piperline.groot.loader import read_rows, require_meta
from piperline.groot.modality import write_modality
from piperline.groot.modality_config import default_choice
from piperline.groot.preflight import preflight
from piperline.groot.stats import (
    float_columns,
    relative_stats,
    write_groot_stats,
)
from piperline.lerobot import WriterOptions
from piperline.lerobot.v21 import V21Writer
from piperline.recordings.layout import load_layout
from piperline.stats import FeatureStats
from piperline.video.decoder import PictureDecoder, probe
from piperline.video.encoder import MODES, VideoWriter
from piperline.video.pixel_counts import count_pixels

LENGTH, HORIZON = 300, 16
LAYOUT = load_layout("piper")
Rows = NDArray[np.float32]


def main(folder: Path) -> None:
    """Measure, and print a table."""
    print("| what | seconds | target |\n|---|---|---|")
    tables = make(folder / "tables", 3_334, cameras=False)
    line(
        "statistics of 1,000,200 frames (two relative arms)",
        lambda: write_groot_stats(tables),
        20,
    )
    compare(make(folder / "small", 100, cameras=False))
    videos = make(folder / "videos", 1_000, cameras=True)
    write_groot_stats(videos)
    line(
        "preflight, 1,000 x 300 frames, tables only",
        lambda: clean(videos, videos=False),
        30,
    )
    (videos / "meta/piperline_stats.json").unlink()
    line(
        "the same, statistics computed again to compare",
        lambda: clean(videos, videos=False),
        30,
    )
    line(
        "preflight, 3,000 headers and 900 frames decoded",
        lambda: clean(videos, videos=True),
        180,
    )


def line(what: str, run: Callable[[], object], target: float) -> None:
    """Time one thing."""
    start = time.perf_counter()
    run()
    print(
        f"| {what} | {time.perf_counter() - start:.1f} | <= {target} |",
        flush=True,
    )


def clean(root: Path, *, videos: bool) -> None:
    """A preflight that must find nothing."""
    report = preflight(root, videos=videos)
    if report.findings:
        raise SystemExit(f"expected no findings: {report.findings}")


def compare(root: Path) -> None:
    """The plain way, one window after the other as N1.6 does it, must give the same numbers.

    Then the ratio.
    """
    meta = require_meta(root)
    rows, choice = (
        read_rows(meta, float_columns(meta), []),
        default_choice(meta),
    )
    start = time.perf_counter()
    fast = relative_stats(meta, rows, choice)
    middle = time.perf_counter()
    plain = {
        group: plain_numbers(
            [
                rows.columns["action"][a:b, slice(*span)]
                for a, b in rows.episodes(meta).values()
            ],
            [
                rows.columns["observation.state"][a:b, slice(*span)]
                for a, b in rows.episodes(meta).values()
            ],
        )
        for group, span in LAYOUT.vectors["action"].groups.items()
        if group in choice.relative
    }
    end = time.perf_counter()
    for group, numbers in plain.items():
        for name, values in numbers.items():
            if not np.allclose(fast[group][name], values, rtol=1e-6, atol=1e-7):
                raise SystemExit(f"{group} {name} differs")
    steps = sum(b - a - HORIZON + 1 for a, b in rows.episodes(meta).values())
    print(
        f"| relative statistics, {steps:,} steps, plain way | {end - middle:.1f} | |"
    )
    ratio = (end - middle) / (middle - start)
    print(
        f"| the same numbers, vectorised: {ratio:.0f} times as fast | {middle - start:.2f} | |"
    )


def plain_numbers(
    actions: list[Rows], states: list[Rows]
) -> dict[str, NDArray[np.float64]]:
    """Windows as lists of arrays, then numpy over all of them."""
    windows = []
    for action, state in zip(actions, states, strict=True):
        for first in range(len(action) - HORIZON + 1):
            chunk = [
                np.asarray(target - state[first])
                for target in action[first : first + HORIZON]
            ]
            windows.append(np.stack(chunk, dtype=np.float32))
    return {
        "max": np.max(windows, axis=0),
        "min": np.min(windows, axis=0),
        "q01": np.quantile(windows, 0.01, axis=0),
        "q99": np.quantile(windows, 0.99, axis=0),
        "mean": np.mean(windows, axis=0),
        "std": np.std(windows, axis=0),
    }


def make(root: Path, episodes: int, *, cameras: bool) -> Path:
    """A Piper dataset of smooth motion; its cameras show the same clip in every episode."""
    root.mkdir(parents=True)
    clip, stats = footage(root.with_suffix(".mp4")) if cameras else (None, None)
    names = list(LAYOUT.cameras) if clip else []
    schema = layout_schema(
        LAYOUT,
        cameras={name: clip.info for name in names if clip},
        fps=LAYOUT.fps,
        robot_type=LAYOUT.robot_type,
    )
    writer = V21Writer(root, schema, WriterOptions(link=True))
    rows = np.arange(LENGTH)
    for number in range(episodes):
        state, action = motion(number)
        table = pa.table(
            {
                "observation.state": pa.FixedSizeListArray.from_arrays(
                    state.ravel(), state.shape[1]
                ),
                "action": pa.FixedSizeListArray.from_arrays(
                    action.ravel(), action.shape[1]
                ),
                "timestamp": pa.array((rows / LAYOUT.fps).astype(np.float32)),
                "frame_index": pa.array(rows),
            }
        )
        clips = {camera_key(name): clip for name in names if clip}
        images = {camera_key(name): stats for name in names if stats}
        writer.add(EncodedEpisode(table, clips, images, ("pick the apple",)))
    writer.finish()
    write_modality(root, schema)
    return root


def motion(number: int) -> tuple[Rows, Rows]:
    """States, and commands two frames ahead."""
    time_ = np.arange(LENGTH + 2)[:, None] / LAYOUT.fps
    values = np.sin(time_ * (1 + np.arange(14) % 3) + np.arange(14) + number)
    noise = np.random.default_rng(number).normal(scale=0.001, size=(LENGTH, 14))
    return (values[:LENGTH] + noise).astype(np.float32), values[2:].astype(
        np.float32
    )


def footage(path: Path) -> tuple[Clip, FeatureStats]:
    """A 640x480 clip: a brown table with noise, a grey block that moves."""
    noise = np.random.default_rng(0)
    decoder, histogram = PictureDecoder(), np.zeros((3, 256), dtype=np.int64)
    with VideoWriter(path, MODES["h264"], fps=LAYOUT.fps) as writer:
        for frame in range(LENGTH):
            image = np.full((480, 640, 3), (150, 110, 70), dtype=np.int16)
            image[160:260, 2 * frame : 2 * frame + 40] = 200
            image += noise.integers(-6, 7, size=image.shape, dtype=np.int16)
            picture = decoder.raw(image.astype(np.uint8))
            histogram += count_pixels(picture, 4)
            writer.add(picture)
    return Clip(path, 0, LENGTH, probe(path)[0]), FeatureStats.of_histogram(
        histogram, LENGTH
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

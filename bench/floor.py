"""How near whole commands come to the floor.

What decoding the recorded JPEG and encoding it costs alone, on all cores. Where JPEG is kept, that is
decoding the images that LeRobot's rule takes for statistics: they cannot be exact without.

Apart from the race against the original way, whose gigabytes of PNG keep the disk busy after it has
ended.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.measure import ROUNDS, Command, cost
from bench.recordings import CAMERAS, FRAMES, episodes_of, jpegs, long, short
from bench.results import publish
from bench.run import CACHE, LOG, LONG_IMAGES, PIPERLINE, SHORT_IMAGES
from piperline.process import usable_cpus
from piperline.stats import sample_frames
from piperline.video.decoder import PictureDecoder
from piperline.video.encoder import MODES, Mode, VideoWriter

TIMES = 3
LONG = 1000
ROWS: tuple[tuple[str, Mode, int], ...] = (
    ("h264", "h264", FRAMES),
    ("copy", "copy", FRAMES),
    ("copy, episodes of 1,000 frames", "copy", LONG),
)
"""Of the table: what it is called, the mode, and the frames of an episode."""


def floor(recordings: list[Path], mode: Mode) -> float:
    """Seconds if the work were spread over the CPUs without a gap.

    Images are in memory beforehand.
    """
    jobs = [
        (path, name, camera)
        for path, name in episodes_of(recordings)
        for camera in CAMERAS
    ]
    workers = usable_cpus()
    work = _decode_samples if mode == "copy" else partial(_encode, mode=mode)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(pool.imap_unordered(work, jobs)) / workers


def _decode_samples(job: tuple[Path, str, str]) -> float:
    images = jpegs(*job)
    decoder = PictureDecoder()
    start = time.perf_counter()
    for number in sample_frames(len(images)):
        decoder.encoded(images[number])
    return time.perf_counter() - start


def _encode(job: tuple[Path, str, str], mode: Mode) -> float:
    images = jpegs(*job)
    decoder = PictureDecoder()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with VideoWriter(
            Path(folder, "camera.mp4"), MODES[mode], fps=30
        ) as writer:
            for image in images:
                writer.add(decoder.encoded(image))
        return time.perf_counter() - start


def many(folder: Path) -> list[Path]:
    """36 episodes of 200 frames: the 12 of the race three times, under other names."""
    folder.mkdir()
    links = [
        (path, folder / f"{number}_{path.name}")
        for number in range(TIMES)
        for path in short(CACHE / "bench")
    ]
    for path, link in links:
        os.link(path, link)
    return [link for _, link in links]


def report() -> Iterator[str]:
    """The table, line by line."""
    yield "| video | whole command | floor | share | images/s | at the floor |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory(dir=CACHE / "bench") as name:
        folder = Path(name)
        recordings = many(folder / "recordings")
        for title, mode, frames in ROWS:
            if frames == LONG:
                recordings = [long(CACHE / "bench", episodes=2, frames=LONG)]
            images = LONG_IMAGES if frames == LONG else TIMES * SHORT_IMAGES
            whole, alone = _seconds(recordings, mode, folder)
            yield (
                f"| {title} | {whole:.2f} s | {alone:.2f} s | {alone / whole:.1%} "
                f"| {images / whole:.0f} | {images / alone:.0f} |"
            )


def _seconds(
    recordings: list[Path], mode: Mode, folder: Path
) -> tuple[float, float]:
    """The median seconds of the whole command, and of the floor."""
    wholes, floors = [], []
    for _ in range(ROUNDS):
        os.sync()
        with tempfile.TemporaryDirectory(dir=folder) as output:
            command: Command = [
                PIPERLINE,
                "convert",
                *recordings,
                "--output",
                Path(output, "dataset"),
                "--video",
                mode,
            ]
            wholes.append(cost(command, LOG).seconds)
        floors.append(floor(recordings, mode))
    return statistics.median(wholes), statistics.median(floors)


if __name__ == "__main__":
    publish("floor", report())

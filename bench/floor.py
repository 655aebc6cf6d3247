"""How near whole commands come to the floor.

What decoding the recorded JPEG and encoding it costs alone, on all cores.

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

from bench.measure import ROUNDS, cost
from bench.recordings import CAMERAS, episodes_of, jpegs, short
from bench.results import publish
from bench.run import CACHE, LOG, PIPERLINE
from piperline.process import usable_cpus
from piperline.video.decoder import PictureDecoder
from piperline.video.encoder import MODES, Mode, VideoWriter

TIMES = 3


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
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return (
            sum(pool.imap_unordered(partial(_encode, mode=mode), jobs))
            / workers
        )


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
    yield "| video | whole command | floor | share |\n|---|---|---|---|"
    mode: Mode = "h264"
    wholes, floors = [], []
    with tempfile.TemporaryDirectory(dir=CACHE / "bench") as name:
        recordings = many(Path(name, "recordings"))
        for number in range(ROUNDS):
            os.sync()
            command = [
                PIPERLINE,
                "convert",
                *recordings,
                "--output",
                Path(name, f"dataset{number}"),
                "--video",
                mode,
            ]
            wholes.append(cost(command, LOG).seconds)
            floors.append(floor(recordings, mode))
    whole, alone = statistics.median(wholes), statistics.median(floors)
    yield f"| {mode} | {whole:.2f} s | {alone:.2f} s | {alone / whole:.1%} |"


if __name__ == "__main__":
    publish("floor", report())

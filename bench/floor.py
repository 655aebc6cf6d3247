"""The floor: what decoding the recorded JPEG and encoding it costs alone, on all cores."""

import multiprocessing
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.recordings import CAMERAS, episodes_of, jpegs
from piperline.process import usable_cpus
from piperline.video import MODES, Mode, PictureDecoder, VideoWriter


def floor(recordings: list[Path], mode: Mode) -> float:
    """Seconds if the work were spread over the CPUs without a gap; images are in memory beforehand."""
    jobs = [(path, name, camera) for path, name in episodes_of(recordings) for camera in CAMERAS]
    workers = usable_cpus()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(pool.imap_unordered(partial(_encode, mode=mode), jobs)) / workers


def _encode(job: tuple[Path, str, str], mode: Mode) -> float:
    images = jpegs(*job)
    decoder = PictureDecoder()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with VideoWriter(Path(folder, "camera.mp4"), MODES[mode], fps=30) as writer:
            for image in images:
                writer.add(decoder.encoded(image))
        return time.perf_counter() - start

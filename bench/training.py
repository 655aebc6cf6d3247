"""What a trainer pays for reading our videos and LeRobot's own: one process, one thread.

python -m bench.training [--videos FOLDER]
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.encoders import LEROBOT, encode
from bench.footage import Footage, footages
from bench.measure import ROUNDS
from bench.quality import quality
from bench.results import publish
from bench.run import HERE, ORIGINAL_PATH, ORIGINAL_PYTHON
from piperline.video.decoder import PictureDecoder
from piperline.video.encoder import MODES, VideoSettings

READERS = ("pyav", "torchcodec")
PATTERNS = ("groot", "lerobot")
WAYS: dict[str, VideoSettings] = {
    "LeRobot's own": LEROBOT,
    **{f"--video {mode}": settings for mode, settings in MODES.items()},
}


@dataclass
class Read:
    """A pattern read with a reader, round after round.

    Attributes:
        wall, cpu: seconds a sample.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def samples_a_second(self) -> float:
        """The median of the rounds."""
        return 1 / statistics.median(self.wall)

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a sample, the least of the rounds: others' load only adds."""
        return 1000 * min(self.cpu)


Reads = dict[tuple[str, str], Read]
"""By reader and pattern; without those of a reader that is not installed."""


def make(folder: Path, footage: Footage) -> dict[str, list[Path]]:
    """The videos of each way, one of each camera."""
    decoder = PictureDecoder()
    made = {}
    for number, (way, settings) in enumerate(WAYS.items()):
        made[way] = [
            folder / f"{number}-{camera}.mp4" for camera in range(len(footage))
        ]
        for path, images in zip(made[way], footage, strict=True):
            pictures = [decoder.encoded(image) for image in images]
            encode(path, settings, images, pictures)
    return made


def read(videos: dict[str, list[Path]]) -> dict[str, Reads]:
    """Read the videos of all ways in turn."""
    found: dict[str, Reads] = {way: {} for way in videos}
    for _ in range(ROUNDS):
        for way, paths in videos.items():
            for reader in READERS:
                for pattern, (wall, cpu, samples) in _read(
                    reader, paths
                ).items():
                    one = found[way].setdefault((reader, pattern), Read())
                    one.wall.append(wall / samples)
                    one.cpu.append(cpu / samples)
    return found


def _read(
    reader: str, paths: Sequence[Path]
) -> dict[str, tuple[float, float, int]]:
    done = subprocess.run(
        [ORIGINAL_PYTHON, HERE / "training_reads.py", reader, *paths],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ORIGINAL_PATH)},
    )
    found: dict[str, tuple[float, float, int]] = json.loads(
        done.stdout or b"{}"
    )
    return found


def rows(footage: Footage) -> Iterator[str]:
    """The lines of the table of one footage."""
    with tempfile.TemporaryDirectory() as folder:
        videos = make(Path(folder), footage)
        reads = read(videos)
        frames = sum(map(len, footage))
        usual = reads["LeRobot's own"]
        for way, paths in videos.items():
            size = sum(path.stat().st_size for path in paths) / frames / 1000
            decibels, alike = quality(footage, paths)
            cells = [
                _cell(reads[way].get(key), usual.get(key))
                for key in ((r, p) for p in PATTERNS for r in READERS)
            ]
            yield f"| {way} | {size:.1f} | {decibels:.1f} | {alike:.3f} | {' | '.join(cells)} |"


def _cell(one: Read | None, usual: Read | None) -> str:
    if one is None or usual is None:
        return "not installed"
    ratio = usual.cpu_ms / one.cpu_ms
    return f"{one.samples_a_second:.0f}, {one.cpu_ms:.1f} ms, {ratio:.2f}x"


def report(videos: Path | None) -> Iterator[str]:
    """All of it, line by line."""
    head = "| way | kB per image | PSNR dB | SSIM | GR00T, PyAV | GR00T, torchcodec | LeRobot, PyAV | LeRobot, torchcodec |"
    for name, footage in footages(videos):
        yield f"**{name}**\n"
        yield head
        yield "|---|---|---|---|---|---|---|---|"
        yield from rows(footage)
        yield ""


def main() -> None:
    """Print the report; put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--videos", type=Path, help="a folder of MP4: footage of your own"
    )
    publish("training", report(parser.parse_args().videos))


if __name__ == "__main__":
    main()

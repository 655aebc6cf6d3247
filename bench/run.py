"""Measure piperline against the original way, in one run on one machine: `make bench`.

First the results are compared with the recordings, then whole commands are timed, start-up
included. Prints a report and puts it into bench/README.md.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from bench.compare import check
from bench.measure import ROUNDS, Command, Cost, cost
from bench.recordings import long, short
from bench.results import publish
from piperline.process import usable_cpus
from piperline.video.encoder import Mode

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache"
LOG = CACHE / "bench" / "log.txt"

PYTHON = Path(sys.executable)
PIPERLINE = PYTHON.with_name("piperline")
ORIGINAL_PYTHON = CACHE / "oracle" / "base" / "bin" / "python"
ORIGINAL_PATH = CACHE / "bench" / "original"
MODES: tuple[Mode, ...] = get_args(Mode)
SHORT_IMAGES, LONG_IMAGES = 4 * 3 * 200 * 3, 2 * 1000 * 3


@dataclass
class Way:
    """One way to convert, and what it cost each time.

    Attributes:
        name: for people.
        video: our mode, or None for the original way.
        costs: of each round.
        decibels: PSNR of the result against the recorded JPEG.
        size: of the result's videos in MB.
    """

    name: str
    video: Mode | None
    costs: list[Cost] = field(default_factory=list)
    decibels: float = 0
    size: float = 0

    @property
    def seconds(self) -> float:
        """The median of the rounds."""
        return statistics.median(cost.seconds for cost in self.costs)

    def run(self, recordings: list[Path], output: Path) -> None:
        """Convert once."""
        if self.video is None:
            command: Command = [
                ORIGINAL_PYTHON,
                "-W",
                "ignore",
                HERE / "original.py",
                output,
                *recordings,
            ]
            environment = {
                "PYTHONPATH": str(ORIGINAL_PATH),
                "HF_HUB_OFFLINE": "1",
                "HF_HOME": str(output.parent / "hf"),
            }
            self.costs.append(cost(command, LOG, environment))
        else:
            command = [
                PIPERLINE,
                "convert",
                *recordings,
                "--output",
                output,
                "--video",
                self.video,
            ]
            self.costs.append(cost(command, LOG))

    def look(self, recordings: list[Path], output: Path) -> None:
        """Compare the result with the recordings."""
        self.decibels = check(output, recordings)
        self.size = (
            sum(path.stat().st_size for path in output.rglob("*.mp4")) / 1e6
        )


def race(
    recordings: list[Path], modes: tuple[Mode, ...], rounds: int
) -> list[Way]:
    """Run the original way and ours in turn, `rounds` times.

    Compare the results of the first round.
    """
    ways = [
        Way("original (lerobot 0.4.2)", None),
        *(Way(f"piperline --video {mode}", mode) for mode in modes),
    ]
    for number in range(rounds):
        for way in ways:
            with tempfile.TemporaryDirectory(dir=CACHE / "bench") as folder:
                output = Path(folder, "dataset")
                way.run(recordings, output)
                if number == 0:
                    way.look(recordings, output)
            print(f"{way.name}: {way.costs[-1].seconds:.1f} s", file=sys.stderr)
    return ways


def race_table(ways: list[Way], images: int) -> Iterator[str]:
    """The lines of the table of a race."""
    yield "| way | images/s | against the original | CPU ms per image | kB per image | PSNR dB |"
    yield "|---|---|---|---|---|---|"
    for way in ways:
        cpu = statistics.median(cost.cpu for cost in way.costs) / images * 1000
        yield (
            f"| {way.name} | {images / way.seconds:.0f} | {ways[0].seconds / way.seconds:.1f}x | {cpu:.1f} "
            f"| {way.size / images * 1000:.1f} | {way.decibels:.1f} |"
        )


def memory_table(cache: Path) -> Iterator[str]:
    """Peak memory of a worker above the bare imports, for short and long episodes."""
    bare = "import os, piperline.convert.run, bench.measure; print(bench.measure.peak_memory(os.getpid()))"
    imports = float(
        subprocess.run(
            [PYTHON, "-c", bare], check=True, capture_output=True
        ).stdout
    )
    yield f"The imports alone: {imports:.0f} MB.\n"
    yield "| video | 3 episodes of 200 frames | 12 of 200 frames | 1 of 4,000 frames |"
    yield "|---|---|---|---|"
    inputs = [
        short(cache)[:1],
        short(cache),
        [long(cache, episodes=1, frames=4000)],
    ]
    for mode in MODES:
        peaks = []
        for recordings in inputs:
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                command: Command = [
                    PIPERLINE,
                    "convert",
                    *recordings,
                    "--output",
                    Path(folder, "dataset"),
                    "--video",
                    mode,
                ]
                peaks.append(
                    cost(command, LOG, memory=True).worker_peak - imports
                )
        yield f"| {mode} | {' | '.join(f'{peak:.0f} MB' for peak in peaks)} |"


def start_line(cache: Path) -> str:
    """What the smallest conversion costs: most of it is the start of processes."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        costs = [
            cost(
                [
                    PIPERLINE,
                    "convert",
                    long(cache, episodes=1, frames=60),
                    "--output",
                    Path(folder, str(number)),
                ],
                LOG,
            )
            for number in range(5)
        ]
    seconds = statistics.median(found.seconds for found in costs)
    cpu = statistics.median(found.cpu for found in costs)
    return (
        f"**One episode of 60 frames**, 180 images: {seconds:.2f} s,"
        f" {cpu:.2f} s of CPU\n"
    )


def report(rounds: int) -> Iterator[str]:
    """All of it, line by line."""
    cache = CACHE / "bench"
    recordings = short(cache)
    yield f"{usable_cpus()} cores, medians of {rounds} rounds.\n"
    yield "**12 episodes of 200 frames, 3 cameras of 480x640** (7,200 images)\n"
    yield from race_table(race(recordings, MODES, rounds), SHORT_IMAGES)
    yield "\n**2 episodes of 1,000 frames** (6,000 images), one round\n"
    yield from race_table(
        race([long(cache, episodes=2, frames=1000)], ("h264", "copy"), 1),
        LONG_IMAGES,
    )
    helps = [cost([PIPERLINE, "--help"], LOG).cpu for _ in range(5)]
    yield f"\n**`piperline --help`**: {statistics.median(helps):.2f} s of CPU\n"
    yield start_line(cache)
    yield "**Peak memory of a worker above the bare imports**\n"
    yield from memory_table(cache)


def main() -> None:
    """Print the report; put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help="how often each way is run (default: %(default)s)",
    )
    rounds = parser.parse_args().rounds
    LOG.unlink(missing_ok=True)
    publish("convert", report(rounds))


if __name__ == "__main__":
    main()

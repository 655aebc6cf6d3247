"""Measure sync: 20 new episodes into many, against encoding the 20 alone.

    .venv/bin/python -m bench.sync [EPISODES]

Whole commands, start-up included, in turn; medians, and what a dataset that is in step costs. The
table goes into bench/README.md. The old videos are small, so that what each episode costs beside
its bytes shows.
"""

import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ROUNDS, Command, Cost, cost
from bench.results import publish
from bench.run import CACHE, LOG, PIPERLINE
from tests.helpers.recordings import write_piper

FOLDER = CACHE / "bench" / "sync"
EPISODES, NEW, LENGTH = 1000, 20, 6
PER_FILE = 20


def record(folder: Path, first: int, episodes: int) -> None:
    """Recordings of small images, of 20 episodes each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + episodes, PER_FILE):
        path = folder / f"day_{number:06d}.hdf5"
        if not path.exists():
            write_piper(path, episodes=PER_FILE, lengths=LENGTH)


def convert(data: Path, output: Path, version: str) -> Cost:
    """What a conversion costs."""
    command: Command = [PIPERLINE, "convert", data, "--output", output]
    options: Command = ["--format", version, "--overwrite", "--no-resume"]
    return cost([*command, *options, "--no-review"], LOG)


def sync(data: Path, output: Path) -> Cost:
    """What a sync costs."""
    return cost([PIPERLINE, "sync", data, output], LOG)


def median(costs: list[Cost]) -> Cost:
    """The medians of some."""
    seconds = statistics.median(each.seconds for each in costs)
    return Cost(seconds, statistics.median(each.cpu for each in costs), 0)


def shown(found: Cost) -> str:
    """Seconds, and those of CPU."""
    return f"{found.seconds:.1f} s ({found.cpu:.1f} s)"


def measure(version: str, episodes: int) -> str:
    """A line of the table."""
    data, new = (
        FOLDER / f"{name}_{episodes}x{LENGTH}" for name in ("data", "new")
    )
    record(data, 0, episodes)
    record(new, episodes, NEW)
    (recorded,) = new.iterdir()
    added = data / recorded.name
    added.unlink(missing_ok=True)
    start, out = FOLDER / f"start_{version}_{episodes}", FOLDER / "out"
    if start.exists():
        sync(data, start)
    else:
        convert(data, start, version)
    alone, synced, in_step = [], [], []
    for _ in range(ROUNDS):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(start, out)
        shutil.copy2(recorded, added)
        synced.append(sync(data, out))
        in_step.append(sync(data, out))
        added.unlink()
        alone.append(convert(new, FOLDER / "alone", version))
    a, s, i = map(median, (alone, synced, in_step))
    more = s.seconds - a.seconds
    return (
        f"| {version} | {shown(a)} | {shown(s)} | {more:.1f} s | {shown(i)} |"
    )


def lines(episodes: int) -> Iterator[str]:
    """The table, line by line."""
    yield f"{NEW} into {episodes} episodes of {LENGTH} frames, 3 cameras\n"
    yield "| format | the new ones alone | sync | beside their encoding | in step |"
    yield "|---|---|---|---|---|"
    for version in ("v2.1", "v3.0"):
        yield measure(version, episodes)


if __name__ == "__main__":
    publish("sync", lines(int(sys.argv[1]) if len(sys.argv) > 1 else EPISODES))

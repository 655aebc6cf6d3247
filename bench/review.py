"""What a review costs, alone and in a conversion: `.venv/bin/python -m bench.review`.

Whole commands are timed, start-up included. The table goes into bench/README.md.
"""

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.measure import ROUNDS, Command, Cost, cost
from bench.recordings import CAMERAS, FRAMES, short
from bench.results import publish
from bench.run import CACHE, LOG, PIPERLINE
from piperline.demo.motion import plan_motion
from piperline.demo.session import FPS
from piperline.recordings.write import NewEpisode, write_recording
from piperline.video.images import encode_jpeg

FOLDER = CACHE / "bench" / "review"
SESSIONS, EPISODES, LENGTH = 20, 50, 300
"""Of the recordings whose rows alone are reviewed."""


def tables() -> list[Path]:
    """1,000 episodes of 300 frames in 20 files; of pictures the rows alone need none, but some."""
    folder = FOLDER / "tables"
    paths = [folder / f"session_{n}.hdf5" for n in range(SESSIONS)]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(paths):
            write_recording(path, _episodes(number))
    return paths


def _episodes(session: int) -> Iterator[NewEpisode]:
    tiny = encode_jpeg(np.full((16, 16, 3), 90, dtype=np.uint8))
    for number in range(EPISODES):
        rng = np.random.default_rng((session, number))
        motion = plan_motion(rng, frames=LENGTH, fps=FPS, task=number % 2)
        yield NewEpisode(
            name=f"episode_{number}",
            attributes={"instruction": motion.task, "length": LENGTH},
            vectors={"state": motion.state, "action": motion.action},
            cameras=tuple(CAMERAS),
            frames=[dict.fromkeys(CAMERAS, tiny)] * LENGTH,
        )


def costs(*commands: tuple[Command, Path]) -> list[Cost]:
    """What commands cost, in turn; each with what it makes, which is removed before."""
    rounds: list[list[Cost]] = [[] for _ in commands]
    for _ in range(ROUNDS):
        for number, (command, made) in enumerate(commands):
            shutil.rmtree(made, ignore_errors=True)
            rounds[number].append(cost(command, LOG))
    return [
        Cost(
            statistics.median(one.seconds for one in own),
            statistics.median(one.cpu for one in own),
            0,
        )
        for own in rounds
    ]


def lines() -> Iterator[str]:
    """The table, line by line."""
    made, review = FOLDER / "made", FOLDER / "reviewed"
    recordings = short(CACHE / "bench")
    images = len(recordings) * 3 * FRAMES * 3
    convert: Command = [PIPERLINE, "convert", *recordings, "-o", made]
    look: Command = [PIPERLINE, "review", *recordings, "-o", review]
    plain, ended, without, whole = costs(
        ([*convert, "--no-review"], made),
        (convert, made),
        ([*look, "--no-videos"], review),
        (look, review),
    )
    rows: Command = [PIPERLINE, "review", *tables(), "-o", review]
    shutil.rmtree(review, ignore_errors=True)
    alone = cost([*rows, "--tables-only"], LOG)
    yield "| command | time | CPU | images/s | CPU ms an image |"
    yield "|---|---|---|---|---|"
    for name, one in (
        ("convert --no-review", plain),
        ("convert", ended),
        ("review --no-videos", without),
        ("review", whole),
    ):
        rate, each = images / one.seconds, 1000 * one.cpu / images
        yield f"| {name} | {one.seconds:.1f} s | {one.cpu:.1f} s | {rate:.0f} | {each:.2f} |"
    yield f"| review --tables-only, 1,000 episodes of 300 frames | {alone.seconds:.0f} s | {alone.cpu:.0f} s | | |"
    yield ""
    yield f"A conversion that ends with a review takes {100 * (ended.cpu / plain.cpu - 1):+.1f} % of CPU more."


if __name__ == "__main__":
    publish("review", lines())

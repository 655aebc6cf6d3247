"""What proof costs, against conversion: `.venv/bin/python -m bench.verify`.

First every dataset has to be verified, frame by frame; then whole commands are timed, start-up
included, CPU seconds of one worker. The table goes into bench/README.md.
"""

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ROUNDS, Command, cost
from bench.results import publish
from bench.run import CACHE, LOG, PIPERLINE
from piperline.demo import write_recordings
from piperline.verify import VerifyOptions, verify

FRAMES = 200
FOLDER = CACHE / "bench" / "verify"
ALONE = ("--workers", "1")


def prove(dataset: Path, recordings: list[Path]) -> None:
    """See that the dataset is what was recorded, frame by frame.

    Raises:
        SystemExit: it is not.
    """
    report = verify(dataset, VerifyOptions(sources=recordings, frames=0))
    if (
        report.verdict != "verified"
        or report.looked.episodes != report.size.episodes
    ):
        raise SystemExit("\n".join(report.lines()))


def measured(command: Command, made: Path | None = None) -> float:
    """CPU seconds of a command, the median of the rounds; what it made is removed before each."""
    seconds = []
    for _ in range(ROUNDS):
        if made:
            shutil.rmtree(made, ignore_errors=True)
        seconds.append(cost(command, LOG).cpu)
    return statistics.median(seconds)


def lines() -> Iterator[str]:
    """The table, line by line."""
    recordings = write_recordings(
        FOLDER / "session", files=1, episodes=3, frames=FRAMES
    )
    yield "| video | convert | convert --verify | verify | verify --all | seal and itself alone |"
    yield "|---|---|---|---|---|---|"
    for mode in ("h264", "av1", "copy"):
        made = FOLDER / "made" / mode
        words = [
            PIPERLINE,
            "convert",
            *recordings,
            "-o",
            made,
            "--video",
            mode,
            *ALONE,
        ]
        verified = measured([*words, "--verify"], made)
        converted = measured(words, made)
        prove(made, recordings)
        look: Command = [PIPERLINE, "verify", made, "--source", *recordings]
        kinds: list[Command] = [
            look,
            [*look, "--all"],
            [PIPERLINE, "verify", made],
        ]
        costs = [verified - converted, *map(measured, kinds)]
        shares = " | ".join(f"{100 * each / converted:.0f} %" for each in costs)
        yield f"| {mode} | {converted:.1f} s | +{shares} |"


if __name__ == "__main__":
    publish("verify", lines())

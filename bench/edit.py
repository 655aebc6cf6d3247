"""What an edit costs: `.venv/bin/python -m bench.edit [EPISODES]`.

10 of 1,000 episodes are dropped, against `cp` of the files that this touches and against lerobot's
own deletion, which encodes again. First the result is looked at: the packets of each episode that
stays are those that were. Whole commands are timed in turn, start-up included; what was written is
synced in both ways. LeRobot takes hours for as many, so it is
given 12. The table goes into bench/README.md.
"""

import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ROUNDS, Command, Cost, cost
from bench.recordings import long
from bench.results import publish
from bench.run import CACHE, LOG, PIPERLINE
from piperline.seal.seal import Seal
from piperline.transfer import aggregate

EPISODES = 1000
DROPPED = 10
FRAMES = 300
IN_A_PART = 2
FEW, FEW_DROPPED = 12, "1,5"
"""LeRobot's deletion encodes about 100 frames a second."""
FOLDER = CACHE / "bench" / "edit"
LEROBOT = Path(
    os.environ.get("LEROBOT_V30_PYTHON", CACHE / "newest" / "bin" / "python")
)
"""LeRobot 0.6.1, where `make test-newest` has put it."""
_DELETE = """
import sys
from pathlib import Path
from lerobot.datasets.dataset_tools import delete_episodes
from lerobot.datasets.lerobot_dataset import LeRobotDataset
dataset = LeRobotDataset("bench/edit", root=sys.argv[1])
numbers = [int(number) for number in sys.argv[3].split(",")]
delete_episodes(dataset, numbers, output_dir=Path(sys.argv[2]), repo_id="bench/out")
"""


def dataset(version: str, episodes: int) -> Path:
    """A dataset of so many episodes of 3 cameras."""
    path = FOLDER / f"{episodes}_{version}"
    part = FOLDER / f"part_{version}"
    if not part.exists():
        recording = long(FOLDER, episodes=IN_A_PART, frames=FRAMES)
        words: Command = [PIPERLINE, "convert", recording, "-o", part]
        cost([*words, "--format", version], LOG)
    if not path.exists():
        aggregate([part] * (episodes // IN_A_PART), path)
    return path


def dropped(episodes: int) -> list[int]:
    """The numbers of the episodes that go, spread evenly."""
    return [number * episodes // DROPPED + DROPPED for number in range(DROPPED)]


def check(before: Path, after: Path, episodes: int) -> None:
    """See that what stays is what was.

    Raises:
        SystemExit: it is not.
    """
    old, new = Seal.from_disk(before), Seal.from_disk(after)
    gone = set(dropped(episodes))
    if old is None or new is None:
        raise SystemExit("a dataset is not sealed")
    kept = [
        episode.packets
        for number, episode in enumerate(old.episodes)
        if number not in gone
    ]
    if [episode.packets for episode in new.episodes] != kept:
        raise SystemExit("the packets are not those that were")


def touched(before: Path, after: Path) -> list[Path]:
    """The files of the new dataset that are not the same file, of the same name, in the old one.

    The videos of v2.1 are links to few files here, as nobody's are: those behind the first episode
    that goes have another name, and so count.
    """
    files = [path for path in after.rglob("*") if path.is_file()]
    return [
        path
        for path in files
        if _number(path) >= DROPPED
        or not (before / path.relative_to(after)).exists()
        or not (before / path.relative_to(after)).samefile(path)
    ]


def _number(path: Path) -> int:
    """The number of the episode whose file of v2.1 it is; -1 for other files."""
    kind, _, number = path.stem.partition("_")
    return int(number) if kind == "episode" else -1


def copying(files: list[Path], source: Path, copy: Path) -> Command:
    """What copies files, and brings them to the disk."""
    listed = FOLDER / "files.txt"
    names = (str(path.relative_to(source)) for path in files)
    listed.write_text("\n".join(names))
    script = (
        'mkdir "$2" && cd "$1" && xargs -d "\\n" cp --parents -t "$2" < "$0" && '
        'find "$2" -type f -print0 | xargs -0 sync'
    )
    return ["sh", "-c", script, listed, source, copy]


def measured(*commands: tuple[Command, Path]) -> list[Cost]:
    """What commands cost, in turn, medians of the rounds; what they make is removed before each."""
    costs: list[list[Cost]] = [[] for _ in commands]
    for _ in range(ROUNDS):
        for (command, made), known in zip(commands, costs, strict=True):
            shutil.rmtree(made, ignore_errors=True)
            os.sync()
            known.append(cost(command, LOG))
    return [
        Cost(
            statistics.median(each.seconds for each in known),
            statistics.median(each.cpu for each in known),
            0,
        )
        for known in costs
    ]


def lines(episodes: int) -> Iterator[str]:
    """The table, line by line."""
    yield f"{DROPPED} of {episodes} episodes of {FRAMES} frames, 3 cameras\n"
    yield "| format | files touched | `cp` of them | `piperline edit` | of `cp` | CPU of `cp` | CPU |"
    yield "|---|---|---|---|---|---|---|"
    numbers = ",".join(map(str, dropped(episodes)))
    for version in ("v2.1", "v3.0"):
        root, out = dataset(version, episodes), FOLDER / "out"
        words: Command = [PIPERLINE, "edit", root, "--drop", numbers, "-o"]
        model, copy = FOLDER / "model", FOLDER / "copy"
        shutil.rmtree(model, ignore_errors=True)
        cost([*words, model], LOG)
        check(root, model, episodes)
        files = touched(root, model)
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        edit, copied = measured(
            ([*words, out], out), (copying(files, model, copy), copy)
        )
        yield (
            f"| {version} | {len(files)} ({megabytes:.0f} MB) | {copied.seconds:.1f} s | {edit.seconds:.1f} s "
            f"| {edit.seconds / copied.seconds:.1f}x | {copied.cpu:.1f} s | {edit.cpu:.1f} s |"
        )
    yield ""
    yield theirs()


def theirs() -> str:
    """What lerobot's own deletion costs, where it is there: of a few episodes, as it takes long."""
    if not LEROBOT.exists():
        return (
            "LeRobot 0.6.1 is not here (`make test-newest` puts it there). lerobot PR 4498 tells of 220 s "
            "for its own deletion."
        )
    root, out = dataset("v3.0", FEW), FOLDER / "theirs"
    shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    words: Command = [LEROBOT, "-c", _DELETE, root, out, FEW_DROPPED]
    their = cost(words, LOG, environment)
    (ours,) = measured(
        ([PIPERLINE, "edit", root, "--drop", FEW_DROPPED, "-o", out], out)
    )
    shutil.rmtree(out, ignore_errors=True)
    return (
        f"LeRobot 0.6.1 takes {their.seconds:.0f} s ({their.cpu:.0f} s of CPU) for episodes {FEW_DROPPED} of "
        f"{FEW} of v3.0, start-up included, piperline {ours.seconds:.1f} s ({ours.cpu:.1f} s): "
        f"{their.seconds / ours.seconds:.0f}x, {their.cpu / ours.cpu:.0f}x the CPU."
    )


def main() -> None:
    """Print the table and put it into the README."""
    episodes = int(sys.argv[1]) if len(sys.argv) > 1 else EPISODES
    FOLDER.mkdir(parents=True, exist_ok=True)
    publish("edit", lines(episodes))


if __name__ == "__main__":
    main()

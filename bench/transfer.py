"""Measure migration and aggregation against the original way, and against copying the bytes.

First the results are compared, then whole commands are timed, start-up included; the tables go into
bench/README.md. piperline sees that what it wrote is on the disk (fsync) before it gives it its
name; the original way does not. So the copy that it is compared with is measured both ways, and CPU
seconds tell what does not depend on the disk.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av

from bench.measure import ROUNDS, Command, Cost, anonymous_memory, cost
from bench.recordings import long
from bench.results import publish
from bench.run import CACHE, HERE, LOG, ORIGINAL_PYTHON, PIPERLINE
from piperline.lerobot.dataset import Dataset, open_dataset
from piperline.transfer import aggregate

FRAMES = 600  # of an episode: 20 s
SHARDS = (20, 100)  # of 3 episodes each
FOLDER = CACHE / "bench"
LEROBOT = {"PYTHONPATH": str(CACHE / "oracle" / "v30"), "HF_HUB_OFFLINE": "1"}


def shard() -> Path:
    """3 episodes of 3 cameras, as v3.0."""
    path = FOLDER / f"shard_{FRAMES}_v30"
    if not path.exists():
        command: Command = [
            PIPERLINE,
            "convert",
            long(FOLDER, episodes=3, frames=FRAMES),
            "--output",
            path,
            "--format",
            "v3.0",
        ]
        cost(command, LOG)
    return path


def whole(shards: int) -> Path:
    """Many shards as one v3.0 dataset."""
    path = FOLDER / f"whole_{FRAMES}x{shards}_v30"
    if not path.exists():
        aggregate([shard()] * shards, path)
    return path


def foreign(source: Path) -> Path:
    """A dataset without the histograms that only piperline writes."""
    path = source.with_name(f"{source.name}_foreign")
    if not path.exists():
        shutil.copytree(
            source,
            path,
            copy_function=os.link,
            ignore=shutil.ignore_patterns("image_histograms.pq"),
        )
    return path


def packets(dataset: Dataset) -> Iterator[list[bytes]]:
    """The packets of each clip: equal packets are equal frames."""
    files: dict[Path, list[bytes]] = {}
    for episode in dataset:
        for clip in episode.clips.values():
            if clip.path not in files:
                files = {
                    path: held
                    for path, held in files.items()
                    if path.parent.parent != clip.path.parent.parent
                }
                with av.open(str(clip.path)) as container:
                    files[clip.path] = [
                        bytes(packet)
                        for packet in container.demux(video=0)
                        if packet.size
                    ]
            yield files[clip.path][clip.first : clip.first + clip.count]


def check_ours(source: Path, output: Path) -> None:
    """See that the output holds the rows and the packets of the source."""
    before, after = open_dataset(source), open_dataset(output)
    for one, other in zip(before, after, strict=True):
        if not one.table.equals(other.table):
            raise AssertionError("rows differ")
    for theirs, ours in zip(packets(before), packets(after), strict=True):
        if theirs != ours:
            raise AssertionError("packets differ")


def frames_of(folder: Path) -> int:
    """How many frames all videos below a folder have."""
    total = 0
    for path in folder.rglob("*.mp4"):
        with av.open(str(path)) as container:
            total += container.streams.video[0].frames
    return total


def timed(
    command: Callable[[Path], Command],
    look: Callable[[Path], object],
    environment: Mapping[str, str] | None = None,
    *,
    rounds: int = ROUNDS,
) -> Cost:
    """What a command that makes a folder costs, medians of the rounds.

    The first result is looked at.
    """
    costs = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            output = Path(folder, "output")
            # what was written before is not for this to wait for
            subprocess.run(["sync"], check=True)
            costs.append(
                cost(
                    command(output),
                    LOG,
                    {**(environment or {}), "HF_HOME": folder},
                )
            )
            if number == 0:
                look(output)
    return Cost(
        statistics.median(c.seconds for c in costs),
        statistics.median(c.cpu for c in costs),
        0,
    )


def peak(command: Command) -> float:
    """Peak of anonymous memory of a command, in MB; looked at while it runs."""
    most = 0.0
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            most = max(most, anonymous_memory(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise subprocess.CalledProcessError(
            process.returncode, [str(part) for part in command]
        )
    return most


def migration(source: Path) -> Callable[[Path], Command]:
    """The command that makes v2.1 of `source`, by its output."""
    return lambda output: [
        PIPERLINE,
        "migrate",
        source,
        "--to",
        "v2.1",
        "-o",
        output,
    ]


def rows(ffmpeg: str, shards: int) -> Iterator[tuple[str, Cost, Cost]]:
    """Name, cost of the original way, and of ours."""
    source = whole(shards)
    script: list[str | Path] = [
        ORIGINAL_PYTHON,
        "-W",
        "ignore",
        HERE / "original_transfer.py",
    ]
    frames = frames_of(source)

    def all_there(output: Path) -> None:
        # cuts by seconds may be a frame off
        if abs(frames_of(output) - frames) > 0.02 * frames:
            raise AssertionError("the original way lost frames")

    original = timed(
        lambda out: [*script, "split", source, out, ffmpeg], all_there, rounds=1
    )
    for name, of in (
        ("v3.0 to v2.1", source),
        ("the same of others: image statistics from videos", foreign(source)),
    ):
        yield (
            name,
            original,
            timed(migration(of), lambda output: check_ours(source, output)),
        )
    parts = [shard()] * shards
    yield (
        "aggregate v3.0",
        timed(
            lambda out: [*script, "aggregate", out, *parts],
            all_there,
            LEROBOT,
            rounds=1,
        ),
        timed(
            lambda out: [PIPERLINE, "aggregate", *parts, "-o", out],
            lambda o: check_ours(source, o),
        ),
    )


def copies(shards: int) -> tuple[float, float]:
    """Seconds of copying the bytes: left to the system's memory, and on the disk."""
    source = whole(shards)
    script = 'cp -r "$0" "$1" && sync "$1"/*/*/*/* "$1"/*/*/*'
    left = timed(lambda out: ["cp", "-r", source, out], lambda _: None)
    synced = timed(
        lambda out: ["sh", "-c", script, source, out], lambda _: None
    )
    return left.seconds, synced.seconds


def memory() -> Iterator[str]:
    """Peak memory for few and for many episodes."""
    for name, arguments in (
        ("migrate", ["--to", "v2.1", "-o"]),
        ("aggregate", ["--format", "v3.0", "-o"]),
    ):
        peaks = []
        for shards in SHARDS:
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                peaks.append(
                    peak(
                        [
                            PIPERLINE,
                            name,
                            whole(shards),
                            *arguments,
                            Path(folder, "output"),
                        ]
                    )
                )
        yield f"| {name} | {peaks[0]:.0f} MB | {peaks[1]:.0f} MB |"


def find_ffmpeg() -> str:
    """FFmpeg's program: the machine's, else the one of imageio-ffmpeg.

    Installed into the bench's own folder.
    """
    found = shutil.which("ffmpeg")
    if found:
        return found
    folder = FOLDER / "ffmpeg"
    if not folder.exists():
        pip: Command = [
            ORIGINAL_PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            folder,
        ]
        subprocess.run([*pip, "imageio-ffmpeg"], check=True)
    return str(next(folder.glob("imageio_ffmpeg/binaries/ffmpeg-*")))


def report(ffmpeg: str) -> Iterator[str]:
    """All of it, line by line."""
    for shards in SHARDS:
        megabytes = (
            sum(path.stat().st_size for path in whole(shards).rglob("*.*"))
            / 1e6
        )
        left, synced = copies(shards)
        yield (
            f"**{3 * shards} episodes of {FRAMES} frames, 3 cameras of 480x640** ({megabytes:.0f} MB); "
            f"`cp -r` {left:.2f} s, with sync {synced:.2f} s\n"
        )
        yield "| | original | piperline | faster | less CPU | of `cp -r` | of `cp -r` with sync |"
        yield "|---|---|---|---|---|---|---|"
        for name, original, ours in rows(ffmpeg, shards):
            yield (
                f"| {name} | {original.seconds:.1f} s | {ours.seconds:.2f} s | {original.seconds / ours.seconds:.1f}x "
                f"| {original.cpu / ours.cpu:.1f}x | {ours.seconds / left:.1f}x | {ours.seconds / synced:.1f}x |"
            )
        yield ""
    yield (
        "| peak of anonymous memory | "
        + " | ".join(f"{3 * shards} episodes" for shards in SHARDS)
        + " |\n|---|---|---|"
    )
    yield from memory()


def main() -> None:
    """Print the tables and put them into the README."""
    publish("transfer", report(find_ffmpeg()))


if __name__ == "__main__":
    main()

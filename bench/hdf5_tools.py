"""Measure split, repack and inspect: `.venv/bin/python -m bench.hdf5_tools`.

The original way is rebuilt here from its description: a recursive `copy_group` that reads every
dataset whole and writes it again with the same compression. Results are compared with the source by
h5diff before anything is timed. The table goes into bench/README.md.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from bench.measure import Command, Cost, cost
from bench.results import publish

PIPERLINE = Path(sys.executable).with_name("piperline")
CAMERAS = ("image_left", "image_mid", "image_right")
HEIGHT, WIDTH = 480, 640
FRAMES = 300
JPEG_BYTES = 55_000
GZIP_FRAMES, GZIP_BYTES = 100, 445_000
PER_FILE = 10
H5DIFF_BYTES = 1_000_000_000  # of a source; h5diff takes minutes for more


def copy_group(source: h5py.Group, target: h5py.Group) -> None:
    """The original way."""
    for key, value in source.attrs.items():
        target.attrs[key] = value
    for key, item in source.items():
        if isinstance(item, h5py.Group):
            copy_group(item, target.create_group(key))
        else:
            made = target.create_dataset(
                key,
                data=item[()],
                dtype=item.dtype,
                compression=item.compression,
                compression_opts=item.compression_opts,
            )
            for name, value in item.attrs.items():
                made.attrs[name] = value


def original(what: str, source: Path, output: Path) -> None:
    """Split, or repack, the original way."""
    output.mkdir()
    with h5py.File(source) as file:
        names = sorted(file)
        step = PER_FILE if what == "repack" else 1
        for start in range(0, len(names), step):
            with h5py.File(output / f"{what}_{start:04d}.hdf5", "w") as made:
                for name in names[start : start + step]:
                    copy_group(file[name], made.create_group(name))


def jpeg_file(path: Path, megabytes: int) -> Path:
    """A recording of JPEG in rows of variable length.

    Bytes of the size of 640x480 images at quality 90.
    """
    random = np.random.default_rng(0)
    episodes = max(
        2, round(megabytes * 1e6 / (FRAMES * len(CAMERAS) * JPEG_BYTES))
    )
    with h5py.File(path, "w") as file:
        for number in range(episodes):
            group = _episode(file, number)
            for name in CAMERAS:
                rows = group.create_dataset(
                    name, (FRAMES,), h5py.vlen_dtype(np.uint8)
                )
                for frame in range(FRAMES):
                    rows[frame] = random.integers(
                        0, 256, JPEG_BYTES + frame, dtype=np.uint8
                    )
    return path


def gzip_file(path: Path, megabytes: int) -> Path:
    """A recording of raw frames with noise, compressed with gzip to about `megabytes`."""
    random = np.random.default_rng(0)
    episodes = max(2, round(megabytes * 1e6 / (GZIP_FRAMES * GZIP_BYTES)))
    slope = np.add.outer(np.arange(HEIGHT) // 4, np.arange(WIDTH) // 8).astype(
        np.uint8
    )
    with h5py.File(path, "w") as file:
        for number in range(episodes):
            group = _episode(file, number)
            rows = group.create_dataset(
                "image_mid",
                (GZIP_FRAMES, HEIGHT, WIDTH, 3),
                np.uint8,
                chunks=(1, HEIGHT, WIDTH, 3),
                compression="gzip",
            )
            for frame in range(GZIP_FRAMES):
                rows[frame] = slope[..., None] + random.integers(
                    0, 4, (HEIGHT, WIDTH, 3), dtype=np.uint8
                )
    return path


def wide_file(path: Path, megabytes: int, episodes: int = 1000) -> Path:
    """A thousand episodes with JPEG cameras.

    Made as large as asked for by raw datasets that are holes on the disk.
    """
    # not above: the start of the original way is timed, too
    from piperline.video.images import encode_jpeg

    image = np.frombuffer(
        encode_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), np.uint8
    )
    hole = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    hole.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    hole.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple((megabytes * 1_000_000 // episodes,))
    with h5py.File(path, "w") as file:
        for number in range(episodes):
            group = _episode(file, number)
            group.attrs["length"] = 10
            for name in CAMERAS:
                rows = group.create_dataset(
                    name, (10,), h5py.vlen_dtype(np.uint8)
                )
                for frame in range(10):
                    rows[frame] = image
            h5py.h5d.create(
                group.id, b"depth", h5py.h5t.NATIVE_UINT8, space, dcpl=hole
            )
    return path


def _episode(file: h5py.File, number: int) -> h5py.Group:
    group = file.create_group(f"episode_{number}")
    group.attrs.update({"instruction": "pick up the cube", "length": FRAMES})
    group["state"] = group["action"] = np.zeros((FRAMES, 14), np.float32)
    return group


def same(source: Path, output: Path) -> None:
    """See that every group is in the output as it is in the source.

    By h5diff, of large files value by value.

    Raises:
        AssertionError: it is not.
    """
    large = source.stat().st_size > H5DIFF_BYTES
    with h5py.File(source) as before:
        expected = set(before)
        for path in sorted(output.iterdir()):
            with h5py.File(path) as after:
                names = list(after)
                equal = (
                    [equal_groups(before[name], after[name]) for name in names]
                    if large
                    else [True]
                )
            expected -= set(names)
            commands = [
                ["h5diff", str(source), str(path), f"/{name}", f"/{name}"]
                for name in names
                if not large
            ]
            if not all(equal) or any(
                subprocess.run(command, check=False).returncode
                for command in commands
            ):
                raise AssertionError(f"{path} differs")
    if expected:
        raise AssertionError(f"{expected} are lost")


def equal_groups(one: h5py.Group, other: h5py.Group) -> bool:
    """Whether two groups have the same attributes, and datasets of the same values."""
    if dict(one.attrs) != dict(other.attrs) or list(one) != list(other):
        return False
    return all(
        len(one[name]) == len(other[name])
        and all(
            np.array_equal(one[name][row], other[name][row])
            for row in range(len(one[name]))
        )
        for name in one
    )


def measured(command: Command, output: Path, log: Path, rounds: int) -> Cost:
    """What a command costs, medians of the rounds, its output removed each time.

    The largest peak of memory.
    """
    costs = []
    for _ in range(rounds):
        shutil.rmtree(output, ignore_errors=True)
        subprocess.run(["sync"], check=True)
        costs.append(cost(command, log, memory=True))
    seconds, cpu = (
        statistics.median(getattr(item, name) for item in costs)
        for name in ("seconds", "cpu")
    )
    return Cost(seconds, cpu, max(item.worker_peak for item in costs))


def compare(
    kind: str, source: Path, folder: Path, rounds: int
) -> Iterator[str]:
    """Split and repack one file in both ways, and copy it."""
    output, log = folder / "out", folder / "log.txt"
    size = f"{source.stat().st_size / 1e9:.1f} GB of {kind}"
    script = 'mkdir "$1" && cp "$0" "$1/x" && sync "$1/x"'
    copied = measured(["sh", "-c", script, source, output], output, log, rounds)
    for what, more in (
        ("split", []),
        ("repack", ["--episodes-per-file", str(PER_FILE)]),
    ):
        ours: Command = [
            PIPERLINE,
            "hdf5",
            what,
            source,
            "--output",
            output,
            *more,
        ]
        theirs: Command = [
            sys.executable,
            "-m",
            "bench.hdf5_tools",
            "--original",
            what,
            source,
            output,
        ]
        cost(ours, log)
        same(source, output)
        # it takes minutes
        old = measured(theirs, output, log, 1 if "gzip" in kind else rounds)
        new = measured(ours, output, log, rounds)
        yield (
            f"| {what}, {size} | {old.seconds:.1f} s, {old.cpu:.1f} s CPU | {new.seconds:.2f} s, {new.cpu:.2f} s CPU "
            f"| {old.seconds / new.seconds:.1f}x | {old.cpu / new.cpu:.1f}x | {new.seconds / copied.seconds:.1f}x "
            f"| {new.worker_peak:.0f} MB |"
        )
    shutil.rmtree(output)


def report(folder: Path, megabytes: int, rounds: int) -> Iterator[str]:
    """All of it, line by line."""
    yield "| what | original, not synced | piperline | faster | less CPU | of `cp` with sync | peak of a writer |"
    yield "|---|---|---|---|---|---|---|"
    for kind, make in (
        ("JPEG", jpeg_file),
        ("raw frames with gzip", gzip_file),
    ):
        for size in (megabytes // 10, megabytes):
            source = make(folder / "source.hdf5", size)
            yield from compare(kind, source, folder, rounds)
            source.unlink()
    wide = wide_file(folder / "wide.hdf5", 10_000)
    command: Command = [PIPERLINE, "hdf5", "inspect", wide]
    look = measured(command, folder / "none", folder / "log.txt", rounds)
    yield f"| inspect, 10 GB in 1,000 episodes | | {look.seconds:.2f} s, {look.cpu:.2f} s CPU | | | | |"


def main() -> None:
    """Make the files, compare, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--megabytes", type=int, default=3000, help="of the larger recordings"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--original",
        nargs=3,
        metavar=("WHAT", "SOURCE", "OUTPUT"),
        help="one run of the original way",
    )
    arguments = parser.parse_args()
    if arguments.original:
        what, source, output = arguments.original
        original(what, Path(source), Path(output))
        return
    with tempfile.TemporaryDirectory() as name:
        publish(
            "hdf5", report(Path(name), arguments.megabytes, arguments.rounds)
        )


if __name__ == "__main__":
    main()

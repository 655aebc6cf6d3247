"""Measure split, repack and inspect: `.venv/bin/python -m bench.hdf5_tools [--megabytes 1000]`.

The original way is rebuilt here from its description: a recursive `copy_group` that reads every dataset whole and
writes it again with the same compression. Results are compared with the source by h5diff before anything is timed.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from bench.measure import Command, Cost, cost
from piperline.stills import encode_jpeg

PIPERLINE = Path(sys.executable).with_name("piperline")
CAMERAS = ("image_left", "image_mid", "image_right")
HEIGHT, WIDTH = 480, 640
FRAMES = 300
JPEG_BYTES = 55_000


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
    """Split, or repack into one file, the original way."""
    output.mkdir()
    with h5py.File(source) as file:
        if what == "repack":
            with h5py.File(output / "repack_0000.hdf5", "w") as made:
                for name, group in file.items():
                    copy_group(group, made.create_group(name))
            return
        for name, group in file.items():
            with h5py.File(output / f"{name}.hdf5", "w") as made:
                copy_group(group, made.create_group(name))


def jpeg_file(path: Path, megabytes: int) -> Path:
    """A recording of JPEG in rows of variable length; bytes of the size of 640x480 images at quality 90."""
    random = np.random.default_rng(0)
    episodes = max(2, round(megabytes * 1e6 / (FRAMES * len(CAMERAS) * JPEG_BYTES)))
    with h5py.File(path, "w") as file:
        for number in range(episodes):
            group = _episode(file, number)
            for name in CAMERAS:
                rows = group.create_dataset(name, (FRAMES,), h5py.vlen_dtype(np.uint8))
                for frame in range(FRAMES):
                    rows[frame] = random.integers(0, 256, JPEG_BYTES + frame, dtype=np.uint8)
    return path


def gzip_file(path: Path, megabytes: int) -> Path:
    """A recording of raw frames with noise, compressed with gzip."""
    random = np.random.default_rng(0)
    frames = max(10, round(megabytes * 1e6 / (2 * HEIGHT * WIDTH * 3)))
    slope = np.add.outer(np.arange(HEIGHT) // 4, np.arange(WIDTH) // 8).astype(np.uint8)
    with h5py.File(path, "w") as file:
        for number in range(2):
            group = _episode(file, number)
            rows = group.create_dataset(
                "image_mid", (frames, HEIGHT, WIDTH, 3), np.uint8, chunks=(1, HEIGHT, WIDTH, 3), compression="gzip"
            )
            for frame in range(frames):
                rows[frame] = slope[..., None] + random.integers(0, 4, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return path


def wide_file(path: Path, megabytes: int, episodes: int = 1000) -> Path:
    """A thousand episodes with JPEG cameras, made as large as asked for by raw datasets that are holes on the disk."""
    image = np.frombuffer(encode_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), np.uint8)
    hole = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    hole.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    hole.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple((megabytes * 1_000_000 // episodes,))
    with h5py.File(path, "w") as file:
        for number in range(episodes):
            group = _episode(file, number)
            group.attrs["length"] = 10
            for name in CAMERAS:
                rows = group.create_dataset(name, (10,), h5py.vlen_dtype(np.uint8))
                for frame in range(10):
                    rows[frame] = image
            h5py.h5d.create(group.id, b"depth", h5py.h5t.NATIVE_UINT8, space, dcpl=hole)
    return path


def _episode(file: h5py.File, number: int) -> h5py.Group:
    group = file.create_group(f"episode_{number}")
    group.attrs.update({"instruction": "pick up the cube", "length": FRAMES})
    group["state"] = group["action"] = np.zeros((FRAMES, 14), np.float32)
    return group


def same(source: Path, output: Path) -> None:
    """See by h5diff that every group is in the output as it is in the source.

    Raises:
        AssertionError: it is not.
    """
    for path in sorted(output.iterdir()):
        with h5py.File(path) as file:
            names = list(file)
        for name in names:
            done = subprocess.run(["h5diff", str(source), str(path), f"/{name}", f"/{name}"], check=False)
            if done.returncode:
                raise AssertionError(f"{path}: {name} differs")


def measured(command: Command, output: Path, log: Path, rounds: int) -> list[Cost]:
    """What a command costs, several times over, its output removed each time."""
    costs = []
    for _ in range(rounds):
        shutil.rmtree(output, ignore_errors=True)
        costs.append(cost(command, log, memory=True))
        subprocess.run(["sync"], check=True)
    return costs


def line(name: str, costs: Sequence[Cost]) -> tuple[float, float]:
    """Print the medians; gives seconds and CPU seconds."""
    seconds = statistics.median(item.seconds for item in costs)
    cpu = statistics.median(item.cpu for item in costs)
    peak = max(item.worker_peak for item in costs)
    print(f"  {name:24} {seconds:7.2f} s {cpu:7.2f} s CPU" + (f"  peak of the writer {peak:.0f} MB" if peak else ""))
    return seconds, cpu


def compare(kind: str, source: Path, folder: Path, rounds: int) -> None:
    """Split and repack one file in both ways, and copy it."""
    output, log = folder / "out", folder / "log.txt"
    print(f"{kind}: {source.stat().st_size / 1e6:.0f} MB")
    plain = line(
        "cp and sync",
        measured(["bash", "-c", f"mkdir {output} && cp {source} {output}/x && sync {output}/x"], output, log, rounds),
    )
    for what in ("split", "repack"):
        ours: Command = [PIPERLINE, "hdf5", what, source, "--output", output]
        theirs: Command = [sys.executable, "-m", "bench.hdf5_tools", "--original", what, source, output]
        cost(ours, log)
        same(source, output)
        old, new = (
            line(f"{what}, {name}", measured(way, output, log, rounds))
            for name, way in (("original", theirs), ("ours", ours))
        )
        print(f"    {old[0] / new[0]:.1f}x faster, {old[1] / new[1]:.1f}x less CPU; {new[0] / plain[0]:.1f} times cp")
    shutil.rmtree(output)


def main() -> None:
    """Make the files, compare, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the JPEG recording")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--original", nargs=3, metavar=("WHAT", "SOURCE", "OUTPUT"), help="one run of the original way")
    arguments = parser.parse_args()
    if arguments.original:
        what, source, output = arguments.original
        original(what, Path(source), Path(output))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare("JPEG", jpeg_file(folder / "jpeg.hdf5", arguments.megabytes), folder, arguments.rounds)
        (folder / "jpeg.hdf5").unlink()
        compare("raw with gzip", gzip_file(folder / "gzip.hdf5", arguments.megabytes // 2), folder, arguments.rounds)
        wide = wide_file(folder / "wide.hdf5", 10_000)
        print(f"inspect: 1,000 episodes, {wide.stat().st_size / 1e6:.0f} MB")
        line(
            "inspect", [cost([PIPERLINE, "hdf5", "inspect", wide], folder / "log.txt") for _ in range(arguments.rounds)]
        )


if __name__ == "__main__":
    main()

"""Measure how conversion scales.

`.venv/bin/python -m bench.scaling [--episodes 10000] [--rounds 1]`.

- Workers: the same recordings with one worker and with as many as there are CPUs; the datasets must
be equal.
- What datatrove costs: `piperline shards convert` against `piperline convert` with as many workers.
- Planning: episodes of two tiny frames in 200 files. For the run with nothing to do, the shards are
written as the
  ranks would leave them: records, manifests and the files named there, without videos in them.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from bench.measure import Command, cost
from bench.recordings import short
from piperline.cluster.job_folder import JobFolder, RankRecord
from piperline.cluster.launch import plan_shards
from piperline.cluster.shards import Manifest, sizes
from piperline.cluster.work import save_work
from piperline.convert.job import make_job
from piperline.process import usable_cpus
from piperline.video.images import encode_jpeg

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
PIPERLINE = Path(sys.executable).with_name("piperline")
CAMERAS = ("image_left", "image_mid", "image_right")
FILES, SHARDS = 200, 50


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--episodes", type=int, default=10_000, help="to plan")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{usable_cpus()} CPUs, load {os.getloadavg()[0]:.1f}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        measure_workers(Path(folder), options.rounds)
        measure_planning(Path(folder), options.episodes)


def measure_workers(folder: Path, rounds: int) -> None:
    """One worker, all of them, and all of them through datatrove, in turn."""
    paths, cpus = short(CACHE), usable_cpus()
    images = 4 * 3 * 200 * 3
    root = paths[0].parent
    seconds: dict[str, list[float]] = {}
    for number in range(rounds):
        out, home = folder / f"out{number}", folder / f"home{number}"
        convert: Command = [PIPERLINE, "convert", *paths, "--format", "v3.0"]
        shards: Command = [
            PIPERLINE,
            "shards",
            "convert",
            "--hdf5-root",
            root,
            "--all",
            "--repo-id",
            "bench/x",
        ]
        logs: Command = [
            "--logs-dir",
            folder / f"logs{number}",
            "--workers",
            str(cpus),
        ]
        ways: dict[str, Command] = {
            "1 worker": [*convert, "--output", f"{out}-one", "--workers", "1"],
            f"{cpus} workers": [
                *convert,
                "--output",
                f"{out}-all",
                "--workers",
                str(cpus),
            ],
            f"{cpus} shards": [*shards, *logs],
        }
        for name, command in ways.items():
            spent = cost(
                command, folder / "log.txt", {"HF_LEROBOT_HOME": str(home)}
            )
            seconds.setdefault(name, []).append(spent.seconds)
        refuse_difference(Path(f"{out}-one"), Path(f"{out}-all"))
        for path in (Path(f"{out}-one"), Path(f"{out}-all"), home):
            shutil.rmtree(path)
    middle = {
        name: statistics.median(values) for name, values in seconds.items()
    }
    for name, value in middle.items():
        print(f"{name:12} {value:6.1f} s  {images / value:5.0f} images/s")
    one, many, through = middle.values()
    print(f"{cpus} workers against one: {one / many:.2f} times as fast")
    print(
        f"datatrove: {through - many:+.1f} s (at most {3 + many / 100:.1f} s)"
    )


def refuse_difference(one: Path, other: Path) -> None:
    """See that two folders hold the same bytes."""
    names = [
        sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        for root in (one, other)
    ]
    files = [name for name in names[0] if (one / name).is_file()]
    if names[0] != names[1] or any(
        (one / name).read_bytes() != (other / name).read_bytes()
        for name in files
    ):
        sys.exit(f"the datasets {one} and {other} differ")


def measure_planning(folder: Path, episodes: int) -> None:
    """A first plan, and a run that finds everything done."""
    data, target, job = (
        folder / "many",
        folder / "home/bench/many",
        JobFolder(folder / "logs-many/convert_hdf5"),
    )
    write_headers(data, episodes // FILES)
    began = time.monotonic()
    work = plan_shards(
        [data],
        target,
        make_job(format="v3.0"),
        job,
        world=SHARDS,
        command=("--all",),
    )
    count = len(work.plan.episodes)
    print(
        f"planning {count} episodes in {FILES} files: {time.monotonic() - began:.1f} s (at most 20 s for 10,000)"
    )
    save_work(job, work)
    for rank, part in enumerate(work.parts):
        dataset = work.output(rank)
        (dataset / "meta").mkdir(parents=True)
        for name in (
            "info.json",
            "stats.json",
            "piperline.json",
            "modality.json",
            *(f"{n}.mp4" for n in range(6)),
        ):
            (dataset / "meta" / name).write_text("{}")
        manifest = Manifest(
            work.plan.key,
            SHARDS,
            rank,
            SHARDS,
            part.key,
            work.job_id,
            work.command,
            (),
            sizes(dataset),
        )
        manifest.to_disk(dataset)
        job.note(rank, RankRecord.begin(part.key).ended())
    command: Command = [
        PIPERLINE,
        "shards",
        "convert",
        "--hdf5-root",
        data,
        "--all",
        "--repo-id",
        "bench/many",
    ]
    more: Command = ["--workers", str(SHARDS), "--logs-dir", job.root.parent]
    log = folder / "again.txt"
    spent = cost(
        [*command, *more], log, {"HF_LEROBOT_HOME": str(target.parents[1])}
    )
    if "Nothing to do" not in log.read_text():
        sys.exit(log.read_text())
    print(
        f"a run with nothing to do on them: {spent.seconds:.1f} s, {spent.cpu:.1f} s CPU (at most 5 s)"
    )


def write_headers(folder: Path, episodes: int) -> None:
    """FILES equal files of so many episodes."""
    folder.mkdir()
    first = folder / "0.hdf5"
    image = np.frombuffer(
        encode_jpeg(np.zeros((48, 64, 3), np.uint8)), np.uint8
    )
    with h5py.File(first, "w") as file:
        for number in range(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs.update(
                {"instruction": "pick up the apple", "length": 2}
            )
            for name in ("state", "action"):
                group[name] = np.zeros((2, 14), np.float32)
            for name in CAMERAS:
                images = group.create_dataset(
                    name, (2,), h5py.vlen_dtype(np.uint8)
                )
                images[0] = images[1] = image
    for number in range(1, FILES):
        shutil.copyfile(first, folder / f"{number}.hdf5")


if __name__ == "__main__":
    main()

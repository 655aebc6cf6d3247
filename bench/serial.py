"""What one process does alone in a conversion, of many tiny episodes.

    .venv/bin/python -m bench.serial [--episodes 10000]

Of 64 cores, 63 wait for it, but for what it does while workers encode. Episodes of 2 frames and 3
cameras: what is measured is what an episode costs, not what its images do. CPU of the main process,
by step, in ms an episode; beside it what is 5 % of the encoding time of an episode of 300 frames
and 3 cameras on 64 cores.
"""

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import scaling
from piperline.convert import assemble, early, run
from piperline.convert.early import EarlyAssembly
from piperline.convert.job import make_job
from piperline.convert.pool import WorkerPool
from piperline.convert.run import convert
from piperline.convert.stage import Staging

ENCODING_MS, IMAGES, CORES, SHARE = 2.3, 300 * 3, 64, 0.05
STEPS = (
    (run, "plan_run", "planning: waiting for the worker that looks"),
    (early, "all_done", "assembly: the last episodes, tables"),
    (assemble, "write_seal", "seal, several threads"),
    (assemble, "publish", "sync to the disk, several threads"),
    (Staging, "remove", "removing staged episodes, several threads"),
)
MEANWHILE = (
    (WorkerPool, "stage", "giving out work"),
    (EarlyAssembly, "came", "assembly"),
)


def watched(cpu: dict[str, float], owner: Any, name: str, step: str) -> None:  # noqa: ANN401 - a module or a class
    """Have the CPU of a function counted, less that of others in it that are counted."""
    work: Callable[..., object] = getattr(owner, name)

    def counted(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 - passed on
        began, before = time.process_time(), sum(cpu.values())
        try:
            return work(*arguments, **options)
        finally:
            inside = sum(cpu.values()) - before
            cpu[step] += time.process_time() - began - inside

    setattr(owner, name, counted)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=10_000)
    episodes = parser.parse_args().episodes
    cpu: dict[str, float] = defaultdict(float)
    for owner, name, step in (*STEPS, *MEANWHILE):
        watched(cpu, owner, name, step)
    scaling.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scaling.CACHE) as name:
        data = Path(name, "data")
        scaling.write_headers(data, episodes // scaling.FILES)
        job = make_job(inputs=[data], video="copy")
        convert([data], Path(name, "dataset"), job)
    for steps, title in ((MEANWHILE, "while workers encode"), (STEPS, "alone")):
        print(f"{title}:")
        for _, _, step in steps:
            print(
                f"  {step:48} {cpu[step] / episodes * 1000:6.2f} ms an episode"
            )
        total = sum(cpu[step] for _, _, step in steps)
        print(f"  {'all':48} {total / episodes * 1000:6.2f} ms")
    limit = ENCODING_MS * IMAGES / CORES * SHARE
    print(f"{SHARE:.0%} of encoding on {CORES} cores: {limit:.2f} ms")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of the main process: {most >> 10} MB")


if __name__ == "__main__":
    main()

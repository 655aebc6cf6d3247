"""What a command costs: time, CPU, memory."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = Sequence[str | Path]

ROUNDS = int(os.environ.get("ROUNDS", "3"))
"""How often each way is run, in turn; medians count."""


@dataclass(frozen=True)
class Cost:
    """Of a command and all of its processes.

    Attributes:
        seconds: from start to end.
        cpu: CPU seconds.
        worker_peak: the largest peak of resident memory of a child process, in MB; 0 if it was not
            watched.
    """

    seconds: float
    cpu: float
    worker_peak: float


def cost(
    command: Command,
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    memory: bool = False,
) -> Cost:
    """Run a command to its end; what it prints goes to `log`.

    Watching its `memory` takes CPU from it. Python finds its modules compiled, as it does where a
    package is installed, also where PYTHONDONTWRITEBYTECODE is set.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with log.open("a") as output:
        start = time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**_compiled(log.parent), **(environment or {})},
        )
        peak = 0.0
        while True:
            pid, status, usage = os.wait4(
                process.pid, os.WNOHANG if memory else 0
            )
            if pid:
                break
            peak = max(
                [
                    peak,
                    *(peak_memory(child) for child in _children(process.pid)),
                ]
            )
            time.sleep(0.02)
        seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(
            process.returncode, [str(part) for part in command]
        )
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


def _compiled(folder: Path) -> dict[str, str]:
    """The environment, in which Python keeps what it compiles below a folder."""
    kept = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def anonymous_memory(process: int) -> float:
    """The memory of a process that is in no file, in MB; 0 if it has ended.

    What lies in files the system can take out of memory at any time.
    """
    return _told(process, "RssAnon")


def peak_memory(process: int) -> float:
    """The peak of resident memory of a process in MB; 0 if it has ended."""
    return _told(process, "VmHWM")


def _told(process: int, name: str) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(
        (
            int(line.split()[1]) * 1024 / 1e6
            for line in lines
            if line.startswith(name)
        ),
        0,
    )


def _children(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            yield from map(int, thread.read_text().split())
        except OSError:
            continue

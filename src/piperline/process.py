"""Processes of our own. Light to import: they are started before all else is loaded."""

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

__all__ = ["start_process", "usable_cpus"]


def start_process(module: str, log: int | None = None) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a Python process that calls `main` of `module` with a socket; the other end is returned with it.

    `log` is the descriptor of a file that takes what the process prints; None leaves it where ours goes.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", f"from {module} import main; main({theirs.fileno()})"]
        process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"OPENBLAS_NUM_THREADS": "1"} | os.environ,  # its threads would only spin
        )
    return process, Connection(ours.detach())


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))

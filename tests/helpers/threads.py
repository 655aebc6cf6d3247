"""Workers as threads of the test's process, for tests whose subject is not the process.

The socket, the messages and the work are the real ones; only the half second is saved in which a
process loads its libraries. Tests of workers that die or are killed start real ones.
"""

import importlib
import os
import re
import subprocess
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

_IN_THREADS = (
    "piperline.convert.worker",
    "piperline.recordings.reader",
    "piperline.review.worker",
)


class ThreadedProgram:
    """What `piperline.process.Child` uses of `subprocess.Popen`, as a thread."""

    def __init__(
        self, command: Sequence[str], *, pass_fds: Sequence[int], **_: object
    ) -> None:
        found = re.search(r"serve\('([\w.]+)'", command[-1])
        assert found, command
        self._module = importlib.import_module(found[1])
        self._descriptor = os.dup(pass_fds[0])  # the parent closes its own
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self._module.main(self._descriptor)

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("a thread", timeout or 0)
        return 0

    def kill(self) -> None:
        """A thread cannot be killed: it ends with its task, since the socket is closed."""


def programs(*others: str) -> SimpleNamespace:
    """In the place of the module `subprocess`: processes that read recordings are threads.

    Args:
        others: modules whose processes are threads too; the rest are the processes that they are.
    """
    modules = (*_IN_THREADS, *others)

    def start(
        command: Sequence[str], **options: Any
    ) -> "ThreadedProgram | subprocess.Popen[bytes]":
        if any(module in command[-1] for module in modules):
            return ThreadedProgram(command, **options)
        return subprocess.Popen(command, **options)

    return SimpleNamespace(
        Popen=start,
        DEVNULL=subprocess.DEVNULL,
        TimeoutExpired=subprocess.TimeoutExpired,
    )

"""The table of episodes, made beside the tree of objects. Light to import: it starts before all else is loaded."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piperline.hdf5.table import EpisodeTable

__all__ = ["start_table"]

_WORTH_A_PROCESS = 50_000_000  # bytes; a process costs a third of a second of CPU
_PROGRAM = "import sys; from piperline.hdf5.table import main; main(sys.argv[1])"


def start_table(path: Path) -> "Callable[[], EpisodeTable | None]":
    """Begin on the table of a file, for large files in a process of its own.

    Returns:
        What gives the table, as `piperline.hdf5.table.episode_table` would; it waits until it is there.
    """

    def here() -> "EpisodeTable | None":
        from piperline.hdf5.table import episode_table  # noqa: PLC0415 - heavy: after the process has started

        return episode_table(path)

    if not path.is_file() or path.stat().st_size < _WORTH_A_PROCESS:
        return here
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, os.fspath(path)], stdout=subprocess.PIPE)

    def wait() -> "EpisodeTable | None":
        said, _ = process.communicate()
        table: EpisodeTable | None = here() if process.returncode else pickle.loads(said)  # noqa: S301 - ours
        return table

    return wait

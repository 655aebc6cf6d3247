"""The table of episodes, made beside the tree of objects. Light to import: it starts before all else is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from piperline.process import Child, ChildDied

if TYPE_CHECKING:
    from piperline.hdf5.episode_table import EpisodeTable


_WORTH_A_PROCESS = 50_000_000  # bytes; a process costs a third of a second of CPU


def start_table(path: Path) -> "Callable[[], EpisodeTable | None]":
    """Begin on the table of a file, for large files in a process of its own.

    Returns:
        What gives the table, as `piperline.hdf5.episode_table.episode_table` would; it waits until it is there.
    """

    def here() -> "EpisodeTable | None":
        from piperline.hdf5.episode_table import episode_table

        return episode_table(path)

    if not path.is_file() or path.stat().st_size < _WORTH_A_PROCESS:
        return here
    child = Child("piperline.hdf5.episode_table")
    child.send(path)

    def wait() -> "EpisodeTable | None":
        try:
            table: EpisodeTable | None = child.receive()
        except ChildDied:  # it failed, or was killed: the same here says why
            table = here()
        child.end()
        return table

    return wait

"""A demonstration without a robot: realistic recordings, and what becomes of them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from piperline.convert.job import make_job
from piperline.convert.progress import Progress
from piperline.convert.run import ConvertResult, convert
from piperline.demo.session import write_recordings
from piperline.demo.summary import EpisodeCount, Look, look_at
from piperline.errors import OutputError, OutputExists, Place

__all__ = ["Demo", "EpisodeCount", "Look", "look_at", "make_demo", "write_recordings"]

_MARK = ".piperline-demo"
_ROOM = 250_000_000


@dataclass(frozen=True)
class Demo:
    """What a demonstration made.

    Attributes:
        folder: where everything lies.
        recordings: the HDF5 files.
        result: what came of converting them.
        look: what is in the dataset.
    """

    folder: Path
    recordings: tuple[Path, ...]
    result: ConvertResult
    look: Look


def make_demo(
    folder: Path,
    *,
    record: Callable[[Path], Sequence[Path]] = write_recordings,
    note: Callable[[str], None] = lambda _: None,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Demo:
    """Write recordings, convert them, and look at the result.

    Args:
        folder: where; an earlier demo there is made anew.
        record: writes the recordings into a folder.
        note: told what is being done.
        watch: told how far the conversion is.

    Raises:
        OutputExists: something else is already there.
        OutputError: there is too little room.
    """
    _claim(folder)
    note("writing recordings of a session that never took place")
    recordings = record(folder / "recordings")
    note("converting them")
    result = convert(recordings, folder / "dataset", make_job(), overwrite=True, watch=watch)
    note("opening the dataset and decoding every frame")
    look = look_at(result.output, folder / "contact_sheet.png")
    return Demo(folder, tuple(recordings), result, look)


def _claim(folder: Path) -> None:
    """Make the folder ours; see that nothing of others is in it, and that there is room for it."""
    if (
        folder.exists()
        and not (folder / _MARK).exists()
        and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        raise OutputExists(
            "there is already something else at the place of the demo",
            place=Place(file=folder),
            expected="nothing, an empty folder, or an earlier demo",
            next_step="name another folder: piperline demo DIR",
        )
    _check_room(folder.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text(
        "Made by `piperline demo`, which makes it anew when it is run again.\n"
    )


def _check_room(folder: Path) -> None:
    """HDF5 does not survive a disk that fills up while it writes."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < _ROOM:
        raise OutputError(
            "the disk has too little room for the demo",
            place=Place(file=folder),
            expected=f"{_ROOM // 1_000_000} MB",
            found=f"{free // 1_000_000} MB",
            next_step="name a folder on another disk: piperline demo DIR",
        )

"""A demonstration without a robot: synthetic recordings, converted and summarised."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from piperline.convert.job import make_job
from piperline.convert.progress import Progress
from piperline.convert.run import ConvertResult, convert
from piperline.demo.session import write_recordings
from piperline.demo.summary import DatasetSummary, EpisodeLengths, summarize
from piperline.errors import (
    OutputError,
    OutputExists,
    Place,
    output_error,
)

__all__ = [
    "DatasetSummary",
    "Demo",
    "EpisodeLengths",
    "make_demo",
    "summarize",
    "write_recordings",
]

_MARK = ".piperline-demo"
_ROOM = 250_000_000


@dataclass(frozen=True)
class Demo:
    """What a demonstration made.

    Attributes:
        folder: where everything lies.
        recordings: the HDF5 files.
        result: what came of converting them.
        summary: what the dataset holds.
    """

    folder: Path
    recordings: tuple[Path, ...]
    result: ConvertResult
    summary: DatasetSummary


def make_demo(
    folder: Path,
    *,
    record: Callable[[Path], Sequence[Path]] = write_recordings,
    note: Callable[[str], None] = lambda _: None,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Demo:
    """Write recordings, convert them, and summarise the result.

    Args:
        folder: where; an earlier demo there is replaced.
        record: writes the recordings into a folder.
        note: called with a word on each stage.
        watch: called with the progress of the conversion.

    Raises:
        OutputExists: something else is already there.
        OutputError: there is too little room, or no permission.
    """
    try:
        return _made(folder, record, note, watch)
    except OSError as error:
        raise output_error(error, folder) or error from error


def _made(
    folder: Path,
    record: Callable[[Path], Sequence[Path]],
    note: Callable[[str], None],
    watch: Callable[[Progress], None],
) -> Demo:
    _claim(folder)
    note("writing synthetic recordings")
    recordings = record(folder / "recordings")
    note("converting")
    result = convert(
        recordings, folder / "dataset", make_job(), overwrite=True, watch=watch
    )
    note("decoding every frame of the dataset")
    summary = summarize(result.output, folder / "contact_sheet.png")
    return Demo(folder, tuple(recordings), result, summary)


def _claim(folder: Path) -> None:
    """Claim the folder: nothing else may be in it, and there must be room."""
    if (
        folder.exists()
        and not (folder / _MARK).exists()
        and not _is_empty(folder)
    ):
        raise OutputExists(
            "the output already exists and is no demo (not changed)",
            place=Place(file=folder),
            expected="nothing, an empty folder, or an earlier demo",
            found="other files in it" if folder.is_dir() else "a file",
            next_step="choose another folder: piperline demo DIR",
        )
    _check_room(folder.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text(
        "Made by `piperline demo`, which replaces it when it is run again.\n"
    )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _check_room(folder: Path) -> None:
    """Better told before all work than in its midst."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < _ROOM:
        raise OutputError(
            "the disk has too little room for the demo",
            place=Place(file=folder),
            expected=f"{_ROOM // 1_000_000} MB",
            found=f"{free // 1_000_000} MB",
            next_step="choose a folder on another disk: piperline demo DIR",
        )

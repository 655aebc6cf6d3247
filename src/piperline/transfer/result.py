"""How datasets are made of datasets, and what came of it: what all commands have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from piperline.lerobot.dataset import open_dataset
from piperline.video.recut import Work


@dataclass(frozen=True)
class EditOptions:
    """How a dataset is made of another one.

    Attributes:
        reencode: encode again the pieces of videos that cannot be cut.
        overwrite: replace a dataset that piperline made, at the output.
        watch: told how many episodes of how many are done.
    """

    reencode: bool = False
    overwrite: bool = False
    watch: Callable[[int, int], None] = lambda _done, _all: None


@dataclass(frozen=True)
class TransferOptions(EditOptions):
    """How datasets are transferred.

    Attributes:
        drop_missing_cameras: leave out cameras that info.json declares and that have no videos.
        images_to_videos: make videos of images that lie in columns: GR00T reads no others.
        episodes: numbers and half-open ranges, `0:10,15`, counted through all datasets; None for
            all.
        skip_bad: leave out episodes that cannot be taken over, instead of failing.
        data_mb, video_mb: v3.0: MiB at which a new file is begun.
        made_from: folders whose records of how they were made go into the new one's; None for the
            datasets'.
        ready: told of the new dataset when it is complete, before it gets its name.
    """

    drop_missing_cameras: bool = False
    images_to_videos: bool = False
    episodes: str | None = None
    skip_bad: bool = False
    data_mb: float = 100
    video_mb: float = 200
    made_from: Sequence[Path] | None = None
    ready: Callable[[Path], None] = lambda _made: None


@dataclass(frozen=True)
class Result:
    """A dataset that was made.

    Attributes:
        output: the dataset's folder.
        format: its LeRobot version.
        episodes, frames: how many.
        tasks: the task texts, in the order of their numbers.
        notes: what a person should know, one line each.
        backup: where the dataset that was replaced is now.
    """

    output: Path
    format: str
    episodes: int
    frames: int
    tasks: tuple[str, ...]
    notes: tuple[str, ...]
    backup: Path | None = None

    @classmethod
    def of_existing(
        cls, output: Path, notes: Sequence[str], backup: Path | None = None
    ) -> Self:
        """What came of the same command, which was killed when the dataset had got its name."""
        dataset = open_dataset(output)
        return cls(
            output=output,
            format=dataset.version,
            episodes=len(dataset),
            frames=sum(row.length for row in dataset.episodes),
            tasks=tuple(dataset.tasks),
            notes=tuple(notes),
            backup=backup,
        )


@dataclass(frozen=True)
class TransferResult(Result):
    """What came of `aggregate` or `migrate`.

    Attributes:
        left_out: episodes that could not be taken over, and why, one line each.
    """

    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class EditResult(Result):
    """What came of an edit.

    Attributes:
        work: how many packets were copied and frames encoded; None where an earlier process, which
            was killed at its end, did all of it.
    """

    work: Work | None = None

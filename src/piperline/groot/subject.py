"""What a preflight looks at: the dataset, what training is to use of it, and the settings of the launch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from piperline.groot.choice import Choice
from piperline.groot.folder import Meta, Rows
from piperline.groot.versions import Target

__all__ = ["Launch", "Subject"]


@dataclass(frozen=True)
class Launch:
    """The settings of a launch that the data have to fit. Defaults: the documented ones, and GR00T's own.

    Attributes:
        gpus: how many.
        batch: samples of one step on all GPUs together.
        workers: data-loader processes of each GPU.
        shard_size: steps of a shard (`--shard_size`).
        sampling_rate: the share of an episode that goes into one shard (`--episode_sampling_rate`).
        output: the folder for checkpoints, if it is known.
        base_model: the checkpoint to start from, if it is not the published one.
    """

    gpus: int = 8
    batch: int = 256
    workers: int = 4
    shard_size: int = 1024
    sampling_rate: float = 0.1
    output: Path | None = None
    base_model: Path | None = None


@dataclass(frozen=True)
class Subject:
    """Everything that checks need.

    Attributes:
        meta: the files of `meta/`, with `modality.json`.
        rows: the columns that training reads.
        choice: what training uses of them.
        target: the version of GR00T.
        launch: the settings.
    """

    meta: Meta
    rows: Rows
    choice: Choice
    target: Target
    launch: Launch

    @property
    def lengths(self) -> list[int]:
        """The usable length in frames of each episode whose rows are there."""
        return [stop - start for start, stop in self.rows.episodes(self.meta).values()]

    def group(self, part: str, name: str) -> NDArray[Any] | None:
        """The values of a state or action group, shape (rows, dimensions); None where they are not there."""
        if name not in self.meta.groups(part):
            return None
        column, start, end = self.meta.column(part, name)
        values = self.rows.columns.get(column)
        return None if values is None else values[:, start:end]

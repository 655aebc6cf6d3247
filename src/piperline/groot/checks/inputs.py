"""What a preflight looks at: the dataset, what training uses of it, and the launch settings."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from piperline.groot.loader import Meta, Rows
from piperline.groot.modality_config import Choice
from piperline.groot.settings import Launch
from piperline.groot.versions import Target


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
        """The values of a state or action group, shape (rows, dimensions), or None."""
        if name not in self.meta.groups(part):
            return None
        column, start, end = self.meta.column(part, name)
        values = self.rows.columns.get(column)
        return None if values is None else values[:, start:end]

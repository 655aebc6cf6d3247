"""What a preflight looks at: the dataset, what training uses of it, and the launch settings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place
from piperline.finding import command
from piperline.groot.loader import LoaderRows, Meta
from piperline.groot.modality_config import Choice
from piperline.groot.settings import Launch
from piperline.groot.versions import Target

Values = NDArray[Any]
_RARE = 0.001
"""The share of the values on each side that are not ordinary."""


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
    rows: LoaderRows
    choice: Choice
    target: Target
    launch: Launch

    @property
    def lengths(self) -> list[int]:
        """The usable length in frames of each episode whose rows are there."""
        return [
            stop - start
            for start, stop in self.rows.episodes(self.meta).values()
        ]

    def anew(self) -> str:
        """The command that makes a dataset of this one, whose times are where they belong."""
        root = self.meta.root
        return command(
            "piperline", "aggregate", root, "--output", f"{root}-times"
        )

    def group(
        self,
        part: str,
        name: str,
    ) -> NDArray[Any] | None:
        """The values of a state or action group, shape (rows, dimensions), or None."""
        if name not in self.meta.groups(part):
            return None
        column, start, end = self.meta.column(part, name)
        values = self.rows.columns.get(column)
        return None if values is None else values[:, start:end]

    def row_place(self, row: int) -> Place:
        """The file and the frame of a row."""
        for path, (start, stop) in self.rows.spans.items():
            if start <= row < stop:
                return Place(file=path, frame=row - start)
        return Place(file=self.meta.root)


def ordinary(values: Values) -> tuple[Values, Values]:
    """Minimum and maximum over the first axis, the rarest values on both sides left out."""
    rare = min(
        max(1, int(len(values) * _RARE)),
        (len(values) - 1) // 2,
    )
    ordered = np.partition(
        values,
        (rare, len(values) - 1 - rare),
        axis=0,
    )
    return ordered[rare], ordered[len(values) - 1 - rare]


def value_range(values: Values) -> Values:
    """The range of the ordinary values over the first axis."""
    low, high = ordinary(values)
    return high - low

"""Which episodes of some datasets are taken over."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from piperline.errors import UsageError
from piperline.lerobot.dataset import Dataset

_SPAN = re.compile(r"(\d{0,12}):(\d{0,12})|(\d{1,12})")


@dataclass(frozen=True)
class DatasetPart:
    """Some episodes of a dataset.

    Attributes:
        dataset: the dataset.
        indices: the numbers of the episodes there, rising.
    """

    dataset: Dataset
    indices: tuple[int, ...]


def select(
    datasets: Sequence[Dataset],
    chosen: str | None,
) -> list[DatasetPart]:
    """The episodes that are chosen; datasets of which there are none are left out.

    Args:
        datasets: in order.
        chosen: numbers and half-open ranges, `0:10,15`, counted through all datasets in order; None
            for all.

    Raises:
        UsageError: that is something else, or a part of it names no episode.
    """
    wanted = _numbers(chosen, sum(map(len, datasets)))
    parts = []
    start = 0
    for dataset in datasets:
        indices = tuple(
            index for index in range(len(dataset)) if start + index in wanted
        )
        start += len(dataset)
        if indices:
            parts.append(DatasetPart(dataset, indices))
    return parts


def _numbers(
    chosen: str | None,
    count: int,
) -> set[int] | range:
    if chosen is None:
        return range(count)
    numbers: set[int] = set()
    for token in chosen.split(","):
        span = _SPAN.fullmatch(token.strip())
        found = _span(span, count) if span else range(0)
        if not found:
            raise UsageError(
                f"{token!r} names no episode",
                expected=f"numbers from 0 to {count - 1} and ranges, such as 0:10,15",
                next_step=f"write 0:{count} for all of them",
            )
        numbers.update(found)
    return numbers


def _span(span: re.Match[str], count: int) -> range:
    start, stop, number = span.groups()
    if number is not None:
        return range(int(number), min(int(number) + 1, count))
    return range(
        int(start or 0),
        min(int(stop or count), count),
    )

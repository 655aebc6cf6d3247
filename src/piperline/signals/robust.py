"""Statistics that a few wild values do not move, and the search for delays. numpy only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]

_TO_SIGMA = 1.4826  # of a normal distribution: Rousseeuw and Croux 1993


def spread(values: ArrayLike, axis: int | None = None) -> Any:  # noqa: ANN401 - a number without an axis
    """The median absolute deviation, scaled to the standard deviation of a normal distribution."""
    array = np.asarray(values, dtype=np.float64)
    middle = np.median(array, axis=axis, keepdims=True)
    return _TO_SIGMA * np.median(np.abs(array - middle), axis=axis)


def middle_without(
    ordered: Floats, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between what the median lies when some values are taken away, whichever they are.

    It costs the same for any number of values, which a median does not.

    Args:
        ordered: values from the smallest, (N, ...).
        count: of those taken away.
    """
    middle, last = len(ordered) // 2, len(ordered) - 1
    reach = count // 2 + 1
    low = np.asarray(ordered[max(middle - reach - 1, 0)], np.float64)
    high = np.asarray(ordered[min(middle + reach, last)], np.float64)
    return low, high


def runs(mask: ArrayLike) -> list[tuple[int, int]]:
    """The half-open spans in which `mask`, bool of shape (T,), is true."""
    padded = np.concatenate(
        [
            [0],
            np.asarray(mask, dtype=np.int8),
            [0],
        ]
    )
    steps = np.diff(padded)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [
        (int(start), int(stop))
        for start, stop in zip(starts, stops, strict=True)
    ]


def smooth(
    values: ArrayLike,
    width: int = 3,
) -> NDArray[np.float64]:
    """The moving mean of `values`, shape (T,), over `width` places."""
    array = np.asarray(values, dtype=np.float64)
    result: NDArray[np.float64] = np.convolve(
        array, np.ones(width) / width, "same"
    )
    return result[: len(array)]


def steps(values: Floats) -> NDArray[np.float64]:
    """How far each dimension moved since the row before: float64 (T, D).

    The first row repeats the second.
    """
    moved = np.abs(
        np.diff(
            values.astype(np.float64),
            axis=0,
        )
    )
    return (
        np.concatenate([moved[:1], moved])
        if len(moved)
        else np.zeros(values.shape)
    )


def correlation(first: Floats, second: Floats) -> float:
    """Pearson's correlation of two arrays of one shape; 0 where one of them does not vary."""
    a, b = _centred(first), _centred(second)
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else 0.0  # rounding noise


def _centred(values: Floats) -> Floats:
    """All values in one row, less their mean: `ndarray.mean` takes longer than the rest."""
    centred: Floats = values.ravel() - np.add.reduce(values, None) / values.size
    return centred


def shifted(
    first: Floats,
    second: Floats,
    lag: int,
) -> tuple[Floats, Floats]:
    """The rows of `first` and `second` that belong together if `first` is `lag` rows late."""
    length = len(first)
    lag = min(max(lag, -length), length)
    return (
        first[max(lag, 0) : length + min(lag, 0)],
        second[max(-lag, 0) : length + min(-lag, 0)],
    )


def lag_correlations(
    late: Floats, early: Floats, most: int
) -> NDArray[np.float64]:
    """Correlations of `late[t + lag]` with `early[t]` for lags from `-most` to `most`, float64.

    Both are of one shape, (T,) or (T, D). The correlations are those of `correlation`; its sums
    over the rows of a lag come from running ones.
    """
    lags, length = np.arange(-most, most + 1), len(late)
    rows = np.maximum(length - np.abs(lags), 0)
    first = np.minimum(np.maximum(lags, 0), length)
    a = _Running(late, first, first + rows)
    first = np.minimum(np.maximum(-lags, 0), length)
    b = _Running(early, first, first + rows)
    products = np.zeros(len(lags))
    for one, other in zip(a.columns, b.columns, strict=True):
        products += np.correlate(np.pad(one, most), other, "valid")
    count = np.maximum(rows, 1) * len(a.columns)
    size = np.sqrt(a.squares(count) * b.squares(count))
    found: NDArray[np.float64] = np.divide(
        products - a.sums * b.sums / count,
        size,
        out=np.zeros(len(lags)),
        where=size > 1e-12,
    )
    return found


class _Running:
    """Sums of values, (T,) or (T, D), over several spans of rows."""

    def __init__(
        self,
        values: Floats,
        start: NDArray[np.intp],
        stop: NDArray[np.intp],
    ) -> None:
        exact = values.astype(np.float64).reshape(len(values), -1)
        exact -= exact.mean()
        self.columns = exact.T
        self.sums = _between(exact.sum(axis=1), start, stop)
        squares = (exact**2).sum(axis=1)
        self._squares = _between(squares, start, stop)
        self._all = float(squares.sum())

    def squares(self, count: NDArray[np.intp]) -> NDArray[np.float64]:
        """The squared distances from the mean of `count` values; 0 where they do not vary."""
        found = self._squares - self.sums**2 / count
        # What is left of a difference of sums is rounding noise there.
        return np.where(found > 1e-10 * self._all, found, 0.0)


def _between(
    values: Floats, start: NDArray[np.intp], stop: NDArray[np.intp]
) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], np.cumsum(values)])
    between: NDArray[np.float64] = running[stop] - running[start]
    return between

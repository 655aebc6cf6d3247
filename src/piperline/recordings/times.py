"""Time in a recording: its rate, and streams of several clocks brought onto one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode, Place
from piperline.recordings.beside import find_beside, read_beside, value_at
from piperline.recordings.datasets import REPAIR, Datasets, OpenDataset
from piperline.recordings.hdf5 import describe, lookup, reading
from piperline.recordings.hdf5_rows import read_rows
from piperline.recordings.rules import HIGHEST_RATE, TimeRule

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_NUMBERS = (int, float, np.ndarray, np.generic)
_LATEST = 1e11  # seconds: no clock of a robot is 3,000 years old
_MAX_FRAMES = 10_000_000
_AGREES = 0.02  # of the rate: less is a clock that is not exact
_TICK = 1e-6  # seconds: times that differ by less are the same


@dataclass(frozen=True)
class Aligned:
    """The rows of several streams on one clock.

    Attributes:
        length: how many frames.
        rows: the row of each stream for each frame, int64 of shape (length,), by the stream's name.
        errors: the largest distance of a row from its frame, in seconds, by the stream's name.
        far: how many frames have a row that is farther than the limit, by the stream's name.
    """

    length: int
    rows: Mapping[str, NDArray[np.int64]]
    errors: Mapping[str, float]
    far: Mapping[str, int]


def recorded_rate(
    rule: TimeRule, root: h5py.Group, place: Place
) -> float | None:
    """The frames a second that a recording, or a file beside it, tells; None where none does.

    Raises:
        BadEpisode: it is no rate that a robot has, or cannot be read.
    """
    value = None
    where = rule.rate
    if rule.rate is not None:
        value = lookup(root, rule.rate, place)
    if value is None and rule.file is not None:
        where = rule.file
        path = find_beside(Path(place.file or ""), rule.file)
        value = value_at(read_beside(path, place), rule.key) if path else None
    if value is None:
        return None
    number = np.asarray(
        value if isinstance(value, _NUMBERS) else "words"
    ).ravel()
    fits = number.dtype.kind in "fiu" and number.size == 1
    if not fits or not 0 < number[0] <= HIGHEST_RATE:
        raise BadEpisode(
            f"{where} does not tell a rate",
            place=place,
            expected=f"frames a second, above 0 and at most {HIGHEST_RATE}",
            found=str(value)[:80],
            next_step="give the rate with --fps, and leave it out of the layout",
        )
    return float(number[0])


def read_times(
    found: OpenDataset, rule: TimeRule, datasets: Datasets
) -> NDArray[np.float64]:
    """The times of a stream in seconds, float64 of shape (rows,).

    Raises:
        LayoutMismatch: the dataset holds no times.
        BadEpisode: they do not rise, or cannot be read.
    """
    shaped = len(found.shape) in {1, 2} and found.shape[0] > 0
    if found.dtype.kind not in "fiu" or not shaped:
        raise datasets.mismatch(
            "the dataset does not hold times",
            found.name,
            "numbers of shape (rows,)",
            describe(found.data),
        )
    datasets.refuse_absurd(found)
    with reading(datasets.at(found.name), BadEpisode):
        recorded = read_rows(
            found.data.id,
            found.dtype,
            0,
            found.shape[0],
        )
    recorded = recorded.reshape(len(recorded), -1)[:, 0]
    # before they become float64, which nanoseconds since 1970 do not fit
    origin = recorded[0]
    scale = _SECONDS[rule.unit]
    with np.errstate(over="ignore", invalid="ignore"):
        times: NDArray[np.float64] = (recorded - origin).astype(
            np.float64
        ) * scale
        times += float(origin) * scale
        falls = np.diff(times, prepend=times[0]) < 0
    wrong = np.flatnonzero(~(np.abs(times) < _LATEST) | falls)
    if len(wrong):
        raise BadEpisode(
            "the times of a stream do not rise",
            place=datasets.at(
                found.name,
                frame=int(wrong[0]),
            ),
            expected="seconds, each at least as large as the one before",
            found=f"{recorded[wrong[0]]}, the first of {len(wrong)}",
            next_step=REPAIR,
        )
    return times


def measured_rate(times: NDArray[np.float64]) -> float | None:
    """Rows a second; None where there are too few to tell."""
    span = float(times[-1] - times[0])
    return (len(times) - 1) / span if len(times) > 1 and span > 0 else None


def disagrees(measured: float | None, fps: int) -> bool:
    """Whether a measured rate is not the one that is written."""
    return measured is not None and abs(measured / fps - 1) > _AGREES


def align(
    times: Mapping[str, NDArray[np.float64]],
    rule: TimeRule,
    fps: int,
    place: Place,
) -> Aligned:
    """Bring streams onto one clock of `fps` frames a second, from the last start to the first end.

    Args:
        times: the times of each stream in seconds, rising, by its name.
        rule: how a row is chosen, and how far it may be.
        fps: frames a second of the common clock.
        place: the file and the episode.

    Raises:
        BadEpisode: the streams have no time in common, or a limit was given and a row is farther.
    """
    start = max(float(stream[0]) for stream in times.values())
    end = min(float(stream[-1]) for stream in times.values())
    frames = min((end - start) * fps + _TICK, _MAX_FRAMES)
    length = int(frames) + 1 if end >= start else 0
    if not 1 <= length < _MAX_FRAMES:
        raise BadEpisode(
            "the streams have no usable time in common",
            place=place,
            expected="streams of the same episode, on one clock",
            found=f"from {start:.3f} s to {end:.3f} s",
            next_step=REPAIR,
        )
    clock = start + np.arange(length) / fps
    rows = {name: _rows(stream, clock, rule) for name, stream in times.items()}
    distances = {
        name: np.abs(times[name][taken] - clock) for name, taken in rows.items()
    }
    limits = {name: _limit(stream, rule, fps) for name, stream in times.items()}
    aligned = Aligned(
        length,
        rows,
        {name: float(distance.max()) for name, distance in distances.items()},
        {
            name: int((distance > limits[name]).sum())
            for name, distance in distances.items()
        },
    )
    if rule.limit is not None:
        _refuse_far(aligned, limits, place)
    return aligned


def _rows(
    stream: NDArray[np.float64], clock: NDArray[np.float64], rule: TimeRule
) -> NDArray[np.int64]:
    held = np.searchsorted(stream, clock + _TICK, side="right") - 1
    held = np.clip(held, 0, len(stream) - 1)
    if rule.align == "held":
        return held
    following = np.minimum(held + 1, len(stream) - 1)
    nearer = np.abs(stream[following] - clock) < np.abs(stream[held] - clock)
    return np.where(nearer, following, held)


def _limit(
    stream: NDArray[np.float64],
    rule: TimeRule,
    fps: int,
) -> float:
    """The largest error that is taken, in seconds."""
    own = 1 / (measured_rate(stream) or fps)
    return rule.periods * max(own, 1 / fps) + _TICK


def _refuse_far(
    aligned: Aligned, limits: Mapping[str, float], place: Place
) -> None:
    for name, count in aligned.far.items():
        if count:
            raise BadEpisode(
                "a stream has gaps that are longer than the layout allows",
                place=Place(
                    file=place.file, hdf5_path=name, episode=place.episode
                ),
                expected=f"a row within {limits[name] * 1000:.1f} ms of each frame",
                found=f"up to {aligned.errors[name] * 1000:.1f} ms, in {count} frames",
                next_step="raise time.limit, or leave the episode out with --skip-bad",
            )

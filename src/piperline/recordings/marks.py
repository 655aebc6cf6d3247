"""What recorders note beside the frames: success, rate, times, rows behind the last frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from piperline.errors import Place, RecordingError
from piperline.memory import at_most_more
from piperline.recordings.hdf5 import (
    READ_ERRORS,
    refuse_foreign_storage,
    resolve,
)
from piperline.recordings.limits import READ_MEMORY
from piperline.recordings.rules import HIGHEST_RATE

LABELS = (
    "success",
    "is_success",
    "successful",
    "failure",
    "failed",
    "valid",
    "is_valid",
    "discard",
)
"""Attributes that tell whether an episode is good, as recorders name them."""

RATES = ("fps", "frame_rate", "framerate", "frequency", "freq", "hz")
"""Attributes of an episode or its file that tell frames a second, as recorders name them."""

TIMES = (
    "timestamp",
    "timestamps",
    "time",
    "observations/timestamp",
    "observations/timestamps",
)
"""Datasets with the time of each frame, as recorders name them."""

_MOST_BEHIND = 10_000
_TO_SECONDS = ((1e6, 1e-9), (1e3, 1e-6), (2.0, 1e-3))
"""Steps between frames above the first number are whole nano-, micro- or milliseconds."""


@dataclass(frozen=True)
class Marks:
    """What is noted beside the frames of an episode.

    Attributes:
        labels: of `LABELS`, those that are there and tell yes or no.
        rate: frames a second, as an attribute of `RATES` tells; None where none does.
        times: seconds, float64 (length,); None where there are none.
        behind: values of the first vector behind the last frame, float32 (N, D), at most 10,000.
    """

    labels: Mapping[str, bool] = field(default_factory=dict)
    rate: float | None = None
    times: NDArray[np.float64] | None = None
    behind: NDArray[np.float32] | None = None


def read_marks(
    root: h5py.Group, vector: h5py.Dataset | None, length: int, place: Place
) -> Marks:
    """Read the marks of an episode; what cannot be read is taken for absent.

    Args:
        root: the episode.
        vector: its first vector; None where there is none.
        length: frames.
        place: where it is.
    """
    labels = {
        name: value
        for name in LABELS
        if (value := _label(root, name)) is not None
    }
    rates = (_rate(node, name) for node in (root, root.file) for name in RATES)
    rate = next((rate for rate in rates if rate is not None), None)
    times = next(
        (
            t
            for name in TIMES
            if (t := _times(root, name, length, place)) is not None
        ),
        None,
    )
    behind = None
    if vector is not None and vector.shape[0] > length:
        try:
            with at_most_more(READ_MEMORY):
                behind = vector[length : length + _MOST_BEHIND].astype(
                    np.float32
                )
        except (MemoryError, *READ_ERRORS):
            behind = None
    return Marks(labels, rate, times, behind)


def _single(node: h5py.Group, name: str) -> NDArray[Any] | None:
    """An attribute of one value, shape (1,); None where there is none that can be read."""
    try:
        if name not in node.attrs or node.attrs.get_id(name).shape not in {
            (),
            (1,),
        }:
            return None
        with at_most_more(READ_MEMORY):
            return np.asarray(node.attrs[name]).reshape(-1)
    except (MemoryError, *READ_ERRORS):
        return None


def _rate(node: h5py.Group, name: str) -> float | None:
    value = _single(node, name)
    if value is None or value.dtype.kind not in "iuf":
        return None
    rate = float(value[0])
    return rate if 1 <= rate <= HIGHEST_RATE else None


def _label(root: h5py.Group, name: str) -> bool | None:
    value = _single(root, name)
    if value is None:
        return None
    if value.dtype.kind in "biu":
        return bool(value[0])
    word = str(value[0]).lower() if value.dtype.kind in "OUS" else ""
    return {
        "true": True,
        "yes": True,
        "false": False,
        "no": False,
    }.get(word)


def _times(
    root: h5py.Group, name: str, length: int, place: Place
) -> NDArray[np.float64] | None:
    try:
        data = resolve(root, name, place)
        if not isinstance(data, h5py.Dataset):
            return None
        refuse_foreign_storage(data, place)
        if (
            data.ndim not in {1, 2}
            or data.dtype.kind not in "fiu"
            or len(data) < length
        ):
            return None
        if data.ndim != 1 and data.shape[1] != 1:
            return None
        with at_most_more(READ_MEMORY):
            times = data[:length].astype(np.float64).reshape(length)
    except (RecordingError, MemoryError, *READ_ERRORS):
        return None
    if not np.isfinite(times).all() or length <= 1:
        return None
    step = float(np.median(np.diff(times)))
    seconds: NDArray[np.float64] = times * next(
        (factor for level, factor in _TO_SECONDS if step > level), 1.0
    )
    return seconds

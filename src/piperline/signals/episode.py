"""The signals of one episode: its rows whole, its images as `CameraSignals`."""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.files import own_name
from piperline.signals.camera import CameraSignals, part_of_camera
from piperline.signals.robust import Floats

STATE, ACTION = "observation.state", "action"

FORM = 5
"""Of the signals: raised where they are measured otherwise, so that older ones are not reused."""


@dataclass(frozen=True)
class EpisodeSignals:
    """What is measured of one episode, T frames.

    Attributes:
        file: the recording, or the dataset.
        session: what was recorded in one go: the recording as it is told from others.
        name: of the episode.
        index: its number among the episodes found, from 0.
        instruction: the robot's text; empty where there is none.
        vectors: by feature name, float32 (T, D).
        cameras: by camera name; empty where only tables are looked at.
        labels: marks of the recorder, such as `success`, by name.
        times: seconds of each frame, float64 (T,), as recorded; None where there are none.
        rows_behind: the states behind the last frame, float32 (N, D).
        key: names the content, so that it is known whether it has changed.
    """

    file: str
    session: str
    name: str
    index: int
    instruction: str
    vectors: Mapping[str, Floats]
    cameras: Mapping[str, CameraSignals] = field(default_factory=dict)
    labels: Mapping[str, bool] = field(default_factory=dict)
    times: Floats | None = None
    rows_behind: Floats | None = None
    key: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.vectors.values())))


def part_of(signals: EpisodeSignals, start: int, stop: int) -> EpisodeSignals:
    """The signals of some frames of an episode, half-open."""
    if (start, stop) == (0, len(signals)):
        return signals
    return replace(
        signals,
        vectors={
            name: rows[start:stop] for name, rows in signals.vectors.items()
        },
        cameras={
            name: part_of_camera(camera, start, stop)
            for name, camera in signals.cameras.items()
        },
        times=None if signals.times is None else signals.times[start:stop],
        rows_behind=None,
    )


def save_signals(path: Path, signals: EpisodeSignals) -> None:
    """Write the signals of an episode into a file that is there whole or not at all."""
    facts = {
        name: getattr(signals, name)
        for name in ("file", "session", "name", "index", "instruction", "key")
    }
    facts |= {
        "form": FORM,
        "labels": dict(signals.labels),
        "cameras": list(signals.cameras),
    }
    arrays = {
        f"vector/{name}": values for name, values in signals.vectors.items()
    }
    for number, camera in enumerate(signals.cameras.values()):
        arrays |= {
            f"camera/{number}/{name}": value
            for name, value in camera.arrays().items()
        }
    for name in ("times", "rows_behind"):
        if getattr(signals, name) is not None:
            arrays[name] = getattr(signals, name)
    buffer = BytesIO()
    np.savez(buffer, **_joined(facts, arrays))  # type: ignore[arg-type]
    own = path.with_name(f".{path.name}.{own_name()}")
    own.write_bytes(buffer.getvalue())
    own.replace(path)


def load_signals(path: Path) -> EpisodeSignals | None:
    """Read what `save_signals` wrote; None where it is not there whole, or of another form."""
    if not path.is_file():
        return None  # a pipe would be waited for
    try:
        # Opened here: numpy leaves a file open that it cannot read.
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            kept = {name: stored[name] for name in stored.files}
        facts = json.loads(kept.pop("facts").tobytes())
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    if facts.pop("form", None) != FORM:
        return None
    arrays = _apart(facts.pop("arrays"), kept)
    names = facts.pop("cameras")
    cameras = {
        name: _camera(arrays, number) for number, name in enumerate(names)
    }
    vectors = {
        name.removeprefix("vector/"): values
        for name, values in arrays.items()
        if name.startswith("vector/")
    }
    more: dict[str, Any] = {
        name: arrays.get(name) for name in ("times", "rows_behind")
    }
    return EpisodeSignals(vectors=vectors, cameras=cameras, **facts, **more)


def _joined(
    facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Arrays one behind the other, all of a type as one: a file of many takes long to read."""
    places, parts = [], dict[str, list[NDArray[Any]]]()
    for name, values in arrays.items():
        kind = values.dtype.str
        places.append((name, kind, values.shape))
        parts.setdefault(kind, []).append(values.ravel())
    text = json.dumps({**facts, "arrays": places}).encode("ascii")
    whole = {kind: np.concatenate(own) for kind, own in parts.items()}
    return {"facts": np.frombuffer(text, np.uint8), **whole}


def _apart(
    places: Iterable[tuple[str, str, Sequence[int]]],
    whole: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """The arrays that `_joined` put one behind the other."""
    found, starts = {}, dict.fromkeys(whole, 0)
    for name, kind, shape in places:
        stop = starts[kind] + prod(shape)
        found[name] = whole[kind][starts[kind] : stop].reshape(shape)
        starts[kind] = stop
    return found


def _camera(
    arrays: dict[str, NDArray[Any]],
    number: int,
) -> CameraSignals:
    prefix = f"camera/{number}/"
    own = {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
    return CameraSignals.of_arrays(own)

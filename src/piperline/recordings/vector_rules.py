"""The vectors of a layout: which datasets they are made of, in which units, under which names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from piperline.recordings.rules import (
    Rule,
    below,
    check_names,
    paths_of,
    set_fields,
)

Rotation = Literal["quat-wxyz", "quat-xyzw", "euler-xyz", "rot6d"]
Unit = Literal["rad", "deg", "0.001 deg", "m", "mm", "0.001 mm", "normalised"]

UNITS: Mapping[str, tuple[str, float]] = {
    "rad": ("rad", 1.0),
    "deg": ("rad", math.pi / 180),
    "0.001 deg": ("rad", math.pi / 180_000),
    "m": ("m", 1.0),
    "mm": ("m", 1e-3),
    "0.001 mm": ("m", 1e-6),
    "normalised": ("normalised", 1.0),
}
"""The unit of the dataset for each unit of a recording, and the factor between them."""

ROTATIONS: Mapping[str, tuple[str, ...]] = {
    "quat-wxyz": ("qw", "qx", "qy", "qz"),
    "quat-xyzw": ("qx", "qy", "qz", "qw"),
    "euler-xyz": ("roll", "pitch", "yaw"),
    "rot6d": ("rot6d_0", "rot6d_1", "rot6d_2", "rot6d_3", "rot6d_4", "rot6d_5"),
}
"""The names of the dimensions of a rotation."""

MAX_DIMENSIONS = 4096


@dataclass(frozen=True, kw_only=True)
class PartRule(Rule):
    """Numbers of each frame that come from one dataset.

    A value of the dataset is `recorded * scale` in the unit of the recording, brought into the
    dataset's unit (radians, metres), plus `offset` in that.

    Attributes:
        path: the dataset below the episode, shape (frames,) or (frames, dimensions), any numbers;
            of several paths the first that exists. A `*` takes every dataset that matches, in
            natural order.
        columns: the half-open span of the dimensions that are taken; None takes all.
        names: a name for each dimension, or one text in which `{n}` counts them from 1; made of
            `group`, or of the path, where none are given.
        size: how many dimensions there must be, where `names` does not tell.
        group: the dimensions become a group of GR00T's `modality.json`.
        unit: of the recording, for all dimensions or for each.
        scale, offset: for all dimensions or for each.
        rotation: the dimensions are a rotation, and are named so: nothing later may subtract them.
        to: `rot6d` turns a quaternion into the first two columns of its rotation matrix.
        optional: passed over in recordings without it.
        timestamps: the dataset with the time of each row.
    """

    path: str | tuple[str, ...] | None = None
    columns: tuple[int, int] | None = None
    names: tuple[str, ...] | str | None = None
    size: int | None = None
    group: str | None = None
    unit: Unit | tuple[Unit, ...] | None = None
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    rotation: Rotation | None = None
    to: Literal["rot6d"] | None = None
    optional: bool = False
    timestamps: str | None = None

    def __post_init__(self) -> None:
        """See that it can be; paths lose the slashes around them."""
        if self.path is not None:
            paths = paths_of(self.path)
            set_fields(self, path=paths if len(paths) > 1 else paths[0])
        if self.timestamps is not None:
            set_fields(self, timestamps=below(self.timestamps))
        if self.group is not None:
            check_names([self.group])
        self._check_numbers()
        self._check_rotation()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths, in the order in which they are tried."""
        return (self.path,) if isinstance(self.path, str) else self.path or ()

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """A name for each dimension; none where only a recording tells."""
        return self.names if isinstance(self.names, tuple) else ()

    @property
    def dimensions(self) -> int | None:
        """How many dimensions are read; None where only a recording tells."""
        if self.rotation:
            return len(ROTATIONS[self.rotation])
        if isinstance(self.names, tuple):
            return len(self.names)
        if self.columns:
            return self.columns[1] - self.columns[0]
        return self.size

    def _check_numbers(self) -> None:
        start, end = self.columns or (0, 1)
        if not 0 <= start < end <= MAX_DIMENSIONS:
            raise ValueError(f"columns {start}:{end} are no span of dimensions")
        count = self.dimensions
        if count is not None and not 1 <= count <= MAX_DIMENSIONS:
            raise ValueError(f"there must be 1 to {MAX_DIMENSIONS} dimensions")
        if self.columns and count != end - start:
            raise ValueError(
                f"columns {start}:{end} do not go with {count} names"
            )
        for name in ("unit", "scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != count:
                raise ValueError(
                    f"{name} has {len(value)} values for {count} dimensions"
                )
        for name in ("scale", "offset"):
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(math.isfinite(number) for number in numbers):
                raise ValueError(f"{name} must be a finite number")

    def _check_rotation(self) -> None:
        count = len(ROTATIONS[self.rotation]) if self.rotation else 0
        if (
            self.rotation
            and isinstance(self.names, tuple)
            and len(self.names) != count
        ):
            raise ValueError(f"{self.rotation} has {count} dimensions")
        if self.to and not (self.rotation or "").startswith("quat"):
            raise ValueError(
                "to = 'rot6d' goes with rotation = 'quat-wxyz' or 'quat-xyzw'"
            )


@dataclass(frozen=True, kw_only=True)
class VectorRule(PartRule):
    """Numbers of each frame: one dataset, several joined, or the next frame's of another vector.

    Attributes:
        parts: the datasets that are joined, in order; instead of `path`.
        groups: named spans of dimensions, half-open; they become GR00T's modality groups.
        next_of: the vector of which this is the next frame's.
        last: of `next_of`: the last frame is left out of the episode, or `hold` repeats its
            numbers.
    """

    parts: tuple[PartRule, ...] = ()
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    next_of: str | None = None
    last: Literal["leave-out", "hold"] = "leave-out"

    def __post_init__(self) -> None:
        """See that it can be."""
        super().__post_init__()
        sources = [
            bool(self.path),
            bool(self.parts),
            bool(self.next_of),
        ]
        if sum(sources) != 1:
            raise ValueError("one of path, parts and next_of")
        if any(not part.path for part in self.parts):
            raise ValueError("each part has a path")
        check_names(self.groups)
        if isinstance(self.names, tuple):
            self._check_groups(self.names)

    def _check_groups(self, names: tuple[str, ...]) -> None:
        if not names or len(set(names)) != len(names):
            raise ValueError(
                "there must be names, and they must differ from each other"
            )
        taken: set[int] = set()
        for name, (start, end) in self.groups.items():
            if not 0 <= start < end <= len(names):
                raise ValueError(
                    f"group {name} is {start}:{end}, outside {len(names)} dimensions"
                )
            if taken & set(range(start, end)):
                raise ValueError(f"group {name} overlaps another group")
            taken |= set(range(start, end))

    @property
    def sources(self) -> tuple[PartRule, ...]:
        """The parts, of which there is one where a path stands at the vector itself."""
        return self.parts or ((self,) if self.path else ())

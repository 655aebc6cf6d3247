"""The vectors of an episode: datasets found, joined and brought into the units of the dataset."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.errors import BadEpisode
from piperline.recordings.datasets import REPAIR, Datasets, OpenDataset
from piperline.recordings.hdf5 import describe, reading
from piperline.recordings.hdf5_rows import read_rows
from piperline.recordings.vector_rules import (
    MAX_DIMENSIONS,
    ROTATIONS,
    UNITS,
    PartRule,
    VectorRule,
)


@dataclass(frozen=True)
class VectorPart:
    """A dataset that a vector is made of, as it was found in an episode.

    Attributes:
        rule: what is taken of it, with one path and a name for each dimension.
        found: the dataset.
    """

    rule: PartRule
    found: OpenDataset

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each dimension of the result."""
        names = self.rule.names
        if not isinstance(names, tuple):
            raise TypeError("the names of a part are not known yet")
        return _rotated_names(self.rule, names)


def find_parts(
    key: str,
    rule: VectorRule,
    datasets: Datasets,
) -> list[VectorPart]:
    """The datasets that a vector is made of, in order.

    Raises:
        LayoutMismatch: one is missing, or has another shape or type than declared.
        BadEpisode: one claims an absurd size, or a link leaves the file.
    """
    parts = []
    for source in rule.sources:
        found = _found(source, datasets)
        if not found and not (source.optional or rule.optional):
            raise datasets.missing(source.paths)
        parts += [_checked(key, source, one, datasets) for one in found]
    if not parts and not rule.optional:
        raise datasets.missing(
            [path for source in rule.sources for path in source.paths]
        )
    return parts


def _found(rule: PartRule, datasets: Datasets) -> list[OpenDataset]:
    if "*" not in rule.paths[0]:
        found = datasets.first(rule.paths)
        return [found] if found else []
    tried = (datasets.matching(pattern) for pattern in rule.paths)
    matches = next(filter(None, tried), [])
    return [found for _, path in matches if (found := datasets.first([path]))]


def _checked(
    key: str, rule: PartRule, found: OpenDataset, datasets: Datasets
) -> VectorPart:
    shape = found.shape
    count = math.prod(shape[1:])
    start, end = rule.columns or (0, count)
    wanted = rule.dimensions
    numbers = found.dtype.kind in "fiub" and len(shape) in {1, 2}
    fits = end <= count and (wanted or end - start) == end - start
    if not (numbers and fits and 1 <= end - start <= MAX_DIMENSIONS):
        dimensions = rule.columns[1] if rule.columns else wanted
        expected = f"numbers of shape (frames, {dimensions or 'dimensions'})"
        if dimensions == 1:
            expected += " or (frames,)"
        message = "the dataset does not fit the layout"
        expected += f" for {key}"
        raise datasets.mismatch(
            message, found.name, expected, describe(found.data)
        )
    datasets.refuse_absurd(found)
    names = _names(rule, found, end - start)
    path = found.name.removeprefix(datasets.root.name.rstrip("/") + "/")
    return VectorPart(replace(rule, path=path, names=names), found)


def _names(
    rule: PartRule,
    found: OpenDataset,
    count: int,
) -> tuple[str, ...]:
    """The declared names, or names made of the group or the path."""
    if isinstance(rule.names, tuple):
        return rule.names
    if isinstance(rule.names, str):
        return tuple(
            rule.names.replace("{n}", str(number + 1))
            for number in range(count)
        )
    prefix = rule.group or found.name.strip("/").rpartition("/")[2]
    if rule.rotation:
        return tuple(f"{prefix}.{axis}" for axis in ROTATIONS[rule.rotation])
    if count == 1:
        return (prefix,)
    return tuple(f"{prefix}_{number + 1}" for number in range(count))


def _rotated_names(
    rule: PartRule,
    names: tuple[str, ...],
) -> tuple[str, ...]:
    if rule.to is None:
        return names
    prefix = rule.group or names[0].rpartition(".")[0] or "rotation"
    return tuple(f"{prefix}.{axis}" for axis in ROTATIONS[rule.to])


def settled(
    key: str, rule: VectorRule, parts: list[VectorPart], datasets: Datasets
) -> VectorRule:
    """The rule with all names and groups, as they were found in an episode.

    Raises:
        LayoutMismatch: a name or a group comes twice.
    """
    names = tuple(name for part in parts for name in part.names)
    groups = dict(rule.groups)
    start = 0
    for part in parts:
        end = start + len(part.names)
        group = part.rule.group
        if group is not None:
            first, last = groups.get(group, (start, start))
            if last != start:
                raise datasets.mismatch(
                    f"the group {group} of {key} is not in one piece",
                    part.found.name,
                    "its parts side by side",
                    f"dimensions {first}:{last} and {start}:{end}",
                )
            groups[group] = (first, end)
        start = end
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or len(names) > MAX_DIMENSIONS:
        raise datasets.mismatch(
            f"the dimensions of {key} cannot be told by their names",
            parts[0].found.name,
            f"at most {MAX_DIMENSIONS} different names: give `names` in the layout",
            f"{len(names)} dimensions, twice: {', '.join(twice[:8]) or 'none'}",
        )
    if rule.path and len(parts) == 1 and rule.to is None:
        path = parts[0].rule.path
        return replace(
            rule, path=path, names=names, groups=groups, optional=False
        )
    return VectorRule(
        parts=tuple(_as_part(part.rule) for part in parts),
        names=names,
        groups=groups,
        timestamps=rule.timestamps,
    )


def _as_part(rule: PartRule) -> PartRule:
    """The rule of a part that is there, and has to be in every episode."""
    known = {one.name: getattr(rule, one.name) for one in fields(PartRule)}
    return PartRule(**known | {"optional": False})


def read_vector(
    key: str,
    parts: list[VectorPart],
    rows: Mapping[str, NDArray[np.int64]],
    datasets: Datasets,
) -> NDArray[np.float32]:
    """The numbers of a vector.

    Args:
        key: the feature's name.
        parts: what it is made of.
        rows: the rows that are taken of each dataset, by its full path; int64, shape (frames,).
        datasets: those of the episode.

    Returns:
        float32, shape (frames, dimensions).

    Raises:
        BadEpisode: a value is not finite, or cannot be read.
    """
    read = [
        _read_part(
            key,
            part,
            rows[part.found.name],
            datasets,
        )
        for part in parts
    ]
    return read[0] if len(read) == 1 else np.concatenate(read, axis=1)


def _read_part(
    key: str, part: VectorPart, rows: NDArray[np.int64], datasets: Datasets
) -> NDArray[np.float32]:
    first, stop = int(rows.min()), int(rows.max()) + 1
    found = part.found
    with reading(datasets.at(found.name), BadEpisode):
        slab = read_rows(found.data.id, found.dtype, first, stop)
    recorded = slab[rows - first].reshape(len(rows), -1)
    start, end = part.rule.columns or (0, recorded.shape[1])
    recorded = recorded[:, start:end]
    values = _converted(part.rule, recorded)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        frame, dimension = (int(index) for index in bad[0])
        value = recorded[frame, min(dimension, recorded.shape[1] - 1)]
        number = dimension + start
        told = f"{value} in dimension {number} ({part.names[dimension]})"
        raise BadEpisode(
            f"{key} holds values that are not finite",
            place=datasets.at(
                found.name,
                frame=int(rows[frame]),
            ),
            expected="finite numbers that float32 can hold",
            found=told if len(bad) == 1 else f"{told}, the first of {len(bad)}",
            next_step=REPAIR,
        )
    return values


def _converted(
    rule: PartRule,
    recorded: NDArray[Any],
) -> NDArray[np.float32]:
    """Recorded numbers in the unit of the dataset."""
    units = rule.unit if isinstance(rule.unit, tuple) else (rule.unit or "rad",)
    factors = [UNITS[unit][1] for unit in units]
    factor = np.array(factors) * np.array(rule.scale)
    offset = np.array(rule.offset)
    with np.errstate(over="ignore", invalid="ignore"):
        if (factor != 1).any() or (offset != 0).any():
            recorded = recorded.astype(np.float64) * factor + offset
        if rule.to == "rot6d" and rule.rotation:
            recorded = _rot6d(recorded.astype(np.float64), rule.rotation)
        values: NDArray[np.float32] = recorded.astype(np.float32)
    return values


def _rot6d(
    quaternions: NDArray[np.float64],
    order: str,
) -> NDArray[np.float64]:
    """The first two columns of the rotation matrices of quaternions.

    The representation of Zhou et al., "On the Continuity of Rotation Representations in Neural
    Networks" (2019).
    """
    if order == "quat-xyzw":
        quaternions = quaternions[:, [3, 0, 1, 2]]
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        w, x, y, z = (quaternions / length).T
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    return np.stack([*first, *second], axis=1)

"""What datasets hold beside rows and videos, and how it comes into the new one.

LeRobot's readers do not look at it, but people put it there: columns of the episode table, keys of
info.json and of its features, splits, files in `meta/`. What cannot be kept is named.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from piperline.errors import DatasetError
from piperline.features import Feature, Schema
from piperline.lerobot.dataset import Dataset
from piperline.lerobot.folder import DatasetFolder
from piperline.text import is_utf8, printable
from piperline.transfer.selection import DatasetPart

_SPAN = re.compile(r"(\d{1,12}):(\d{1,12})")
_WRITTEN = re.compile(
    r"info\.json|(sub)?tasks\.(jsonl|parquet)|episodes(\.jsonl|/.*)|.*stats.*\.jsonl?"
    r"|modality\.json|piperline\.json|piperline_seal\.json(\.sig)?|shard\.json|image_histograms\.pq"
    r"|\..*|.*/\..*"
)
"""Files of `meta/` that are written anew, follow from rows or tell of a shard; and hidden ones."""


def common_schema(datasets: Sequence[Dataset], notes: list[str]) -> Schema:
    """The schema of the datasets together; keys that LeRobot does not know where all have them.

    Args:
        datasets: that can become one.
        notes: told what could not be kept.
    """
    schemas = [dataset.schema for dataset in datasets]
    first = schemas[0]
    own, lost = _common([schema.own for schema in schemas])
    lost_keys = [f"info.json: {key}" for key in lost]
    features: dict[str, Feature] = {}
    for key, feature in first.features.items():
        kept, lost = _common([schema.features[key].own for schema in schemas])
        features[key] = replace(feature, own=kept)
        lost_keys += [f"{key}: {name}" for name in lost]
    if lost_keys:
        notes.append(
            "not kept, since the datasets differ in it: " + _listed(lost_keys)
        )
    return replace(first, own=own, features=features)


def _common(
    owns: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[str]]:
    """What all of some mappings have, and the keys of what they have not in common."""
    names = dict.fromkeys(name for own in owns for name in own)
    kept = {
        name: owns[0][name]
        for name in names
        if all(name in own and own[name] == owns[0].get(name) for own in owns)
    }
    return kept, [name for name in names if name not in kept]


def own_columns(
    parts: Sequence[DatasetPart], version: str, notes: list[str]
) -> dict[str, pa.DataType]:
    """The own columns of the episode table that can be kept, with their types.

    Args:
        parts: the episodes.
        version: of the new dataset: v2.1 keeps what JSON can hold.
        notes: told what could not be kept.
    """
    rows = [
        part.dataset.episodes[index].own
        for part in parts
        for index in part.indices
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, pa.DataType] = {}
    for name in names:
        kind = _kind([row.get(name) for row in rows], version)
        if kind is not None:
            columns[name] = kind
    lost = [name for name in names if name not in columns]
    if lost:
        notes.append(
            f"columns of the episode table that {version} cannot hold: "
            + _listed(lost)
        )
    return columns


def _kind(
    values: list[Any],
    version: str,
) -> pa.DataType | None:
    """The type of a column of these values; None where they are of none that can be written."""
    try:
        if version == "v2.1":
            is_text = is_utf8(json.dumps(values, ensure_ascii=False))
            return pa.null() if is_text else None
        return pa.array(values).type
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def new_splits(
    parts: Sequence[DatasetPart],
    kept: Sequence[Sequence[int]],
    notes: list[str],
) -> dict[str, str] | None:
    """The splits of the new dataset; None where all is "train".

    Args:
        parts: the episodes that were asked for.
        kept: for each part, the numbers of those that came into it.
        notes: told what could not be kept.
    """
    names: list[str] = []
    for part, indices in zip(parts, kept, strict=True):
        of = _split_of(part.dataset, notes)
        names += [of.get(index, "train") for index in indices]
    if set(names) <= {"train"}:
        return None
    splits = {
        name: ",".join(_spans(names, name)) for name in dict.fromkeys(names)
    }
    several = [name for name, spans in splits.items() if "," in spans]
    if several:
        notes.append(
            "splits of several spans, which LeRobot has no form for: "
            + _listed(several)
        )
    return splits


def _split_of(
    dataset: Dataset,
    notes: list[str],
) -> dict[int, str]:
    """The name of the split of each episode that is in one."""
    found: dict[int, str] = {}
    unread: list[str] = []
    for name, spans in (dataset.info.splits or {}).items():
        matches = [_SPAN.fullmatch(span) for span in spans.split(",")]
        if not all(matches):
            unread.append(name)
        for match in matches:
            if match:
                start, stop = (
                    int(match[1]),
                    min(
                        int(match[2]),
                        len(dataset),
                    ),
                )
                found.update(dict.fromkeys(range(start, stop), name))
    if unread:
        notes.append(
            f"splits of {dataset.root} that are no spans of episodes: "
            + _listed(unread)
        )
    return found


def _spans(names: Sequence[str], wanted: str) -> Iterator[str]:
    start: int | None = None
    for number, name in enumerate([*names, None]):
        if name == wanted and start is None:
            start = number
        elif name != wanted and start is not None:
            yield f"{start}:{number}"
            start = None


def carry_files(
    datasets: Sequence[Dataset], made: Path, notes: list[str]
) -> None:
    """Copy the other files of `meta/`, where the datasets that have them agree.

    Args:
        datasets: in order.
        made: the new dataset.
        notes: told which could not be kept.
    """
    holders: dict[str, list[DatasetFolder]] = {}
    for dataset in datasets:
        for name in _own_files(dataset.root / "meta"):
            holders.setdefault(name, []).append(dataset.folder)
    lost = [
        name
        for name, folders in holders.items()
        if not _carry(name, folders, made)
    ]
    if lost:
        notes.append("files of meta/ that could not be kept: " + _listed(lost))


def _own_files(meta: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(meta):
        folders.sort()
        for name in sorted(files):
            path = str(Path(folder, name).relative_to(meta))
            if not _WRITTEN.fullmatch(path):
                yield path


def _carry(
    name: str,
    folders: Sequence[DatasetFolder],
    made: Path,
) -> bool:
    try:
        paths = [folder.path(Path("meta") / name) for folder in folders]
    except DatasetError:  # no plain file, or one outside
        return False
    target = made / "meta" / name
    if target.exists() or not is_utf8(name):
        return False
    if not all(_same(paths[0], path) for path in paths):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(paths[0], target)
    return True


def _same(one: Path, other: Path) -> bool:
    if one == other:
        return True
    if one.stat().st_size != other.stat().st_size:
        return False
    return one.read_bytes() == other.read_bytes()


def _listed(names: Sequence[str]) -> str:
    return printable(", ".join(names))

"""How datasets were made (`meta/piperline.json`), as new ones made of them tell it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from piperline.errors import DatasetError
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.info import PROVENANCE
from piperline.seal.seal import left_out_order
from piperline.transfer.episodes import SkippedEpisode
from piperline.transfer.selection import DatasetPart


def read_record(folder: Path) -> dict[str, Any]:
    """How a dataset, or a shard without one, was made; nothing where that is not known."""
    try:
        found = DatasetFolder(folder).json(PROVENANCE)
    except DatasetError:
        return {}
    return found if isinstance(found, dict) else {}


def record_of(
    part: DatasetPart,
    kept: Sequence[int],
) -> dict[str, Any]:
    """How some episodes of a dataset were made."""
    record = read_record(part.dataset.root)
    episodes = record.get("episodes")
    if isinstance(episodes, list) and len(episodes) == len(part.dataset):
        record["episodes"] = [episodes[index] for index in kept]
    return record


def with_left_out(
    record: dict[str, Any], left_out: Sequence[SkippedEpisode]
) -> dict[str, Any]:
    """A record that also tells what was left out; nothing where there is no record."""
    known = record.get("left_out", [])
    if not record or not left_out or not isinstance(known, list):
        return record
    more = [
        {
            "source": left.dataset.root.name,
            "episode": left.index,
            "reason": left.error.message,
        }
        for left in left_out
    ]
    return {**record, "left_out": [*known, *more]}


_OF_EPISODES = {"episodes", "left_out"}


def merged_records(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One record of how the datasets were made.

    Episodes stand one behind the other; where other values differ, there is a list of them.
    """
    merged = dict(documents[0])
    for key in merged:
        values = [document.get(key) for document in documents]
        if key in _OF_EPISODES:
            lists = [value for value in values if isinstance(value, list)]
            joined = [item for value in lists for item in value]
            if key == "left_out":
                joined.sort(key=left_out_order)
            merged[key] = joined
        elif any(value != values[0] for value in values):
            merged[key] = values
    return merged


def write_record(made: Path, record: dict[str, Any]) -> None:
    """Write how the dataset at `made` was made."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    (made / PROVENANCE).write_text(text, encoding="utf-8")

"""GR00T's `meta/modality.json`: groups of dimensions, cameras, and where the task text is.

The grammar is that of `LeRobotEpisodeLoader` in NVIDIA/Isaac-GR00T (N1.5, N1.6 and N1.7 read the
same file): spans of `observation.state` and of `action`, half-open and never range-checked there;
whether an action is relative or absolute stands in the modality config (see
`piperline.groot.config_files`), not here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from piperline.features import Feature, Schema
from piperline.files import write_whole

MODALITY_FILE = "meta/modality.json"
TASK_KEY = "human.task_description"
LANGUAGE_KEY = f"annotation.{TASK_KEY}"
"""The name of the task text in a modality config; its values are rows of the task table."""

_DEFAULT_COLUMNS = {"observation.state": "state", "action": "action"}
_PARTS = ("gripper", "hand", "finger", "leg")
_TRUNK = ("neck", "head", "waist", "torso", "base")
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}


def modality(schema: Schema) -> dict[str, Any]:
    """What `modality.json` says about a dataset of this schema.

    Groups that the schema does not name are guessed from the names of the dimensions, see
    `guess_groups`.

    Returns:
        {"state": {group: {"start", "end"[, "original_key"]}}, "action": ..., "video": {camera:
        {"original_key"}}, "annotation": {...}}, in the order of the features.
    """
    return {
        "state": _spans(schema, "state"),
        "action": _spans(schema, "action"),
        "video": {_camera_name(key): {"original_key": key} for key in schema.cameras},
        "annotation": {TASK_KEY: {"original_key": "task_index"}},
    }


def write_modality(root: Path, schema: Schema) -> None:
    """Write `meta/modality.json` into the dataset folder `root`, whole or not at all."""
    write_whole(
        root / MODALITY_FILE, json.dumps(modality(schema), indent=4, ensure_ascii=False) + "\n"
    )


def guess_groups(feature: Feature) -> dict[str, tuple[int, int]]:
    """Groups of a vector, from the names of its dimensions: a new one where side or part changes.

    `left_joint_1.pos` ... `left_gripper.pos` give `left_arm` and `left_gripper`; names that tell
    nothing, or no names, give one group `arm`. A part that comes back later is numbered
    (`left_arm_2`): groups are spans.
    """
    found = labels(feature)
    groups: dict[str, tuple[int, int]] = {}
    start = 0
    for end in range(1, len(found) + 1):
        if end == len(found) or found[end] != found[start]:
            groups[_unused(found[start], groups)] = (start, end)
            start = end
    return groups


def labels(feature: Feature) -> list[str]:
    """For each dimension the part of the robot that its name tells: `left_arm`, `right_gripper`."""
    width = feature.shape[0] if feature.shape else 1
    return [group_label(name) for name in feature.names or [""] * width]


def _spans(schema: Schema, part: str) -> dict[str, dict[str, Any]]:
    spans: dict[str, dict[str, Any]] = {}
    for column, groups in _groups(schema).items():
        if _part_of(column) != part:
            continue
        usual = column in _DEFAULT_COLUMNS
        for name, (start, end) in groups.items():
            # A second vector (velocities, say) may have the same arms: its groups carry its name.
            group = name if usual else f"{column.rsplit('.', 1)[-1]}_{name}"
            spans[group] = {"start": start, "end": end} | (
                {} if usual else {"original_key": column}
            )
    return spans


def _groups(schema: Schema) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """By column: the groups of the schema, and guesses for the two columns that GR00T needs."""
    return {
        column: schema.groups.get(column) or guess_groups(schema.features[column])
        for column in schema.columns
        if schema.groups.get(column) or column in _DEFAULT_COLUMNS
    }


def _part_of(column: str) -> str:
    return "action" if column.split(".", 1)[0] == "action" else "state"


def _camera_name(key: str) -> str:
    return key.removeprefix("observation.").removeprefix("images.").replace(".", "_")


def group_label(name: str) -> str:
    """The part of the robot that a name tells; `arm` where it tells nothing."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    # An arm may have a waist joint (ALOHA's `left_waist`); the robot's own waist has no side.
    parts = _PARTS if side else _PARTS + _TRUNK
    part = next((part for part in parts if part in " ".join(words)), "arm")
    return f"{side}_{part}" if side else part


def _unused(label: str, taken: Sequence[str] | Mapping[str, Any]) -> str:
    names = [label, *(f"{label}_{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)

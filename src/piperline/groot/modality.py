"""GR00T's `meta/modality.json`: groups of dimensions, cameras, and where the task text is.

The grammar is that of `LeRobotEpisodeLoader` in NVIDIA/Isaac-GR00T (N1.5, N1.6 and N1.7 read the
same file): spans of `observation.state` and of `action`, half-open and never range-checked there;
whether an action is relative or absolute stands in the modality config (see
`piperline.groot.config_files`), not here.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from piperline.features import Feature, Schema
from piperline.files import write_whole

MODALITY_FILE = "meta/modality.json"
TASK_KEY = "human.task_description"
LANGUAGE_KEY = f"annotation.{TASK_KEY}"
"""The name of the task text in a modality config; its values are rows of the task table."""

UNNAMED = "robot"
"""The group of dimensions whose names tell nothing: never taken for an arm."""

_DEFAULT_COLUMNS = {"observation.state": "state", "action": "action"}
_PARTS = ("gripper", "hand", "finger", "leg")
_ARM = ("arm", "joint", "shoulder", "elbow", "wrist")
_TRUNK = ("neck", "head", "waist", "torso", "base")
_ANGLES = ({"roll", "pitch", "yaw"}, {"rx", "ry", "rz"})
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
        "video": {
            _camera_name(key): {"original_key": key}
            for key in rgb_cameras(schema)
        },
        "annotation": {TASK_KEY: {"original_key": "task_index"}},
    }


def rgb_cameras(schema: Schema) -> list[str]:
    """The keys of the cameras that GR00T can use: it would take depth for colours."""
    return [key for key in schema.cameras if not is_depth(schema.features[key])]


def depth_cameras(schema: Schema) -> list[str]:
    """The keys of the cameras that are left out."""
    return [key for key in schema.cameras if is_depth(schema.features[key])]


def is_depth(feature: Feature) -> bool:
    """Whether a video is a depth map, as LeRobot marks it (`is_depth_map`, or with `video.`)."""
    info = feature.info or {}
    return bool(info.get("video.is_depth_map") or info.get("is_depth_map"))


def write_modality(
    root: Path,
    schema: Schema,
    change: Callable[[Any], Any] = lambda content: content,
) -> bool:
    """Write `meta/modality.json` into the dataset folder `root`, whole or not at all.

    Args:
        root: the dataset.
        schema: of the dataset.
        change: what an edit makes of it.

    Returns:
        Whether it was written: GR00T can use no dataset without a state or without an action.
    """
    content = modality(schema)
    if not content["state"] or not content["action"]:
        return False
    write_whole(
        root / MODALITY_FILE,
        json.dumps(change(content), indent=4, ensure_ascii=False) + "\n",
    )
    return True


def guess_groups(feature: Feature) -> dict[str, tuple[int, int]]:
    """Groups of a vector, from the names of its dimensions: a new one where side or part changes.

    `left_joint_1.pos` ... `left_gripper.pos` give `left_arm` and `left_gripper`; names that tell
    nothing, or no names, give one group `robot`. A part that comes back later is numbered
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


def _spans(
    schema: Schema,
    part: str,
) -> dict[str, dict[str, Any]]:
    spans: dict[str, dict[str, Any]] = {}
    for column, groups in _groups(schema).items():
        if _part_of(column) != part:
            continue
        usual = column in _DEFAULT_COLUMNS
        for name, (start, end) in groups.items():
            # A second vector (velocities, say) may have the same arms: its groups carry its name.
            group = name if usual else _own_name(column, name)
            spans[group] = {"start": start, "end": end} | (
                {} if usual else {"original_key": column}
            )
    return spans


def _own_name(column: str, group: str) -> str:
    """`velocity_left_arm`; of a vector whose names tell nothing, the name of its column."""
    own = column.rsplit(".", 1)[-1]
    return own if group == UNNAMED else f"{own}_{group}"


def _groups(schema: Schema) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """By column: the groups of the schema, and guesses for the two columns that GR00T needs."""
    vectors = [
        column
        for column in schema.columns
        if _is_vector(column, schema.features[column])
    ]
    named = {column for column in vectors if schema.groups.get(column)}
    usual = named | (_DEFAULT_COLUMNS.keys() & set(vectors))
    parts = {_part_of(column) for column in usual}
    # A dataset whose vectors have other names has its states and actions in all of them.
    used = [
        column
        for column in vectors
        if column in usual or _part_of(column) not in parts
    ]
    return {
        column: schema.groups.get(column)
        or guess_groups(schema.features[column])
        for column in used
    }


def _is_vector(column: str, feature: Feature) -> bool:
    """Whether a column can be a state or an action."""
    begins = column.partition(".")[0] in {"observation", "action"}
    return begins and "float" in feature.dtype and len(feature.shape) == 1


def _part_of(column: str) -> str:
    return "action" if column.split(".", 1)[0] == "action" else "state"


def _camera_name(key: str) -> str:
    return (
        key.removeprefix("observation.")
        .removeprefix("images.")
        .replace(".", "_")
    )


def group_label(name: str) -> str:
    """The part of the robot that a name tells; `robot` where it tells nothing."""
    words = [
        word
        for word in re.split(
            r"[^a-z]+",
            name.lower(),
        )
        if word
    ]
    side = next(
        (_SIDES[word] for word in words if word in _SIDES),
        "",
    )
    # An arm may have a waist joint (ALOHA's `left_waist`); the robot's own waist has no side.
    parts = _PARTS if side else _PARTS + _TRUNK
    text = " ".join(words)
    part = next((part for part in parts if part in text), None)
    if part is None:
        known = side or any(word in text for word in _ARM)
        part = "arm" if known else UNNAMED
    return f"{side}_{part}" if side else part


def rotation(names: Sequence[str]) -> str | None:
    """The kind of rotation among the dimensions of a group, told by their names.

    Args:
        names: of the dimensions: `x y z qx qy qz qw`, `left_x ... left_rz`, `x y z roll pitch yaw`.

    Returns:
        `quaternion` or `angles` (Euler or axis-angle, beside a position: a joint may be called
        `wrist_roll`); None if there is none.
    """
    last = [
        re.split(
            r"[^a-z0-9]+",
            name.lower().removesuffix(".pos"),
        )[-1]
        for name in names
    ]
    words = set(last)
    if words >= {"qx", "qy", "qz", "qw"} or any(
        "quat" in name.lower() for name in names
    ):
        return "quaternion"
    position = words >= {"x", "y", "z"} or words >= {"px", "py", "pz"}
    angles = any(words >= kind for kind in _ANGLES)
    return "angles" if position and angles else None


def quaternion(names: Sequence[str]) -> list[int]:
    """The dimensions of the quaternion in a group, if its names tell all four; else none."""
    last = [
        re.split(
            r"[^a-z0-9]+",
            name.lower(),
        )[-1]
        for name in names
    ]
    wanted = ("qx", "qy", "qz", "qw")
    if not all(last.count(word) == 1 for word in wanted):
        return []
    return [last.index(word) for word in wanted]


def _unused(
    label: str,
    taken: Sequence[str] | Mapping[str, Any],
) -> str:
    names = [
        label,
        *(f"{label}_{number}" for number in range(2, len(taken) + 2)),
    ]
    return next(name for name in names if name not in taken)

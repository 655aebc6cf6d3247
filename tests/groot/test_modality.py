"""`meta/modality.json`: from the layout's groups, or guessed from names."""

import json

import pytest

from piperline.episode import VideoInfo
from piperline.features import Feature, Schema, layout_schema
from piperline.groot.modality import (
    guess_groups,
    modality,
    rotation,
    write_modality,
)
from piperline.recordings.layout import load_layout

VIDEO = VideoInfo("h264", "yuv420p", 64, 48, 30)
SPANS = {
    "left_arm": {"start": 0, "end": 6},
    "left_gripper": {"start": 6, "end": 7},
    "right_arm": {"start": 7, "end": 13},
    "right_gripper": {"start": 13, "end": 14},
}


def piper() -> Schema:
    layout = load_layout("piper")
    return layout_schema(
        layout,
        cameras=dict.fromkeys(layout.cameras, VIDEO),
        fps=30,
        robot_type="bi_piper",
    )


def without_groups(schema: Schema) -> Schema:
    return Schema(
        fps=schema.fps, robot_type=schema.robot_type, features=schema.features
    )


def test_the_piper_layout_gives_what_the_documents_show():
    assert modality(piper()) == {
        "state": SPANS,
        "action": SPANS,
        "video": {
            name: {"original_key": f"observation.images.{name}"}
            for name in ("left_wrist", "mid", "right_wrist")
        },
        "annotation": {
            "human.task_description": {"original_key": "task_index"}
        },
    }


@pytest.mark.parametrize("layout", ["piper", "aloha"])
def test_names_alone_tell_the_same_groups(layout):
    rule = load_layout(layout).vectors["observation.state"]
    assert guess_groups(
        Feature("float32", (14,), rule.dimension_names)
    ) == dict(rule.groups)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (None, {"robot": (0, 3)}),
        (("motor_0", "motor_1", "motor_2"), {"robot": (0, 3)}),
        (("joint_0", "joint_1", "joint_2"), {"arm": (0, 3)}),
        (
            ("waist", "neck_yaw", "r_leg"),
            {"waist": (0, 1), "neck": (1, 2), "right_leg": (2, 3)},
        ),
        (
            ("shoulder_pan", "elbow", "gripper"),
            {"arm": (0, 2), "gripper": (2, 3)},
        ),
        (
            ("L_elbow", "L_hand_1", "R_elbow"),
            {"left_arm": (0, 1), "left_hand": (1, 2), "right_arm": (2, 3)},
        ),
        (
            ("elbow", "gripper", "wrist"),
            {"arm": (0, 1), "gripper": (1, 2), "arm_2": (2, 3)},
        ),
    ],
)
def test_groups_are_guessed_from_side_and_part(names, groups):
    assert guess_groups(Feature("float32", (3,), names)) == groups


def test_a_second_vector_keeps_its_column_and_carries_its_name():
    features = {
        "observation.state": Feature("float32", (2,), ("a", "b")),
        "observation.velocity": Feature("float32", (2,), ("a", "b")),
        "observation.effort": Feature("float32", (2,), ("a", "b")),
        "action": Feature("float32", (2,), ("a", "b")),
    }
    schema = Schema(
        30, None, features, {"observation.velocity": {"arm": (0, 2)}}
    )
    assert modality(schema)["state"] == {
        "robot": {"start": 0, "end": 2},
        "velocity_arm": {
            "start": 0,
            "end": 2,
            "original_key": "observation.velocity",
        },
    }


def vectors(**names):
    features = {
        key.replace("__", "."): Feature("float32", (len(value),), value)
        for key, value in names.items()
    }
    return Schema(30, None, features)


def test_vectors_of_other_names_are_groups_of_their_own():
    schema = vectors(
        observation__body=("a", "b"),
        observation__hand=("a",),
        action=("a", "b"),
    )
    assert modality(schema)["state"] == {
        "body": {"start": 0, "end": 2, "original_key": "observation.body"},
        "hand": {"start": 0, "end": 1, "original_key": "observation.hand"},
    }


def test_what_gr00t_cannot_use_is_not_written(tmp_path):
    (tmp_path / "meta").mkdir()
    assert not write_modality(tmp_path, vectors(action=("a", "b")))
    assert not (tmp_path / "meta/modality.json").exists()


def test_depth_is_no_camera():
    schema = piper()
    depth = Feature("video", (48, 64, 1), None, {"is_depth_map": True})
    more = {**schema.features, "observation.images.depth": depth}
    found = modality(Schema(30, None, more))["video"]
    assert list(found) == ["left_wrist", "mid", "right_wrist"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("x y z qx qy qz qw", "quaternion"),
        ("left_x left_y left_z left_qw left_qx left_qy left_qz", "quaternion"),
        ("pose_quat_0 pose_quat_1 pose_quat_2 pose_quat_3", "quaternion"),
        ("x y z roll pitch yaw", "angles"),
        ("ee.x ee.y ee.z ee.rx ee.ry ee.rz", "angles"),
        ("shoulder_pitch shoulder_roll shoulder_yaw elbow", None),
        ("joint_1 joint_2 wrist_roll", None),
        ("x y z", None),
    ],
)
def test_rotations_are_told_by_the_names_of_dimensions(names, kind):
    assert rotation(names.split()) == kind


def test_it_is_written_whole_and_over_an_older_one(tmp_path):
    (tmp_path / "meta").mkdir()
    for _ in range(2):
        write_modality(tmp_path, without_groups(piper()))
    assert json.loads(
        (tmp_path / "meta/modality.json").read_text()
    ) == modality(piper())
    assert [path.name for path in (tmp_path / "meta").iterdir()] == [
        "modality.json"
    ]

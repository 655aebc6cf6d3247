"""Layouts are data: what can be said in them, and what is told of one that cannot be."""

import dataclasses
import json
import os

import pytest

from piperline.episode import VideoInfo
from piperline.errors import LayoutError, Place
from piperline.features import layout_schema
from piperline.recordings.layout import (
    builtin_layouts,
    layout_text,
    load_layout,
    read_layout,
)

GOOD = """
name = "mine"
robot_type = "my_robot"
[episodes]
at = "file"
[vectors.action]
path = "/act/joint/"
names = ["a", "b", "c"]
groups = { arm = [0, 2], gripper = [2, 3] }
[cameras.front]
path = "cam"
"""


def write(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    return tmp_path / "mine.toml"


def test_the_built_in_layouts_load():
    assert builtin_layouts()[0] == "piper"
    assert {"piper", "aloha"} <= set(builtin_layouts())
    for name in builtin_layouts():
        assert load_layout(name).name == name
        assert layout_text(name).startswith("#")


def test_piper_is_what_gr00t_expects():
    layout = load_layout("piper")
    for key in ("observation.state", "action"):
        names = layout.vectors[key].dimension_names
        assert names[0] == "left_joint_1.pos"
        assert (names[6], names[13]) == (
            "left_gripper.pos",
            "right_gripper.pos",
        )
        assert dict(layout.vectors[key].groups) == {
            "left_arm": (0, 6),
            "left_gripper": (6, 7),
            "right_arm": (7, 13),
            "right_gripper": (13, 14),
        }
    assert {name: rule.path for name, rule in layout.cameras.items()} == {
        "left_wrist": "image_left",
        "mid": "image_mid",
        "right_wrist": "image_right",
    }


def test_a_layout_of_ones_own(tmp_path):
    layout = load_layout(write(tmp_path, GOOD))
    assert layout.vectors["action"].path == "act/joint"
    assert (layout.fps, layout.cameras["front"].color) == (30, "rgb")
    video = VideoInfo("h264", "yuv420p", 64, 48, 30)
    schema = layout_schema(
        layout, cameras={"front": video}, fps=30, robot_type="r"
    )
    assert schema.cameras == ("observation.images.front",)
    assert schema.columns == ("action",)
    assert schema.features["observation.images.front"].shape == (48, 64, 3)
    assert schema.groups["action"]["gripper"] == (2, 3)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "mine"', 'name = "../mine"', "letters"),
        ("[2, 3]", "[1, 3]", "overlaps"),
        ("[2, 3]", "[2, 4]", "outside"),
        ('"c"]', '"b"]', "differ"),
        ('"/act/joint/"', '"a/../b"', "lies below"),
        ("[vectors.action]", '[vectors."the.image"]', "image"),
        ('path = "cam"', 'path = "cam/*"', r"holds a '\*'"),
        ('robot_type = "my_robot"', "", "robot_type"),
        ('robot_type = "my_robot"', 'robot_type = "r"\nfps = 29.97', "fps"),
        ('robot_type = "my_robot"', 'robot_type = "r"\nspeed = 3', "speed"),
        ('at = "file"', 'at = "cloud"', "groups"),
        ("[episodes]", "[episodes", "not TOML"),
    ],
)
def test_a_wrong_layout_tells_what_is_wrong(tmp_path, old, new, words):
    with pytest.raises(LayoutError, match=words) as caught:
        load_layout(write(tmp_path, GOOD.replace(old, new)))
    assert "mine.toml" in str(caught.value)


def test_a_layout_that_is_not_text(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(LayoutError, match="'utf-8' codec"):
        load_layout(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (
            'robot_type = "my_robot"',
            'robot_type = "other"\ndescription = "x"\nfps = 7',
            True,
        ),
        ('"b", "c"]', '"x", "y"]', True),
        ("arm = [0, 2], ", "", True),
        ('name = "mine"', 'name = "yours"', True),
        ('/act/joint/"', '/act/joint/"\nunit = "deg"', False),
        ('/act/joint/"', 'act/other"', False),
        ("[vectors.action]", "[vectors.other]", False),
        ('path = "cam"', 'path = "cam"\ncolor = "bgr"', False),
        ('at = "file"', 'at = "file"\nlength = "shortest"', False),
    ],
)
def test_what_the_bytes_of_an_episode_follow_from(tmp_path, old, new, same):
    before = load_layout(write(tmp_path, GOOD)).content
    after = load_layout(write(tmp_path, GOOD.replace(old, new))).content
    assert (before == after) is same


@pytest.mark.parametrize("name", builtin_layouts())
def test_a_layout_survives_its_json(name):
    layout = load_layout(name)
    document = json.loads(json.dumps(dataclasses.asdict(layout)))
    assert read_layout(document, Place()) == layout
    with pytest.raises(LayoutError, match="not a layout"):
        read_layout({**document, "vectors": {}}, Place())


def test_a_layout_of_an_absurd_size_is_refused(tmp_path):
    with pytest.raises(LayoutError, match="at most 1 MiB"):
        load_layout(write(tmp_path, GOOD + "#" * (2 << 20)))


def test_the_older_names_of_two_keys_are_read(tmp_path):
    older = GOOD.replace('at = "file"', 'at = "file"\nlength_attribute = "n"')
    layout = load_layout(
        write(tmp_path, older + '[task]\nattribute = "said"\n')
    )
    assert layout.episodes.length == "@n"
    assert [rule.text for rule in layout.tasks] == ["@said"]


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(LayoutError, match="--layout aloha"):
        load_layout("alhoa")
    with pytest.raises(LayoutError, match="layout list"):
        load_layout("xyzzy")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_layout_is_a_plain_file(tmp_path, make):
    make(tmp_path / "mine.toml")
    with pytest.raises(LayoutError, match="cannot be read") as caught:
        load_layout(tmp_path / "mine.toml")
    assert "not a plain file" in str(caught.value.found)
    assert caught.value.next_step

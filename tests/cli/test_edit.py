import json

import pytest

from piperline.cli.app import app, run
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.folder import DatasetFolder
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import codes_of, make_episode
from tests.helpers.trees import tree

KEY = "observation.images.mid"


@pytest.fixture
def root(tmp_path):
    episodes = [
        make_episode(tmp_path / "in", number, 15, tasks=[f"put {number}"])
        for number in range(4)
    ]
    return write_dataset(tmp_path / "set", episodes)


def edited(root, *arguments):
    """The codes of the frames of each episode after an edit, and the instructions."""
    out = root.parent / "out"
    assert run(app, ["edit", str(root), *arguments, "--output", str(out)]) == 0
    dataset = open_dataset(out)
    key = dataset.info.schema.cameras[0]
    clips = [episode.clips[key] for episode in dataset]
    found = [codes_of(clip.path, clip.first, clip.count) for clip in clips]
    return [(codes[0], codes[-1]) for codes in found], list(dataset.tasks)


def test_all_operations_at_once(root, capsys):
    codes, tasks = edited(
        root,
        *(
            "--drop",
            "3",
            "--trim",
            "0=4:",
            "--split",
            "2=10",
            "--task",
            "1=wave = hello",
        ),
        *("--rename-task", "put 0", "lift", "--rename-camera", "mid", "top"),
        *("--rename-dimension", "joint_0.pos", "waist.pos"),
    )
    assert codes == [(4, 14), (100, 114), (200, 209), (210, 214)]
    assert tasks == ["lift", "wave = hello", "put 2"]
    assert capsys.readouterr().out.splitlines() == [
        "4 episodes, 41 frames, 3 tasks",
        "35 packets copied, 6 frames encoded",
        f"LeRobot v2.1 dataset: {root.parent / 'out'}",
        f"next: piperline groot preflight {root.parent / 'out'}",
    ]
    schema = open_dataset(root.parent / "out").schema
    assert schema.cameras == ("observation.images.top",)
    assert (schema.features["action"].names or ())[0] == "waist.pos"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (("--drop", "1,3"), [0, 2]),
        (("--drop", "1:3"), [0, 3]),
        (("--drop", "2:", "--drop", "0"), [1]),
        (("--keep", "1,2:"), [1, 2, 3]),
    ],
)
def test_episodes_by_number_and_range(root, arguments, left):
    codes, _ = edited(root, *arguments)
    assert [first // 100 for first, _ in codes] == left


def test_a_plan_and_options_together(root):
    made_of = DatasetFolder(root).made_of(2)
    (root.parent / "plan.toml").write_text(
        '[[episode]]\nepisode = 1\ndrop = true\nreason = "twice"\nfinding = "episode-twice"\n'
        '[[episode]]\nepisode = 2\ntrim = "10:"\ninstruction = "wave"\n'
        f'made_of = "{made_of}"\n'
    )
    codes, tasks = edited(
        root, "--plan", str(root.parent / "plan.toml"), "--drop", "3"
    )
    assert codes == [(0, 14), (210, 214)]
    assert tasks == ["put 0", "wave"]


def test_a_dry_run(root, capsys):
    before = tree(root.parent)
    assert run(app, ["edit", str(root), "--trim", "0=4:", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "episode 0, frames 4:15: 5 packets copied, 6 frames encoded",
        "4 episodes, 56 frames: 50 packets copied, 6 frames encoded; nothing was written",
    ]
    assert (
        run(app, ["edit", str(root), "--every", "3", "--dry-run", "--json"])
        == 0
    )
    seen = json.loads(capsys.readouterr().out)
    assert (seen["frames"], seen["work"]) == (20, {"copied": 0, "encoded": 20})
    assert tree(root.parent) == before


def test_in_place_as_json(root, capsys):
    assert run(app, ["edit", str(root), "--drop", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["episodes"], told["backup"]) == (3, str(root) + "_v21")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "changes nothing"),
        (("--drop", "9"), "no episode 9"),
        (("--drop", "2:9"), "not there"),
        (("--drop", "1:1"), "names no episodes"),
        (("--drop", "1", "--trim", "1=4:"), "contradict"),
        (("--trim", "1=4:", "--trim", "1=5:"), "contradict"),
        (("--trim", "30:"), "--trim 4=30:"),
        (("--trim", "1:3=30:"), "one episode is needed"),
        (("--trim", "1=15:"), "nothing is left"),
        (("--split", "1=x"), "frame number"),
        (
            ("--rename-camera", "mid", "a", "--rename-camera", "mid", "b"),
            "two new names",
        ),
        (("--drop-camera", "top"), "no camera top"),
        (("--drop-feature", "action"), "cannot be dropped"),
        (("--every", "4"), "cannot be divided by 4"),
        (("--plan", "absent.toml"), "no plan"),
    ],
)
def test_what_cannot_be_done_touches_nothing(root, arguments, words, capsys):
    before = tree(root.parent)
    assert run(app, ["edit", str(root), *arguments]) != 0
    assert words in capsys.readouterr().err
    assert tree(root.parent) == before


@pytest.mark.parametrize(
    "words",
    [
        ("--task", "0=\udcff"),
        ("--task", "0=\ud800 up"),
        ("--rename-task", "put 0", "\udcff"),
        ("--rename-task", "put 0", "\t"),
        ("--rename-dimension", "joint_0.pos", "\udcff"),
    ],
)
def test_what_is_no_text_does_not_come_into_a_dataset(root, words, capsys):
    before = tree(root.parent)
    assert run(app, ["edit", str(root), *words]) == 2
    assert "is empty, or not UTF-8" in capsys.readouterr().err
    assert tree(root.parent) == before

"""convert --plan: exactly what the plan says; refused where recordings have changed."""

import json

import pytest

from piperline import open_dataset
from piperline.edits.plan import fingerprint
from piperline.video.decoder import decode
from tests.helpers.recordings import (
    has_true_colors,
    read_code,
    states,
    write_piper,
)

pytestmark = pytest.mark.usefixtures("workers_in_threads")


@pytest.fixture
def recording(tmp_path):
    return write_piper(tmp_path / "a.hdf5", episodes=3, lengths=30)


def planned(path, name, *lines):
    """An entry of a plan for the file as it is now."""
    source, stat = f"{path.parent.name}/{path.name}", path.stat()
    made_of = fingerprint(source, stat.st_size, stat.st_mtime_ns, name)
    head = [
        "[[episode]]",
        f'episode = "{source}:{name}"',
        f'made_of = "{made_of}"',
    ]
    return "\n".join([*head, *lines]) + "\n"


def test_a_plan_is_carried_out_exactly(recording, tmp_path, convert):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        planned(
            recording, "episode_0", "drop = true", 'reason = "is there twice"'
        )
        + planned(
            recording, "episode_1", 'trim = "5:25"', 'instruction = "new words"'
        )
        + planned(
            recording, "episode_2", 'trim = "3:"', 'swap_red_blue = ["mid"]'
        )
        + '[dataset]\ndrop_cameras = ["left_wrist"]\n'
    )
    code, out, _ = convert(
        recording, "--output", tmp_path / "out", "--plan", plan
    )
    assert code == 0
    assert "episode_0: is there twice" in out
    dataset = open_dataset(tmp_path / "out")
    assert [(e.length, e.tasks[0]) for e in dataset] == [
        (20, "new words"),
        (27, "pick up the cube"),
    ]
    for index, (number, first) in enumerate(((1, 5), (2, 3))):
        episode = dataset.episode(index)
        row = episode.table["observation.state"][0].as_py()
        assert row == pytest.approx(
            states(number, 30)[first].tolist(), abs=1e-6
        )
        assert list(episode.clips) == [
            "observation.images.mid",
            "observation.images.right_wrist",
        ]
        for camera, clip in enumerate(episode.clips.values(), 1):
            frames = [*decode(clip.path)]
            codes = [read_code(frame) for frame in frames]
            assert codes == [
                (number, camera, first + i) for i in range(episode.length)
            ]
            exchanged = index == 1 and camera == 1
            assert has_true_colors(frames[0]) is not exchanged
    record = json.loads((tmp_path / "out/meta/piperline.json").read_text())
    assert [entry["frames"] for entry in record["episodes"]] == [
        [5, 25],
        [3, 30],
    ]
    (edited,) = record["edited"]
    assert edited["plan"]["dataset"] == {"drop_cameras": ["left_wrist"]}
    assert edited["plan"]["episode"][0]["reason"] == "is there twice"


def test_a_changed_recording_is_refused_by_its_episode(
    recording, tmp_path, convert
):
    plan = tmp_path / "plan.toml"
    plan.write_text(planned(recording, "episode_1", "drop = true"))
    write_piper(recording, episodes=3, lengths=31)
    code, _, error = convert(
        recording, "--output", tmp_path / "out", "--plan", plan
    )
    assert code == 3
    assert "has changed since the plan was made" in error
    assert "episode_1" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[episode]]\n", "episode = "),
        ('[[episode]]\nepisode = "a:b"\ntrim = "9:3"\n', "leaves frames"),
        ('[[episode]]\nepisode = "a:b"\ntrim = 3\n', "trim in the plan"),
        ('[[episode]]\nepisode = "a:b"\ninstruction = " "\n', "not empty"),
        ('[[episode]]\nepisode = "a:b"\nspeed = 3\n', "speed"),
        (
            '[[episode]]\nepisode = "a:b"\ndrop = true\n',
            "there is no episode a:b",
        ),
        ('[dataset]\ndrop_cameras = ["top"]\n', "top"),
        ("[else]\n", "else"),
        ("nonsense", "TOML"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    recording, tmp_path, convert, text, told
):
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    code, _, error = convert(
        recording, "--output", tmp_path / "out", "--plan", plan
    )
    assert code == 2
    assert told in error
    assert not (tmp_path / "out").exists()


def test_a_plan_that_leaves_nothing_is_refused(recording, tmp_path, convert):
    plan = tmp_path / "plan.toml"
    names = ("episode_0", "episode_1", "episode_2")
    plan.write_text(
        "".join(planned(recording, name, "drop = true") for name in names)
    )
    code, _, error = convert(
        recording, "--output", tmp_path / "out", "--plan", plan
    )
    assert code == 2
    assert "leaves no episode" in error

"""`piperline layout`, and conversions that find their layout, as a user types them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.recordings.find import find_recordings
from piperline.recordings.layout import builtin_layouts
from tests.helpers.recorders import LENGTH, RECORDERS
from tests.helpers.recordings import write_aloha

pytestmark = pytest.mark.usefixtures("workers_in_threads")


@pytest.fixture
def say(capfd):
    """Run a command; its exit code, what it printed, and what it said beside that."""

    def command(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(app, [str(word) for word in words])
        said = capfd.readouterr()
        return code, said.out, said.err

    return command


def test_the_list_names_every_built_in_layout(say):
    code, out, _ = say("layout", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == builtin_layouts()


@pytest.mark.parametrize("recorder", ["control-your-robot-jpeg", "isaaclab"])
def test_a_draft_of_a_known_recorder_says_that_none_is_needed(
    tmp_path, say, recorder
):
    recorded = RECORDERS[recorder](tmp_path)
    path = find_recordings([recorded.source])[0][0]
    code, out, err = say("layout", "draft", path)
    assert code == 0
    assert f'name = "{recorded.layout}"' in out
    assert f"the built-in layout {recorded.layout} fits" in err


def test_a_draft_is_a_layout_that_converts(tmp_path, say):
    recorded = RECORDERS["robotwin"](tmp_path)
    path = find_recordings([recorded.source])[0][0]
    with h5py.File(path, "r+") as file:
        file.move("joint_action", "robot_state")
    code, out, err = say("layout", "draft", path)
    assert code == 0
    assert "question: what is the action?" in err
    Path(tmp_path / "mine.toml").write_text(out, encoding="utf-8")
    output = tmp_path / "out"
    words = (
        "--layout",
        tmp_path / "mine.toml",
        "--task",
        "hit it",
        "--output",
        output,
    )
    assert say("convert", path, *words)[0] == 0
    assert (
        json.loads((output / "meta/info.json").read_text())["total_frames"]
        == LENGTH - 1
    )


def test_check_tells_what_fits_and_what_is_left(tmp_path, say):
    recorded = RECORDERS["cobot-magic"](tmp_path)
    path = find_recordings([recorded.source])[0][0]
    code, out, _ = say("layout", "check", "cobot_magic", path)
    assert code == 0
    assert out.splitlines()[:4] == [
        "1 of 1 episodes fit",
        "episode_2: 6 frames, 30 a second",
        "  instruction: fold the towel",
        "  observation.state: 14 dimensions of observations/qpos",
    ]
    assert "  action: 16 dimensions of action, base_action" in out
    assert "  not used: observations/effort, float64 of shape (6, 14)" in out
    assert "  left out, depth images: observations/images_depth/cam_high" in out
    code, out, _ = say("layout", "check", "cobot_magic", path, "--json")
    found = json.loads(out)
    assert (found["episodes"], found["problems"], found["first"]["length"]) == (
        1,
        {},
        LENGTH,
    )


def test_check_tells_what_does_not_fit(tmp_path, say):
    path = write_aloha(tmp_path / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        del file["action"]
        file["action"] = np.zeros((5, 13))
    code, out, _ = say("layout", "check", "aloha", path)
    assert code == 3
    assert "0 of 1 episodes fit" in out
    assert (
        "does not fit: episode_0: the dataset does not fit the layout (/action)"
        in out
    )
    assert "expected: numbers of shape (frames, 14) for action" in out
    assert "found: float64 of shape (5, 13)" in out


def test_a_dry_run_lists_what_is_not_used_and_what_is_filtered(tmp_path, say):
    recorded = RECORDERS["isaaclab"](tmp_path)
    words = ("--output", tmp_path / "out", "--task", "x", "--dry-run")
    code, out, _ = say("convert", recorded.source, *words)
    assert code == 0
    assert "2 episodes, 12 frames, 2 cameras, layout isaaclab" in out
    assert "demo_1: success is False" in out
    unused = "states/articulation/robot/joint_position, float64 of shape (6, 9)"
    assert f"note: not used: {unused}" in out


def test_several_layouts_that_fit_are_named(tmp_path, say):
    (tmp_path / "in").mkdir()
    recorded = RECORDERS["robomind"](tmp_path / "in")
    for path, _ in find_recordings([recorded.source]):
        with h5py.File(path, "r+") as file:
            for name in ("action", "observations/qpos"):
                file[name] = np.zeros((LENGTH, 14))
            file["observations/images"] = h5py.SoftLink(
                "/observations/rgb_images"
            )
    code, _, err = say(
        "convert", recorded.source, "--output", tmp_path / "out", "--task", "x"
    )
    assert code == 3
    assert "several layouts fit the recording" in err
    assert "aloha, robomind" in err
    assert "--layout aloha" in err


def test_sheets_and_tables_find_the_layout_too(tmp_path, say):
    recorded = RECORDERS["libero"](tmp_path)
    path = find_recordings([recorded.source])[0][0]
    sheet = tmp_path / "sheet.png"
    assert (
        say("hdf5", "frames", path, "--episode", "demo_0", "--output", sheet)[0]
        == 0
    )
    assert sheet.stat().st_size > 0
    code, out, _ = say("hdf5", "inspect", path)
    assert code == 0
    assert "recording, layout libero: 2 episodes, 12 frames" in out
    assert "open the drawer" in out

"""Bad input gives one clear error and loses nothing; `--skip-bad` keeps the rest."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.lerobot.dataset import open_dataset
from piperline.video.decoder import decode
from tests.helpers.broken import EPISODES, FILES, OPTIONS, Broken
from tests.helpers.pinned import FOLDER, assert_golden
from tests.helpers.recordings import read_code, write_piper
from tests.helpers.trees import tree

pytestmark = pytest.mark.usefixtures("workers_in_threads")

LABELS = ("where:", "expected:", "found:", "next:")
MID = "observation.images.mid"
PIPERLINE = Path(sys.executable).with_name("piperline")
OTHERS = {"all_bad", "being_written", "several_bad", "sizes_differ"}
OUTPUTS = {  # test_bad_output.py
    "demo_without_room",
    "output_below_a_file",
    "output_exists",
    "output_of_others",
    "staging_of_others",
}


def codes(root: Path) -> list[list[tuple[int, int, int]]]:
    """The numbers in the frames of the middle camera, for each episode."""
    return [
        [read_code(frame) for frame in decode(episode.clips[MID].path)]
        for episode in open_dataset(root)
    ]


def test_every_way_to_be_broken_has_its_text():
    assert {path.stem for path in (FOLDER / "errors").glob("*.txt")} == {
        *FILES,
        *OPTIONS,
        *EPISODES,
        *OTHERS,
        *OUTPUTS,
    }


@pytest.mark.parametrize("name", [*FILES, *OPTIONS, *EPISODES])
def test_bad_input_is_refused_and_nothing_is_lost(tmp_path, convert, name):
    broken = (FILES | OPTIONS | EPISODES)[name](tmp_path)
    before = tree(tmp_path)
    output = tmp_path / "out" / "dataset"
    output.parent.mkdir()
    code, out, err = convert(broken.path, "--output", output, *broken.options)
    assert (code, out) == (broken.code, "")
    assert [part for part in broken.says if part not in err] == []
    if name in EPISODES:
        assert (
            "--skip-bad" in err or "--task" in err or "HDF5_PLUGIN_PATH" in err
        )
    labels = (
        ("expected:", "next:")
        if code == 2 or "--episodes" in broken.options
        else LABELS
    )
    assert [label for label in labels if f"\n{label}" not in err] == []
    assert err.replace("\n", "").isprintable()
    assert not output.exists()
    assert {
        path: digest
        for path, digest in tree(tmp_path).items()
        if path.split("/")[0] != "out"
    } == before
    assert_golden(f"errors/{name}", err.replace(str(tmp_path), "<dir>"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The dataset of the two good episodes alone."""
    folder = tmp_path_factory.mktemp("whole")
    path = write_piper(folder / "day.hdf5", episodes=3, lengths=4)
    assert (
        run(
            app,
            [
                "convert",
                str(path),
                "--output",
                str(folder / "dataset"),
                "--episodes",
                "0,2",
            ],
        )
        == 0
    )
    return folder / "dataset"


@pytest.mark.parametrize(
    "name",
    [
        "thirteen_joints",
        "length_zero",
        "not_a_number",
        "truncated_image",
        "hostile_name",
    ],
)
def test_a_bad_episode_is_left_out_and_the_others_are_as_without_it(
    tmp_path, convert, name, whole
):
    broken = EPISODES[name](tmp_path)
    output = tmp_path / "dataset"
    code, out, err = convert(broken.path, "--output", output, "--skip-bad")
    assert (code, err) == (0, "")
    [line] = [
        line for line in out.splitlines() if line.startswith("left out: ")
    ]
    assert line.isprintable()
    assert line.startswith(f"left out: {broken.path}: episode_1")
    [left] = json.loads((output / "meta/piperline.json").read_text())[
        "left_out"
    ]
    assert left["episode"].startswith("episode_1")
    assert left["reason"] in line
    assert {path for path, _ in tree(whole).items() - tree(output).items()} == {
        "meta/piperline.json",
        "meta/piperline_seal.json",
    }
    assert codes(output) == [
        [(episode, 1, frame) for frame in range(4)] for episode in (0, 2)
    ]


def test_all_bad_episodes_are_left_out_at_once(tmp_path, convert):
    cases: list[Broken] = []
    for name, build in EPISODES.items():
        folder = tmp_path / name
        folder.mkdir()
        cases.append(build(folder))
    cases += [FILES["truncated"](tmp_path)]
    output = tmp_path / "dataset"
    code, out, err = convert(
        *(case.path for case in cases), "--output", output, "--skip-bad"
    )
    assert (code, err) == (0, "")
    assert sum(
        line.startswith("left out: ") for line in out.splitlines()
    ) == len(cases)
    left = json.loads((output / "meta/piperline.json").read_text())["left_out"]
    assert sum(item["episode"] is None for item in left) == 1
    assert codes(output) == [
        [(episode, 1, frame) for frame in range(4)] for episode in (0, 2)
    ] * len(EPISODES)
    assert [row.episode_index for row in open_dataset(output).episodes] == list(
        range(2 * len(EPISODES))
    )


def test_a_failed_run_is_finished_by_leaving_the_bad_episode_out(
    tmp_path, convert, whole
):
    broken = EPISODES["corrupt_image"](tmp_path)
    output = tmp_path / "dataset"
    assert convert(broken.path, "--output", output)[0] == 3
    code, out, _ = convert(broken.path, "--output", output, "--skip-bad")
    assert code == 0
    assert "2 episodes had been encoded by an earlier run" in out
    assert {path for path, _ in tree(whole).items() - tree(output).items()} == {
        "meta/piperline.json",
        "meta/piperline_seal.json",
    }
    assert not (tmp_path / "dataset.work").exists()


def test_a_dry_run_tells_what_would_be_left_out(tmp_path, convert):
    broken = EPISODES["thirteen_joints"](tmp_path)
    before = tree(tmp_path)
    assert (
        convert(broken.path, "--output", tmp_path / "dataset", "--dry-run")[0]
        == 3
    )
    code, out, _ = convert(
        broken.path, "--output", tmp_path / "dataset", "--dry-run", "--skip-bad"
    )
    assert code == 0
    assert (
        f"left out: {broken.path}: episode_1: the dataset does not fit the layout"
        in out
    )
    assert "2 episodes, 8 frames" in out
    assert tree(tmp_path) == before


def test_several_bad_episodes_are_named_at_once(tmp_path, convert):
    path = write_piper(tmp_path / "day.hdf5", episodes=14, lengths=1)
    with h5py.File(path, "r+") as file:
        for number in range(1, 13):
            file[f"episode_{number}"].attrs["length"] = 0
    code, _, err = convert(path, "--output", tmp_path / "dataset")
    assert code == 3
    assert_golden("errors/several_bad", err.replace(str(tmp_path), "<dir>"))


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_numbers_that_are_none_are_told_before_any_work(
    more, tmp_path, convert
):
    path = write_piper(tmp_path / "day.hdf5", episodes=3, lengths=4)
    with h5py.File(path, "r+") as file:
        file["episode_2/state"][3, 5] = np.nan
    before = tree(tmp_path)
    code, _, err = convert(path, "--output", tmp_path / "dataset", *more)
    assert code == 3
    assert "/episode_2/state, episode episode_2, frame 3" in err
    assert "are done" not in err
    assert tree(tmp_path) == before


def test_nothing_is_left(tmp_path, convert):
    path = write_piper(tmp_path / "day.hdf5", episodes=2, lengths=1)
    with h5py.File(path, "r+") as file:
        for group in file.values():
            group["state"][0, 0] = np.nan
    code, _, err = convert(path, "--output", tmp_path / "dataset", "--skip-bad")
    assert code == 3
    assert not (tmp_path / "dataset").exists()
    assert_golden("errors/all_bad", err.replace(str(tmp_path), "<dir>"))


def test_cameras_of_another_size_do_not_go_into_one_dataset(tmp_path, convert):
    one = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=1)
    other = write_piper(
        tmp_path / "b.hdf5", episodes=1, lengths=1, size=(24, 32)
    )
    code, _, err = convert(one, other, "--output", tmp_path / "dataset")
    assert code == 3
    assert_golden("errors/sizes_differ", err.replace(str(tmp_path), "<dir>"))
    assert (
        convert(
            one, other, "--output", tmp_path / "dataset", "--resize", "32x24"
        )[0]
        == 0
    )


def test_a_file_that_is_being_written(tmp_path, convert):
    path = write_piper(tmp_path / "day.hdf5", lengths=1)
    hold = (
        "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "open\n"
        code, _, err = convert(path, "--output", tmp_path / "dataset")
        recorder.communicate()
    assert code == 3
    assert_golden("errors/being_written", err.replace(str(tmp_path), "<dir>"))
    assert convert(path, "--output", tmp_path / "dataset")[0] == 0


@pytest.mark.parametrize("name", ["not_hdf5", "not_a_number"])
def test_a_real_process_says_the_same(tmp_path, name):
    broken = (FILES | EPISODES)[name](tmp_path)
    command = [
        PIPERLINE,
        "convert",
        broken.path,
        "--output",
        tmp_path / "dataset",
        "--workers",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == broken.code
    assert done.stdout == ""
    assert_golden(
        f"errors/{name}",
        done.stderr[done.stderr.index("error:") :].replace(
            str(tmp_path), "<dir>"
        ),
    )

"""The episodes of a recording at a glance."""

import h5py
import numpy as np
import pytest

from piperline.errors import LayoutMismatch
from piperline.hdf5.analysis import analyze
from piperline.hdf5.episode_table import (
    EpisodeCount,
    count_episodes,
    episode_table,
)
from piperline.recordings.layout import load_layout
from tests.helpers.recordings import STORAGES, states, write_aloha, write_piper


def table_of(path):
    table = episode_table(path)
    assert table is not None
    return table


@pytest.mark.parametrize("storage", STORAGES)
def test_rows_of_a_recording(tmp_path, storage):
    path = write_piper(
        tmp_path / "in.h5", storage=storage, episodes=1, tasks=["pick", None]
    )
    (row,) = table_of(path).rows
    kind = {"raw": "raw", "png-vlen": "png"}.get(storage, "jpeg")
    assert row.cameras["mid"] == f"{kind} 64x48"
    assert (row.name, row.instruction, row.frames) == ("episode_0", "pick", 5)
    values = states(0, 5).astype(np.float32)
    assert row.ranges["observation.state"] == (values.min(), values.max())


def test_an_episode_that_does_not_fit_is_told(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=3, lengths=[5, 5, 10])
    with h5py.File(path, "r+") as file:
        del file["episode_1/image_mid"]
        file["episode_2/state"][0, 0] = np.nan
    table = table_of(path)
    assert [row.problem is None for row in table.rows] == [True, False, False]
    assert "/episode_1/image_mid" in table.rows[1].problem
    assert "not finite" in table.rows[2].problem
    assert (table.misfits, table.frames) == (2, 5)


def test_an_episode_that_fits_may_come_late(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=6)
    with h5py.File(path, "r+") as file:
        for number in range(4):
            del file[f"episode_{number}/action"]
    assert [row.frames for row in table_of(path).rows] == [None] * 4 + [5, 5]
    expected = EpisodeCount("piper", fps=30, episodes=2, misfits=4, frames=10)
    assert count_episodes(path) == expected


def test_cameras_that_differ_between_episodes(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1)
    write_piper(tmp_path / "other.h5", episodes=1, first=1, size=(96, 128))
    with (
        h5py.File(path, "r+") as file,
        h5py.File(tmp_path / "other.h5") as other,
    ):
        other.copy("episode_1", file)
    assert table_of(path).camera_kinds()["mid"] == {
        "jpeg 64x48": 1,
        "jpeg 128x96": 1,
    }


def test_other_layouts_and_other_files(tmp_path, zoo):
    path = write_aloha(tmp_path / "aloha.h5")
    table = table_of(path)
    assert (table.layout, table.fps, table.frames) == ("aloha", 50, 5)
    assert count_episodes(path) == EpisodeCount(
        "aloha", whole_file=True, fps=50, episodes=1, frames=5
    )
    assert episode_table(zoo) is None
    assert count_episodes(zoo) == EpisodeCount()
    with pytest.raises(LayoutMismatch, match="no episodes"):
        count_episodes(write_flat(tmp_path / "flat.h5"), load_layout("piper"))


def write_flat(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1
    return path


@pytest.fixture
def folder(tmp_path):
    """Two recordings of two episodes each, one ALOHA episode as .h5, and robomimic's groups."""
    write_piper(tmp_path / "day1.hdf5", episodes=2, lengths=3)
    write_piper(tmp_path / "day2.h5", episodes=2, lengths=4)
    write_aloha(tmp_path / "fold.h5", length=6)
    with h5py.File(tmp_path / "mimic.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((9, 7))
        file["mask/train"] = [b"demo_0"]
    return tmp_path


def test_only_real_episodes_are_counted(folder):
    found = analyze(folder, per_file=3)
    assert [file.path.name for file in found.files] == [
        "day1.hdf5",
        "day2.h5",
        "fold.h5",
        "mimic.hdf5",
    ]
    counts = [
        (file.count.episodes, file.count.layout)
        for file in found.files
        if file.count
    ]
    assert counts == [(2, "piper"), (2, "piper"), (1, "aloha"), (0, None)]
    assert (found.episodes, found.frames, found.whole_files) == (
        5,
        3 + 3 + 4 + 4 + 6,
        1,
    )
    assert [len(new.groups) for new in found.plan] == [3, 1]
    assert (found.renamed, found.is_sound) == (1, True)


def test_what_cannot_be_analyzed_is_told_with_the_rest(folder):
    (folder / "ruin.hdf5").write_bytes(b"no HDF5")
    with h5py.File(folder / "day1.hdf5", "r+") as file:
        file["camera_matrix"] = np.eye(3)
    found = analyze(folder, per_file=3, pattern="*.hdf5")
    problems = {file.path.name: file.problem or "" for file in found.files}
    assert "camera_matrix" in problems["day1.hdf5"]
    assert "not an HDF5 file" in problems["ruin.hdf5"]
    assert not found.is_sound
    assert found.episodes == 2


def test_a_layout_of_ones_own_counts(tmp_path):
    text = tmp_path / "mine.toml"
    own = """
name = "mine"
robot_type = "arm"
fps = 10
[episodes]
at = "groups"
[vectors."observation.state"]
path = "joints"
names = ["a", "b"]
[vectors.action]
path = "joints"
names = ["a", "b"]
"""
    text.write_text(own)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["one/joints"] = np.zeros((4, 2), "f4")
        file["two/other"] = 1
    (found,) = analyze(tmp_path, per_file=9, layout=load_layout(text)).files
    assert found.count == EpisodeCount(
        "mine", fps=10, episodes=1, misfits=1, frames=4
    )


def attribute_of_the_file(file):
    file.attrs["fps"] = 30


def attribute_of_one_value(file):
    file.attrs["frame_rate"] = np.array([30.0])


def clock_in_milliseconds(file):
    file["observations/timestamps"] = np.arange(5) * 1000 / 30


@pytest.mark.parametrize(
    "mark",
    [attribute_of_the_file, attribute_of_one_value, clock_in_milliseconds],
)
def test_a_rate_that_the_layout_does_not_have_is_told(tmp_path, mark):
    path = write_aloha(tmp_path / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        mark(file)
    told = table_of(path).notes[0]
    assert "tells 30 frames a second, 50 are written" in told


@pytest.mark.parametrize("fps", [50, 50.3, 0, -1, 1e9, "fast", np.nan])
def test_a_rate_that_fits_or_is_none_is_not_told(tmp_path, fps):
    path = write_aloha(tmp_path / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs["fps"] = fps
        file["observations/timestamp"] = np.arange(5) / 50
    notes = table_of(path).notes
    assert [note for note in notes if "frames a second" in note] == []
    assert "not used: observations/qvel, float32 of shape (5, 14)" in notes

"""Plans for other recordings, and datasets that change meanwhile: nothing is touched."""

import json
import os
import shutil

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.edits.numbers import Moment
from piperline.edits.plan import EditPlan, EpisodeEdit, fingerprint
from piperline.errors import BadEpisode, DatasetError, UsageError
from piperline.lerobot.dataset import open_dataset
from piperline.transfer import EditOptions, edit
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

SOURCE = "day/a.hdf5"
DROPPED = EditPlan({0: EpisodeEdit(drop=True)})


@pytest.fixture(params=["v2.1", "v3.0"])
def root(request, tmp_path):
    made = [make_episode(tmp_path / "in", n, 6 + n) for n in range(3)]
    return write_dataset(tmp_path / "set", made, request.param)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A recording, and the dataset that was made of it."""
    folder = tmp_path_factory.mktemp("day") / "day"
    folder.mkdir()
    recording = write_piper(folder / "a.hdf5", episodes=2, lengths=12)
    convert([folder], folder.parent / "set", make_job(), workers=1)
    return recording, folder.parent / "set"


def made_of(recording, name):
    stat = recording.stat()
    return fingerprint(SOURCE, stat.st_size, stat.st_mtime_ns, name)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("name", ["meta/info.json", "new.txt"])
def test_a_dataset_that_changes_meanwhile(root, tmp_path, name, in_place):
    before = open_dataset(root).info

    def change(_done, _all):
        (root / name).write_text((root / "meta/info.json").read_text() + " ")

    with pytest.raises(DatasetError, match="changed while") as raised:
        edit(
            root,
            DROPPED,
            output=None if in_place else tmp_path / "out",
            options=EditOptions(watch=change),
        )
    assert raised.value.place is not None
    assert raised.value.place.file == root / name
    assert open_dataset(root).info == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "set"]


def test_a_plan_for_the_recordings_of_a_dataset(converted, tmp_path):
    recording, root = converted
    entry = EpisodeEdit(drop=True, made_of=made_of(recording, "episode_0"))
    plan = EditPlan({f"{SOURCE}:episode_0": entry})
    result = edit(root, plan, output=tmp_path / "out")
    assert (result.episodes, result.notes) == (1, ())


def test_a_plan_for_other_recordings(converted, tmp_path):
    _, root = converted
    before = tree(root)
    entry = EpisodeEdit(drop=True, made_of="0" * 32)
    plan = EditPlan({f"{SOURCE}:episode_0": entry})
    with pytest.raises(BadEpisode, match="since the plan was made") as raised:
        edit(root, plan, output=tmp_path / "out")
    assert "episode_0" in str(raised.value)
    with pytest.raises(UsageError, match="does not fit"):
        edit(
            root,
            EditPlan({"b.hdf5:episode_0": EpisodeEdit(drop=True)}),
            output=tmp_path / "out",
        )
    assert tree(root) == before
    assert not (tmp_path / "out").exists()


def test_recordings_that_are_not_here_are_told(converted, tmp_path):
    recording, root = converted
    hidden = recording.with_name("elsewhere.hdf5")
    recording.rename(hidden)
    try:
        entry = EpisodeEdit(start=Moment(5), made_of="0" * 32)
        plan = EditPlan({f"{SOURCE}:episode_1": entry})
        with pytest.raises(BadEpisode, match="since the plan was made"):
            edit(root, plan, output=tmp_path / "out")
        shutil.copytree(root, tmp_path / "untold")
        without(tmp_path / "untold", "made_of")
        result = edit(tmp_path / "untold", plan, output=tmp_path / "out")
    finally:
        hidden.rename(recording)
    told = "the recordings of 1 episode of the plan are not here"
    assert any(note.startswith(told) for note in result.notes)


def test_a_source_that_leads_elsewhere_is_not_looked_at(root, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.hdf5"
    os.mkfifo(outside)  # to open it would take for ever
    record = json.loads((root / "meta/piperline.json").read_text())
    for entry in record["episodes"]:
        entry |= {"source": str(outside), "episode": "episode_0"}
    (root / "meta/piperline.json").write_text(json.dumps(record))
    entry = EpisodeEdit(drop=True, made_of="0" * 32)
    for each in record["episodes"]:
        each["episode"] = "episode_0" if each is record["episodes"][0] else "x"
    (root / "meta/piperline.json").write_text(json.dumps(record))
    plan = EditPlan({f"{outside}:episode_0": entry})
    result = edit(root, plan, output=tmp_path / "out")
    assert any("are not here" in note for note in result.notes)


def without(root, name):
    """Take a key out of what the record tells of episodes."""
    path = root / "meta/piperline.json"
    record = json.loads(path.read_text())
    for entry in record["episodes"]:
        entry.pop(name)
    path.write_text(json.dumps(record))


def test_a_plan_for_a_dataset_that_has_changed(root, tmp_path):
    made_of = open_dataset(root).folder.made_of(1)
    plan = EditPlan({1: EpisodeEdit(drop=True, made_of=made_of)})
    moved = shutil.copytree(root, tmp_path / "moved")
    edit(moved, plan, output=tmp_path / "out")
    assert [
        each.length for each in open_dataset(tmp_path / "out").episodes
    ] == [
        6,
        8,
    ]
    edit(root, plan)
    before = tree(tmp_path)
    with pytest.raises(DatasetError, match="has changed since the plan"):
        edit(root, plan)
    assert tree(tmp_path) == before


def test_colours_are_put_right_in_recordings_only(root, tmp_path):
    before = tree(root)
    plan = EditPlan({1: EpisodeEdit(swap_red_blue=("mid",))})
    with pytest.raises(UsageError, match="red and blue") as raised:
        edit(root, plan, output=tmp_path / "out")
    assert "piperline convert" in str(raised.value)
    assert tree(root) == before

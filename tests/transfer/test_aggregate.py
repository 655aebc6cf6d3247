import itertools
import json

import pytest

from piperline.errors import DatasetError, IncompatibleDatasets, OutputExists, UsageError
from piperline.lerobot import WRITERS
from piperline.lerobot.dataset import open_dataset
from piperline.transfer import aggregate
from tests.datasets import assert_holds, tree, write_dataset
from tests.episodes import make_episode, schema_of

KEY = "observation.images.mid"


@pytest.fixture
def episodes(tmp_path):
    tasks = [["pick"], ["place", "pick"], ["wave"], ["pick", "lift"], ["place"]]
    return [make_episode(tmp_path / "in", number, 3 + number % 2, tasks=tasks[number]) for number in range(5)]


def empty_dataset(root, like):
    root.mkdir()
    WRITERS["v2.1"](root, schema_of(like)).finish()
    return root


@pytest.mark.parametrize("cuts", [(1, 3), (2,), (1, 2, 3, 4)])
def test_parts_make_the_whole_byte_for_byte(cuts, tmp_path, episodes):
    whole = write_dataset(tmp_path / "whole", episodes)
    bounds = [0, *cuts, 5]
    parts = [
        write_dataset(tmp_path / f"part{start}", episodes[start:stop]) for start, stop in itertools.pairwise(bounds)
    ]
    result = aggregate(parts, tmp_path / "out")
    assert (result.episodes, result.frames, result.format) == (5, 17, "v2.1")
    assert tree(tmp_path / "out") == tree(whole)


def test_versions_may_be_mixed(tmp_path, episodes):
    parts = [
        write_dataset(tmp_path / "a", episodes[:2], "v3.0"),
        write_dataset(tmp_path / "b", episodes[2:3], "v2.1"),
        write_dataset(tmp_path / "c", episodes[3:], "v3.0", video_mb=1e-6, data_mb=1e-6),
    ]
    for version in ("v2.1", "v3.0"):
        result = aggregate(parts, tmp_path / version, format=version)
        assert result.tasks == ("pick", "place", "wave", "lift")
        assert_holds(open_dataset(tmp_path / version), episodes)
    assert tree(tmp_path / "v2.1") == tree(write_dataset(tmp_path / "whole", episodes)) | {
        "meta/piperline.json": (tmp_path / "v2.1/meta/piperline.json").read_bytes()
    }


def test_v30_stays_v30(tmp_path, episodes):
    parts = [
        write_dataset(tmp_path / "a", episodes[:2], "v3.0"),
        write_dataset(tmp_path / "b", episodes[2:], "v3.0"),
    ]
    assert aggregate(parts, tmp_path / "out").format == "v3.0"
    assert tree(tmp_path / "out") == tree(write_dataset(tmp_path / "whole", episodes, "v3.0"))


def test_empty_datasets_are_left_out_with_a_word(tmp_path, episodes):
    parts = [
        empty_dataset(tmp_path / "e1", episodes[0]),
        write_dataset(tmp_path / "a", episodes),
        empty_dataset(tmp_path / "e2", episodes[0]),
    ]
    result = aggregate(parts, tmp_path / "out")
    assert result.notes == (f"{parts[0]} is empty: left out", f"{parts[2]} is empty: left out")
    assert_holds(open_dataset(tmp_path / "out"), episodes)
    with pytest.raises(DatasetError, match="all datasets are empty"):
        aggregate([parts[0]], tmp_path / "none")


def test_codecs_may_differ(tmp_path):
    episodes = [make_episode(tmp_path / "in", 0, 3), make_episode(tmp_path / "in", 1, 3, mode="av1")]
    parts = [write_dataset(tmp_path / str(number), [episode]) for number, episode in enumerate(episodes)]
    for version in ("v2.1", "v3.0"):
        aggregate(parts, tmp_path / version, format=version)
        assert_holds(open_dataset(tmp_path / version), episodes)


def test_all_differences_are_named_at_once(tmp_path):
    first = write_dataset(tmp_path / "first", [make_episode(tmp_path / "in", 0, 3)])
    second = write_dataset(tmp_path / "second", [make_episode(tmp_path / "in", 0, 3, cameras=["mid", "top"])])
    third = write_dataset(tmp_path / "third", [make_episode(tmp_path / "in", 0, 3)])
    path = third / "meta/info.json"
    info = json.loads(path.read_text())
    del info["features"]["observation.state"]
    info["features"]["action"]["names"][0] = "other"
    info["robot_type"] = "so100"
    path.write_text(json.dumps(info))
    (third / "meta/modality.json").write_text("{}")
    with pytest.raises(IncompatibleDatasets) as caught:
        aggregate([first, second, third], tmp_path / "out")
    said = str(caught.value)
    assert f"{second}: observation.images.top, which is not in the first" in said
    assert f"{third}: robot 'so100' instead of 'bi_piper'" in said
    assert f"{third}: no observation.state" in said
    assert f"{third}: action: names ['other', " in said
    assert f"{third}: another meta/modality.json" in said
    assert not (tmp_path / "out").exists()


def test_rates_and_sizes_are_compared(tmp_path):
    large = make_episode(tmp_path / "in", 0, 3, size=(96, 128))
    parts = [
        write_dataset(tmp_path / "small", [make_episode(tmp_path / "in", 0, 3)]),
        write_dataset(tmp_path / "large", [large]),
    ]
    with pytest.raises(IncompatibleDatasets, match="mid: size 128x96 instead of 64x48"):
        aggregate(parts, tmp_path / "out")
    bare = [make_episode(tmp_path / "in", 0, 3, cameras=())]
    slow = write_dataset(tmp_path / "slow", bare)
    info = slow / "meta/info.json"
    info.write_text(info.read_text().replace('"fps": 30', '"fps": 15'))
    with pytest.raises(IncompatibleDatasets, match="15 frames a second instead of 30"):
        aggregate([write_dataset(tmp_path / "usual", bare), slow], tmp_path / "out")


@pytest.mark.parametrize("damage", ["{", ""])
def test_a_modality_that_is_no_json(damage, tmp_path, episodes):
    parts = [write_dataset(tmp_path / name, episodes[:1]) for name in "ab"]
    (parts[1] / "meta/modality.json").write_text(damage)
    with pytest.raises(DatasetError, match=r"modality\.json is not JSON"):
        aggregate(parts, tmp_path / "out")


def test_what_aggregate_refuses_before_any_work(tmp_path, episodes):
    part = write_dataset(tmp_path / "a", episodes[:1])
    with pytest.raises(UsageError, match="no datasets"):
        aggregate([], tmp_path / "out")
    with pytest.raises(UsageError, match="each other's place"):
        aggregate([part], part / "inside")
    with pytest.raises(OutputExists):
        aggregate([part], tmp_path / "in")
    with pytest.raises(DatasetError, match="no such dataset"):
        aggregate([part, tmp_path / "nothing"], tmp_path / "out")


def test_an_empty_folder_is_no_hindrance(tmp_path, episodes):
    (tmp_path / "out").mkdir()
    aggregate([write_dataset(tmp_path / "a", episodes)], tmp_path / "out")
    assert_holds(open_dataset(tmp_path / "out"), episodes)


def test_records_that_differ_are_all_kept(tmp_path, episodes):
    parts = [write_dataset(tmp_path / name, episodes[:1]) for name in "ab"]
    (parts[1] / "meta/piperline.json").write_text(json.dumps({"made_by": "another", "episodes": []}))
    aggregate(parts, tmp_path / "out")
    record = json.loads((tmp_path / "out/meta/piperline.json").read_text())
    assert record == {"made_by": ["tests", "another"], "format": "v2.1", "episodes": [{"length": 3}]}
    (parts[1] / "meta/piperline.json").write_text("no record")
    aggregate(parts, tmp_path / "out2")
    assert not (tmp_path / "out2/meta/piperline.json").exists()

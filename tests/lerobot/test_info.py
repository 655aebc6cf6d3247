"""info.json of somebody else: what is not what LeRobot writes is told, with no traceback."""

import json

import pytest

from piperline.errors import DatasetError
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.info import Info
from piperline.transfer import aggregate, migrate
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.trees import tree

KEY = "observation.images.mid"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    episode = make_episode(folder / "in", 0, 3)
    return {
        v: write_dataset(folder / v, [episode], v) for v in ("v2.1", "v3.0")
    }


def changed(info, keys, value):
    """`info` with the value behind `keys` replaced."""
    *outer, last = keys
    entry = info
    for key in outer:
        entry = entry[key]
    entry[last] = value
    return info


NAUGHT = [
    None,
    7,
    -1,
    1.5,
    True,
    "x",
    "",
    [],
    [None],
    {},
    {"a": 1},
    float("nan"),
    10**400,
]
PLACES = [
    ("robot_type",),
    ("fps",),
    ("total_episodes",),
    ("chunks_size",),
    ("splits",),
    ("data_path",),
    ("video_path",),
    ("features",),
    ("features", "action"),
    ("features", "action", "dtype"),
    ("features", "action", "shape"),
    ("features", "action", "names"),
    ("features", KEY, "dtype"),
    ("features", KEY, "shape"),
    ("features", KEY, "names"),
    ("features", KEY, "info"),
]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("keys", PLACES, ids="/".join)
def test_other_types_are_understood_or_told(sound, tmp_path, version, keys):
    """Whatever stands there: a dataset, or an error with a place; never a traceback."""
    info = json.loads((sound[version] / "meta/info.json").read_text())
    for number, value in enumerate(NAUGHT):
        root = tmp_path / str(number)
        (root / "meta").mkdir(parents=True)
        document = changed(json.loads(json.dumps(info)), keys, value)
        (root / "meta/info.json").write_text(json.dumps(document))
        try:
            found = Info.from_disk(root)
        except DatasetError as error:
            assert error.place is not None  # noqa: PT017 - either is right
            continue
        assert found.fps >= 1
        assert found.robot_type is None or isinstance(found.robot_type, str)
        assert all(
            side >= 1
            for feature in found.features.values()
            for side in feature.shape
        )


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("robot_type",), 7, "robot_type is not what LeRobot writes"),
        (("fps",), 0, "a whole number"),
        (("fps",), "30", "found:    '30'"),
        (("features", "action", "dtype"), "float99", "a type of numpy"),
        (("features", "action", "shape"), [0], "whole numbers, 1 or more"),
        (("features", "action", "shape"), [10**12], "numbers in a row"),
        (("features", "a/b"), {"dtype": "float32", "shape": [1]}, "'/'"),
        (
            ("data_path",),
            ".{episode_index!s:.0}./{chunk_index}",
            "fields are written as",
        ),
        (("video_path",), "{nothing}", "'nothing' is not known"),
        (
            ("data_path",),
            "{episode_index:01000000000d}",
            "fields are written as",
        ),
        (("data_path",), "/etc/{chunk_index}", "leads out of the dataset"),
    ],
)
def test_what_is_wrong_is_said(sound, tmp_path, keys, value, said):
    info = json.loads((sound["v3.0"] / "meta/info.json").read_text())
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(
        json.dumps(changed(info, keys, value))
    )
    with pytest.raises(DatasetError) as caught:
        Info.from_disk(tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path / "meta/info.json") in str(caught.value)


def test_what_lerobot_does_not_know_is_read_and_written_again(tmp_path):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 3)]
    )
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["lab"] = {"name": "ours", "list": [1, 2]}
    info["features"]["action"]["fps"] = 30
    info["features"]["action"]["names"] = {
        "motors": info["features"]["action"]["names"]
    }
    path.write_text(json.dumps(info))
    before = path.read_text()
    read = Info.from_disk(root)
    assert read.features["action"].names == tuple(
        f"joint_{number}.pos" for number in range(14)
    )
    read.to_disk(root)
    assert json.loads(path.read_text()) == json.loads(before)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize(
    "link", ["video", "data", "meta/info.json", "meta/modality.json", "videos"]
)
def test_files_outside_do_not_come_into_a_dataset(tmp_path, version, link):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 3)], version
    )
    (tmp_path / "secret").mkdir()
    ends = {"video": "*.mp4", "data": "data/**/*.parquet"}
    path = next(root.rglob(ends[link])) if link in ends else root / link
    path.rename(tmp_path / "secret" / path.name)
    path.symlink_to(tmp_path / "secret" / path.name)
    before = tree(tmp_path)
    other = "v3.0" if version == "v2.1" else "v2.1"
    for transfer in (
        lambda: migrate(root, other, output=tmp_path / "out"),
        lambda: aggregate([root], tmp_path / "out"),
    ):
        with pytest.raises(DatasetError, match="leads out of the dataset"):
            transfer()
        assert tree(tmp_path) == before


def test_links_inside_a_dataset_are_followed(tmp_path):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 3)]
    )
    (root / "videos").rename(root / "films")
    (root / "videos").symlink_to("films")
    migrate(root, "v3.0", output=tmp_path / "out")
    assert len(open_dataset(tmp_path / "out")) == 1

"""Datasets that lerobot itself recorded go there and back."""

import numpy as np
import pytest

from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.lerobot.dataset import open_dataset
from piperline.transfer import EditOptions, aggregate, edit, migrate
from tests.helpers.episodes import HEIGHT, WIDTH, frame_code, numbered_frame
from tests.helpers.videos import clip_packets

pytestmark = pytest.mark.oracle

KEY = "observation.images.mid"
FEATURES = {
    "observation.state": {
        "dtype": "float32",
        "shape": (2,),
        "names": ["a", "b"],
    },
    "grid": {"dtype": "float32", "shape": (2, 3), "names": None},
    "done": {"dtype": "bool", "shape": (1,), "names": None},
    "picture": {
        "dtype": "image",
        "shape": (HEIGHT, WIDTH, 3),
        "names": ["height", "width", "channels"],
    },
    KEY: {
        "dtype": "video",
        "shape": (HEIGHT, WIDTH, 3),
        "names": ["height", "width", "channels"],
    },
}
TASKS = [["pick"] * 3, ["place"] * 2 + ["pick"] * 2, ["wave"]]


def recorded(number, tasks):
    rows = np.arange(len(tasks), dtype=np.float32)
    frames = np.stack(
        [numbered_frame(10 * number + i) for i in range(len(tasks))]
    )
    columns = {
        "observation.state": np.stack([rows + number, rows * 2], axis=1),
        "grid": np.tile(rows[:, None, None], (1, 2, 3)),
        "done": (rows == rows.max())[:, None],
        "picture": frames,
        KEY: frames,
    }
    return tasks, columns


def packets(dataset):
    """The packets of each episode."""
    return [clip_packets(episode.clips[KEY]) for episode in dataset]


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_what_lerobot_recorded_goes_there_and_back(
    version, tmp_path, official_reader
):
    episodes = [recorded(number, tasks) for number, tasks in enumerate(TASKS)]
    features = dict(FEATURES)
    # lerobot 0.4.4 cannot merge its own statistics of matrices
    if version == "v3.0":
        del features["grid"]
        for _, columns in episodes:
            del columns["grid"]
    root = tmp_path / "official"
    official_reader.write(
        root, episodes, version=version, features=features, robot_type="piper"
    )
    original = open_dataset(root)
    other = {"v3.0": "v2.1", "v2.1": "v3.0"}[version]
    migrate(root, other, output=tmp_path / "there")
    migrate(tmp_path / "there", version, output=tmp_path / "back")
    expected = official_reader.read(root)
    for name in ("there", "back"):
        dataset = open_dataset(tmp_path / name)
        assert packets(dataset) == packets(original)
        assert list(dataset.tasks) == list(original.tasks)
        reading = official_reader.read(tmp_path / name)
        assert (
            reading.task
            == expected.task
            == [task for tasks in TASKS for task in tasks]
        )
        assert reading.arrays.keys() == expected.arrays.keys()
        for key, values in expected.arrays.items():
            np.testing.assert_array_equal(reading.arrays[key], values)
        for key in features.keys() - {"picture", KEY, "done"}:
            assert np.shape(reading.stats[key]["mean"]) == np.shape(
                expected.stats[key]["mean"]
            )
            np.testing.assert_allclose(
                reading.stats[key]["mean"],
                expected.stats[key]["mean"],
                rtol=1e-5,
            )
        # lerobot 0.4.4 writes 0 for their deviation, which is not taken over
        for key in (
            KEY,
            "picture",
        ):
            pixels = [
                values / 255
                for values in np.split(expected.arrays[key], [3, 7])
            ]
            for episode, image in zip(dataset, pixels, strict=True):
                stats = episode.camera_stats[key]
                np.testing.assert_allclose(
                    stats.mean.ravel(), image.mean(axis=(0, 1, 2)), atol=0.01
                )
                np.testing.assert_allclose(
                    stats.std.ravel(), image.std(axis=(0, 1, 2)), atol=0.01
                )


def test_what_lerobot_recorded_is_aggregated_with_ours(
    tmp_path, official_reader
):
    for number, tasks in enumerate(TASKS):
        version = "v2.1" if number == 1 else "v3.0"
        official_reader.write(
            tmp_path / str(number),
            [recorded(number, tasks)],
            version=version,
            features=FEATURES,
            robot_type="piper",
        )
    migrate(tmp_path / "2", "v2.1")
    aggregate(
        [tmp_path / str(number) for number in range(3)],
        tmp_path / "all",
        format="v3.0",
    )
    reading = official_reader.read(tmp_path / "all")
    assert reading.task == [task for tasks in TASKS for task in tasks]
    codes = [frame_code(frame) for frame in reading.arrays[KEY]]
    assert codes == [
        10 * number + i
        for number, tasks in enumerate(TASKS)
        for i in range(len(tasks))
    ]
    assert codes == [frame_code(frame) for frame in reading.arrays["picture"]]
    assert reading.arrays["done"].tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_what_lerobot_recorded_is_edited(version, tmp_path, official_reader):
    features = {
        key: FEATURES[key] for key in ("observation.state", "done", KEY)
    }
    episodes = []
    for number, tasks in enumerate([["pick"] * 9, ["place"] * 2, ["wave"] * 6]):
        _, columns = recorded(number, tasks)
        episodes.append((tasks, {key: columns[key] for key in features}))
    root = tmp_path / "official"
    official_reader.write(
        root, episodes, version=version, features=features, robot_type="piper"
    )
    plan = EditPlan(
        {
            0: EpisodeEdit(
                start=Moment(3), cuts=(Moment(5),), instruction="lift"
            ),
            1: EpisodeEdit(drop=True),
        },
        dataset=DatasetEdit(
            rename_cameras={"mid": "top"}, rename_dimensions={"a": "waist"}
        ),
    )
    edit(
        root, plan, output=tmp_path / "out", options=EditOptions(reencode=True)
    )
    reading = official_reader.read(tmp_path / "out")
    camera = "observation.images.top"
    assert (reading.length, reading.episodes, reading.cameras) == (
        12,
        3,
        [camera],
    )
    expected = [*range(3, 9), *range(20, 26)]
    assert [frame_code(frame) for frame in reading.arrays[camera]] == expected
    assert reading.task == ["lift"] * 6 + ["wave"] * 6
    assert reading.arrays["observation.state"][:7, 0].tolist() == [
        3,
        4,
        5,
        6,
        7,
        8,
        2,
    ]
    assert reading.arrays["index"].tolist() == list(range(12))
    assert reading.features["observation.state"]["names"] == ["waist", "b"]

"""The oracle itself: what LeRobot records comes back through its own reader.

And its refusals reach the tests.
"""

import signal

import numpy as np
import pytest

from piperline.features import frame_times
from piperline.stats import FeatureStats, image_stride, sample_frames
from tests.helpers.episodes import HEIGHT, WIDTH, frame_code, numbered_frame
from tests.oracle import official
from tests.oracle.official import OfficialError, OfficialReader

pytestmark = pytest.mark.oracle

CAMERA = "observation.images.mid"
FEATURES = {
    "observation.state": {
        "dtype": "float32",
        "shape": (2,),
        "names": ["a", "b"],
    },
    CAMERA: {
        "dtype": "video",
        "shape": (HEIGHT, WIDTH, 3),
        "names": ["height", "width", "channels"],
    },
}


def recorded(number, tasks):
    rows = np.arange(len(tasks), dtype=np.float32)
    frames = np.stack(
        [numbered_frame(10 * number + i) for i in range(len(tasks))]
    )
    return tasks, {
        "observation.state": np.stack([rows + number, rows * 2], axis=1),
        CAMERA: frames,
    }


@pytest.fixture(params=["v2.1", "v3.0"])
def dataset(request, tmp_path, official_reader):
    root = tmp_path / "set"
    episodes = [
        recorded(0, ["pick"] * 3),
        recorded(1, ["place", "place", "pick", "pick"]),
    ]
    official_reader.write(
        root,
        episodes,
        version=request.param,
        features=FEATURES,
        robot_type="piper",
    )
    return root


def test_what_lerobot_records_comes_back(dataset, official_reader):
    reading = official_reader.read(dataset)
    assert (reading.fps, reading.length, reading.episodes) == (30, 7, 2)
    assert reading.cameras == [CAMERA]
    assert reading.task == ["pick"] * 3 + ["place"] * 2 + ["pick"] * 2
    assert [frame_code(frame) for frame in reading.arrays[CAMERA]] == [
        0,
        1,
        2,
        10,
        11,
        12,
        13,
    ]
    assert reading.arrays["observation.state"].tolist()[3:5] == [[1, 0], [2, 2]]
    assert reading.arrays["index"].tolist() == list(range(7))
    assert reading.arrays["timestamp"][4] == frame_times(np.array([1]), 30)[0]
    assert np.shape(reading.stats[CAMERA]["mean"]) == (3, 1, 1)
    assert reading.features["observation.state"]["names"] == ["a", "b"]


def test_one_episode_with_its_neighbours(dataset, official_reader):
    deltas = {CAMERA: [-1 / 30, 0], "observation.state": [0, 1 / 30]}
    reading = official_reader.read(dataset, episodes=[0], deltas=deltas)
    assert reading.length == 3
    assert [
        [frame_code(frame) for frame in pair] for pair in reading.arrays[CAMERA]
    ] == [
        [0, 0],
        [0, 1],
        [1, 2],
    ]
    assert reading.arrays[f"{CAMERA}_is_pad"].tolist() == [
        [True, False],
        [False, False],
        [False, False],
    ]
    assert reading.arrays["observation.state"][:, :, 0].tolist() == [
        [0, 1],
        [1, 2],
        [2, 2],
    ]


def test_a_refusal_is_told(dataset, official_reader):
    version = {"v2.1": "v3.0", "v3.0": "v2.1"}[
        official_reader.read(dataset).version
    ]
    with pytest.raises(OfficialError, match=r"\w+(Error|Enabled)"):
        official_reader.read(dataset, version=version)


@pytest.mark.parametrize(
    ("length", "height", "width"), [(7, 48, 64), (104, 320, 200)]
)
def test_lerobots_statistics_are_ours(official_reader, length, height, width):
    rng = np.random.default_rng(length)
    frames = rng.integers(0, 256, (length, height, width, 3), dtype=np.uint8)
    frames[..., 2] //= 3
    state = rng.normal(size=(length, 14)).astype(np.float32)
    theirs = official_reader.episode_stats(
        {"observation.state": state, CAMERA: frames}
    )
    stride = image_stride(height, width)
    sampled = frames[sample_frames(length), ::stride, ::stride]
    histogram = np.stack(
        [
            np.bincount(sampled[..., channel].ravel(), minlength=256)
            for channel in range(3)
        ]
    )
    ours = {
        "observation.state": FeatureStats.of_rows(state),
        CAMERA: FeatureStats.of_histogram(histogram, len(sampled)),
    }
    for key, mine in ours.items():
        assert [mine.count] == theirs[key]["count"]
        assert mine.min.tolist() == theirs[key]["min"]
        assert mine.max.tolist() == theirs[key]["max"]
        np.testing.assert_allclose(
            mine.mean, theirs[key]["mean"], rtol=1e-5, atol=1e-7
        )
        np.testing.assert_allclose(mine.std, theirs[key]["std"], rtol=1e-5)


def test_a_process_that_died_is_named(tmp_path):
    reader = OfficialReader(tmp_path)
    reader.episode_stats({"state": np.zeros((2, 3), np.float32)})
    process = reader._servers["v2.1"]._process
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(RuntimeError, match="the official LeRobot died"):
        reader.episode_stats({"state": np.zeros((2, 3), np.float32)})
    reader.close()


def test_a_missing_environment_fails_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(official, "ENVIRONMENT", tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="make oracle-env"):
        OfficialReader(tmp_path).read(tmp_path, version="v2.1")

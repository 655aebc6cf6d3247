"""Datasets that LeRobot itself recorded, as a foreign converter would: verified against HDF5."""

import numpy as np
import pytest

from piperline.verify import VerifyOptions, verify
from tests.helpers.recordings import SIZE, actions, paint, states, write_piper

pytestmark = pytest.mark.oracle

CAMERAS = ("left_wrist", "mid", "right_wrist")
LENGTHS = (14, 11)
TASKS = ("pick up the cube", "put it into the bowl")
FEATURES = {
    **{
        key: {
            "dtype": "float32",
            "shape": (14,),
            "names": [f"j{n}" for n in range(14)],
        }
        for key in ("observation.state", "action")
    },
    **{
        f"observation.images.{name}": {
            "dtype": "video",
            "shape": (*SIZE, 3),
            "names": ["height", "width", "channels"],
        }
        for name in CAMERAS
    },
}


def of_camera(episode, camera, order):
    return np.stack(
        [
            paint(episode, camera, number)[..., order]
            for number in range(LENGTHS[episode])
        ]
    )


def recorded(episode, orders):
    """An episode as `add_frame` takes it; `orders` of the colours of each camera."""
    values = {
        "observation.state": states(episode, LENGTHS[episode]).astype(
            np.float32
        ),
        "action": actions(episode, LENGTHS[episode]).astype(np.float32),
    }
    images = {
        f"observation.images.{name}": of_camera(episode, number, order)
        for number, (name, order) in enumerate(
            zip(CAMERAS, orders, strict=True)
        )
    }
    return [TASKS[episode]] * LENGTHS[episode], {**values, **images}


@pytest.fixture
def recording(tmp_path):
    return write_piper(tmp_path / "a.hdf5", lengths=LENGTHS, tasks=TASKS)


RGB, BGR = slice(None), slice(None, None, -1)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_what_lerobot_recorded_is_verified(
    tmp_path, recording, official_reader, version
):
    root = tmp_path / "set"
    episodes = [recorded(number, (RGB,) * 3) for number in (1, 0)]
    official_reader.write(root, episodes, version=version, features=FEATURES)
    report = verify(
        root, VerifyOptions(sources=(recording,), layout="piper", frames=0)
    )
    assert [str(finding) for finding in report.findings] == []
    assert report.looked.recorded_rows == sum(LENGTHS)
    assert report.looked.frames == 3 * sum(LENGTHS)
    assert report.looked.statistics > 0


def test_red_and_blue_that_a_converter_exchanged_are_found(
    tmp_path, recording, official_reader
):
    root = tmp_path / "set"
    episodes = [recorded(number, (RGB, BGR, RGB)) for number in (0, 1)]
    official_reader.write(root, episodes, version="v2.1", features=FEATURES)
    report = verify(
        root, VerifyOptions(sources=(recording,), layout="piper", frames=0)
    )
    told = [
        (f.code, f.place and (f.place.episode, f.place.camera))
        for f in report.findings
    ]
    assert told == [
        ("frame-colors", (str(n), "observation.images.mid")) for n in (0, 1)
    ]

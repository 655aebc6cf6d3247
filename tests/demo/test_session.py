"""The demo's recordings look like a real session."""

import hashlib

import h5py
import numpy as np
import pytest

from piperline.demo import write_recordings
from piperline.demo.motion import (
    BASES,
    LOWER,
    TASKS,
    UPPER,
    arm_points,
    plan_motion,
)
from piperline.demo.scene import CAMERAS, Scene
from piperline.recordings.layout import load_layout
from piperline.recordings.recording import Recording
from piperline.video.images import decode_image

SMALL = (48, 64)


@pytest.fixture(params=[0, 1], ids=["put", "pass"])
def motion(request):
    return plan_motion(
        np.random.default_rng(3), frames=120, fps=30, task=request.param
    )


def test_joints_are_smooth_and_within_the_limits_of_the_arms(motion):
    for values in (motion.state, motion.action):
        assert values.shape == (120, 14)
        assert (values >= np.array(LOWER * 2)).all()
        assert (values <= np.array(UPPER * 2)).all()
        assert np.abs(np.diff(values, axis=0)).max() < 0.25


def test_the_session_begins_with_half_a_second_of_rest(motion):
    assert np.ptp(motion.action[:15], axis=0).max() < 1e-9
    assert np.ptp(motion.state[:15], axis=0).max() < 5e-3
    assert np.ptp(motion.action[15:], axis=0).max() > 0.3


def test_the_state_follows_the_action(motion):
    same = np.abs(motion.state - motion.action).mean()
    later = np.abs(motion.state[2:] - motion.action[:-2]).mean()
    assert later < same / 2


def test_grippers_close_and_open(motion):
    for column in (6, 13):
        opening = motion.state[:, column]
        assert opening[0] > 0.06
        assert opening.min() < 0.04
        assert opening[-1] > 0.06


def test_the_cube_is_carried(motion):
    tips = [
        arm_points(motion.state[:, side * 7 : side * 7 + 7], base)[:, 3]
        for side, base in enumerate(BASES)
    ]
    held = (
        np.min(
            [np.linalg.norm(motion.cube - tip, axis=1) for tip in tips], axis=0
        )
        < 1e-6
    )
    assert held.sum() > 20
    assert not held[:15].any()
    assert np.linalg.norm(motion.cube[-1] - motion.cube[0]) > 0.1


def test_a_single_frame_is_a_session_too():
    assert plan_motion(
        np.random.default_rng(0), frames=1, fps=30, task=0
    ).state.shape == (1, 14)


def test_noise_never_wraps_around(motion):
    scene = Scene(np.random.default_rng(0), SMALL)
    for time in (0, 40, 60, 80):
        first, second = (
            scene.frame(motion, time, np.random.default_rng(seed))
            for seed in (1, 2)
        )
        for name in CAMERAS:
            difference = first[name].astype(int) - second[name]
            assert 1 < difference.std() < 8
            assert np.abs(difference).max() <= 46


def test_cameras_see_the_arms_move(motion):
    scene = Scene(np.random.default_rng(0), SMALL)
    before, after = (
        scene.frame(motion, time, np.random.default_rng(0)) for time in (0, 70)
    )
    for name in CAMERAS:
        assert np.abs(before[name].astype(int) - after[name]).mean() > 2


def test_files_are_recordings_of_the_built_in_layout(tmp_path):
    paths = write_recordings(
        tmp_path / "new", files=2, episodes=2, frames=(4, 5), size=SMALL
    )
    assert [path.name for path in paths] == ["session_1.hdf5", "session_2.hdf5"]
    assert sorted((tmp_path / "new").iterdir()) == paths
    with Recording(paths[1], load_layout("piper")) as recording:
        assert recording.episodes() == ["episode_0", "episode_1"]
        for name, length, task in zip(
            recording.episodes(), (4, 5), TASKS, strict=True
        ):
            header = recording.episode(name).header()
            assert (header.length, header.task) == (length, task)
            assert [
                (camera.storage, camera.height, camera.width)
                for camera in header.cameras.values()
            ] == [("jpeg", *SMALL)] * 3
            assert recording.episode(name).vectors(length)["action"].shape == (
                length,
                14,
            )


def test_images_are_as_large_as_real_ones(tmp_path):
    [path] = write_recordings(tmp_path, files=1, episodes=1, frames=2)
    with h5py.File(path) as file:
        images = [
            file["episode_0"][name][frame].tobytes()
            for name in CAMERAS
            for frame in range(2)
        ]
    assert all(45_000 < len(image) < 65_000 for image in images)
    assert decode_image(images[0]).shape == (480, 640, 3)


def test_bytes_follow_from_the_seed(tmp_path):
    digests = {}
    for run, seed in enumerate((1, 1, 2)):
        paths = write_recordings(
            tmp_path / str(run),
            files=2,
            episodes=1,
            frames=3,
            seed=seed,
            size=SMALL,
        )
        digests[run] = [
            hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
        ]
    assert digests[0] == digests[1]
    assert len({*digests[0], *digests[2]}) == 4

"""What `convert` makes, opened by LeRobot itself: the same rows, tasks, frames and statistics."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.features import frame_times
from piperline.video.encoder import MODES
from tests.helpers.recordings import (
    actions,
    has_true_colors,
    jpeg,
    paint,
    read_code,
    states,
    write_aloha,
    write_piper,
)

pytestmark = [pytest.mark.oracle, pytest.mark.usefixtures("workers_in_threads")]

CAMERAS = ("left_wrist", "mid", "right_wrist")
LENGTHS = (3, 12)
TASKS = ("pick up the cube", "put it into the bowl")
FPS = 30


def converted(
    folder, *, video="h264", version="v2.1", storage="jpeg-vlen", color="rgb"
):
    write_piper(
        folder / "a.hdf5", lengths=LENGTHS, storage=storage, color=color
    )
    job = make_job(video=video, color=color, format=version)
    return convert([folder / "a.hdf5"], folder / "out", job, workers=1).output


def as_stored(frame, storage):
    return (
        np.asarray(Image.open(io.BytesIO(jpeg(frame))))
        if storage.startswith("jpeg")
        else frame
    )


def key_of(camera):
    return f"observation.images.{camera}"


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"version": version, "video": video}
            for version in ("v2.1", "v3.0")
            for video in MODES
        ),
        {"storage": "raw", "color": "bgr"},
        {"storage": "jpeg-padded", "color": "swapped-jpeg"},
        {"storage": "jpeg-fixed-stripped", "video": "copy"},
    ],
    ids=lambda options: "-".join(options.values()),
)
def test_the_official_reader_returns_what_was_recorded(
    tmp_path, official_reader, options
):
    root = converted(tmp_path, **options)
    reading = official_reader.read(root)
    assert (reading.version, reading.fps) == (
        options.get("version", "v2.1"),
        FPS,
    )
    assert (reading.episodes, reading.length) == (2, 15)
    assert reading.cameras == [key_of(camera) for camera in CAMERAS]
    assert reading.task == [TASKS[0]] * 3 + [TASKS[1]] * 12
    for key, recorded in (("observation.state", states), ("action", actions)):
        expected = np.concatenate(
            [
                recorded(episode, length)
                for episode, length in enumerate(LENGTHS)
            ]
        )
        assert np.array_equal(reading.arrays[key], expected.astype(np.float32))
    place = [
        (episode, frame)
        for episode, length in enumerate(LENGTHS)
        for frame in range(length)
    ]
    frames = np.array([frame for _, frame in place])
    assert np.array_equal(reading.arrays["timestamp"], frame_times(frames, FPS))
    assert reading.arrays["episode_index"].tolist() == [
        episode for episode, _ in place
    ]
    assert reading.arrays["frame_index"].tolist() == [
        frame for _, frame in place
    ]
    assert reading.arrays["index"].tolist() == list(range(15))
    for number, camera in enumerate(CAMERAS):
        frames = reading.arrays[key_of(camera)]
        assert [read_code(frame) for frame in frames] == [
            (episode, number, frame) for episode, frame in place
        ]
        assert all(has_true_colors(frame, tolerance=40) for frame in frames)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", MODES)
def test_neighbours_in_one_episode(tmp_path, official_reader, version, video):
    root = converted(tmp_path, video=video, version=version)
    offsets = [-2, 0, 1]
    deltas = {
        key: [offset / FPS for offset in offsets]
        for key in (key_of("mid"), "action")
    }
    # lerobot 0.3.3 looks for neighbours in episode 1 of the selection
    episode = 0 if version == "v2.1" else 1
    reading = official_reader.read(root, episodes=[episode], deltas=deltas)
    last = LENGTHS[episode] - 1
    wanted = [
        [min(max(frame + offset, 0), last) for offset in offsets]
        for frame in range(last + 1)
    ]
    frames = reading.arrays[key_of("mid")]
    assert [
        [read_code(frame)[2] for frame in item] for item in frames
    ] == wanted
    assert {read_code(frame)[0] for item in frames for frame in item} == {
        episode
    }
    assert np.array_equal(
        reading.arrays["action"],
        actions(episode, last + 1).astype(np.float32)[wanted],
    )
    assert reading.arrays["action_is_pad"].tolist() == [
        [not 0 <= frame + offset <= last for offset in offsets]
        for frame in range(last + 1)
    ]


def test_lerobot_can_record_more_into_it(tmp_path, official_reader):
    """It counts the files that are named *.parquet, and takes each for an episode."""
    path = write_piper(tmp_path / "a.hdf5", episodes=2, lengths=3)
    convert([path], tmp_path / "out", make_job(), workers=1)
    assert official_reader.append(tmp_path / "out", 4) == 3
    assert official_reader.read(tmp_path / "out").length == 10


def test_another_layout(tmp_path, official_reader):
    write_aloha(tmp_path / "episode_0.hdf5", compressed=True)
    job = make_job(layout="aloha", task="fold the towel", video="copy")
    reading = official_reader.read(
        convert([tmp_path], tmp_path / "out", job, workers=1).output
    )
    assert reading.task == ["fold the towel"] * 5
    for number, key in enumerate(reading.cameras):
        assert [read_code(frame) for frame in reading.arrays[key]] == [
            (0, number, frame) for frame in range(5)
        ]


@pytest.mark.parametrize(
    ("storage", "size", "tolerance"),
    [
        ("raw", (48, 64), 1e-9),
        ("png-vlen", (230, 308), 1e-9),
        (
            "jpeg-vlen",
            (230, 308),
            0.05 / 255,
        ),  # another inverse DCT than libjpeg's
        ("jpeg-vlen", (48, 64), 0.1 / 255),
    ],
)
def test_statistics_are_those_of_lerobot_0_3_3(
    tmp_path, official_reader, storage, size, tolerance
):
    length = 104  # of which 100 are sampled
    path = write_piper(
        tmp_path / "a.hdf5",
        episodes=1,
        lengths=length,
        storage=storage,
        size=size,
    )
    root = convert([path], tmp_path / "out", make_job(), workers=1).output
    ours = json.loads((root / "meta/episodes_stats.jsonl").read_text())["stats"]
    index = np.arange(length)
    columns = {
        "observation.state": states(0, length).astype(np.float32),
        "action": actions(0, length).astype(np.float32),
        "timestamp": index / FPS,
        "frame_index": index,
        "episode_index": index * 0,
        "index": index,
        "task_index": index * 0,
        key_of("mid"): np.stack(
            [
                as_stored(paint(0, 1, frame, size), storage)
                for frame in range(length)
            ]
        ),
    }
    theirs = official_reader.episode_stats(columns)
    for key, stats in theirs.items():
        assert list(ours[key]) == list(stats)
        for name, value in stats.items():
            allowed = tolerance if key == key_of("mid") else 1e-6
            assert np.shape(ours[key][name]) == np.shape(value), (key, name)
            np.testing.assert_allclose(
                ours[key][name],
                value,
                rtol=1e-6,
                atol=allowed,
                err_msg=f"{key} {name}",
            )

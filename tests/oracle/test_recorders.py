"""Recorders' files become datasets that LeRobot itself opens, with the same content."""

import numpy as np
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.helpers.depth import (
    DEPTH,
    LENGTHS,
    depth_layout,
    distances,
    write_depth,
)
from tests.helpers.recorders import RECORDERS
from tests.helpers.recordings import has_true_colors, read_code
from tests.oracle.official import NEWEST

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.usefixtures("workers_in_threads"),
]


TASK = "do what is shown"


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("recorder", RECORDERS)
def test_the_official_reader_opens_what_recorders_wrote(
    tmp_path, official_reader, recorder, version
):
    (tmp_path / "in").mkdir()
    recorded = RECORDERS[recorder](tmp_path / "in")
    job = make_job(inputs=[recorded.source], format=version, task=TASK)
    output = convert([recorded.source], tmp_path / "out", job, workers=1).output
    reading = official_reader.read(output)
    assert (reading.version, reading.fps) == (version, recorded.fps)
    assert reading.cameras == [
        f"observation.images.{name}" for name in recorded.cameras
    ]
    for key, rows in (
        ("observation.state", recorded.state),
        ("action", recorded.action),
    ):
        assert np.array_equal(
            reading.arrays[key], np.concatenate(rows).astype(np.float32)
        )
    lengths = [len(rows) for rows in recorded.state]
    tasks = zip(recorded.tasks, lengths, strict=True)
    assert reading.task == [
        task or TASK for task, length in tasks for _ in range(length)
    ]
    for number, key in enumerate(reading.cameras):
        frames = reading.arrays[key]
        numbers = [(number, t) for length in lengths for t in range(length)]
        assert [read_code(frame)[1:] for frame in frames] == numbers
        assert all(has_true_colors(frame, tolerance=40) for frame in frames)


def test_the_official_reader_opens_depth(tmp_path, official_reader):
    """From lerobot 0.6 on distances come back; 0.4 opens the dataset, and shows pictures."""
    path = write_depth(tmp_path)
    job = make_job(layout=depth_layout(), inputs=[path], format="v3.0")
    output = convert([path], tmp_path / "out", job, workers=1).output
    reading = official_reader.read(output)
    assert reading.features[DEPTH]["info"]["is_depth_map"] is True
    assert len(reading.arrays[DEPTH]) == sum(LENGTHS)
    if not NEWEST:
        return
    frames = [(e, t) for e, length in enumerate(LENGTHS) for t in range(length)]
    for (episode, frame), shown in zip(
        frames, reading.arrays[DEPTH], strict=True
    ):
        recorded = distances(episode, frame)
        seen = recorded > 0
        assert shown.shape == (1, *recorded.shape)
        assert np.abs(shown[0] - recorded)[seen].max() <= 2
    assert np.ravel(reading.stats[DEPTH]["min"]).tolist() == [0.0]

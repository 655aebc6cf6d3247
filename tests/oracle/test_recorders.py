"""Recorders' files become datasets that LeRobot itself opens, with the same content."""

import numpy as np
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.helpers.recorders import RECORDERS
from tests.helpers.recordings import has_true_colors, read_code

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize(
    ("recorder", "version"),
    [
        ("agilex-paths", "v2.1"),
        ("control-your-robot-jpeg", "v2.1"),
        ("libero", "v3.0"),
        ("robomind2", "v3.0"),
    ],
)
def test_the_official_reader_opens_what_recorders_wrote(
    tmp_path, official_reader, recorder, version
):
    (tmp_path / "in").mkdir()
    recorded = RECORDERS[recorder](tmp_path / "in")
    job = make_job(inputs=[recorded.source], format=version)
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
        task for task, length in tasks for _ in range(length)
    ]
    for number, key in enumerate(reading.cameras):
        frames = reading.arrays[key]
        numbers = [(number, t) for length in lengths for t in range(length)]
        assert [read_code(frame)[1:] for frame in frames] == numbers
        assert all(has_true_colors(frame, tolerance=40) for frame in frames)

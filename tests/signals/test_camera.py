"""What is measured of a camera's images."""

from dataclasses import replace

import numpy as np
import pytest

from piperline.recordings.find import find_recordings
from piperline.recordings.layout import load_layout
from piperline.review.source import ReviewUnit, measure_unit
from piperline.signals.camera import CameraSignals, jpeg_quality, measure
from tests.helpers.recorders import RECORDERS
from tests.helpers.recordings import jpeg, paint, png

SIZE = (60, 80)


def noise(seed, level=90.0, spread=30.0):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(level, spread, (*SIZE, 3)), 0, 255).astype(
        np.uint8
    )


@pytest.mark.parametrize("quality", [20, 50, 75, 92])
def test_the_quality_is_that_of_libjpeg(quality):
    assert jpeg_quality(jpeg(noise(0), quality=quality)) == pytest.approx(
        quality, abs=2
    )


def test_what_is_no_jpeg_has_no_quality():
    assert np.isnan(jpeg_quality(png(noise(0))))
    assert np.isnan(jpeg_quality(b"\xff\xdb\0"))


def test_equal_images_have_equal_hashes_and_padding_does_not_count():
    images = [jpeg(noise(0)), jpeg(noise(0)) + b"\0\0\0", jpeg(noise(1))]
    hashes = measure(images, *SIZE).hashes
    assert hashes[0] == hashes[1] != hashes[2]


def test_motion_is_the_change_of_the_picture_and_not_of_the_light():
    still = jpeg(paint(0, 0, 0, SIZE))
    other = jpeg(paint(255, 15, 4095, SIZE))
    found = measure([still, still, other], *SIZE)
    assert found.motion[1] < 0.5
    assert found.motion[2] > 20
    assert (
        measure([jpeg(noise(0, 80)), jpeg(noise(0, 100))], *SIZE).motion[1] < 3
    )


def test_a_damaged_image_is_named_and_the_one_before_stands_for_it():
    images = [
        jpeg(noise(0)),
        jpeg(noise(1))[:200] + b"\xff\xd9",
        jpeg(noise(0)),
    ]
    found = measure(images, *SIZE)
    assert found.damaged.tolist() == [1]
    assert found.motion[1] == 0


def test_sharp_pictures_are_sharper_than_smooth_ones():
    sharp, smooth = (
        measure([jpeg(noise(0))], *SIZE),
        measure([jpeg(noise(0, spread=3))], *SIZE),
    )
    assert sharp.sharpness > smooth.sharpness + 2


@pytest.mark.parametrize("count", [1, 2, 3, 21, 30])
def test_signals_survive_as_arrays(count):
    found = measure([jpeg(noise(i)) for i in range(count)], *SIZE)
    again = CameraSignals.of_arrays(found.arrays())
    for name, value in found.arrays().items():
        assert np.array_equal(
            value, np.asarray(getattr(again, name)), equal_nan=True
        ), name
    assert len(found.motion) == len(found.hashes) == count


def test_red_and_blue_are_where_the_layout_says_for_this_way_of_storing(
    tmp_path,
):
    recorded = RECORDERS["control-your-robot-raw"](tmp_path)
    path = find_recordings([recorded.source])[0][0]
    layout = load_layout(recorded.layout)
    plain = {
        name: replace(rule, color="rgb")
        for name, rule in layout.cameras.items()
    }
    unit = ReviewUnit(path, "source", "session", path.stem, "key", "made of")
    by_storage, told = (
        measure_unit(unit, rules, pictures=True).cameras["head"].red_blue
        for rules in (layout, replace(layout, cameras=plain))
    )
    np.testing.assert_array_equal(by_storage, told)

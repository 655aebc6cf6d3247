"""What is measured of a camera's images."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from piperline.recordings.find import find_recordings
from piperline.recordings.layout import load_layout
from piperline.review.source import ReviewUnit, measure_unit
from piperline.signals.camera import (
    CameraMeter,
    CameraSignals,
    jpeg_quality,
    measure,
)
from piperline.signals.frames import WINDOW, FrameMeter
from piperline.video.decoder import PictureDecoder
from piperline.video.thumbnails import (
    HEIGHT,
    WIDTH,
    luma_of,
    thumbnail_of,
)
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


def test_an_empty_image_is_damaged_and_those_behind_it_are_not():
    image = jpeg(noise(0))
    found = measure([image, b"", image, image], *SIZE)
    assert found.damaged.tolist() == [1]


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


def thumbnails(count):
    """Noise over a patch that goes to and fro, in a light that changes; float32."""
    rng = np.random.default_rng(count)
    luma = rng.normal(90, 20, (1, HEIGHT, WIDTH)) + rng.normal(
        0, 3, (count, HEIGHT, WIDTH)
    )
    for number, one in enumerate(luma):
        left = abs(number % 60 - 30)
        one[10:20, left : left + 8] += 60
    luma += (np.arange(count) % 7)[:, None, None]
    return luma.astype(np.float32)


@pytest.mark.parametrize("count", [3, 20, 21, 60, 61, 100, 187])
def test_images_that_come_one_by_one_are_compared_as_if_all_were_there(count):
    luma = thumbnails(count)
    meter = FrameMeter()
    for one in luma:
        meter.add(one)
    found = meter.result()
    even = luma - luma.mean(axis=(1, 2), keepdims=True)
    steps = np.abs(np.diff(even, axis=0))
    motion = steps.mean(axis=(1, 2))
    off = np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2)
    halves = off.reshape(-1, 6, 5, 8, 5).mean(axis=(2, 4)).reshape(-1, 2, 24)
    expected = {
        "mean": luma.mean(axis=(1, 2)),
        "contrast": luma.std(axis=(1, 2)),
        "motion": np.concatenate([motion[:1], motion]),
        "change": np.abs(even[WINDOW:] - even[:-WINDOW]).mean(axis=(1, 2)),
        "tear": np.median(halves, axis=2).T,
        "activity": steps.reshape(-1, 6, 5, 8, 5).mean(axis=(0, 2, 4)),
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)


def test_memory_does_not_grow_with_an_episode():
    luma = thumbnails(60)
    colored = np.stack([luma, luma, luma], axis=1)

    def peak(count):
        meter = CameraMeter(480, 640)
        tracemalloc.start()
        for number in range(count):
            meter.see(b"%d" % number)
            meter.add(colored[number % 60])
        signals = meter.result()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(signals.motion) == len(signals.hashes) == count
        assert len(signals.shown) == 5
        return found

    assert peak(3200) < peak(400) + 1_000_000  # as thumbnails they are 14 MB


@pytest.mark.parametrize("size", [(480, 640), (240, 320), (482, 642)])
@pytest.mark.parametrize("swap", [False, True])
def test_pictures_are_measured_in_a_row_as_they_are_one_by_one(size, swap):
    rng = np.random.default_rng(size[0])
    waves = np.linspace(0, 7, size[1])[None, :, None]
    shape = (*size, 3)
    images = [
        np.clip(
            120 + 60 * np.sin(waves + 0.2 * n) + rng.normal(0, 8, shape), 0, 255
        ).astype(np.uint8)
        for n in range(21)
    ]
    kinds = [jpeg, png, jpeg, jpeg]  # other kinds in between
    payloads = [kinds[n // 6](image) for n, image in enumerate(images)]
    decoder = PictureDecoder()
    in_a_row, alone = CameraMeter(*size), CameraMeter(*size)
    for number, payload in enumerate(payloads):
        picture = decoder.encoded(payload)
        in_a_row.see(payload)
        alone.see(payload)
        if number in {4, 17}:
            in_a_row.add_damaged()
            alone.add_damaged()
            continue
        in_a_row.add_picture(picture, swap=swap)
        luma = luma_of(picture) if alone.wants_luma else None
        alone.add(thumbnail_of(picture, swap=swap), luma)
    one, other = in_a_row.result().arrays(), alone.result().arrays()
    for name, values in other.items():
        np.testing.assert_array_equal(one[name], values, err_msg=name)
    assert len(one["hashes"]) == 21
    assert np.ptp(one["mean"]) > 0

"""Small videos of recorded images: every frame, the right colours, in step with the rows."""

import numpy as np
import pytest

from piperline.signals.camera import measure
from piperline.video.decoder import decode
from piperline.video.preview import PreviewWriter, preview_size
from tests.helpers.recordings import (
    has_true_colors,
    jpeg,
    paint,
    png,
    read_code,
)


def film(path, images, size, *, swap=False):
    with PreviewWriter(path, *size, fps=30, swap=swap) as writer:
        measured = measure(images, *size, swap=swap, film=writer)
    return list(decode(path)), measured


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((480, 640), (320, 240)),
        ((720, 1280), (320, 180)),
        ((48, 64), (64, 48)),
        ((243, 321), (320, 242)),
        ((1, 4000), (320, 2)),
    ],
)
def test_sizes_are_even_and_at_most_320_wide(size, small):
    assert preview_size(*size) == small


@pytest.mark.parametrize(
    "encode", [jpeg, png, np.asarray], ids=["jpeg", "png", "raw"]
)
@pytest.mark.parametrize("swap", [False, True])
def test_every_image_is_a_frame_of_its_colours(encode, swap, tmp_path):
    order = -1 if swap else 1
    images = [paint(1, 2, n, (480, 640)) for n in range(12)]
    stored = [
        encode(np.ascontiguousarray(image[..., ::order])) for image in images
    ]
    frames, measured = film(tmp_path / "0.mp4", stored, (480, 640), swap=swap)
    alone = measure(stored, 480, 640, swap=swap)
    for name, values in alone.arrays().items():
        np.testing.assert_array_equal(measured.arrays()[name], values)
    assert [read_code(frame) for frame in frames] == [
        (1, 2, n) for n in range(12)
    ]
    assert all(map(has_true_colors, frames))
    assert frames[0].shape == (240, 320, 3)


def test_a_damaged_image_is_the_one_before_again(tmp_path):
    images = [b"no image", *(jpeg(paint(0, 0, n)) for n in range(4))]
    images[2] = images[2][:200]
    (grey, *frames), measured = film(tmp_path / "0.mp4", images, (48, 64))
    assert np.abs(grey.astype(int) - 128).max() < 10
    assert [read_code(frame)[2] for frame in frames] == [0, 0, 2, 3]
    assert measured.damaged.tolist() == [0, 2]


def test_images_of_other_sizes_are_scaled_to_the_first(tmp_path):
    images = [
        jpeg(paint(0, 0, n, size))
        for n, size in enumerate([(48, 64), (96, 128), (24, 32)])
    ]
    frames, _ = film(tmp_path / "0.mp4", images, (48, 64))
    assert [read_code(frame)[2] for frame in frames] == [0, 1, 2]

"""Which of two pictures a third shows, and how well."""

import math

import numpy as np
import pytest

from piperline.video.decoder import PictureDecoder, rgb
from piperline.video.encoder import for_encoder
from piperline.video.likeness import BLOCK, View, psnr, shows
from tests.helpers.recordings import jpeg, paint

DECODER = PictureDecoder()
SIZES = [(48, 64), (50, 70), (63, 97), (5, 7)]


def of_array(pixels):
    return View.of(DECODER.raw(np.ascontiguousarray(pixels)))


def plain_blocks(pixels):
    """The mean of each block, one after the other; a picture smaller than a block is one."""
    height, width = pixels.shape[:2]
    high, wide = min(BLOCK, height), min(BLOCK, width)
    return np.array(
        [
            [
                pixels[
                    y * high : (y + 1) * high, x * wide : (x + 1) * wide
                ].mean(axis=(0, 1))
                for x in range(width // wide)
            ]
            for y in range(height // high)
        ]
    )


@pytest.mark.parametrize("size", SIZES)
def test_blocks_are_means(size):
    pixels = np.random.default_rng(0).integers(
        0, 256, (*size, 3), dtype=np.uint8
    )
    np.testing.assert_allclose(
        of_array(pixels).blocks, plain_blocks(pixels), atol=1e-3
    )


@pytest.mark.parametrize("full", [True, False])
def test_blocks_of_planes_are_those_of_pixels(full):
    """Of JPEG in full range, and of what an encoder takes: limited range."""
    picture = DECODER.encoded(jpeg(paint(5, 2, 77, (96, 128))))
    picture = picture if full else for_encoder(picture)
    assert picture.format.name == ("yuvj420p" if full else "yuv420p")
    found, wanted = View.of(picture).blocks, plain_blocks(rgb(picture))
    assert np.abs(found - wanted).mean() < 1
    # colours that RGB cannot show are clipped there
    assert np.abs(found - wanted).max() < 8


def test_psnr_is_that_of_the_formula():
    one = np.full((48, 64, 3), 100, np.uint8)
    assert psnr(of_array(one), of_array(one)) == math.inf
    apart = psnr(of_array(one), of_array(one + 10))
    assert apart == pytest.approx(20 * math.log10(255 / 10))


def test_what_is_shown():
    own, other = (of_array(paint(0, 0, number)) for number in (4, 5))
    noise = np.random.default_rng(0).normal(0, 6, (48, 64, 3))
    seen = of_array(np.clip(paint(0, 0, 4) + noise, 0, 255).astype(np.uint8))
    assert shows(seen, own, other, "h264") is True
    assert shows(seen, other, own, "h264") is False
    assert shows(seen, own, own, "h264") is None
    assert (
        shows(seen, own, of_array(np.zeros((40, 64, 3), np.uint8)), "h264")
        is None
    )


def test_red_and_blue():
    own = of_array(paint(0, 0, 4))
    seen = of_array(paint(0, 0, 4)[..., ::-1])
    assert shows(seen, own, own.exchanged, "h264") is False


@pytest.mark.parametrize(("codec", "told"), [("h264", True), ("av1", None)])
def test_av1_needs_more_evidence(codec, told):
    pixels = np.full((48, 64, 3), 100, np.uint8)
    other = pixels.copy()
    other[:8, :24] += 40
    assert (
        shows(of_array(pixels), of_array(pixels), of_array(other), codec)
        is told
    )

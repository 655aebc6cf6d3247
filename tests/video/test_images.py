"""Stills against Pillow, another implementation of JPEG and PNG."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from piperline.errors import VideoError
from piperline.video.images import (
    contact_sheet,
    decode_image,
    encode_jpeg,
    encode_png,
)


def scene(height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """Red on the left, blue on the right, with texture and noise."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    red = 200 - 160 * x / width + 20 * np.sin(x / 5)
    green = 100 + 60 * np.sin((x + y) / 9)
    blue = 40 + 160 * x / width + 20 * np.sin(y / 7)
    noisy = np.stack([red, green, blue], axis=-1) + rng.normal(
        0, 2, (height, width, 1)
    )
    return noisy.clip(0, 255).astype(np.uint8)


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def pillow_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(
        10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean())
    )


def test_jpeg_is_as_good_as_libjpeg_at_quality_92():
    ours = psnr(scene(), by_pillow(encode_jpeg(scene())))
    theirs = psnr(scene(), by_pillow(pillow_jpeg(scene(), 92)))
    assert abs(ours - theirs) < 1.2


def test_jpeg_bytes_repeat_and_colours_are_true():
    data = encode_jpeg(scene())
    assert data == encode_jpeg(scene())
    assert data[:2] == b"\xff\xd8"
    assert data[-2:] == b"\xff\xd9"
    left, right = (
        by_pillow(data)[:, :20].mean(axis=(0, 1)),
        by_pillow(data)[:, -20:].mean(axis=(0, 1)),
    )
    assert left[0] > left[2] + 100
    assert right[2] > right[0] + 100


def test_black_and_white_stay_black_and_white():
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    image[:, 16:] = 255
    decoded = by_pillow(encode_jpeg(image))
    assert decoded[:, :14].max() <= 2
    assert decoded[:, 18:].min() >= 253


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1), (480, 640)])
def test_sizes_are_kept(size):
    image = scene(*size)
    assert (
        by_pillow(encode_jpeg(image)).shape
        == decode_image(encode_jpeg(image)).shape
        == (*size, 3)
    )
    assert np.array_equal(decode_image(encode_png(image)), image)
    assert np.array_equal(by_pillow(encode_png(image)), image)


def test_decoding_agrees_with_pillow():
    for data in (encode_jpeg(scene()), pillow_jpeg(scene(), 90)):
        assert psnr(decode_image(data), by_pillow(data)) > 45


def test_grey_and_transparent_images_become_rgb():
    grey, clear = io.BytesIO(), io.BytesIO()
    Image.fromarray(scene()[:, :, 0]).save(grey, "PNG")
    Image.fromarray(scene()).convert("RGBA").save(clear, "PNG")
    assert np.array_equal(
        decode_image(grey.getvalue())[:, :, 2], scene()[:, :, 0]
    )
    assert np.array_equal(decode_image(clear.getvalue()), scene())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        b"no image at all",
        encode_jpeg(scene())[:2000],
        encode_png(scene())[:2000],
        # A PNG header that claims 60,000 x 60,000 pixels.
        encode_png(scene())[:16]
        + b"\x00\x00\xea\x60" * 2
        + encode_png(scene())[24:],
    ],
    ids=["empty", "no scan", "text", "half a JPEG", "half a PNG", "too large"],
)
def test_damaged_images_are_refused(data):
    with pytest.raises(VideoError, match="not an image") as caught:
        decode_image(data)
    assert f"{len(data)} bytes" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_only_images_are_encoded(wrong):
    with pytest.raises(ValueError, match="an image is uint8"):
        encode_jpeg(wrong)


def test_a_contact_sheet_has_a_row_for_each_camera():
    red, blue = np.zeros((2, 10, 20, 3), dtype=np.uint8)
    red[..., 0] = blue[..., 2] = 200
    sheet = contact_sheet([[red, blue], [], [blue]], gap=3)
    assert sheet.shape == (10 * 2 + 3 * 3, 20 * 2 + 3 * 3, 3)
    assert np.array_equal(sheet[3:13, 3:23], red)
    assert np.array_equal(sheet[3:13, 26:46], blue)
    assert np.array_equal(sheet[16:26, 3:23], blue)
    assert (sheet[16:26, 26:46] == 255).all()
    assert (sheet[:3] == 255).all()


def test_a_contact_sheet_fits_the_width():
    row = [scene()] * 4
    assert contact_sheet([row], max_width=10_000).shape == (128, 660, 3)
    sheet = contact_sheet([row], gap=2, max_width=330)
    assert 300 < sheet.shape[1] <= 330
    assert abs(float(sheet[2:-2, 2:80].mean()) - float(scene().mean())) < 4
    with pytest.raises(ValueError, match="do not fit"):
        contact_sheet([row], gap=10, max_width=40)
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([[]])

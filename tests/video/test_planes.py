"""The planes of JPEG on their way to an encoder."""

import io
from threading import Thread

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray
from PIL import Image

from piperline.video.decoder import PictureDecoder, rgb
from piperline.video.encoder import for_encoder
from piperline.video.planes import exchanged, limited


def scene(height: int, width: int) -> NDArray[np.uint8]:
    """Slow colours, most of them strong, and some detail in all three."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 21), np.cos(y / 17), np.sin((x + y) / 29)]
    detail = 12 * np.sin(x / 2 + y / 3)
    colours = 128 + 100 * np.stack(waves, -1) + detail[..., None]
    return np.asarray(colours, np.uint8)


def as_jpeg(pixels: NDArray[np.uint8], subsampling: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=95, subsampling=subsampling
    )
    return buffer.getvalue()


def apart(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    return np.asarray(np.abs(one.astype(np.int16) - other), np.uint8)


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (16, 18), (1, 1)])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_red_and_blue_are_exchanged_and_nothing_else(size, subsampling):
    data = as_jpeg(scene(*size), subsampling)
    plain = rgb(for_encoder(PictureDecoder().encoded(data)))
    right = PictureDecoder(swap=True).encoded(data)
    assert for_encoder(right) is right, "as encoders take it"
    difference = apart(rgb(right), plain[..., ::-1])
    # Rounding to the steps of the limited range.
    assert difference.max() <= 5
    assert difference.mean() <= 1


def samples(plane: VideoPlane) -> NDArray[np.uint8]:
    rows = np.frombuffer(memoryview(plane), np.uint8)
    return rows.reshape(plane.height, -1)[:, : plane.width]


def full_range(form: str, size: tuple[int, int]) -> VideoFrame:
    """As it comes out of a JPEG, or out of a video that says so."""
    if form == "yuv420p":
        picture = full_range("yuvj420p", size)
        planes = [samples(plane).copy() for plane in picture.planes]
        result = VideoFrame(picture.width, picture.height, form)
        for plane, values in zip(result.planes, planes, strict=True):
            samples(plane)[:] = values
        result.color_range = 2
        return result
    pixels = scene(*size)
    if form == "gray":
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0]).save(buffer, "JPEG", quality=95)
        return PictureDecoder().encoded(buffer.getvalue())
    subsampling = ":".join(form.removeprefix("yuvj").removesuffix("p"))
    return PictureDecoder().encoded(as_jpeg(pixels, subsampling))


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (1, 1)])
@pytest.mark.parametrize(
    "form", ["yuvj420p", "yuvj422p", "yuvj444p", "gray", "yuv420p"]
)
def test_no_full_range_is_dithered_on_its_way_to_the_encoder(form, size):
    """Dither doubles the bytes of a video. FFmpeg adds it where it converts ranges itself."""
    picture = full_range(form, size)
    assert picture.format.name == form
    seen = for_encoder(picture)
    assert (seen.format.name, seen.color_range) == ("yuv420p", 1)
    luma = samples(picture.planes[0]).astype(float)
    expected = np.floor(16.5 + luma * 219 / 255)
    assert np.array_equal(samples(seen.planes[0]), expected)
    if form == "gray":
        assert (samples(seen.planes[1]) == 128).all()
        assert (samples(seen.planes[2]) == 128).all()
    elif size != (1, 1):
        assert apart(rgb(seen), rgb(picture)).mean() < 5


def test_colours_outside_of_rgb_are_exchanged_too():
    """Coarse JPEG holds some: they come back as they would be shown, not cut off on the way."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (96, 128, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=30, subsampling="4:2:0")
    data = buffer.getvalue()
    recorded = rgb(PictureDecoder().encoded(data))
    right = rgb(PictureDecoder(swap=True).encoded(data))
    assert apart(right, recorded[..., ::-1]).mean() < 1.5


def test_exchanged_planes_are_what_the_formula_says():
    """ITU-T T.871: B - Y is 1.772 of the blue difference, R - Y is 1.402 of the red one."""
    picture = PictureDecoder().encoded(as_jpeg(scene(96, 128), "4:2:0"))
    y, b, r = (samples(plane).astype(float) for plane in picture.planes)
    blue, red = 1.772 * (b - 128), 1.402 * (r - 128)
    added = (0.299 - 0.114) * (blue - red)
    luma = 16 + (y + added.repeat(2, 0).repeat(2, 1)) * 219 / 255
    expected = (
        luma,
        128 + (red - added) / 1.772 * 224 / 255,
        128 + (blue - added) / 1.402 * 224 / 255,
    )
    for plane, values in zip(exchanged(picture).planes, expected, strict=True):
        off = samples(plane) - values
        assert np.abs(off).max() < 2, "three are rounded"
        assert abs(off.mean()) < 0.1, "no plane is brighter or darker by it"


def test_grey_stays_grey_when_red_and_blue_are_exchanged():
    shades = np.tile(np.arange(0, 256, 2, dtype=np.uint8), (96, 1))
    pixels = np.stack([shades] * 3, axis=-1)
    picture = PictureDecoder().encoded(as_jpeg(pixels, "4:2:0"))
    right, plain = exchanged(picture), limited(picture)
    for plane, other in zip(right.planes, plain.planes, strict=True):
        assert np.array_equal(samples(plane), samples(other))


def test_one_size_and_form_behind_another():
    for size in [(64, 48), (48, 64), (64, 48)]:
        for subsampling in ["4:2:0", "4:2:2"]:
            picture = PictureDecoder().encoded(
                as_jpeg(scene(*size), subsampling)
            )
            seen = rgb(limited(picture))
            assert seen.shape == rgb(picture).shape
            assert apart(seen, rgb(picture)).mean() < 3


def test_threads_do_not_take_each_others_pictures():
    pictures = [
        PictureDecoder().encoded(as_jpeg(scene(96, 128) // n, "4:2:0"))
        for n in (1, 2, 3, 4)
    ]
    expected = [rgb(exchanged(picture)) for picture in pictures]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(100):
            seen = rgb(exchanged(pictures[number]))
            if not np.array_equal(seen, expected[number]):
                wrong.append(number)

    threads = [Thread(target=work, args=(n,)) for n in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

"""The planes of JPEG on their way to an encoder."""

import io
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from piperline.video.decoder import PictureDecoder, rgb
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
    recorded = rgb(PictureDecoder().encoded(data))
    right = PictureDecoder(swap=True).encoded(data)
    assert right.color_range == 1, "limited"
    difference = apart(rgb(right), recorded[..., ::-1])
    # Rounding to the steps of the limited range, once; FFmpeg's own way over RGB is as near.
    assert difference.max() <= 6
    assert difference.mean() <= 1


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


def test_one_size_and_form_behind_another():
    for size in [(64, 48), (48, 64), (64, 48)]:
        for subsampling in ["4:2:0", "4:2:2"]:
            picture = PictureDecoder().encoded(
                as_jpeg(scene(*size), subsampling)
            )
            assert apart(rgb(limited(picture)), rgb(picture)).max() <= 4


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

"""Thumbnails are what images show, however they are stored; spans begin at their first frame."""

import numpy as np
import pytest

from piperline.video.decoder import PictureDecoder
from piperline.video.encoder import for_encoder
from piperline.video.thumbnails import (
    HEIGHT,
    WIDTH,
    ThumbnailDecoder,
    colored,
    luma_of,
    thumbnail_of,
    video_pictures,
)
from tests.helpers.bombs import TEXTS, jpeg_of, png_of
from tests.helpers.recordings import jpeg, paint, png, read_code

LARGE = (480, 640)


def area_means(rgb, size=(HEIGHT, WIDTH)):
    height, width = size
    blocks = rgb.reshape(
        height, rgb.shape[0] // height, width, rgb.shape[1] // width, 3
    )
    return blocks.mean(axis=(1, 3))


@pytest.mark.parametrize(
    "store", [jpeg, png, lambda rgb: rgb], ids=["jpeg", "png", "raw"]
)
def test_a_thumbnail_is_the_mean_of_what_it_covers(store):
    image = paint(3, 1, 200, LARGE)
    small = ThumbnailDecoder(LARGE[1]).small(store(image))
    assert small.shape == (3, HEIGHT, WIDTH)
    off = np.abs(colored(small).astype(float) - area_means(image))
    assert np.median(off) < 3
    assert off.mean() < 8  # chroma of 4:2:0 at the edges of the patches


def test_small_images_are_decoded_whole():
    image = paint(3, 1, 200, (60, 80))
    small = ThumbnailDecoder(80).small(jpeg(image, quality=95))
    assert (
        np.median(np.abs(colored(small).astype(float) - area_means(image))) < 4
    )


def test_exchanged_colours_are_put_right():
    image = paint(0, 0, 0, LARGE)
    swapped = jpeg(np.ascontiguousarray(image[..., ::-1]))
    small = colored(ThumbnailDecoder(LARGE[1], swap=True).small(swapped))
    patch = small[HEIGHT * 3 // 4, WIDTH // 6]
    assert patch[0] > 150
    assert patch[2] < 100


def test_luma_is_that_of_the_whole_image():
    luma = ThumbnailDecoder(LARGE[1]).luma(jpeg(paint(5, 2, 77, LARGE)))
    assert luma.shape == LARGE
    assert read_code(np.repeat(luma[..., None], 3, axis=2)) == (5, 2, 77)


@pytest.mark.parametrize(
    "data", [b"", jpeg(paint(0, 0, 0))[:300], png(paint(0, 0, 0))[:100]]
)
def test_a_damaged_image_is_told(data):
    with pytest.raises(ValueError, match=r"decode|cut short|images|is empty"):
        ThumbnailDecoder(64).small(data)


def test_a_span_of_a_video_begins_at_its_first_frame(tmp_path):
    from piperline.video.decoder import PictureDecoder, rgb
    from piperline.video.encoder import MODES, VideoWriter

    decoder = PictureDecoder()
    with VideoWriter(tmp_path / "a.mp4", MODES["h264"], fps=30) as writer:
        for frame in range(40):
            writer.add(decoder.encoded(jpeg(paint(1, 0, frame))))
    for first, count in ((0, 3), (13, 5), (37, 3)):
        with video_pictures(tmp_path / "a.mp4", first, count) as pictures:
            codes = [read_code(rgb(picture))[2] for picture in pictures]
        assert codes == [*range(first, first + count)]
    with video_pictures(tmp_path / "a.mp4", 5, 1) as pictures:
        assert thumbnail_of(next(pictures)).shape == (3, HEIGHT, WIDTH)


@pytest.mark.parametrize("name", ["size", "jpeg", *TEXTS])
def test_what_would_unfold_to_gigabytes_is_damaged(name):
    small = jpeg(paint(3, 1, 200))
    bombs = {
        "size": png_of(16000, 16000),
        "jpeg": jpeg_of(small, 16000, 16000),
        **{kind: png_of(96, 72, text) for kind, text in TEXTS.items()},
    }
    decoder = ThumbnailDecoder(640)
    with pytest.raises(ValueError, match=r"pixels|MiB|decode"):
        decoder.small(bombs[name])
    assert decoder.small(small).shape == (3, HEIGHT, WIDTH)


def test_what_an_encoder_gets_shows_what_was_recorded():
    """Its range is limited: put right, it differs by the rounding of its levels."""
    recorded = PictureDecoder().encoded(jpeg(paint(3, 1, 200, LARGE)))
    encoded = for_encoder(recorded)
    off = np.abs(thumbnail_of(encoded) - thumbnail_of(recorded))
    assert off.max() < 1
    levels = luma_of(encoded).astype(int) - luma_of(recorded)
    assert np.abs(levels).max() <= 1


def test_exchanged_pixels_are_put_right():
    image = paint(3, 1, 200, LARGE)
    swapped = np.ascontiguousarray(image[..., ::-1])
    small = ThumbnailDecoder(LARGE[1]).small(image)
    again = ThumbnailDecoder(LARGE[1], swap=True).small(swapped)
    np.testing.assert_allclose(again, small, atol=1e-3)

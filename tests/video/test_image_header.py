"""What JPEG and PNG images say in their headers."""

import io

import pytest
from PIL import Image

from piperline.video.image_header import ImageHeader, jpeg_payload, read_header
from tests.helpers.recordings import jpeg, paint, png

SIZE_64x48 = b"\xff\xc0\0\x0b\x08\0\x30\0\x40\x01\x01\x11\0"


def saved(mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(paint(0, 0, 0)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 90, 95])
def test_the_quality_of_a_jpeg_is_told(quality):
    found = read_header(jpeg(paint(0, 0, 0), quality))
    assert found is not None
    assert found.quality == pytest.approx(quality, abs=1)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")]
)
def test_the_subsampling_of_a_jpeg_is_told(number, text):
    found = read_header(saved(subsampling=number, quality=80, progressive=True))
    assert found == ImageHeader("JPEG", 64, 48, 80, text)


def test_grey_jpeg_and_png():
    assert (
        str(read_header(saved("L", quality=60)))
        == "JPEG 64x48 quality ~60 grey"
    )
    assert str(read_header(png(paint(0, 0, 0)))) == "PNG 64x48"


def test_unusual_quantization_tables():
    zeros = b"\xff\xd8\xff\xdb\0\x43\0" + bytes(64) + SIZE_64x48
    assert read_header(zeros) == ImageHeader("JPEG", 64, 48, None, "grey")
    of_two_bytes = b"\xff\xd8\xff\xdb\0\x83\x10" + b"\0\x39" * 64 + SIZE_64x48
    assert read_header(of_two_bytes) == ImageHeader("JPEG", 64, 48, 51, "grey")


WHOLE = jpeg(paint(0, 0, 0))
NO_COMPONENTS = b"\xff\xd8\xff\xc0\0\x08\x08\0\x30\0\x40\0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\x89PNG\r\n\x1a\n",
        WHOLE[:20],
        WHOLE[:160],
        b"\xff\xd8\xff\xdb\0\x02\xff\xc0\0\x02",
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\x30\0\x40\x03\x01\x11\0",
    ],
)
def test_what_tells_no_size_is_no_image(data):
    assert read_header(data) is None


def test_a_frame_without_components_has_a_size():
    assert read_header(NO_COMPONENTS) == ImageHeader(
        "JPEG", 64, 48, None, "grey"
    )


def test_the_payload_of_a_padded_jpeg():
    assert jpeg_payload(WHOLE + bytes(7)) == (WHOLE, 48, 64)
    assert jpeg_payload(WHOLE) == (WHOLE, 48, 64)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(9), "empty"),
        (b"text", "not JPEG"),
        (WHOLE[:-2], "cut short"),
        (b"\xff\xd8\xff\xd9", "without a header"),
        (b"\xff\xd8\xff\xc0\0\x02\xff\xd9", "without a header"),
    ],
)
def test_what_is_no_whole_jpeg_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        jpeg_payload(data)

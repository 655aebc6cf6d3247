"""Video: what goes in comes out, frame by frame, in its colours."""

import io
import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image

from piperline.demo.motion import plan_motion
from piperline.demo.scene import Scene
from piperline.errors import DatasetError, VideoError
from piperline.stats import FeatureStats, image_stride
from piperline.video.decoder import PictureDecoder, decode, probe, rgb
from piperline.video.encoder import (
    MODES,
    VideoSettings,
    VideoWriter,
    for_encoder,
)
from piperline.video.image_header import jpeg_payload
from piperline.video.pixel_counts import PixelCounter, count_pixels
from tests.helpers.recordings import jpeg, paint, png


def textured(size=(96, 128), seed=0):
    """Fine detail, slow colours, sensor noise, moving with `seed`: like a real camera image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] + seed
    detail = 40 * np.sin(x / 5 + y / 13) + 25 * np.cos(x / 9 - y / 4)
    colors = np.stack(
        [40 * np.sin(x / 60), 35 * np.cos(y / 45), 40 * np.sin((x + y) / 70)],
        -1,
    )
    image = 125 + detail[..., None] + colors + rng.normal(0, 3, (*size, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def as_jpeg(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **{"quality": 92, **options})
    return buffer.getvalue()


def by_libjpeg(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def samples(plane):
    rows = np.frombuffer(memoryview(plane), np.uint8)
    return rows.reshape(plane.height, -1)[:, : plane.width]


def psnr(one, other):
    return 10 * np.log10(
        255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)
    )


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_decodes_as_libjpeg_does(subsampling, options):
    data = as_jpeg(textured(), subsampling=subsampling, **options)
    assert psnr(rgb(PictureDecoder().encoded(data)), by_libjpeg(data)) > 38


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize(
    "size", [(96, 128), (480, 640), (50, 70), (241, 321), (600, 800)]
)
def test_image_statistics_are_those_of_libjpeg_pixels(size, subsampling):
    data = as_jpeg(textured(size), subsampling=subsampling)
    stride = image_stride(*size)
    picture = PictureDecoder().encoded(data)
    ours = FeatureStats.of_histogram(count_pixels(picture, stride), 1)
    pixels = (
        by_libjpeg(data)[::stride, ::stride].reshape(-1, 3).astype(float) / 255
    )
    assert np.allclose(ours.mean.ravel(), pixels.mean(axis=0), atol=0.0005)
    assert np.allclose(ours.std.ravel(), pixels.std(axis=0), atol=0.0005)


def test_image_statistics_of_raw_pixels_are_exact():
    pixels = textured()
    counted = count_pixels(PictureDecoder().raw(pixels), 2)
    expected = [
        np.bincount(pixels[::2, ::2, channel].ravel(), minlength=256)
        for channel in range(3)
    ]
    assert np.array_equal(counted, expected)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_many_pictures_are_counted_as_each_alone(subsampling):
    """More than are held at once, of an odd number of pixels; red and blue of one exchanged."""
    size, stride, count = (315, 311), 1, 8
    decoder, counter, each = PictureDecoder(), PixelCounter(stride), []
    for seed in range(count):
        data = as_jpeg(textured(size, seed), subsampling=subsampling)
        counter.add(decoder.encoded(data), exchanged=seed == 1)
        pixels = decoder.encoded(data)
        each.append(count_pixels(pixels, stride)[:: -1 if seed == 1 else 1])
    assert np.array_equal(counter.result(), sum(each))
    assert counter.result().sum() == 3 * count * size[0] * size[1]
    assert not np.array_equal(each[1], each[1][::-1])


@pytest.mark.parametrize("size", [(48, 64), (50, 70), (241, 321), (480, 640)])
def test_full_range_becomes_limited_range_sample_by_sample(size):
    """By the plain formula, also where the lines of source and target are padded differently."""
    picture = PictureDecoder().encoded(
        as_jpeg(
            np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8),
            subsampling="4:2:0",
        )
    )
    limited = for_encoder(picture)
    assert limited.format.name == "yuv420p"
    scales = [(0, 16, 219), (128, 128, 224), (128, 128, 224)]
    for full, ours, (zero, black, steps) in zip(
        picture.planes, limited.planes, scales, strict=True
    ):
        values = samples(full).astype(float) - zero
        expected = np.rint(black + values * steps / 255)
        assert np.array_equal(samples(ours), expected)


@pytest.mark.parametrize("mode", ["h264", "av1"])
@pytest.mark.parametrize("source", ["jpeg", "raw"])
def test_encoded_video_keeps_colors_and_range(tmp_path, mode, source):
    pixels = np.zeros((96, 128, 3), np.uint8)
    patches = [
        (255, 255, 255),
        (0, 0, 0),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (128, 128, 128),
        (250, 200, 30),
        (20, 60, 90),
    ]
    for number, color in enumerate(patches):
        pixels[:, number * 16 : number * 16 + 16] = color
    decoder = PictureDecoder()
    picture = (
        decoder.encoded(as_jpeg(pixels, quality=98, subsampling="4:2:0"))
        if source == "jpeg"
        else decoder.raw(pixels)
    )
    with VideoWriter(tmp_path / "a.mp4", MODES[mode], fps=30) as writer:
        for _ in range(3):
            writer.add(picture)
    for frame in decode(tmp_path / "a.mp4"):
        for number, color in enumerate(patches):
            seen = (
                frame[20:76, number * 16 + 5 : number * 16 + 11]
                .reshape(-1, 3)
                .mean(axis=0)
            )
            assert np.abs(seen - color).max() < 12, (color, seen)


def test_default_video_is_not_worse_than_what_lerobot_writes(tmp_path):
    rng = np.random.default_rng(5)
    motion, scene = (
        plan_motion(rng, frames=60, fps=30, task=0),
        Scene(rng, (480, 640)),
    )
    views = [
        next(iter(scene.frame(motion, time, rng).values()))
        for time in range(20, 32)
    ]
    pictures = [PictureDecoder().encoded(as_jpeg(view)) for view in views]
    quality = {}
    for mode in ("h264", "av1"):
        with VideoWriter(
            tmp_path / f"{mode}.mp4", MODES[mode], fps=30
        ) as writer:
            for picture in pictures:
                writer.add(picture)
        frames = decode(tmp_path / f"{mode}.mp4")
        quality[mode] = np.mean(
            [
                psnr(frame, rgb(picture))
                for frame, picture in zip(frames, pictures, strict=True)
            ]
        )
    assert quality["h264"] >= quality["av1"]


def test_kept_jpeg_comes_back_bit_by_bit(tmp_path):
    images = [as_jpeg(textured(seed=seed)) for seed in range(4)]
    with VideoWriter(tmp_path / "a.mp4", MODES["copy"], fps=30) as writer:
        for image in images:
            writer.add_jpeg(image, 96, 128)
    info, frames = probe(tmp_path / "a.mp4")
    assert (info.codec, info.width, info.height, info.fps, frames) == (
        "mjpeg",
        128,
        96,
        30,
        4,
    )
    for frame, image in zip(decode(tmp_path / "a.mp4"), images, strict=True):
        assert psnr(frame, by_libjpeg(image)) > 38
    with (
        pytest.raises(ValueError, match="does not encode"),
        VideoWriter(tmp_path / "b.mp4", MODES["copy"], fps=1) as writer,
    ):
        writer.add(PictureDecoder().encoded(images[0]))


def test_a_span_of_frames_can_be_decoded(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", MODES["h264"], fps=30) as writer:
        for frame in range(25):
            writer.add(PictureDecoder().raw(paint(0, 0, frame)))
    assert probe(tmp_path / "a.mp4")[0].codec == "h264"
    assert len(list(decode(tmp_path / "a.mp4", 20))) == 5
    assert len(list(decode(tmp_path / "a.mp4", 3, 4))) == 4


def test_h264_has_no_b_frames_and_short_gops(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", MODES["h264"], fps=30) as writer:
        for frame in range(25):
            writer.add(PictureDecoder().raw(paint(0, 0, frame)))
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert all(packet.pts == packet.dts for packet in packets)
    keys = [
        number for number, packet in enumerate(packets) if packet.is_keyframe
    ]
    assert keys[0] == 0
    assert np.diff([*keys, len(packets)]).max() <= 10


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (bytes(20), "empty"),
        (b"GIF89a...", "not JPEG"),
        (jpeg(paint(0, 0, 0))[:-2], "cut short"),
        (b"\xff\xd8\xff\xd9", "size"),
        (b"\xff\xd8\xff\x01\xff\xd9", "size"),
    ],
)
def test_what_is_no_whole_jpeg_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        jpeg_payload(data)


def test_padding_behind_a_jpeg_goes_away():
    image = jpeg(paint(0, 0, 0))
    assert jpeg_payload(image + bytes(100)) == (image, 48, 64)


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise"])
def test_damage_inside_a_jpeg_is_noticed_and_the_next_image_is_fine(damage):
    image = bytearray(as_jpeg(textured()))
    middle = len(image) // 2
    if damage == "cut":
        del image[middle : middle + 300]
    elif damage == "zeros":
        image[middle : middle + 300] = bytes(300)
    else:
        image[middle : middle + 300] = (
            np.random.default_rng(1)
            .integers(0, 256, 300, dtype=np.uint8)
            .tobytes()
        )
    decoder = PictureDecoder()
    with pytest.raises(ValueError, match="does not decode"):
        decoder.encoded(bytes(image))
    good = as_jpeg(textured())
    assert psnr(rgb(decoder.encoded(good)), by_libjpeg(good)) > 38


def test_png_images_do_not_add_up():
    decoder = PictureDecoder()
    for frame in range(4):
        pixels = paint(0, 0, frame)
        assert np.array_equal(rgb(decoder.encoded(png(pixels))), pixels)


def test_a_png_that_is_cut_short_is_refused():
    whole = png(paint(0, 0, 3))
    with pytest.raises(ValueError, match="cut short"):
        PictureDecoder().encoded(whole[:-12])
    assert np.array_equal(
        rgb(PictureDecoder().encoded(whole + bytes(9))), paint(0, 0, 3)
    )


def test_a_missing_encoder_is_named(tmp_path):
    settings = VideoSettings("h264", "libnothing")
    with (
        pytest.raises(VideoError, match="libnothing"),
        VideoWriter(tmp_path / "a.mp4", settings, fps=30) as writer,
    ):
        writer.add(PictureDecoder().raw(paint(0, 0, 0)))


def test_an_encoder_that_refuses_is_an_error_with_its_words(tmp_path):
    settings = VideoSettings("h264", "libx264", {"preset": "nonsense"})
    with (
        pytest.raises(VideoError, match="FFmpeg failed"),
        VideoWriter(tmp_path / "a.mp4", settings, fps=30) as writer,
    ):
        writer.add(PictureDecoder().raw(paint(0, 0, 0)))


def test_what_is_no_video_is_named(tmp_path):
    with pytest.raises(DatasetError, match="missing"):
        probe(tmp_path / "none.mp4")
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    with pytest.raises(DatasetError, match="cannot be read"):
        probe(tmp_path / "a.mp4")


@pytest.mark.parametrize("mode", ["h264", "av1"])
def test_an_encoder_takes_no_higher_priority(tmp_path, mode):
    """SVT-AV1 makes all threads real-time ones where root runs it."""
    program = """
import os, sys
import av
import numpy as np
from pathlib import Path
from piperline.video.encoder import MODES, VideoWriter

def policies():
    return {os.sched_getscheduler(int(t)) for t in os.listdir("/proc/self/task")}

before = policies()
with VideoWriter(Path(sys.argv[1]), MODES[sys.argv[2]], fps=30) as writer:
    for _ in range(3):
        pixels = np.zeros((96, 64), np.uint8)
        writer.add(av.VideoFrame.from_ndarray(pixels, format="yuv420p"))
        assert policies() == before, policies()
"""
    path = tmp_path / "a.mp4"
    subprocess.run(
        [sys.executable, "-c", program, path, mode], check=True, timeout=60
    )

"""`convert --verify`: what an encoder was given, against what the video shows."""

import pytest

from piperline.convert import witness
from piperline.errors import VideoError
from piperline.video.decoder import PictureDecoder
from piperline.video.encoder import MODES, VideoWriter
from tests.helpers.recordings import jpeg, paint


def test_the_runs_that_are_looked_at():
    assert witness.runs(1) == [range(1)]
    assert witness.runs(55) == [range(10), range(40, 50)]
    assert witness.runs(45) == [range(10), range(40, 45)]
    assert len(witness.runs(30_000)) <= 64


def test_a_witness_finds_a_frame_that_is_another(tmp_path):
    decoder = PictureDecoder()
    pictures = [decoder.raw(paint(0, 0, number)) for number in range(12)]
    seen = witness.Witness(12)
    with VideoWriter(tmp_path / "a.mp4", MODES["h264"], fps=30) as writer:
        for number, picture in enumerate(pictures):
            seen.saw(number, picture)
            writer.add(pictures[8 if number == 7 else number])
    with pytest.raises(VideoError) as caught:
        seen.check(tmp_path / "a.mp4", 30, "h264")
    assert caught.value.place
    assert caught.value.place.frame == 7


def test_a_witness_finds_a_byte_that_is_another(tmp_path):
    images = [jpeg(paint(0, 0, number)) for number in range(4)]
    seen = witness.Witness(4)
    with VideoWriter(tmp_path / "a.mp4", MODES["copy"], fps=30) as writer:
        for number, image in enumerate(images):
            seen.kept(image)
            writer.add_jpeg(image if number != 2 else images[1], 48, 64)
    with pytest.raises(VideoError, match="byte for byte"):
        seen.check_kept(tmp_path / "a.mp4", 30)
    assert images[1] != images[2]

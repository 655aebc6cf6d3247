"""Packets and pictures of a span, by frame number."""

import pytest

from piperline.errors import DatasetError
from piperline.video.decoder import rgb
from piperline.video.packets import packets, pictures
from tests.helpers.episodes import FPS, frame_code, make_clip


@pytest.fixture(scope="module", params=["h264", "av1"])
def video(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    make_clip(path, list(range(40)), request.param)
    return path


def codes(video, numbers, fps=FPS):
    return [
        (number, frame_code(rgb(picture)))
        for number, picture in pictures(video, fps, numbers)
    ]


@pytest.mark.parametrize(
    "numbers",
    [range(40), [0, 39], [3, 4, 5, 21, 22], [39], [], range(0, 40, 7)],
)
def test_each_frame_is_found_by_its_number(video, numbers):
    assert codes(video, numbers) == [(number, number) for number in numbers]


def test_frames_that_are_not_there_are_left_out(video):
    assert codes(video, [38, 39, 40, 41]) == [(38, 38), (39, 39)]


def test_frames_between_the_frames_are_left_out(video):
    """At twice the rate every second time has a frame."""
    assert codes(video, range(6), fps=2 * FPS) == [(0, 0), (2, 1), (4, 2)]


def test_packets_of_spans_are_those_of_the_whole(video):
    whole = list(packets(video, FPS, 0, 40))
    assert len(whole) == 40
    assert list(packets(video, FPS, 10, 15)) == whole[10:25]
    assert list(packets(video, FPS, 13, 4)) == whole[13:17]
    assert list(packets(video, FPS, 35, 100)) == whole[35:]


def test_what_is_no_video_has_a_place(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError) as caught:
        list(packets(tmp_path / "a.mp4", FPS, 0, 1))
    assert caught.value.place
    assert caught.value.place.file == tmp_path / "a.mp4"

"""Single frames of a video, by number."""

from fractions import Fraction

import av
import pytest

from piperline.errors import DatasetError
from piperline.video.decoder import decode_at
from piperline.video.encoder import Mode
from tests.helpers.episodes import frame_code, make_clip, numbered_frame


@pytest.mark.parametrize("mode", ["h264", "av1"])
def test_frames_are_found_by_number(tmp_path, mode: Mode):
    make_clip(tmp_path / "a.mp4", range(100, 125), mode)
    assert [
        frame_code(frame)
        for frame in decode_at(tmp_path / "a.mp4", [0, 7, 8, 24])
    ] == [
        100,
        107,
        108,
        124,
    ]
    assert [
        frame_code(frame)
        for frame in decode_at(tmp_path / "a.mp4", [24, 25, 99])
    ] == [124]


def test_frames_of_a_video_with_b_frames_and_a_late_start(tmp_path):
    path = tmp_path / "foreign.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"g": "12", "bf": "3"}
        )
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(
                numbered_frame(number), format="rgb24"
            )
            frame.pts, frame.time_base = number + 5, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [frame_code(frame) for frame in decode_at(path, [0, 13, 29])] == [
        0,
        13,
        29,
    ]


def test_what_is_no_video(tmp_path):
    with pytest.raises(DatasetError, match="missing"):
        list(decode_at(tmp_path / "none.mp4", [0]))

from dataclasses import replace
from fractions import Fraction

import av
import pytest

from piperline.episode import Clip
from piperline.errors import DatasetError, VideoError
from piperline.video.clips import ClipReader, NotCuttable
from piperline.video.decoder import probe, rgb
from piperline.video.splice import Joiner, cut
from tests.helpers.episodes import (
    FPS,
    codes_of,
    frame_code,
    make_clip,
    numbered_frame,
)
from tests.helpers.videos import packets, timed_packets


@pytest.fixture(params=["bytes", "packets"])
def reader(request, monkeypatch):
    """By byte ranges where that is possible, and all through FFmpeg."""
    if request.param == "packets":
        monkeypatch.setattr("piperline.video.clips.read_track", lambda *_: None)
    reader = ClipReader()
    yield reader
    reader.close()


def join(path, clips, reader):
    joiner = Joiner(path, clips[0], reader)
    for clip in clips:
        joiner.add(clip)
    joiner.close()
    return joiner


def with_b_frames(path, codes, gop):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=FPS,
            options={"bf": "2", "g": str(gop), "sc_threshold": "0"},
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for code in codes:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(
                        numbered_frame(code), format="rgb24"
                    )
                )
            )
        container.mux(stream.encode())
    return Clip(path, 0, len(codes), probe(path)[0])


@pytest.mark.parametrize("mode", ["h264", "av1"])
def test_what_is_joined_can_be_cut_again(mode, tmp_path, reader):
    lengths = [1, 12, 5, 23]
    clips = [
        make_clip(tmp_path / f"{i}.mp4", range(i * 100, i * 100 + n), mode)[0]
        for i, n in enumerate(lengths)
    ]
    joined = tmp_path / "joined.mp4"
    joiner = join(joined, clips, reader)
    assert joiner.frames == sum(lengths)
    assert probe(joined)[1] == sum(lengths)
    assert [time for time, _ in timed_packets(joined)] == [
        Fraction(n, FPS) for n in range(sum(lengths))
    ]
    assert codes_of(joined) == [
        i * 100 + n for i, length in enumerate(lengths) for n in range(length)
    ]
    first = 0
    for clip in clips:
        piece = tmp_path / f"piece{first}.mp4"
        cut(
            Clip(joined, first, clip.count, clip.info, whole=False),
            piece,
            reader,
        )
        assert packets(piece) == packets(clip.path)
        first += clip.count


def test_b_frames_are_joined_and_cut_where_key_frames_allow(tmp_path, reader):
    clips = [
        with_b_frames(
            tmp_path / f"{i}.mp4", range(i * 100, i * 100 + 14), gop=250
        )
        for i in range(3)
    ]
    joined = tmp_path / "joined.mp4"
    join(joined, clips, reader)
    assert codes_of(joined) == [
        i * 100 + n for i in range(3) for n in range(14)
    ]
    piece = tmp_path / "piece.mp4"
    cut(Clip(joined, 14, 14, clips[0].info, whole=False), piece, reader)
    assert codes_of(piece) == list(range(100, 114))
    assert packets(piece) == packets(clips[1].path)


@pytest.mark.parametrize(("first", "count"), [(3, 5), (0, 5), (13, 4)])
def test_a_piece_that_needs_its_neighbours_is_refused(
    first, count, tmp_path, reader
):
    clip = with_b_frames(tmp_path / "clip.mp4", range(28), gop=14)
    with pytest.raises(NotCuttable, match="key frames") as caught:
        cut(
            Clip(clip.path, first, count, clip.info, whole=False),
            tmp_path / "piece.mp4",
            reader,
        )
    assert "--reencode" in str(caught.value)


def test_missing_frames_are_named(tmp_path, reader):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(5))
    with pytest.raises(DatasetError, match="lacks frames") as caught:
        cut(
            Clip(clip.path, 0, 7, clip.info, whole=False),
            tmp_path / "piece.mp4",
            reader,
        )
    assert caught.value.found == "5 of 7"
    assert "frame 5" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is missing"), (b"no video", "cannot be read")]
)
def test_files_that_are_no_videos(content, said, tmp_path, reader):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(2))
    other = tmp_path / "other.mp4"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        reader.form(Clip(other, 0, 2, clip.info))


def test_forms_tell_what_cannot_share_a_file(tmp_path, reader):
    plain, _ = make_clip(tmp_path / "plain.mp4", range(4))
    other = with_b_frames(tmp_path / "other.mp4", range(4), gop=4)
    assert reader.form(plain) == reader.form(
        make_clip(tmp_path / "twin.mp4", range(9))[0]
    )
    assert reader.form(plain) != reader.form(other)


def test_many_files_are_not_kept_open(tmp_path, reader):
    for number in range(12):
        reader.form(make_clip(tmp_path / f"{number}.mp4", range(2))[0])
    assert len(reader._files) <= 8


def test_frames_are_decoded_by_number(tmp_path, reader):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(25))
    part = Clip(clip.path, 13, 4, clip.info, whole=False)
    assert [frame_code(rgb(picture)) for picture in reader.pictures(part)] == [
        13,
        14,
        15,
        16,
    ]


def test_key_frames_are_spread_evenly_and_decoded_alone(tmp_path):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(100))
    part = Clip(clip.path, 20, 75, clip.info, whole=False)
    reader = ClipReader()
    assert reader.key_frames(part, 4) == [0, 20, 50, 70]
    assert [
        frame_code(rgb(picture))
        for picture in reader.samples(part, [0, 20, 50, 70])
    ] == [
        20,
        40,
        70,
        90,
    ]
    assert reader.key_frames(part, 99) == list(range(0, 75, 10))
    assert (
        reader.key_frames(Clip(clip.path, 1, 7, clip.info, whole=False), 4)
        == []
    )
    reader.close()


@pytest.mark.parametrize("way", ["packets", "pictures"])
def test_damage_inside_a_file_is_told(way, tmp_path, reader):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(25))
    data = bytearray(clip.path.read_bytes())
    if way == "pictures":
        data[len(data) * 2 // 3 :] = bytes(len(data) - len(data) * 2 // 3)
    else:
        del data[len(data) * 2 // 3 :]
    clip.path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"decode|lacks frames|read"):
        list(getattr(reader, way)(clip))


def test_a_file_without_video(tmp_path, reader):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(2))
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.rate, frame.pts = 8000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DatasetError, match="holds no video"):
        reader.form(Clip(path, 0, 2, clip.info))


def test_what_was_written_is_compared_with_what_was_read(tmp_path, reader):
    clip, _ = make_clip(tmp_path / "clip.mp4", range(5))
    joiner = Joiner(tmp_path / "joined.mp4", clip, reader)
    joiner.add(clip)
    joiner._pieces[0] = replace(joiner._pieces[0], last_crc=0)
    with pytest.raises(VideoError, match="not what was read"):
        joiner.close()


def test_clips_of_two_forms_do_not_mix_unseen(tmp_path, reader):
    """The muxer refuses what would not be in order: B-frames behind a file that has none."""
    plain, _ = make_clip(tmp_path / "plain.mp4", range(4))
    other = with_b_frames(tmp_path / "other.mp4", range(6), gop=6)
    joiner = Joiner(tmp_path / "joined.mp4", plain, reader)
    joiner.add(plain)
    with pytest.raises((VideoError, OSError)):
        joiner.add(other)
    joiner._container.close()

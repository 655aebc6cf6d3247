import itertools
import os
import random
import struct
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from piperline.episode import Clip
from piperline.errors import DatasetError, VideoError
from piperline.video import mp4, mp4_writer
from piperline.video.clips import ClipReader, NotCuttable
from piperline.video.decoder import probe
from piperline.video.encoder import MODES, VideoWriter
from piperline.video.images import encode_jpeg
from piperline.video.mp4 import read_track
from piperline.video.mp4_writer import write_pieces
from piperline.video.splice import Joiner, Splicer, cut, new_file
from tests.helpers.episodes import FPS, codes_of, make_clip, numbered_frame
from tests.helpers.videos import timed_packets

LENGTHS = [1, 12, 5, 23]


@pytest.fixture
def reader():
    reader = ClipReader()
    yield reader
    reader.close()


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4", range(25))[0]


def track_of(path):
    """The track of a file that is simple."""
    track = read_track(path, FPS)
    assert track is not None
    return track


def make_clips(folder, mode, lengths=LENGTHS, size=(48, 64)):
    return [
        make_clip(folder / f"{i}.mp4", range(i * 100, i * 100 + n), mode, size)[
            0
        ]
        for i, n in enumerate(lengths)
    ]


def join(path, clips, reader, kind):
    joiner = kind(path, clips[0], reader)
    for clip in clips:
        joiner.add(clip)
    joiner.close()
    return path.read_bytes()


def with_audio(path):
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=FPS, options={"bf": "0"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.rate, frame.pts = 8000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for code in range(3):
            container.mux(
                picture.encode(
                    av.VideoFrame.from_ndarray(
                        numbered_frame(code), format="rgb24"
                    )
                )
            )
        container.mux(sound.encode(frame))
        container.mux(picture.encode())
        container.mux(sound.encode())


def encoded(path, codec="libx264", *, rate=FPS, **options):
    """Six frames by any encoder."""
    container_options = (
        {"movflags": options.pop("movflags")} if "movflags" in options else {}
    )
    with av.open(
        str(path), "w", format="mp4", options=container_options
    ) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = (
            64,
            48,
            "yuvj420p" if codec == "mjpeg" else "yuv420p",
        )
        for code in range(6):
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(
                        numbered_frame(code), format="rgb24"
                    )
                )
            )
        container.mux(stream.encode())
    return path


def patched(path, kind, change):
    """Change the content of the first box of a kind, in place."""
    data = bytearray(path.read_bytes())
    start = data.index(kind) + 4
    end = start - 8 + int.from_bytes(data[start - 8 : start - 4])
    body = bytearray(data[start:end])
    change(body)
    data[start:end] = body
    path.write_bytes(data)


def put(place, *values, form=">I"):
    return lambda body: struct.pack_into(form, body, place, *values)


@pytest.mark.parametrize("mode", ["h264", "av1", "copy"])
def test_the_same_bytes_as_ffmpeg_writes(mode, tmp_path, reader):
    """By byte ranges and by packets; and what is cut out is the file that went in."""
    clips = make_clips(tmp_path, mode)
    # FFmpeg adds to what its encoder wrote that pixels are square
    if mode == "av1":
        for number, clip in enumerate(clips):
            join(tmp_path / f"again{number}.mp4", [clip], reader, Joiner)
        clips = [
            Clip(tmp_path / f"again{n}.mp4", 0, clip.count, clip.info)
            for n, clip in enumerate(clips)
        ]
    spliced = join(tmp_path / "spliced.mp4", clips, reader, Splicer)
    assert spliced == join(tmp_path / "joined.mp4", clips, reader, Joiner)
    for clip, first in zip(
        clips, itertools.accumulate(LENGTHS, initial=0), strict=False
    ):
        piece = Clip(
            tmp_path / "spliced.mp4", first, clip.count, clip.info, whole=False
        )
        cut(piece, tmp_path / "piece.mp4", reader)
        assert (tmp_path / "piece.mp4").read_bytes() == clip.path.read_bytes()


@pytest.mark.parametrize("fps", [1, 7, 25, 30, 120])
def test_kept_jpeg_is_spliced_as_ffmpeg_writes_it(fps, tmp_path, reader):
    """At any rate, of frames of which one chunk holds several: the bit rates of the file too."""
    noise = np.random.default_rng(0)
    with VideoWriter(tmp_path / "kept.mp4", MODES["copy"], fps=fps) as writer:
        for _ in range(23):
            picture = noise.integers(0, 256, (250, 330, 3), dtype=np.uint8)
            writer.add_jpeg(encode_jpeg(picture), 250, 330)
    info, count = probe(tmp_path / "kept.mp4", pix_fmt="yuvj420p")
    clip = Clip(tmp_path / "kept.mp4", 0, count, info)
    written = clip.path.read_bytes()
    assert written == join(tmp_path / "joined.mp4", [clip], reader, Joiner)
    assert written == join(tmp_path / "spliced.mp4", [clip], reader, Splicer)
    rows = join(tmp_path / "twice.mp4", [clip] * 2, reader, Splicer)
    assert rows == join(tmp_path / "joined2.mp4", [clip] * 2, reader, Joiner)


def test_chunks_of_large_frames_are_those_of_ffmpeg(tmp_path, reader):
    """Frames of noise, of which two or three fill a chunk, or one alone is larger than that."""
    noise = random.Random(0)
    path = tmp_path / "noise.mp4"
    with av.open(
        str(path),
        "w",
        format="mp4",
        options={"movflags": "+faststart", "write_btrt": "0"},
    ) as container:
        stream = container.add_stream(
            "libx264",
            rate=FPS,
            options={"qp": "1", "g": "3", "bf": "0", "preset": "ultrafast"},
        )
        stream.width, stream.height, stream.pix_fmt = 1024, 768, "yuv420p"
        for number in range(7):
            frame = av.VideoFrame(1024, 768, "yuv420p")
            for plane in frame.planes:
                plane.update(
                    noise.randbytes(plane.buffer_size)
                    if number != 3
                    else bytes(plane.buffer_size)
                )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert len(track_of(path).sizes) == 7
    clip = Clip(path, 0, 7, probe(path)[0])
    assert join(tmp_path / "spliced.mp4", [clip] * 2, reader, Splicer) == join(
        tmp_path / "joined.mp4", [clip] * 2, reader, Joiner
    )
    later = [
        (time + Fraction(7, FPS), data) for time, data in timed_packets(path)
    ]
    assert timed_packets(tmp_path / "spliced.mp4")[7:] == later


def test_ranges_are_as_few_as_can_be(tmp_path, reader, clip):
    join(tmp_path / "joined.mp4", [clip] * 3, reader, Splicer)
    track = track_of(tmp_path / "joined.mp4")
    assert list(track.ranges) == [
        (int(track.offsets[0]), int(track.sizes.sum()))
    ]
    assert track.piece(25, 25).offsets[0] == track.offsets[25]
    assert track.piece(26, 5) is None  # no key frame
    assert track.piece(50, 26) is None  # not as many
    scattered = replace(
        track, offsets=track.offsets + 3 * (track.offsets > track.offsets[30])
    )
    assert len(list(scattered.ranges)) == 2


def test_large_files_have_wide_offsets(tmp_path, clip, monkeypatch):
    # as if 4 GiB were reached
    monkeypatch.setattr(mp4_writer, "LARGEST_MOOV", 1 << 33)
    write_pieces(tmp_path / "large.mp4", [track_of(clip.path)] * 2, FPS)
    assert b"co64" in (tmp_path / "large.mp4").read_bytes()
    assert codes_of(tmp_path / "large.mp4") == [*range(25)] * 2


@pytest.mark.parametrize(
    ("change", "said"), [("gone", "missing"), ("shorter", "shorter")]
)
def test_a_file_that_changes_meanwhile(change, said, tmp_path, reader, clip):
    splicer = new_file(tmp_path / "out.mp4", clip, reader)
    splicer.add(clip)
    if change == "gone":
        clip.path.unlink()
    else:
        os.truncate(clip.path, 1500)
    with pytest.raises(DatasetError, match=said):
        splicer.close()


@pytest.mark.parametrize("what", ["frame", "count", "size"])
def test_what_was_written_is_compared_with_what_was_read(what, tmp_path, clip):
    track = track_of(clip.path)
    path = tmp_path / "out.mp4"
    write_pieces(path, [track], FPS)
    if what == "frame":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(VideoError, match="what was read"):
        mp4_writer._verify(
            path,
            [track.piece(0, 24)]
            if what == "count"
            else [track, *[track] * (what == "size")],
            FPS,
        )


def test_a_splicer_takes_one_form(tmp_path, reader, clip):
    other = make_clip(tmp_path / "other.mp4", range(3), size=(96, 128))[0]
    splicer = new_file(tmp_path / "out.mp4", clip, reader)
    assert isinstance(splicer, Splicer)
    with pytest.raises(VideoError, match="two forms"):
        splicer.add(other)
    with pytest.raises(NotCuttable):
        splicer.add(Clip(clip.path, 3, 4, clip.info, whole=False))
    with pytest.raises(DatasetError, match="lacks frames"):
        splicer.add(Clip(clip.path, 0, 40, clip.info, whole=False))


def test_bit_rates_and_square_pixels_make_no_difference(tmp_path, clip):
    rates = encoded(tmp_path / "rates.mp4", bf="0")
    assert b"btrt" in rates.read_bytes()
    assert b"btrt" not in track_of(rates).entry
    track = track_of(clip.path)
    square = mp4.box(b"pasp", mp4._SQUARE)
    other = replace(track, entry=mp4.box(b"avc1", track.entry[8:] + square))
    assert other.parameters == track.parameters


@pytest.mark.parametrize(
    "make",
    [
        lambda path: encoded(path, bf="2", g="6", sc_threshold="0"),
        lambda path: encoded(path, bf="0", movflags="frag_keyframe+empty_moov"),
        lambda path: encoded(path, "mpeg4"),
        lambda path: encoded(path, bf="0", rate=25),
        with_audio,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(struct.pack(">I4s", 8, b"free")),
        lambda path: path.mkdir(),
    ],
    ids=[
        "b-frames",
        "fragments",
        "mpeg4",
        "other-rate",
        "sound",
        "empty",
        "no-moov",
        "folder",
    ],
)
def test_what_is_left_to_ffmpeg(make, tmp_path):
    make(tmp_path / "file.mp4")
    assert read_track(tmp_path / "file.mp4", FPS) is None
    assert read_track(tmp_path / "missing.mp4", FPS) is None


LIES = {
    "frames behind the end": (b"stco", put(8, 1 << 20)),
    "chunks that are not there": (b"stco", put(4, 2)),
    "frames of no chunk": (b"stsc", put(12, 24)),
    "endless chunks": (b"stsc", put(12, 0xFFFFFFFF)),
    "empty chunks": (b"stsc", put(12, 0)),
    "no first chunk": (b"stsc", put(8, 2)),
    "another description": (b"stsc", put(16, 2)),
    "a size too many": (b"stsz", put(8, 26)),
    "a frame without bytes": (b"stsz", put(12, 0)),
    "a huge frame": (b"stsz", put(12, 0xFFFFFFFF)),
    "endless frames": (b"stsz", put(4, 1, 0xFFFFFFFF, form=">II")),
    "uniform frames": (b"stsz", put(4, 10000)),
    "times of other frames": (b"stts", put(8, 26)),
    "another duration": (b"stts", put(12, 1024)),
    "endless time": (b"stts", put(12, 0xFFFFFFFF)),
    "key frame 0": (b"stss", put(8, 0)),
    "a key frame behind the end": (b"stss", put(8, 26)),
    "no ticks": (b"mdhd", put(12, 0)),
    "a rotated picture": (b"tkhd", put(40, 5)),
    "an edit that begins late": (b"elst", put(12, 512)),
    "an edit that ends early": (b"elst", put(8, 20)),
    "an edit at half speed": (b"elst", put(16, 0x8000)),
    "two entries": (b"elst", put(4, 2)),
    "frames in another file": (b"dref", put(16, 0)),
    "no video": (b"hdlr", put(8, b"soun", form="4s")),
    "another codec": (b"stsd", put(12, b"hvc1", form="4s")),
    "a box without end": (b"stbl", put(0, 0xFFFFFF)),
    "a box without beginning": (b"stbl", put(0, 4)),
    "an unknown table": (
        b"stbl",
        lambda body: body.__setitem__(
            slice(body.index(b"stts"), body.index(b"stts") + 4), b"ctts"
        ),
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_are_not_believed(name, clip):
    assert read_track(clip.path, FPS) is not None
    patched(clip.path, *LIES[name])
    assert read_track(clip.path, FPS) is None


def test_damage_anywhere_is_survived(clip):
    """Any byte of the tables may be any other: no other error, and no frame outside of the file."""
    whole = clip.path.read_bytes()
    chance = random.Random(1)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3])):
            data[chance.randrange(len(whole) // 3)] = chance.choice(
                [0, 1, 127, 255, chance.randrange(256)]
            )
        clip.path.write_bytes(data)
        track = read_track(clip.path, FPS)
        if track:
            assert track.offsets.min() >= 0
            assert (track.offsets + track.sizes).max() <= len(whole)
            assert len(track.sizes) == 25


def test_joined_with_times_in_microseconds(tmp_path, reader, clip):
    """FFmpeg's concat demuxer makes the last frame of a part a tick longer or shorter."""
    join(tmp_path / "joined.mp4", [clip] * 2, reader, Splicer)
    data = (tmp_path / "joined.mp4").read_bytes()
    before, after = data.split(mp4_writer._rows(b"stts", [(50, 512)]))
    drifted = mp4_writer._rows(b"stts", [(24, 512), (1, 511), (25, 512)])
    moov = before.index(b"moov") - 4
    grown = bytearray(before + drifted + after)
    grow = len(drifted) - 24
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        place = grown.index(kind) - 4
        struct.pack_into(
            ">I", grown, place, int.from_bytes(grown[place : place + 4]) + grow
        )
    place = grown.index(b"stco", moov) + 12
    struct.pack_into(
        ">I", grown, place, int.from_bytes(grown[place : place + 4]) + grow
    )
    (tmp_path / "drifted.mp4").write_bytes(grown)
    piece = Clip(tmp_path / "drifted.mp4", 25, 25, clip.info, whole=False)
    assert reader.is_simple(piece)
    cut(piece, tmp_path / "piece.mp4", reader)
    assert (tmp_path / "piece.mp4").read_bytes() == clip.path.read_bytes()

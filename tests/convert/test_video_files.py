"""Videos beside a recording: packets that fit are kept to the byte, all others are encoded."""

import json
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert, plan_run
from piperline.edits.numbers import Moment
from piperline.edits.plan import EditPlan, EpisodeEdit, address
from piperline.errors import Place, VideoError
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.layout import parse_layout
from piperline.verify import VerifyOptions, verify
from piperline.video.decoder import decode
from piperline.video.hardware import NVENC
from tests.helpers.recordings import (
    has_true_colors,
    paint,
    read_code,
    states,
)
from tests.helpers.videos import clip_packets, packets, write_video

pytestmark = pytest.mark.usefixtures("workers_in_threads")

LAYOUT = """name = "mine"
robot_type = "r"
[episodes]
at = "file"
[vectors."observation.state"]
path = "q"
[vectors.action]
path = "q"
[cameras.front]
video = "{stem}_*.mp4"
"""
LAYOUT = LAYOUT.replace("*", "front")
KEY = "observation.images.front"
LENGTHS = {"a": 12, "b": 7}
PLAIN: dict[str, Any] = {"g": "5", "bf": "0"}


def write(folder, **options):
    folder.mkdir(exist_ok=True)
    for number, (stem, length) in enumerate(LENGTHS.items()):
        with h5py.File(folder / f"{stem}.hdf5", "w") as file:
            file["q"] = states(number, length, 3)
        frames = [paint(number, 0, t) for t in range(length)]
        write_video(folder / f"{stem}_front.mp4", frames, **options)
    return folder


def job_of(folder, more="", **options):
    layout = parse_layout(LAYOUT + more, Place())
    return make_job(layout=layout, inputs=[folder], task="go", **options)


def converted(folder, more="", edits=None, **options):
    job = job_of(folder, more, **options)
    how = {"edits": edits} if edits else {}
    return convert([folder], folder.parent / "out", job, workers=1, **how)


def kept(root, folder):
    """Whether the packets of all episodes are the recorded ones."""
    found = [clip_packets(episode.clips[KEY]) for episode in open_dataset(root)]
    return found == [packets(folder / f"{s}_front.mp4") for s in LENGTHS]


def assert_numbered(root):
    for number, episode in enumerate(open_dataset(root)):
        clip = episode.clips[KEY]
        frames = list(decode(clip.path, clip.first, clip.count))
        assert [read_code(frame) for frame in frames] == [
            (number, 0, t) for t in range(episode.length)
        ]
        assert all(has_true_colors(frame, tolerance=40) for frame in frames)


@pytest.mark.parametrize(
    ("version", "video", "codec"),
    [
        ("v2.1", "h264", "libx264"),
        ("v3.0", "h264", "libx264"),
        ("v3.0", "av1", "libsvtav1"),
        ("v2.1", "copy", "libx264"),
    ],
)
def test_packets_that_fit_are_kept(tmp_path, version, video, codec):
    options = PLAIN if codec == "libx264" else {"g": "2", "preset": "12"}
    folder = write(tmp_path / "in", codec=codec, **options)
    root = converted(folder, format=version, video=video, verify=True).output
    assert kept(root, folder)
    assert_numbered(root)
    report = verify(root, VerifyOptions([folder]))
    assert (report.verdict, report.looked.packets) == ("verified", 19)
    seal = json.loads((root / "meta/piperline_seal.json").read_text())
    assert seal["verdict"]["packets"] == 19


def test_packets_are_kept_whatever_would_encode_them(tmp_path):
    """No GPU is needed: nothing is encoded."""
    folder = write(tmp_path / "in", **PLAIN)
    job = job_of(folder)
    on_a_gpu = replace(job, settings=replace(job.settings, video=NVENC))
    root = convert([folder], tmp_path / "out", on_a_gpu, workers=1).output
    assert kept(root, folder)


def test_statistics_are_those_of_the_decoded_frames(tmp_path):
    folder = write(tmp_path / "in", **PLAIN)
    root = converted(folder).output
    stats = open_dataset(root).episode(0).camera_stats[KEY]
    pixels = np.stack(list(decode(folder / "a_front.mp4")))
    assert stats.count == LENGTHS["a"]
    np.testing.assert_allclose(
        stats.mean.ravel() * 255, pixels.mean(axis=(0, 1, 2)), atol=1
    )


OTHERS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "b-frames": ({"g": "10", "bf": "2"}, "", {}),
    "hevc": ({"codec": "libx265", "x265-params": "log-level=none"}, "", {}),
    "full colour": ({**PLAIN, "pix_fmt": "yuv444p"}, "", {}),
    "rate": ({**PLAIN, "fps": 15}, "", {}),
    "mirrored": (PLAIN, 'rotate = 180\nflip = "horizontal"\n', {}),
    "resized": (PLAIN, "", {"resize": (96, 72)}),
    "codec": (PLAIN, "", {"video": "av1"}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_does_not_fit_is_encoded_again(tmp_path, case):
    options, more, settings = OTHERS[case]
    folder = write(tmp_path / "in", **options)
    root = converted(folder, more, **settings).output
    assert not kept(root, folder)
    if case != "mirrored":
        assert_numbered(root)
    report = verify(root, VerifyOptions([folder], frames=0))
    assert (report.verdict, report.looked.packets) == ("verified", 0)
    assert report.looked.frames == sum(LENGTHS.values())


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("b-frames", "without frames out of order"),
        ("hevc", "not H.264 or AV1"),
        ("rate", "does not run at 30 frames a second"),
        ("mirrored", "turned or mirrored"),
        ("resized", "another size"),
    ],
)
def test_packets_that_cannot_be_kept_are_not_encoded_unasked(
    tmp_path, case, words
):
    options, more, settings = OTHERS[case]
    folder = write(tmp_path / "in", **options)
    job = job_of(folder, more, **{**settings, "video": "copy"})
    with pytest.raises(VideoError, match="cannot be kept") as caught:
        plan_run([folder], job)
    assert words in str(caught.value.found)


def test_frames_at_uneven_times_are_encoded_evenly(tmp_path):
    times = [0, 1, 2, 5, 6, 7, 11, 12, 13, 14, 15, 19]
    folder = write(tmp_path / "in", times=times, **PLAIN)
    root = converted(folder).output
    assert not kept(root, folder)
    assert_numbered(root)


@pytest.mark.parametrize(("first", "same"), [(5, True), (6, False)])
def test_a_trimmed_video_is_kept_from_a_key_frame_on(tmp_path, first, same):
    folder = write(tmp_path / "in", **PLAIN)
    where = address("in/a.hdf5", "a")
    trim = EpisodeEdit(start=Moment(first), stop=Moment(11))
    edits = EditPlan({where: trim})
    root = converted(folder, edits=edits).output
    clip = open_dataset(root).episode(0).clips[KEY]
    recorded = packets(folder / "a_front.mp4")[first:11]
    assert (clip_packets(clip) == recorded) is same
    frames = decode(clip.path, clip.first, clip.count)
    assert [read_code(frame)[2] for frame in frames] == [*range(first, 11)]


def test_packets_that_are_not_the_recorded_ones_are_found(tmp_path):
    folder = write(tmp_path / "in", **PLAIN)
    root = converted(folder).output
    frames = [paint(0, 0, t) for t in range(LENGTHS["a"])]
    frames[8] = paint(0, 0, 9)
    write_video(folder / "a_front.mp4", frames, **PLAIN)
    report = verify(root, VerifyOptions([folder]))
    codes = {found.code for found in report.findings}
    assert "packets-differ" in codes


@pytest.mark.parametrize("edited", [False, True])
def test_a_recorded_video_whose_first_frame_changed_is_found(tmp_path, edited):
    """A little, so that the pictures alone would not tell it; and nothing else is found."""
    folder = write(tmp_path / "in", **PLAIN)
    edits = None
    if edited:
        trim = EpisodeEdit(start=Moment(0), stop=Moment(10))
        edits = EditPlan({address("in/a.hdf5", "a"): trim})
    root = converted(folder, edits=edits).output
    assert verify(root, VerifyOptions([folder], frames=0)).findings == ()
    frames = [paint(0, 0, t) for t in range(LENGTHS["a"])]
    frames[0] = np.maximum(frames[0], 6)
    write_video(folder / "a_front.mp4", frames, **PLAIN)
    (finding,) = verify(root, VerifyOptions([folder], frames=0)).findings
    assert finding.code == "packets-differ"
    assert finding.place is not None
    assert (finding.place.episode, finding.place.frame) == ("0", 0)
    assert finding.place.camera == KEY

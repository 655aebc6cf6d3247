"""Time in recordings: rates, clocks that disagree, and streams of several clocks on one."""

import json

import h5py
import numpy as np
import pytest

from piperline.errors import BadEpisode, Place
from piperline.recordings.detect import settle
from piperline.recordings.layout import parse_layout
from piperline.recordings.recording import Recording
from piperline.video.images import decode_image
from tests.helpers.recordings import jpeg, paint, read_code, write_bytes

HEAD = 'name = "mine"\nrobot_type = "r"\nfps = 30\n[episodes]\nat = "file"\n'
STATE = '[vectors."observation.state"]\npath = "joints/position"\n'
SECONDS, PULSES = 4.0, (0.7, 1.55, 2.9)


def layout_of(text):
    return parse_layout(HEAD + text, Place(file="mine.toml"))


def jittered(rate, rng, start=0.0):
    """Times of a stream, seconds: at most a third of a period off."""
    times = start + np.arange(int(SECONDS * rate)) / rate
    return times + rng.uniform(-1 / 3, 1 / 3, len(times)) / rate


def two_streams(path, *, start=1.75e9):
    """Joints at 200 Hz and images at 30 Hz, each with its own clock; both see the same pulses.

    A joint's number is the time since the last pulse; an image carries the time since then in
    milliseconds.
    """
    rng = np.random.default_rng(3)
    joints, images = jittered(200, rng), jittered(30, rng, 0.013)
    with h5py.File(path, "w") as file:
        file["joints/position"] = np.stack(
            [since_pulse(joints), np.sin(joints)], axis=1
        )
        file["joints/time"] = start + joints
        frames = [paint(0, 0, round(1000 * t)) for t in since_pulse(images)]
        write_bytes(
            file.create_group("cam"),
            "color",
            [jpeg(f) for f in frames],
            "jpeg-vlen",
        )
        file["cam/time"] = start + images
    return joints, images


def since_pulse(times):
    return np.array(
        [min((t - p for p in PULSES if p <= t), default=3.9) for t in times]
    )


ALIGNED = """[time]
align = "nearest"
[vectors."observation.state"]
path = "joints/position"
timestamps = "joints/time"
[cameras.front]
path = "cam/color"
timestamps = "cam/time"
"""


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_streams_of_two_rates_are_aligned_within_half_a_period(tmp_path, fps):
    path = tmp_path / "a.hdf5"
    joints, images = two_streams(path)
    layout = parse_layout(HEAD.replace("30", str(fps)) + ALIGNED, Place())
    with Recording(path, layout) as recording:
        episode = recording.episode("a")
        header = episode.header()
        state = episode.vectors(header.length)["observation.state"]
        stream = episode.stream("front", header.length)
        pictures = [
            decode_image(one) for one in stream if isinstance(one, bytes)
        ]
        shown = [read_code(picture)[2] / 1000 for picture in pictures]
    first, last = max(joints[0], images[0]), min(joints[-1], images[-1])
    assert header.length == int((last - first) * fps) + 1
    clock = since_pulse(first + np.arange(header.length) / fps)
    times = first + np.arange(header.length) / fps
    ahead = np.array(
        [min((p - t for p in PULSES if p > t), default=1) for t in times]
    )
    # rows of both sides are near a pulse
    away = (clock > 0.05) & (ahead > 0.05) & (clock < 3)
    slower, jitter = 1 / 30, 2 / 3 / 30
    assert np.abs(state[:, 0] - clock)[away].max() <= (0.5 + 1 / 3) / 200 + 1e-6
    assert (
        np.abs(np.array(shown) - clock)[away].max()
        <= (slower + jitter) / 2 + 0.001
    )
    assert len(header.notes) == 2
    assert all("ms from their frame" in note for note in header.notes)


def test_instructions_follow_the_clock_of_the_stream_that_has_their_rows(
    tmp_path,
):
    path = tmp_path / "a.hdf5"
    joints, images = two_streams(path)
    with h5py.File(path, "r+") as file:
        said = np.where(joints < joints[0] + 1, b"reach", b"grasp")
        file["said"] = said
    layout = layout_of(ALIGNED + '[task]\ntext = "said"\n')
    with Recording(path, layout) as recording:
        header = recording.episode("a").header()
    (_, first), (frame, second) = header.spans
    assert (first, second) == ("reach", "grasp")
    time = max(joints[0], images[0]) + frame / 30
    assert abs(time - (joints[0] + 1)) <= 1 / 30 + 1 / 200


def test_held_rows_are_never_of_the_future(tmp_path):
    path = tmp_path / "a.hdf5"
    joints, images = two_streams(path)
    layout = layout_of(ALIGNED.replace("nearest", "held"))
    with Recording(path, layout) as recording:
        episode = recording.episode("a")
        state = episode.vectors(episode.header().length)["observation.state"]
    clock = max(joints[0], images[0]) + np.arange(len(state)) / 30
    taken = np.searchsorted(joints, clock + 1e-6, side="right") - 1
    assert np.allclose(state[:, 1], np.sin(joints)[taken], atol=1e-7)


def test_gaps_longer_than_a_limit_are_refused_or_told(tmp_path):
    path = tmp_path / "a.hdf5"
    two_streams(path)
    with h5py.File(path, "r+") as file:
        times = file["cam/time"][()]
        times[40:] += 1.0
        file["cam/time"][...] = times
    with Recording(path, layout_of(ALIGNED)) as recording:
        notes = " ".join(recording.episode("a").header().notes)
    assert "farther than the limit" in notes
    limited = layout_of(ALIGNED.replace('"nearest"', '"nearest"\nlimit = 2'))
    with (
        Recording(path, limited) as recording,
        pytest.raises(BadEpisode, match="gaps") as caught,
    ):
        recording.episode("a").header()
    assert caught.value.place is not None
    assert caught.value.place.hdf5_path == "/cam/color"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda times: times[::-1], "do not rise"),
        (lambda times: times * np.nan, "do not rise"),
        (lambda times: np.full(len(times), np.inf), "do not rise"),
        (
            lambda times: np.linspace(-1e300, 1e300, len(times)),
            "do not rise|no usable",
        ),
        (lambda times: times + 1e6, "no usable time in common"),
        (lambda times: np.arange(len(times)) * 1e8, None),
    ],
)
def test_clocks_that_cannot_be(tmp_path, change, words):
    path = tmp_path / "a.hdf5"
    two_streams(path)
    with h5py.File(path, "r+") as file:
        file["cam/time"][...] = change(file["cam/time"][()])
        if words is None:  # years of frames
            file["joints/time"][...] = np.arange(len(file["joints/time"])) * 1e8
    expected = words or "no usable time"
    with (
        Recording(path, layout_of(ALIGNED)) as recording,
        pytest.raises(BadEpisode, match=expected),
    ):
        recording.episode("a").header()


@pytest.mark.parametrize(
    "value", ["15", [[1], [2, 3]], {"a": 1}, True, -3, 1e9, None]
)
def test_rates_beside_that_cannot_be(tmp_path, value):
    path = rows_at(tmp_path / "a.hdf5", 30)
    (tmp_path / "config.json").write_text(json.dumps({"hz": value}))
    layout = layout_of(f'[time]\nfile = "config.json"\nkey = "hz"\n{STATE}')
    with Recording(path, layout) as recording:
        episode = recording.episode("a")
        if value is None:  # none is told
            assert episode.rate() == 30
            return
        with pytest.raises(BadEpisode, match="does not tell a rate"):
            episode.rate()


def rows_at(path, rate, **more):
    with h5py.File(path, "w") as file:
        file["joints/position"] = np.zeros((60, 3))
        file["clock"] = 5 + np.arange(60) / rate
        for name, value in more.items():
            file[name] = value
    return path


@pytest.mark.parametrize(
    ("rule", "fps"),
    [
        ("", 30),
        ('rate = "hz"', 15),
        ('timestamps = "clock"', 12),
        ('rate = "nothing"\ntimestamps = "clock"', 12),
        ('file = "config.json"\nkey = "robot.save_freq"', 25),
    ],
)
def test_the_rate_may_be_recorded(tmp_path, rule, fps):
    path = rows_at(tmp_path / "a.hdf5", 11.8, hz=15.0)
    (tmp_path / "config.json").write_text(
        json.dumps({"robot": {"save_freq": 25}})
    )
    assert settle(layout_of(f"[time]\n{rule}\n{STATE}"), [path]).fps == fps


def test_a_clock_that_disagrees_with_the_rate_is_told(tmp_path):
    path = rows_at(tmp_path / "a.hdf5", 11.8)
    with Recording(
        path, layout_of(f'[time]\ntimestamps = "clock"\n{STATE}')
    ) as recording:
        notes = recording.episode("a").header().notes
    assert notes == ("its clock tells 11.80 frames a second, 30 are written",)


def test_times_may_be_nanoseconds_since_1970(tmp_path):
    path = rows_at(tmp_path / "a.hdf5", 50)
    with h5py.File(path, "r+") as file:
        del file["clock"]
        file["clock"] = 1_750_000_000_000_000_000 + np.arange(60) * 20_000_000
    assert (
        settle(
            layout_of(f'[time]\ntimestamps = "clock"\nunit = "ns"\n{STATE}'),
            [path],
        ).fps
        == 50
    )

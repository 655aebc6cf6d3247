"""Whole videos whose frames are not at n / fps: their times are rewritten, nothing is encoded."""

from fractions import Fraction

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.errors import DatasetError
from piperline.lerobot.dataset import open_dataset
from piperline.seal.seal import SEAL
from piperline.transfer import TransferOptions, aggregate, migrate
from piperline.verify import VerifyOptions, verify
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import FPS, make_episode, numbered_frame
from tests.helpers.videos import packets_of, retime, times_of

KEY = "observation.images.mid"
VIDEO = f"videos/chunk-000/{KEY}/episode_000000.mp4"
LENGTH = 12


GRID = [number / FPS for number in range(LENGTH)]
ODD = {
    "late": ([0.2 + time for time in GRID], 90_000),
    "by milliseconds": (GRID, 1000),
    "variable": (
        [time + 0.015 * (number % 3) for number, time in enumerate(GRID)],
        90_000,
    ),
    "29.97": ([number * 1001 / 30_000 for number in range(LENGTH)], 30_000),
    "with a pause": (
        [time + 0.5 * (number > 5) for number, time in enumerate(GRID)],
        90_000,
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_times_are_put_on_the_grid(odd, tmp_path):
    episode = make_episode(tmp_path / "in", 0, LENGTH)
    root = write_dataset(tmp_path / "set", [episode])
    retime(root / VIDEO, *ODD[odd])
    shown = packets_of(root / VIDEO)
    assert times_of(root / VIDEO) != [
        Fraction(number, FPS) for number in range(LENGTH)
    ]
    aggregate([root], tmp_path / "v21")
    migrate(root, "v3.0", output=tmp_path / "v30")
    for made in ("v21", "v30"):
        (path,) = (tmp_path / made).rglob("*.mp4")
        assert times_of(path) == [
            Fraction(number, FPS) for number in range(LENGTH)
        ]
        assert packets_of(path) == shown
        assert_holds(open_dataset(tmp_path / made), [episode])


@pytest.mark.parametrize("odd", ["late", "variable"])
def test_times_of_recorded_jpeg_are_put_on_the_grid(odd, tmp_path):
    episode = make_episode(tmp_path / "in", 0, LENGTH, mode="copy")
    root = write_dataset(tmp_path / "set", [episode])
    retime(root / VIDEO, *ODD[odd])
    shown = packets_of(root / VIDEO)
    (path,) = aggregate([root], tmp_path / "out").output.rglob("*.mp4")
    assert times_of(path) == [Fraction(number, FPS) for number in range(LENGTH)]
    assert packets_of(path) == shown


def test_b_frames_stay_in_their_order(tmp_path):
    episode = make_episode(tmp_path / "in", 0, LENGTH)
    root = write_dataset(tmp_path / "set", [episode])
    with av.open(str(root / VIDEO), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"bf": "2", "g": "100"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 90_000)
        stream.codec_context.time_base = Fraction(1, 90_000)
        for number in range(LENGTH):
            picture = av.VideoFrame.from_ndarray(
                numbered_frame(number), format="rgb24"
            )
            picture.time_base = Fraction(1, 90_000)
            picture.pts = round(
                (0.2 + number / FPS + 0.01 * (number % 2)) * 90_000
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    (root / SEAL).unlink()
    shown = packets_of(root / VIDEO)
    for version in ("v2.1", "v3.0"):
        made = aggregate([root], tmp_path / version, format=version).output
        (path,) = made.rglob("*.mp4")
        assert times_of(path) == [
            Fraction(number, FPS) for number in range(LENGTH)
        ]
        assert packets_of(path) == shown
        assert_holds(open_dataset(made), [episode])


def test_a_video_on_the_grid_is_copied_as_it_is(tmp_path):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, LENGTH)]
    )
    retime(root / VIDEO, GRID, 90_000)
    before = (root / VIDEO).read_bytes()
    aggregate([root], tmp_path / "out")
    assert (tmp_path / "out" / VIDEO).read_bytes() == before


def test_a_video_of_another_rate_is_still_refused(tmp_path):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, LENGTH)]
    )
    retime(root / VIDEO, [number / 15 for number in range(LENGTH)], 90_000)
    with pytest.raises(DatasetError, match="another frame rate"):
        aggregate(
            [root], tmp_path / "out", options=TransferOptions(reencode=True)
        )


@pytest.mark.parametrize("reencode", [False, True])
def test_of_a_file_of_many_episodes_frames_are_told_apart_by_their_times(
    reencode, tmp_path
):
    """Where they are not at n / fps it cannot be known which episode they are of."""
    episodes = [make_episode(tmp_path / "in", number, 6) for number in range(2)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    retime(
        video,
        [time + 0.1 * (number > 8) for number, time in enumerate(GRID)],
        90_000,
    )
    with pytest.raises(DatasetError) as caught:
        migrate(
            root,
            "v2.1",
            output=tmp_path / "out",
            options=TransferOptions(reencode=reencode),
        )
    assert "episode 1" in str(caught.value)
    options = TransferOptions(reencode=reencode, skip_bad=True)
    made = migrate(root, "v2.1", output=tmp_path / "out", options=options)
    assert made.episodes == 1
    assert_holds(open_dataset(made.output), episodes[:1])


def moved_table(root, seconds):
    """Let the episode table say that every episode begins and ends later in its video."""
    (path,) = (root / "meta/episodes").rglob("*.parquet")
    table = pq.read_table(path)
    for name in ("from_timestamp", "to_timestamp"):
        place = table.column_names.index(f"videos/{KEY}/{name}")
        later = [each + seconds for each in table.column(place).to_pylist()]
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(later, field.type))
    pq.write_table(table, path)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("reencode", [False, True])
def test_episodes_may_begin_as_late_as_their_video(count, reencode, tmp_path):
    """LeRobot finds frames by their times, and reads such a dataset."""
    episodes = [
        make_episode(tmp_path / "in", number, 6) for number in range(count)
    ]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    late = [0.2 + number / FPS for number in range(6 * count)]
    retime(video, late, 90_000)
    moved_table(root, 0.2)
    shown = packets_of(video)
    report = verify(root, VerifyOptions(frames=0))
    assert [f for f in report.findings if f.code.startswith("video")] == []
    assert report.looked.decoded == 6 * count
    for version in ("v2.1", "v3.0"):
        options = TransferOptions(reencode=reencode)
        out = tmp_path / version
        made = aggregate([root], out, format=version, options=options)
        assert_holds(open_dataset(made.output), episodes)
        paths = sorted(made.output.rglob("*.mp4"))
        assert [packet for path in paths for packet in packets_of(path)] == (
            shown
        )
        assert {times_of(path)[0] for path in paths} == {0}


def test_a_table_that_is_not_as_late_as_the_video_is_refused(tmp_path):
    episodes = [make_episode(tmp_path / "in", number, 6) for number in range(2)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    retime(video, [0.2 + time for time in GRID], 90_000)
    moved_table(root, 0.4)
    with pytest.raises(
        DatasetError, match="does not have the frames"
    ) as caught:
        aggregate(
            [root], tmp_path / "out", options=TransferOptions(reencode=True)
        )
    assert "--reencode" not in str(caught.value)
    assert "found:    frames 6 to 17" in str(caught.value)


def test_encoding_again_is_not_advised_where_frames_are_missing(tmp_path):
    """The table is late, but less than the video: half of the first episode is not there."""
    episodes = [make_episode(tmp_path / "in", number, 6) for number in range(2)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    retime(video, [0.2 + time for time in GRID], 90_000)
    moved_table(root, 0.1)
    for options in (
        TransferOptions(episodes="0"),
        TransferOptions(reencode=True),
    ):
        with pytest.raises(DatasetError, match="lacks frames") as caught:
            aggregate([root], tmp_path / "out", options=options)
        told = str(caught.value)
        assert "found:    3 of 6" in told
        assert "--reencode" not in told
        assert told.endswith("or leave this episode out with `--skip-bad`")


def test_leaving_out_is_not_advised_to_those_who_do(tmp_path):
    episodes = [make_episode(tmp_path / "in", number, 6) for number in range(2)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    retime(video, [0.2 + time for time in GRID], 90_000)
    moved_table(root, 0.1)
    with pytest.raises(DatasetError, match="2 episodes") as caught:
        aggregate(
            [root], tmp_path / "out", options=TransferOptions(skip_bad=True)
        )
    assert "--skip-bad" not in str(caught.value)

"""Good datasets are verified, whatever they were made from: no false alarm, every frame told."""

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.verify import VerifyOptions, verify
from tests.helpers.recordings import STORAGES, write_aloha, write_piper
from tests.verify.sets import FPS, LENGTHS, found_unsealed

pytestmark = pytest.mark.usefixtures("workers_in_threads")

ROWS = sum(LENGTHS)
MID = "observation.images.mid"


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", ["h264", "av1", "copy"])
def test_every_codec_and_version(good, video, version):
    case = good(video, version)
    report = verify(
        case.root, VerifyOptions(sources=(case.recordings,), frames=0)
    )
    assert report.findings == ()
    assert report.verdict == "verified"
    assert report.not_looked_at == ()
    looked = report.looked
    assert (looked.rows, looked.recorded_rows, looked.instructions) == (
        ROWS,
        ROWS,
        3,
    )
    assert looked.decoded == 3 * ROWS
    assert looked.packets == (3 * ROWS if video == "copy" else 0)
    assert looked.frames == (0 if video == "copy" else 3 * ROWS)
    assert looked.cannot_tell == 0
    assert report.size.frames == 3 * ROWS


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_sample_is_counted(good, version):
    case = good("h264", version)
    report = verify(case.root, VerifyOptions(sources=(case.recordings,)))
    assert report.verdict == "verified"
    assert report.looked.frames == 3 * 3 * 4
    assert (
        verify(
            case.root, VerifyOptions(sources=(case.recordings,), frames=2)
        ).looked.frames
        == 18
    )


def test_without_recordings_they_are_not_claimed(good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = good()
    case.recordings.rename(case.recordings.with_name("elsewhere"))
    report = verify(case.root)
    case.recordings.with_name("elsewhere").rename(case.recordings)
    assert report.verdict == "verified"
    assert (
        report.looked.episodes
        == report.looked.frames
        == report.looked.packets
        == 0
    )
    (reason,) = report.not_looked_at
    assert (
        "2 recordings are not here (recordings/a.hdf5, recordings/b.hdf5)"
        in reason
    )
    assert "name them with --source" in reason


def test_recordings_that_lie_where_the_dataset_tells_are_found(good):
    report = verify(good().root)
    assert report.looked.episodes == 3


OTHER_COLOR = {"raw": "bgr"}
STORED = [
    *((storage, "rgb", "v2.1") for storage in STORAGES),
    *(
        (storage, OTHER_COLOR.get(storage, "swapped-jpeg"), "v3.0")
        for storage in STORAGES
    ),
]


@pytest.mark.parametrize(("storage", "color", "version"), STORED)
def test_every_storage_and_color(tmp_path, storage, color, version):
    path = write_piper(
        tmp_path / "a.hdf5", lengths=6, storage=storage, color=color
    )
    job = make_job(color=color, format=version)
    convert([path], tmp_path / "set", job, workers=1)
    report = verify(tmp_path / "set", VerifyOptions(sources=(path,), frames=0))
    assert report.findings == ()
    assert report.looked.frames == 36
    assert report.looked.cannot_tell == 0


@pytest.mark.parametrize(
    ("size", "video"),
    [((90, 122), "h264"), ((120, 160), "av1"), ((63, 97), "av1")],
)
def test_other_sizes(tmp_path, size, video):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=9, size=size)
    convert([path], tmp_path / "set", make_job(video=video), workers=1)
    report = verify(tmp_path / "set", VerifyOptions(sources=(path,), frames=0))
    assert report.findings == ()
    assert report.looked.cannot_tell == 0


def test_scaled(tmp_path):
    path = write_piper(
        tmp_path / "a.hdf5", episodes=1, lengths=9, size=(96, 128)
    )
    convert([path], tmp_path / "set", make_job(resize=(64, 48)), workers=1)
    report = verify(tmp_path / "set", VerifyOptions(sources=(path,), frames=0))
    assert report.findings == ()
    assert report.looked.frames == 27


@pytest.mark.parametrize("compressed", [True, False])
def test_aloha(tmp_path, compressed):
    for episode in range(2):
        path = tmp_path / f"episode_{episode}.hdf5"
        write_aloha(path, episode=episode, length=8, compressed=compressed)
    job = make_job(layout="aloha", task="fold the towel")
    convert([tmp_path], tmp_path / "set", job, workers=1)
    report = verify(
        tmp_path / "set", VerifyOptions(sources=(tmp_path,), frames=0)
    )
    assert report.findings == ()
    assert report.looked.instructions == 0
    assert report.looked.recorded_rows == 16
    assert FPS == 30


def test_equal_frames_cannot_be_told(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=1)
    convert([path], tmp_path / "set", make_job(), workers=1)
    report = verify(tmp_path / "set", VerifyOptions(sources=(path,), frames=0))
    assert report.findings == ()
    assert report.looked.frames == 3


def test_links_inside_of_a_dataset_are_followed(copy):
    case = copy()
    cameras = case.video(MID, 0).parent.parent
    (cameras / MID).rename(cameras / "elsewhere")
    (cameras / MID).symlink_to("elsewhere")
    case.data(0).rename(case.root / "data/rows")
    case.data(0).symlink_to("../rows")
    assert found_unsealed(case) == set()
    (cameras / "elsewhere/other.mp4").write_bytes(b"left")
    place = "videos/chunk-000/elsewhere/other.mp4"
    assert found_unsealed(case) == {("file-left-over", place, None, None, None)}

"""Which recordings are taken, foreign datasets, bad input: a verdict claims what was looked at."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.errors import (
    DatasetError,
    LayoutError,
    LayoutMismatch,
    RecordingError,
    UnsupportedVersion,
)
from piperline.lerobot.info import PROVENANCE
from piperline.seal.seal import SEAL
from piperline.transfer import aggregate, migrate
from piperline.verify import VerifyOptions, verify
from tests.helpers.recordings import write_aloha, write_piper
from tests.verify.sets import (
    LENGTHS,
    MID,
    edit_json,
    exchange,
    found,
    set_instruction,
)

pytestmark = pytest.mark.usefixtures("workers_in_threads")


def codes(report):
    return [finding.code for finding in report.findings]


def make_foreign(case):
    """Take away all that only piperline writes."""
    for name in (PROVENANCE, SEAL, "meta/image_histograms.pq"):
        (case.root / name).unlink()


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", ["h264", "copy"])
def test_a_foreign_dataset_is_matched_by_its_rows(copy, video, version):
    case = copy(video, version)
    make_foreign(case)
    # the order is another now
    (case.recordings / "a.hdf5").rename(case.recordings / "z.hdf5")
    report = verify(
        case.root,
        VerifyOptions(sources=(case.recordings,), layout="piper", frames=0),
    )
    assert report.findings == ()
    names = [
        episode and (episode.path.name, episode.name)
        for episode in report.recordings
    ]
    assert names == [
        ("z.hdf5", "episode_0"),
        ("z.hdf5", "episode_1"),
        ("b.hdf5", "episode_2"),
    ]
    assert report.looked.recorded_rows == sum(LENGTHS)
    assert report.looked.packets == (3 * sum(LENGTHS) if video == "copy" else 0)
    assert report.not_looked_at == (
        "whether files changed since it was made: there is no seal",
    )


def test_what_is_wrong_with_a_foreign_dataset_is_found(copy):
    case = copy()
    make_foreign(case)
    (case.root / "meta/stats.json").unlink()
    exchange(case.video(MID, 0), case.video(MID, 1))
    shutil.copy(case.recordings / "a.hdf5", case.recordings / "c.hdf5")
    assert {entry[:1] + entry[2:] for entry in found(case)} == {
        ("frame-episode", "0", MID, 0),
        ("frame-episode", "1", MID, 0),
    }


def test_a_part_of_a_recording_is_matched_too(copy):
    """A foreign converter left out the end: the rows that there are tell where they come from."""
    case = copy()
    make_foreign(case)
    (case.root / "meta/stats.json").unlink()
    table = pq.read_table(case.data(2)).slice(0, 12)
    pq.write_table(table, case.data(2))
    report = verify(
        case.root, VerifyOptions(sources=(case.recordings,), frames=0)
    )
    assert "length-differs" not in codes(report)
    assert "rows-count" in codes(report)
    assert "recording-missing" not in codes(report)


def test_recordings_of_something_else_are_not_matched(copy, tmp_path):
    case = copy()
    make_foreign(case)
    other = write_piper(tmp_path / "other.hdf5", first=50, lengths=17)
    report = verify(case.root, VerifyOptions(sources=(other,)))
    assert codes(report) == ["recording-missing"] * 3
    assert report.verdict == "not verified"
    assert report.looked.episodes == report.looked.frames == 0


def test_recordings_may_have_moved(copy, tmp_path):
    case = copy()
    moved = tmp_path / "archive/2026"
    moved.parent.mkdir()
    case.recordings.rename(moved)
    assert verify(case.root, VerifyOptions(sources=(moved,))).findings == ()


def test_some_recordings_are_not_here(copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    case = copy()
    (case.recordings / "b.hdf5").unlink()
    report = verify(case.root)
    assert report.verdict == "verified"
    assert report.looked.episodes == 2
    (reason,) = report.not_looked_at
    assert reason == (
        "recordings: 1 recording is not here (recordings/b.hdf5); name them with --source"
    )


def test_a_recording_that_was_left_out_says_nothing_of_the_dataset(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number, name in enumerate("ab"):
        write_piper(data / f"{name}.hdf5", episodes=1, first=number, lengths=12)
    (data / "bad.hdf5").write_bytes(b"no recording")
    convert(data, tmp_path / "out", make_job(), skip_bad=True)
    options = VerifyOptions(sources=(data,), frames=0)
    report = verify(tmp_path / "out", options)
    assert report.verdict == "verified"
    assert report.not_looked_at == (
        "recordings: bad.hdf5 was left out when the dataset was made",
    )
    # what the dataset was made of is another matter, whatever it says
    (data / "b.hdf5").write_bytes(b"no recording")
    entry = {"source": "b.hdf5", "episode": None, "reason": ""}
    edit_json(
        tmp_path / "out" / PROVENANCE,
        lambda document: document["left_out"].append(entry),
    )
    report = verify(tmp_path / "out", options)
    assert report.verdict == "not verified"
    assert {"recording-unreadable", "recording-missing"} <= set(codes(report))


def test_a_source_that_leads_out_is_not_followed(copy, tmp_path, monkeypatch):
    case = copy()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def edit(document):
        for entry in document["episodes"]:
            entry["source"] = f"../recordings/{Path(entry['source']).name}"

    edit_json(case.root / PROVENANCE, edit)
    report = verify(case.root)
    assert report.looked.episodes == 0


def test_the_layout_of_the_conversion_is_taken(tmp_path):
    path = write_aloha(tmp_path / "fold.hdf5")
    convert(
        [path],
        tmp_path / "set",
        make_job(layout="aloha", task="fold"),
        workers=1,
    )
    report = verify(tmp_path / "set", VerifyOptions(sources=(path,)))
    assert report.findings == ()
    with pytest.raises(LayoutMismatch) as caught:
        verify(tmp_path / "set", VerifyOptions(sources=(path,), layout="piper"))
    assert "--layout aloha" in str(caught.value)


def test_layouts_that_are_none(copy):
    case = copy()
    with pytest.raises(LayoutError, match="no layout"):
        verify(
            case.root,
            VerifyOptions(sources=(case.recordings,), layout="pipper"),
        )
    edit_json(
        case.root / PROVENANCE,
        lambda document: document.update(layout={"name": 3}),
    )
    with pytest.raises(LayoutError) as caught:
        verify(case.root, VerifyOptions(sources=(case.recordings,)))
    assert "add --layout" in str(caught.value)


def test_a_path_may_go_up(good, monkeypatch):
    case = good()
    monkeypatch.chdir(case.recordings)
    report = verify(
        Path("../set"), VerifyOptions(sources=(Path("../recordings"),))
    )
    assert report.findings == ()


def test_there_are_no_such_recordings(good, tmp_path):
    with pytest.raises(RecordingError, match="no such file"):
        verify(good().root, VerifyOptions(sources=(tmp_path / "nothing.hdf5",)))


def test_it_is_no_dataset(tmp_path, copy):
    with pytest.raises(DatasetError, match="no such dataset"):
        verify(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="not a LeRobot dataset"):
        verify(tmp_path)
    case = copy()
    edit_json(
        case.root / "meta/info.json",
        lambda info: info.update(codebase_version="v9"),
    )
    with pytest.raises(UnsupportedVersion):
        verify(case.root)


def test_a_camera_that_was_not_recorded_is_named(copy):
    case = copy()
    make_foreign(case)
    (case.root / "meta/stats.json").unlink()

    def edit(info):
        info["features"]["observation.images.extra"] = info["features"][MID]

    edit_json(case.root / "meta/info.json", edit)
    shutil.copytree(
        case.video(MID, 0).parent,
        case.video("observation.images.extra", 0).parent,
    )
    report = verify(case.root, VerifyOptions(sources=(case.recordings,)))
    assert report.findings == ()
    assert (
        "cameras that the recordings do not have: observation.images.extra"
        in (report.not_looked_at)
    )


@pytest.mark.parametrize("video", ["h264", "copy"])
def test_what_is_moved_stays_verified(good, tmp_path, video):
    case = good(video, "v2.1")
    migrate(case.root, "v3.0", output=tmp_path / "v30")
    aggregate([case.root, tmp_path / "v30"], tmp_path / "both")
    for root, count in ((tmp_path / "v30", 3), (tmp_path / "both", 6)):
        report = verify(
            root, VerifyOptions(sources=(case.recordings,), frames=0)
        )
        assert report.findings == ()
        assert report.looked.episodes == count
        assert report.looked.files > 0


def test_packets_have_the_same_seal_in_both_versions(good, tmp_path):
    case = good()
    migrate(case.root, "v3.0", output=tmp_path / "v30")
    seals = [
        json.loads((root / SEAL).read_text())
        for root in (case.root, tmp_path / "v30")
    ]
    packets = [
        [entry["packets"] for entry in seal["episodes"]] for seal in seals
    ]
    assert packets[0] == packets[1]


def test_groot_may_write_its_statistics(copy):
    case = copy()
    for name in ("stats.json", "relative_stats.json", "piperline_stats.json"):
        case.meta(name).unlink()
    assert verify(case.root).findings == ()


def test_instructions_are_compared(copy):
    case = copy()
    set_instruction(case, 1, "do nothing")
    assert {
        entry[0] for entry in found(case) if not entry[0].startswith("seal")
    } == {
        "rows-instruction",
        "instruction-differs",
    }


def real_dataset() -> Path | None:
    """NVIDIA's demo dataset: `PIPERLINE_REAL_DATASET`, or ../shared beside the checkout."""
    told = os.environ.get("PIPERLINE_REAL_DATASET")
    beside = (
        Path(__file__).parents[3] / "shared" / "data" / "robot_sim.PickNPlace"
    )
    path = Path(told) if told else beside
    return path if (path / "meta/info.json").exists() else None


@pytest.mark.skipif(
    real_dataset() is None,
    reason="no copy of robot_sim.PickNPlace (set PIPERLINE_REAL_DATASET)",
)
def test_a_real_dataset_is_verified_in_itself():
    """It declares a camera without videos, has no frame_index, and its times begin at 0.05 s."""
    source = real_dataset()
    assert source is not None
    report = verify(source, VerifyOptions(frames=0))
    assert report.verdict == "verified"
    assert sorted(codes(report)) == [
        "camera-without-videos",
        "rows-bookkeeping",
        "rows-late",
    ]
    assert report.looked.rows == report.looked.decoded == 2096

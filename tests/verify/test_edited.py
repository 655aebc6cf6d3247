"""Edited datasets: what the edits left is held against the recordings, and nothing else."""

import json
from dataclasses import replace

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.lerobot.info import PROVENANCE
from piperline.seal.seal import SEAL
from piperline.transfer import aggregate, edit, migrate
from piperline.verify import VerifyOptions, verify
from tests.helpers.recordings import write_piper
from tests.verify.sets import LENGTHS, MID, edit_json, edit_rows, exchange

pytestmark = pytest.mark.usefixtures("workers_in_threads")

LEFT = "observation.images.left_wrist"
CUT = EditPlan(
    {
        0: EpisodeEdit(start=Moment(5), stop=Moment(15)),
        1: EpisodeEdit(cuts=(Moment(7),), instruction="another text"),
    }
)
ROWS = 10 + LENGTHS[1] + LENGTHS[2]


def edited(case, plan, tmp_path):
    """A case whose dataset is an edited one."""
    edit(case.root, plan, output=tmp_path / "edited")
    return replace(case, root=tmp_path / "edited")


def report_on(case, root=None):
    """What verify says of it, every frame compared."""
    return verify(
        root or case.root, VerifyOptions(sources=(case.recordings,), frames=0)
    )


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("video", ["h264", "copy"])
def test_what_is_left_of_episodes_is_held_against_its_frames(
    good, tmp_path, video, version
):
    case = edited(good(video, version), CUT, tmp_path)
    report = report_on(case)
    assert report.findings == ()
    assert report.not_looked_at == ()
    looked = report.looked
    assert (looked.episodes, looked.recorded_rows) == (4, ROWS)
    assert looked.packets == (3 * ROWS if video == "copy" else 0)
    assert looked.frames == (0 if video == "copy" else 3 * ROWS)
    assert looked.instructions == 4
    assert report.edited == (
        "3 of 4 episodes cut (0, 1, 2)",
        "2 of 4 episodes with another instruction (1, 2)",
    )


def test_what_is_wrong_with_a_piece_is_found(good, tmp_path):
    case = edited(good("h264", "v2.1"), CUT, tmp_path)
    exchange(case.video(MID, 0), case.video(LEFT, 0))

    def change(columns):
        columns["action"][3][2] += 1.0

    edit_rows(case.data(2), change)
    case.root.joinpath(SEAL).unlink()
    found = {
        (f.code, f.place.episode, f.place.camera, f.place.frame)
        for f in report_on(case).findings
        if f.code.startswith(("rows-differ", "frame"))
    }
    assert found == {
        ("rows-differ", "2", None, 3),
        ("frame-camera", "0", MID, 0),
        ("frame-camera", "0", LEFT, 0),
    }


def test_a_piece_of_other_frames_is_found(good, tmp_path):
    """The record tells one frame less than was cut off."""
    case = edited(good("h264", "v2.1"), CUT, tmp_path)

    def change(document):
        document["episodes"][0]["frames"] = [4, 14]

    edit_json(case.root / PROVENANCE, change)
    case.root.joinpath(SEAL).unlink()
    codes = {finding.code for finding in report_on(case).findings}
    assert codes == {"rows-differ", "frame-shifted"}


def test_an_instruction_that_no_edit_gave_is_found(good, tmp_path):
    case = edited(good("h264", "v2.1"), CUT, tmp_path)

    def change(document):
        document["episodes"][1]["edited"]["instructions"] = ["a third text"]

    edit_json(case.root / PROVENANCE, change)
    case.root.joinpath(SEAL).unlink()
    (finding,) = report_on(case).findings
    assert finding.code == "instruction-differs"
    assert finding.message == (
        "the instruction is 'another text', an edit made it 'a third text'"
    )


def test_names_orders_and_rates_are_no_differences(good, tmp_path):
    source = good("h264", "v3.0")
    names = json.loads((source.root / "meta/info.json").read_text())[
        "features"
    ]["action"]["names"]
    moved = (*names[7:], *names[:7])
    first = EditPlan(
        {0: EpisodeEdit(start=Moment(3))},
        dataset=DatasetEdit(
            rename_cameras={"mid": "front"},
            drop_cameras=("left_wrist",),
            reorder_dimensions={"action": moved},
        ),
    )
    case = edited(source, first, tmp_path)
    second = EditPlan(
        dataset=DatasetEdit(
            every=2,
            rename_cameras={"front": "top"},
            reorder_dimensions={"action": tuple(names)},
        )
    )
    assert report_on(case).findings == ()
    assert report_on(case).edited == (
        "1 of 3 episodes cut (0)",
        "observation.images.mid is observation.images.front now",
        "the dimensions of action are in another order",
    )
    case = edited(case, second, tmp_path / "again")
    report = report_on(case)
    assert report.findings == ()
    assert report.not_looked_at == (
        "cameras that the dataset does not have: observation.images.left_wrist",
    )
    # and back again, so that order is not told any more
    assert report.edited == (
        "3 of 3 episodes cut (0, 1, 2)",
        "observation.images.mid is observation.images.top now",
    )
    assert report.looked.recorded_rows == 7 + 9 + 8
    assert report.looked.frames == 2 * (7 + 9 + 8)


def test_edited_datasets_stay_verified_when_they_are_moved(good, tmp_path):
    case = edited(good("h264", "v2.1"), CUT, tmp_path)
    migrate(case.root, "v3.0", output=tmp_path / "v30")
    aggregate([good("h264", "v2.1").root, tmp_path / "v30"], tmp_path / "all")
    report = report_on(case, tmp_path / "all")
    assert report.findings == ()
    assert report.looked.episodes == 7
    assert report.edited[0] == "3 of 7 episodes cut (3, 4, 5)"


def test_a_conversion_by_a_plan_is_held_against_what_it_kept(tmp_path):
    recording = write_piper(tmp_path / "a.hdf5", episodes=3, lengths=12)
    plan = EditPlan(
        {
            "a.hdf5:episode_0": EpisodeEdit(stop=Moment(7)),
            "a.hdf5:episode_1": EpisodeEdit(instruction="other words"),
            "a.hdf5:episode_2": EpisodeEdit(
                start=Moment(4), swap_red_blue=("mid",)
            ),
        },
        dataset=DatasetEdit(
            drop_cameras=("left_wrist",), rename_cameras={"mid": "front"}
        ),
    )
    convert([recording], tmp_path / "set", make_job(), edits=plan, workers=1)
    report = verify(
        tmp_path / "set", VerifyOptions(sources=(recording,), frames=0)
    )
    assert report.findings == ()
    assert report.looked.recorded_rows == 7 + 12 + 8
    assert report.looked.frames == 2 * (7 + 12 + 8)
    assert report.edited == (
        "2 of 3 episodes cut (0, 2)",
        "1 of 3 episodes with another instruction (1)",
        "1 of 3 episodes with red and blue put right (2)",
        "observation.images.mid is observation.images.front now",
    )


def test_pieces_of_unknown_recordings_are_not_claimed(good, tmp_path):
    """A dataset of others that was cut here: which frames it had is not told."""
    source = good("h264", "v2.1")
    case = edited(source, CUT, tmp_path)

    def change(document):
        for entry in document["episodes"]:
            entry.pop("source")

    edit_json(case.root / PROVENANCE, change)
    case.root.joinpath(SEAL).unlink()
    report = report_on(case)
    assert report.findings == ()
    assert report.looked.episodes == 1
    assert report.not_looked_at[-1] == (
        "recordings of episodes that were cut, of which is not told what of: 0, 1, 2"
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"frames": "all"},
        {"frames": [0, None]},
        {"frames": [-5, True]},
        {"every": -1, "edited": []},
        {"edited": {"cameras": [3], "order": {"action": [5, 5]}}},
        {"edited": {"order": {"action": [[1], 2]}, "instructions": 4}},
    ],
)
def test_a_record_that_was_tampered_with_is_no_traceback(good, tmp_path, entry):
    case = good("h264", "v2.1")
    edited_case = edited(case, CUT, tmp_path)

    def change(document):
        for known in document["episodes"]:
            known.update(entry)

    edit_json(edited_case.root / PROVENANCE, change)
    report = verify(
        edited_case.root, VerifyOptions(sources=(case.recordings,), frames=2)
    )
    assert report.verdict == "not verified"
    once_more = EditPlan({0: EpisodeEdit(start=Moment(1))})
    edit(edited_case.root, once_more, output=tmp_path / "once more")

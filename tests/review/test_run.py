"""review: what is found, reused, proposed; bad input and hostile texts."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import replace

import h5py
import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.edits.plan import read_plan
from piperline.errors import OutputExists, RecordingError
from piperline.lerobot.dataset import open_dataset
from piperline.review import review
from tests.helpers.fatal import crashing, make_hang
from tests.helpers.faults import KINDS
from tests.helpers.recordings import write_aloha, write_piper
from tests.helpers.sessions import Style, clean_set, write_sessions

pytestmark = pytest.mark.usefixtures("workers_in_threads")

SMALL = Style(sessions=2, episodes=2, frames=(75, 90), texts=2)
HOSTILE = '<script>alert(1)</script>\x1b[31m"""\n]]\u202e\\'


@pytest.fixture
def recordings(tmp_path):
    write_sessions(tmp_path / "data", clean_set(SMALL))
    return tmp_path / "data"


def test_recordings_without_faults_have_no_findings(recordings, tmp_path):
    result = review([recordings], tmp_path / "out", workers=1)
    assert (result.findings, result.episodes, result.reused) == ((), 4, 0)
    assert result.images == 3 * result.frames


def test_what_was_measured_is_reused(recordings, tmp_path):
    first = review([recordings], tmp_path / "out", workers=1)
    with h5py.File(recordings / "session_2.hdf5", "a") as file:
        file["episode_1"].attrs["success"] = False
    second = review([recordings], tmp_path / "out", workers=1)
    assert (first.reused, second.reused) == (0, 2)
    assert [f.code for f in second.findings] == ["label-failure"]
    third = review([recordings], tmp_path / "out", workers=1)
    assert (third.reused, third.result) == (4, second.result)


def test_the_result_holds_what_a_page_needs(recordings, tmp_path):
    result = review([recordings], tmp_path / "out", workers=2)
    document = json.loads(
        (tmp_path / "out/review.json").read_text(encoding="utf-8")
    )
    assert document == json.loads(json.dumps(result.result))
    assert [e["name"] for e in document["episodes"]] == [
        "episode_0",
        "episode_1",
    ] * 2
    episode = document["episodes"][3]
    script = (tmp_path / f"out/episodes/{episode['key']}.js").read_text(
        encoding="utf-8"
    )
    curves = json.loads(script[script.index("{") : script.rindex("}") + 1])
    take = clean_set(SMALL)[3]
    assert np.allclose(curves["state"], take.state, atol=1e-4)
    assert np.allclose(curves["action"], take.action, atol=1e-4)
    assert [len(motion) for motion in curves["motion"]] == [len(take)] * len(
        document["cameras"]
    )
    thumbnail = (tmp_path / f"out/thumbnails/{episode['key']}.jpg").read_bytes()
    assert thumbnail.startswith(b"\xff\xd8")


@pytest.mark.in_processes
def test_the_number_of_workers_changes_nothing(recordings, tmp_path):
    for workers in (1, 2):
        review([recordings], tmp_path / str(workers), workers=workers)
    one, two = (
        {
            p.relative_to(root): p.read_bytes()
            for p in root.rglob("*")
            if p.is_file()
        }
        for root in (tmp_path / "1", tmp_path / "2")
    )
    assert {"review.json", "plan.toml", "index.html"} <= {
        str(path) for path in one
    }
    assert len([path for path in one if path.parts[0] == "episodes"]) == 4
    assert one == two


def test_tables_only_reads_no_image(recordings, tmp_path):
    with h5py.File(recordings / "session_1.hdf5", "a") as file:
        rows = file["episode_0/image_mid"]
        rows[5] = np.zeros((), rows.dtype)
    result = review([recordings], tmp_path / "out", pictures=False, workers=1)
    assert (result.findings, result.images) == ((), 0)
    assert "pictures were not looked at" in result.notes


def test_an_unreadable_episode_is_a_finding_and_the_rest_is_reviewed(
    recordings, tmp_path
):
    with h5py.File(recordings / "session_1.hdf5", "a") as file:
        file["episode_0/state"][3, 2] = np.nan
    (recordings / "session_3.hdf5").write_bytes(b"no HDF5")
    result = review([recordings], tmp_path / "out", workers=1)
    assert [f.code for f in result.findings] == ["unreadable"] * 2
    assert result.episodes == 3
    assert "not finite" in result.findings[1].message
    assert result.findings[1].place is not None
    assert result.findings[1].place.episode == "episode_0"


@pytest.mark.in_processes
def test_a_crash_of_hdf5_costs_the_episode(recordings, tmp_path):
    write_piper(recordings / "session_9.hdf5", episodes=1, lengths=4)
    with h5py.File(recordings / "session_9.hdf5", "a") as file:
        crashing(file, "episode_0")
    result = review([recordings], tmp_path / "out", workers=1)
    assert [f.code for f in result.findings] == ["unreadable"]
    assert "session_9.hdf5" in str(result.findings[0].place)
    assert "crashes or hangs: a crash (SIGSEGV)" in result.findings[0].message
    assert result.episodes == 4


@pytest.mark.in_processes
def test_a_hang_of_hdf5_costs_the_episode(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr("piperline.review.pool.WORKER_SECONDS", 5)
    write_piper(recordings / "session_9.hdf5", episodes=1, lengths=4)
    make_hang(recordings / "session_9.hdf5")
    result = review([recordings], tmp_path / "out", workers=1)
    assert [f.code for f in result.findings] == ["unreadable"]
    assert "session_9.hdf5" in str(result.findings[0].place)
    assert (
        "crashes or hangs: nothing for 5 seconds" in result.findings[0].message
    )
    assert result.episodes == 4


def test_episodes_of_a_few_frames_are_reviewed(tmp_path):
    lengths = (1, 2, 3, 12, 25)
    write_piper(
        tmp_path / "a.hdf5", episodes=5, lengths=lengths, storage="png-vlen"
    )
    write_piper(
        tmp_path / "b.hdf5", episodes=5, first=5, lengths=lengths, storage="raw"
    )
    result = review([tmp_path], tmp_path / "out", workers=1)
    assert (result.episodes, result.frames) == (10, 2 * sum(lengths))


def test_a_layout_without_instructions_leaves_them_to_convert(tmp_path):
    for number in range(3):
        write_aloha(
            tmp_path / f"{number}.hdf5",
            episode=number,
            length=20,
            compressed=number == 1,
        )
    result = review([tmp_path], tmp_path / "out", layout="aloha", workers=1)
    assert result.episodes == 3
    assert "text-empty" not in {finding.code for finding in result.findings}


def test_a_dataset_is_reviewed_as_its_recordings_are(tmp_path, convert):
    takes = clean_set(SMALL, 3)
    takes = (replace(takes[0], text="todo"), *takes[1:])
    write_sessions(tmp_path / "data", takes)
    assert convert(tmp_path / "data", "--output", tmp_path / "set")[0] == 0
    told = [
        {
            (f.code, *f.numbers["episodes"])
            for f in review([what], tmp_path / name, workers=1).findings
        }
        for what, name in (
            (tmp_path / "data", "one"),
            (tmp_path / "set", "two"),
        )
    ]
    assert told[0] == told[1] == {("text-placeholder", 0)}


def test_the_plan_for_a_dataset_is_carried_out_by_edit(
    tmp_path, convert, capsys
):
    """As the printed command says; the plan for recordings is carried out by `convert`."""
    takes = clean_set(SMALL)
    write_sessions(
        tmp_path / "data",
        (
            *takes[:3],
            replace(takes[0], session=takes[3].session, name=takes[3].name),
        ),
    )
    assert convert(tmp_path / "data", "--output", tmp_path / "set")[0] == 0
    command = [
        "review",
        str(tmp_path / "set"),
        "--output",
        str(tmp_path / "out"),
    ]
    run(app, [*command, "--workers", "1"])
    told = capsys.readouterr().out
    command = [
        "edit",
        str(tmp_path / "set"),
        "--plan",
        str(tmp_path / "out/plan.toml"),
    ]
    assert f"piperline {' '.join(command)} --output NEW" in told
    assert "piperline edit DATASET --plan" in (
        tmp_path / "out/plan.toml"
    ).read_text("utf-8")
    assert run(app, [*command, "--output", str(tmp_path / "new")]) == 0
    assert len(open_dataset(tmp_path / "new")) == 3


def test_recordings_of_which_none_can_be_read_are_an_error(tmp_path):
    (tmp_path / "a.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(RecordingError):
        review([tmp_path / "a.hdf5"], tmp_path / "out", workers=1)


def test_a_folder_that_no_review_made_is_kept(recordings, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(OutputExists):
        review([recordings], tmp_path / "out", workers=1)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_plan_that_somebody_has_edited_is_kept(recordings, tmp_path):
    with h5py.File(recordings / "session_2.hdf5", "a") as file:
        file["episode_1"].attrs["success"] = False
    first = review([recordings], tmp_path / "out", workers=1)
    mine = first.plan.read_text() + "# I have read this\n"
    first.plan.write_text(mine)
    second = review([recordings], tmp_path / "out", workers=1)
    assert (second.plan.name, first.plan.read_text()) == ("plan.new.toml", mine)


def test_certain_remedies_are_active_and_doubtful_ones_are_comments(tmp_path):
    takes = KINDS["idle_start"].put(clean_set(SMALL), 2)[:2]
    takes = (
        replace(takes[0], attributes={"success": False}),
        *takes[1:],
        *clean_set(SMALL)[2:],
    )
    takes = (*takes[:3], replace(takes[3], text="test"))
    write_sessions(tmp_path / "data", takes)
    result = review(
        [tmp_path / "data"], tmp_path / "out", pictures=False, workers=1
    )
    edits = read_plan(result.plan).episodes
    assert [e.drop for e in edits.values()] == [True]
    text = result.plan.read_text(encoding="utf-8")
    assert '# instruction = "WRITE THE INSTRUCTION HERE"' in text
    assert 'finding = "label-failure"' in text


def test_hostile_texts_stay_texts(tmp_path, capsys):
    takes = clean_set(SMALL)
    takes = (
        replace(takes[0], text=HOSTILE, attributes={"success": False}),
        *takes[1:],
    )
    write_sessions(tmp_path / "data", takes)
    with h5py.File(tmp_path / "data/session_1.hdf5", "a") as file:
        file.move("episode_0", HOSTILE.replace("/", "|"))
    code = run(
        app,
        [
            "review",
            str(tmp_path / "data"),
            "-o",
            str(tmp_path / "out"),
            "-w",
            "1",
        ],
    )
    out, _ = capsys.readouterr()
    assert code == 0  # warnings only
    assert "label-failure" in out
    assert all(line.isprintable() for line in out.splitlines())
    text = (tmp_path / "out/plan.toml").read_text(encoding="utf-8")
    assert [e["drop"] for e in tomllib.loads(text)["episode"]] == [True]
    assert all(line.isprintable() for line in text.splitlines())
    result = (tmp_path / "out/review.json").read_text(encoding="utf-8")
    assert result.isascii()
    assert HOSTILE in {e["instruction"] for e in json.loads(result)["episodes"]}


def test_the_exit_code_follows_fail_on(recordings, tmp_path, capsys):
    with h5py.File(recordings / "session_2.hdf5", "a") as file:
        file["episode_1"].attrs["success"] = False
    words = [
        "review",
        str(recordings),
        "-o",
        str(tmp_path / "out"),
        "-w",
        "1",
        "--tables-only",
    ]
    assert run(app, words) == 0
    assert run(app, [*words, "--fail-on", "warning"]) == 1
    capsys.readouterr()
    run(app, [*words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert [f["code"] for f in document["findings"]] == ["label-failure"]
    assert document["plan"] == str(tmp_path / "out/plan.toml")


def test_a_full_disk_is_told_and_the_next_review_goes_on(tmp_path):
    recording = write_piper(tmp_path / "a.hdf5", episodes=1)
    output = tmp_path / "review"
    script = 'ulimit -f 4; exec "$0" -m piperline review "$1" --output "$2"'
    command = ["bash", "-c", script, sys.executable, recording, output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    said = [line for line in done.stderr.splitlines() if line[:1].isalpha()]
    assert said[-5] == "error: the file size limit is reached"
    assert [line.partition(":")[0] for line in said[-4:]] == [
        "where",
        "expected",
        "found",
        "next",
    ]
    assert review([recording], output, workers=1).episodes == 1


def test_many_groups_that_are_no_episodes_are_told_together(
    recordings, tmp_path
):
    """And what is unlike them is told by itself; nothing is measured of them."""
    with h5py.File(recordings / "session_1.hdf5", "a") as file:
        for number in range(40):
            file.create_group(f"nothing_{number:02}")
        file["other/state"] = np.zeros((3, 2), np.float32)
    result = review([recordings], tmp_path / "out", workers=1, videos=False)
    *each, together, other = result.findings
    assert {f.code for f in result.findings} == {"unreadable"}
    assert [f.place and f.place.episode for f in each] == [
        f"nothing_{number:02}" for number in range(10)
    ]
    assert "an empty group (and 29 more like it)" in together.message
    assert together.numbers["names"] == [
        f"nothing_{number}" for number in range(10, 40)
    ]
    assert other.place is not None
    assert other.place.episode == "other"
    assert result.episodes == 4
    assert len(list((tmp_path / "out/signals").glob("*.npz"))) == 4


def test_of_nothing_that_can_be_read_no_folder_is_made(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_group("episode_0")
    with pytest.raises(RecordingError):
        review([tmp_path / "a.hdf5"], tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_pipes_in_the_folder_of_a_review_are_not_waited_for(tmp_path):
    recording = write_piper(tmp_path / "a.hdf5", episodes=1)
    review([recording], tmp_path / "out", workers=1, pictures=False)
    (kept,) = (tmp_path / "out/signals").glob("*.npz")
    kept.unlink()
    os.mkfifo(kept)
    again = review([recording], tmp_path / "out", workers=1, pictures=False)
    assert (again.episodes, again.reused) == (1, 0)
    (tmp_path / "out/plan.toml").unlink()
    os.mkfifo(tmp_path / "out/plan.toml")
    with pytest.raises(OutputExists, match="in the place of the plan"):
        review([recording], tmp_path / "out", workers=1, pictures=False)

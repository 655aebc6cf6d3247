"""convert ends with a review of the recordings: the same signals, and nothing else is changed."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest

from piperline.cli.app import app, run
from piperline.convert.job import make_job
from piperline.convert.pool import WorkerPool
from piperline.convert.run import convert, plan_run
from piperline.convert.stage import staging_area
from piperline.edits.plan import plan_of
from piperline.process import Child
from piperline.recordings.layout import load_layout
from piperline.review.run import review
from piperline.signals.episode import load_signals
from tests.helpers.faults import idle_start
from tests.helpers.recorders import RECORDERS
from tests.helpers.recordings import write_piper
from tests.helpers.sessions import Style, clean_set, write_sessions

pytestmark = pytest.mark.usefixtures("workers_in_threads")

SMALL = Style(sessions=2, episodes=2, frames=(75, 90), texts=2)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A set in which one episode is marked as a failure."""
    first, *others = clean_set(SMALL)
    failed = replace(first, attributes={"success": False})
    folder = tmp_path_factory.mktemp("recorded") / "data"
    write_sessions(folder, [failed, *others])
    return folder


def files(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def converted(recordings, output, review=None, **options):
    job = make_job(inputs=[recordings], **options)
    return convert([recordings], output, job, workers=1, review=review)


def kept_signals(folder):
    found = {}
    for path in folder.glob("*/*.npz"):
        signals = load_signals(path)
        assert signals is not None
        found[path.name] = signals
    return found


def test_the_dataset_is_the_same_and_nothing_else_is_left(recordings, tmp_path):
    plain = converted(recordings, tmp_path / "plain")
    ended = converted(recordings, tmp_path / "ended", tmp_path / "review")
    assert plain.review is None
    assert [f.code for f in ended.review.findings] == ["label-failure"]
    assert files(tmp_path / "plain") == files(tmp_path / "ended")
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "ended"}


def test_signals_are_those_of_a_review(recordings, tmp_path):
    """Pictures decoded whole and small: the means of blocks are the same but for rounding."""
    folder = tmp_path / "review"
    own = review([recordings], folder, videos=False, workers=1)
    kept = kept_signals(folder)
    for path in folder.glob("*/*.npz"):
        path.unlink()
    made = converted(recordings, tmp_path / "out", folder)
    assert made.review.findings == own.findings
    again = kept_signals(folder)
    assert len(kept) == 4
    assert again.keys() == kept.keys()
    for name, signals in kept.items():
        for key, rows in signals.vectors.items():
            assert np.array_equal(again[name].vectors[key], rows)
        for camera, measured in signals.cameras.items():
            other = again[name].cameras[camera]
            assert np.array_equal(other.hashes, measured.hashes)
            assert other.sharpness == measured.sharpness
            assert np.allclose(other.view, measured.view, atol=0.6)
            assert np.allclose(other.motion, measured.motion, atol=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_signals_of_packed_pixels_are_those_of_a_review(tmp_path, mirrored):
    """They are measured as the encoder gets them, where it gets the same places."""
    recorded = RECORDERS["control-your-robot-raw"](tmp_path)
    layout = load_layout(recorded.layout)
    if mirrored:
        layout = replace(
            layout,
            cameras={
                name: replace(rule, flip="horizontal")
                for name, rule in layout.cameras.items()
            },
        )
    folder = tmp_path / "review"
    review([recorded.source], folder, layout=layout, videos=False, workers=1)
    kept = kept_signals(folder)
    for path in folder.glob("*/*.npz"):
        path.unlink()
    converted(recorded.source, tmp_path / "out", folder, layout=layout)
    again = kept_signals(folder)
    assert again.keys() == kept.keys()
    for name, signals in kept.items():
        for camera, measured in signals.cameras.items():
            other = again[name].cameras[camera]
            assert np.array_equal(other.hashes, measured.hashes)
            off = np.abs(other.view - measured.view)
            assert off[0].max() < 1.5
            assert np.median(off[1:]) < 1  # of 4:2:0 the edges run
            assert np.allclose(other.motion, measured.motion, atol=0.3)
            assert other.red_blue == pytest.approx(measured.red_blue, abs=0.01)
            assert other.sharpness == pytest.approx(
                measured.sharpness, abs=0.05
            )


def test_what_one_measured_the_other_reuses(recordings, tmp_path, monkeypatch):
    folder = tmp_path / "review"
    write_piper(tmp_path / "other.hdf5", episodes=1, lengths=5)
    review([tmp_path / "other.hdf5"], folder, videos=False, workers=1)
    first = converted(recordings, tmp_path / "out", folder)
    second = review([recordings], folder, videos=False, workers=1)
    assert (second.reused, second.findings) == (4, first.review.findings)
    monkeypatch.setattr(
        "piperline.convert.stage.Staging.signals", lambda *_: None
    )
    third = converted(recordings, tmp_path / "again", folder)
    assert third.review == first.review


def test_what_a_plan_leaves_is_reviewed(tmp_path):
    """A start that is cut off is no longer idle; what the plan leaves wrong is told."""
    first, idle, third, last = clean_set(SMALL)
    idle, last = idle_start(idle, 2), replace(last, text="test")
    write_sessions(tmp_path / "data", [first, idle, third, last])
    job = make_job(inputs=[tmp_path / "data"])

    def found(name, *entries):
        made = convert(
            [tmp_path / "data"],
            tmp_path / name,
            job,
            workers=1,
            edits=plan_of({"episode": list(entries)}),
            review=tmp_path / "review",
        )
        assert made.review
        return [finding.code for finding in made.review.findings]

    names = [f"{take.session}.hdf5:{take.name}" for take in (idle, last)]
    trimmed = {"episode": names[0], "trim": "130:"}
    named = {"episode": names[1], "instruction": "fold the towel"}
    assert found("plain") == ["text-placeholder", "idle-start"]
    assert found("trimmed", trimmed) == ["text-placeholder"]
    assert found("both", trimmed, named) == []
    assert found("dropped", {"episode": names[0], "drop": True}, named) == []


@pytest.mark.in_processes
def test_a_bug_in_a_detector_leaves_the_dataset(
    recordings, tmp_path, monkeypatch
):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("piperline.convert.review.detected", broken)
    with pytest.raises(ZeroDivisionError):
        converted(recordings, tmp_path / "out", tmp_path / "review")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert converted(recordings, tmp_path / "out").up_to_date


@pytest.mark.in_processes
@pytest.mark.measured
def test_of_many_episodes_a_process_of_its_own_judges(
    recordings, tmp_path, monkeypatch
):
    here = converted(recordings, tmp_path / "here", tmp_path / "one")
    monkeypatch.setattr("piperline.convert.review._MANY", 1)
    there = converted(recordings, tmp_path / "there", tmp_path / "other")
    assert [f.code for f in here.review.findings] == ["label-failure"]
    assert there.review == here.review


@pytest.mark.in_processes
@pytest.mark.measured
def test_a_bug_in_the_process_that_judges_is_told_with_its_place(
    recordings, tmp_path, monkeypatch
):
    class Misled(Child):
        def send(self, message):
            super().send((None, *message[1:]))

    monkeypatch.setattr("piperline.convert.review._MANY", 1)
    monkeypatch.setattr("piperline.convert.review.Child", Misled)
    with pytest.raises(RuntimeError, match=r"(?s)please report it.*judge.py"):
        converted(recordings, tmp_path / "out", tmp_path / "review")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.in_processes
def test_a_process_that_judges_and_is_killed_costs_the_review_alone(
    recordings, tmp_path, monkeypatch
):
    class Killed(Child):
        def send(self, message):
            super().send(message)
            self._process.kill()

    monkeypatch.setattr("piperline.convert.review._MANY", 1)
    monkeypatch.setattr("piperline.convert.review.Child", Killed)
    result = converted(recordings, tmp_path / "out", tmp_path / "review")
    assert result.review is None
    assert result.notes[-1].startswith("the recordings were not reviewed: ")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_staged_without_signals_is_measured(recordings, tmp_path):
    job = make_job(inputs=[recordings])
    with WorkerPool(1) as pool:
        plan = plan_run([recordings], job, pool=pool)
        with staging_area(tmp_path / "out", plan) as staging:
            pool.stage(
                plan.episodes,
                job,
                staging.root,
                moved=lambda *_: None,
                done=lambda _: None,
            )
    made = converted(recordings, tmp_path / "out", tmp_path / "review")
    assert made.reused == 4
    assert [f.code for f in made.review.findings] == ["label-failure"]
    assert not any("could not" in note for note in made.review.notes)


def test_copied_pictures_are_not_looked_at(recordings, tmp_path):
    made = converted(
        recordings, tmp_path / "out", tmp_path / "review", video="copy"
    )
    assert [f.code for f in made.review.findings] == ["label-failure"]
    assert "pictures were not looked at" in made.review.notes


def test_the_command_line_ends_with_what_was_found(
    tmp_path, monkeypatch, capsys
):
    marked = [
        replace(take, attributes={"success": number == 3})
        for number, take in enumerate(clean_set(SMALL))
    ]
    write_sessions(tmp_path / "data", marked)
    monkeypatch.chdir(tmp_path)
    assert run(app, ["convert", "data", "-o", "out", "-w", "1"]) == 0
    said = capsys.readouterr().out
    assert "review of the recordings: 0 errors, 3 warnings" in said
    assert said.count("[label-failure]") == 1
    assert "(and in 2 more places) [label-failure]" in said
    lines = said.splitlines()
    (told,) = [line for line in lines if line.startswith("to see all of it")]
    words = shlex.split(told.partition(": ")[2])
    assert words == ["piperline", "review", "data"]
    assert run(app, [*words[1:], "--no-videos"]) == 0
    capsys.readouterr()
    plan = ["--plan", "review/plan.toml"]
    assert run(app, ["convert", "data", "-o", "planned", *plan]) == 0
    assert "review of the recordings: nothing found" in capsys.readouterr().out
    quiet = ["--no-review", "--json", "--overwrite"]
    assert run(app, ["convert", "data", "-o", "out", *quiet]) == 0
    assert json.loads(capsys.readouterr().out)["review"] is None
    again = ["--json", "--overwrite"]
    assert run(app, ["convert", "data", "-o", "out", *again]) == 0
    document = json.loads(capsys.readouterr().out)["review"]
    assert [f["code"] for f in document["findings"]] == ["label-failure"] * 3
    assert document["next"] == "piperline review data"


def test_a_plan_with_a_lower_rate_names_the_command_that_reviews(
    recordings, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text("[dataset]\nevery = 2\n")
    words = ["convert", str(recordings), "--plan", "plan.toml", "-w", "1"]
    assert run(app, [*words, "-o", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if "were not reviewed" in line]
    reason, _, command = told.rpartition(": ")
    assert "every n-th image" in reason
    assert run(app, [*shlex.split(command)[1:], "--no-videos"]) == 0
    assert "4 episodes" in capsys.readouterr().out
    assert run(app, [*words, "-o", "plain", "--no-review"]) == 0
    assert "reviewed" not in capsys.readouterr().out
    assert files(tmp_path / "out") == files(tmp_path / "plain")

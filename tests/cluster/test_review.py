"""Ranks review what they convert: the last of them tells what a local conversion tells."""

import json
from dataclasses import replace

import pytest

from piperline.cli.app import app, run
from piperline.cluster.job_folder import JobFolder
from piperline.cluster.shards_work import ShardsWork
from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.cluster.standin import StandIn
from tests.helpers.sessions import Style, clean_set, write_sessions
from tests.helpers.trees import tree

SMALL = Style(sessions=2, episodes=2, frames=(75, 90), texts=2)
REVIEW = "review of the recordings"
SUMMARY = f"{REVIEW}: 0 errors, 1 warning"
NEXT = "piperline review data"


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch, ranks_in_threads):  # noqa: ARG001
    """Recordings of which one is marked as a failure. One rank at a time works here."""
    first, *others = clean_set(SMALL)
    failed = replace(first, attributes={"success": False})
    write_sessions(tmp_path / "data", [failed, *others])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("piperline.process.usable_cpus", lambda: 1)
    return tmp_path


def said(capsys, *words):
    capsys.readouterr()
    assert run(app, list(words)) == 0
    return capsys.readouterr().out


def shards(repo, *more):
    words = ["shards", "convert", "--hdf5-root", "data", "--all"]
    return [*words, "--repo-id", repo, "--workers", "2", *more]


def aggregate(repo, *more):
    words = ["shards", "aggregate", "--repo-id", repo, "--num-shards", "2"]
    return [*words, "--job-name", f"aggregate_{repo[-1]}", *more]


def local(site):
    job = make_job(format="v3.0")
    made = convert(
        [site / "data"], site / "local", job, workers=1, review=site / "review"
    )
    assert made.review
    return made.review.document(NEXT)


def test_shards_and_their_aggregation_tell_what_was_found(site, capsys):
    text = said(capsys, *shards("lab/a"))
    assert SUMMARY in text
    assert "[label-failure]" in text
    assert f"to see all of it, and what can be done: {NEXT}\n" in text
    assert {path.name for path in (site / "home/lab").iterdir()} == {
        "a_world_2_rank_0",
        "a_world_2_rank_1",
    }
    assert SUMMARY in said(capsys, "shards", "status")
    again = json.loads(said(capsys, *shards("lab/a", "--json")))
    assert again["complete"]
    found = json.loads(said(capsys, *aggregate("lab/a", "--json")))
    assert found["output"] == str(site / "home/lab/a")
    assert found["review"] == again["review"]
    assert found["review"] == json.loads(json.dumps(local(site)))
    text = said(capsys, *aggregate("lab/a"))
    assert "Nothing to do" in text
    assert SUMMARY in text
    assert REVIEW not in said(capsys, *aggregate("lab/a", "--no-review"))
    assert tree(site / "home/lab/a") == tree(site / "local")


def test_without_a_review_the_bytes_are_the_same(site, capsys):
    other = ["--job-name", "other", "--no-review"]
    assert REVIEW not in said(capsys, *shards("lab/b", *other))
    assert REVIEW not in said(capsys, *aggregate("lab/b"))
    assert REVIEW not in said(capsys, "shards", "status", "--job-name", "other")
    assert not JobFolder(site / "logs/other").review_file.exists()
    local(site)
    assert tree(site / "home/lab/b") == tree(site / "local")


@pytest.mark.parametrize("more", [[], ["--no-review"]])
def test_what_was_killed_before_it_was_judged_is_judged_by_the_next_run(
    site, capsys, monkeypatch, more
):
    with monkeypatch.context() as patch:
        patch.setattr(ShardsWork, "_end", lambda *_: None)
        assert REVIEW not in said(capsys, *shards("lab/c"))
    assert (site / "home/lab/c.shards.work").exists()
    text = said(capsys, *shards("lab/c", *more))
    assert "Nothing to do" in text
    assert (SUMMARY in text) is not bool(more)
    assert not (site / "home/lab/c.shards.work").exists()


def test_what_an_earlier_run_staged_without_signals_is_measured(
    capsys, monkeypatch
):
    """The first run ends before its shards are made."""

    def killed(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ShardsWork, "_make_shard", killed)
        assert run(app, shards("lab/d", "--no-review")) != 0
    found = json.loads(said(capsys, *shards("lab/d", "--json")))["review"]
    assert [finding["code"] for finding in found["findings"]] == [
        "label-failure"
    ]
    assert not any("could not" in note for note in found["notes"])


@pytest.mark.measured
def test_a_conversion_on_slurm_ends_with_what_was_found(
    site, capsys, monkeypatch
):
    monkeypatch.setenv("PATH", StandIn(site).path)
    words = ["convert", "data", "--slurm", "--workers", "2", "--wait"]
    v3 = ["--format", "v3.0"]
    text = said(capsys, *words, *v3, "-o", "out")
    assert SUMMARY in text
    assert f"to see all of it, and what can be done: {NEXT}\n" in text
    assert not (site / "out.work").exists()
    status = ["shards", "status", "--job-name", "convert_out"]
    assert SUMMARY in said(capsys, *status)
    found = json.loads(said(capsys, *words, *v3, "-o", "out", "--json"))
    assert (found["output"], found["complete"]) == ("out", True)
    assert found["review"] == json.loads(json.dumps(local(site)))
    quiet = ["--workers", "1", "--wait", "--no-review", "--json"]
    plain = json.loads(said(capsys, *words[:3], *v3, "-o", "plain", *quiet))
    assert plain["review"] is None
    assert tree(site / "out") == tree(site / "plain") == tree(site / "local")

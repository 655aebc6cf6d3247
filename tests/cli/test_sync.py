"""`piperline sync`: what it says, and its exit codes."""

import json
from pathlib import Path

import pytest

from piperline.cli.app import app, run
from piperline.convert.job import make_job
from piperline.convert.run import convert
from tests.helpers.crash_points import InThisProcess, one_camera
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree


@pytest.fixture
def site(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        write_piper(
            data / f"{number}.hdf5", episodes=1, first=number, lengths=[4]
        )
    job = make_job(layout=one_camera(), video="copy")
    pool = InThisProcess()
    convert(data, tmp_path / "out", job, pool=pool)  # type: ignore[arg-type]
    return tmp_path


@pytest.fixture
def sync(site, capsys, workers_in_threads):  # noqa: ARG001 - is in place
    def command(*words):
        paths = [site / "data", site / "out"]
        code = run(app, ["sync", *map(str, paths), *words, "--workers", "1"])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_new_recordings_and_then_nothing(site, sync):
    write_piper(site / "data/3.hdf5", episodes=2, first=3, lengths=[4])
    (site / "data/0.hdf5").unlink()
    before = tree(site)
    code, out, _ = sync("--dry-run")
    wanted = "2 new, 0 changed, 1 gone, 2 taken over"
    assert (code, out) == (0, f"{wanted}; nothing was written\n")
    assert tree(site) == before
    code, out, _ = sync()
    assert code == 0
    assert out.startswith(wanted)
    assert f"LeRobot v2.1 dataset: {site}/out (4 episodes, 16 frames" in out
    code, out, _ = sync()
    assert (code, out) == (0, f"up to date: {site}/out, 4 episodes\n")


def test_results_as_json(site, sync):
    write_piper(site / "data/3.hdf5", episodes=1, first=3, lengths=[4])
    (site / "data/0.hdf5").unlink()
    (site / "data/4.hdf5").write_bytes(b"no recording")
    options = ("--skip-bad", "--keep-missing", "--json")
    code, out, _ = sync("--dry-run", *options)
    assert (code, json.loads(out)["missing"]) == (0, 1)
    code, out, _ = sync(*options)
    told = json.loads(out)
    assert (code, told["episodes"], told["up_to_date"]) == (0, 4, False)
    changes = told["changes"]
    [left] = changes.pop("left_out")
    assert Path(left["file"]).name == "4.hdf5"
    assert changes == {
        "new": 1,
        "changed": 0,
        "gone": 0,
        "missing": 1,
        "taken": 2,
    }


def test_what_is_left_out_is_listed(site, sync):
    (site / "data/4.hdf5").write_bytes(b"no recording")
    code, _, errors = sync()
    assert code == 3
    assert "4.hdf5" in errors
    code, out, _ = sync("--skip-bad", "--dry-run")
    assert code == 0
    assert "left out: " in out
    assert "4.hdf5" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--push",), "--push and --repo-id go together"),
        (("--repo-id", "lab/apples"), "--push and --repo-id go together"),
        (("--dry-run", "--watch"), "--dry-run"),
        (("--watch", "--interval", "0"), "interval"),
    ],
)
def test_options_that_contradict_are_refused(site, sync, words, told):
    before = tree(site)
    code, _, errors = sync(*words)
    assert code == 2
    assert told in errors
    assert tree(site) == before


def test_wrong_paths(site, capsys):
    data, out = str(site / "data"), str(site / "out")
    for words, code, told in (
        ([data], 2, "piperline sync RECORDINGS DATASET"),
        ([data, out, "--workers", "0"], 2, "at least one worker"),
        ([data, str(site / "no")], 4, "piperline convert RECORDINGS"),
        ([out, data], 4, "piperline convert RECORDINGS"),
        ([str(site / "no"), out], 3, "no such file or folder"),
    ):
        assert run(app, ["sync", *words]) == code
        assert told in capsys.readouterr().err

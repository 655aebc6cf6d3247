"""sync --push: only what differs from the repository is uploaded."""

import json

import pytest

from piperline.cli.app import app, run
from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.errors import HubError
from piperline.hub.push_pull import push, push_changes
from tests.helpers.crash_points import InThisProcess, one_camera
from tests.helpers.recordings import write_piper
from tests.helpers.trees import contents
from tests.hub.hub_server import READ, Fault

REPO = "lab/apples"

# huggingface_hub 2.4 hands bytes to its transport in a way that is on its way out there.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content:DeprecationWarning"
)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        write_piper(
            folder / f"{number}.hdf5", episodes=1, first=number, lengths=[4]
        )
    return folder


@pytest.fixture
def out(data, tmp_path):
    job = make_job(layout=one_camera(), video="copy")
    pool = InThisProcess()
    convert(data, tmp_path / "out", job, pool=pool)  # type: ignore[arg-type]
    return tmp_path / "out"


def held(server):
    repository = server.repositories[REPO]
    commit = repository.branches["main"]
    assert repository.tags["v2.1"] == commit
    return repository.commits[commit]


def sync(capsys, *words):
    code = run(app, ["sync", *map(str, words), "--workers", "1"])
    out, err = capsys.readouterr()
    return code, out, err


def test_only_what_changed_is_uploaded(server, data, out, capsys):
    push = ("--push", "--repo-id", REPO)
    code, told, _ = sync(capsys, data, out, *push)
    assert code == 0
    assert "up to date" in told
    assert held(server) == contents(out)
    blobs = set(server.blobs)

    write_piper(data / "3.hdf5", episodes=1, first=3, lengths=[4])
    server.requests.clear()
    code, told, _ = sync(capsys, data, out, *push, "--json")
    pushed = json.loads(told)["pushed"]
    assert (code, pushed["deleted"]) == (0, 0)
    assert held(server) == contents(out)
    # rows and a video, and none of the old ones
    assert len(set(server.blobs) - blobs) == 2
    assert pushed["uploaded"] < len(contents(out)) - 6
    assert "POST /datasets/lab/apples.git/info/lfs/objects/batch" in "".join(
        server.requests
    )

    (data / "0.hdf5").unlink()
    (data / "2.hdf5").unlink()
    code, told, _ = sync(capsys, data, out, *push)
    assert code == 0
    assert "4 deleted" in told
    assert held(server) == contents(out)


@pytest.mark.usefixtures("server")
def test_of_v30_only_the_last_video_is_uploaded(data, tmp_path, capsys):
    job = make_job(
        layout=one_camera(), video="copy", format="v3.0", video_mb=0.005
    )
    out, pool = tmp_path / "out", InThisProcess()
    convert(data, out, job, pool=pool)  # type: ignore[arg-type]
    push = ("--push", "--repo-id", REPO)
    assert sync(capsys, data, out, *push)[0] == 0
    before = contents(out)
    write_piper(data / "3.hdf5", episodes=1, first=3, lengths=[4])
    code, told, _ = sync(capsys, data, out, *push, "--json")
    assert code == 0
    after = contents(out)
    pushed = json.loads(told)["pushed"]
    different = [name for name in after if after[name] != before.get(name)]
    assert pushed["uploaded"] == len(different) < len(after)
    old = [name for name in before if name.endswith(".mp4")]
    assert len(old) > 1
    assert not set(old[:-1]) & set(different)


def test_what_is_there_already_is_not_uploaded(server, out):
    first = push_changes(out, REPO)
    blobs, commits = dict(server.blobs), len(server.repositories[REPO].commits)
    again = push_changes(out, REPO)
    assert (again.uploaded, again.deleted) == (0, 0)
    assert again.commit == first.commit
    assert server.blobs == blobs
    assert len(server.repositories[REPO].commits) == commits
    assert held(server) == contents(out)


@pytest.mark.usefixtures("server")
def test_what_was_pushed_before_is_known(out):
    push(out, REPO)
    again = push_changes(out, REPO)
    assert (again.uploaded, again.deleted) == (0, 0)


def test_hidden_files_stay_here_and_what_is_beside_stays_there(server, out):
    push_changes(out, REPO)
    repository = server.repositories[REPO]
    main = repository.branches["main"]
    repository.commits[main]["notes/plan.md"] = b"ours"
    repository.commits[main]["data/old.parquet"] = b"of a former dataset"
    (out / ".env").write_text("HF_TOKEN=secret")
    again = push_changes(out, REPO)
    assert (again.uploaded, again.deleted) == (0, 1)
    there = held(server)
    assert there["notes/plan.md"] == b"ours"
    assert ".env" not in there
    assert "data/old.parquet" not in there


def test_a_dataset_of_others_is_not_replaced(server, out):
    push_changes(out, REPO)
    repository = server.repositories[REPO]
    main = repository.branches["main"]
    del repository.commits[main]["meta/piperline.json"]
    before = dict(repository.commits[main])
    with pytest.raises(HubError, match="did not make"):
        push_changes(out, REPO)
    assert repository.commits[repository.branches["main"]] == before


def test_a_push_that_failed_leaves_the_dataset_in_step(
    server, data, out, capsys
):
    write_piper(data / "3.hdf5", episodes=1, first=3, lengths=[4])
    server.faults = [Fault("POST", "/commit/", 503, times=100)]
    code, _, errors = sync(capsys, data, out, "--push", "--repo-id", REPO)
    assert code == 8
    assert "The dataset is in step" in errors
    server.faults = []
    code, told, _ = sync(capsys, data, out, "--push", "--repo-id", REPO)
    assert code == 0
    assert "up to date" in told
    assert held(server) == contents(out)


def test_a_token_that_may_only_read_is_told_before_the_work(
    server, data, out, capsys, monkeypatch
):
    assert server.repositories == {}
    monkeypatch.setenv("HF_TOKEN", READ)
    write_piper(data / "3.hdf5", episodes=1, first=3, lengths=[4])
    before = contents(out)
    code, _, _ = sync(capsys, data, out, "--push", "--repo-id", REPO)
    assert code == 8
    assert contents(out) == before

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from piperline.cli.app import app, run
from piperline.cli.dataset import migrate_script
from piperline.errors import (
    DatasetError,
    HubError,
    OutputExists,
    PiperlineError,
    UsageError,
)
from piperline.hub import push_pull as hub
from piperline.lerobot.dataset import open_dataset
from piperline.output import workspace as place
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.recordings import write_piper
from tests.helpers.trees import contents, tree
from tests.hub.hub_server import READ, WRITE, Fault

REPO = "lab/apples"

# huggingface_hub 2.4 hands bytes to its transport in a way that is on its way out there.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content:DeprecationWarning"
)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(
        tmp_path / "set",
        [make_episode(tmp_path / "in", number, 3) for number in range(2)],
    )


def test_what_is_pushed_can_be_pulled(server, dataset, tmp_path):
    result = hub.push(dataset, REPO)
    repository = server.repositories[REPO]
    assert result.url == f"{server.url}/datasets/{REPO}"
    assert repository.tags == {"v2.1": result.commit}
    assert repository.branches["main"] == result.commit
    assert repository.commits[result.commit] == contents(dataset)
    assert not repository.private
    assert hub.pull(REPO, tmp_path / "pulled") == tmp_path / "pulled"
    assert tree(tmp_path / "pulled") == tree(dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in",
        "pulled",
        "set",
    ]


def test_the_tag_moves_to_the_new_commit(server, dataset, tmp_path):
    first = hub.push(dataset, REPO)
    (dataset / "meta/modality.json").write_text("{}")
    second = hub.push(dataset, REPO)
    assert second.commit != first.commit
    assert server.repositories[REPO].tags == {"v2.1": second.commit}
    hub.pull(REPO, tmp_path / "old", revision=first.commit)
    assert (tmp_path / "old/meta/modality.json").read_text() != "{}"


def test_old_files_stay_unless_asked(server, dataset, tmp_path):
    hub.push(dataset, REPO)
    smaller = write_dataset(
        tmp_path / "small", [make_episode(tmp_path / "in", 0, 3)]
    )
    hub.push(smaller, REPO)
    gone = "data/chunk-000/episode_000001.parquet"
    repository = server.repositories[REPO]
    assert gone in repository.commits[repository.branches["main"]]
    hub.push(smaller, REPO, prune=True)
    assert repository.commits[repository.branches["main"]] == contents(smaller)


def test_private_and_on_a_branch(server, dataset):
    result = hub.push(dataset, REPO, private=True, branch="trial")
    repository = server.repositories[REPO]
    assert repository.private
    assert repository.branches["trial"] == result.commit
    assert repository.commits[repository.branches["main"]] == {}
    assert repository.tags == {"v2.1": result.commit}


def test_a_dataset_without_a_card_gets_one(server, dataset):
    (dataset / "README.md").unlink()
    commit = hub.push(dataset, REPO).commit
    assert (
        b"| episodes | 2 |"
        in server.repositories[REPO].commits[commit]["README.md"]
    )
    assert not (dataset / "README.md").exists()


def test_the_tag_of_a_version_is_preferred(server, dataset, tmp_path):
    hub.push(dataset, REPO)
    repository = server.repositories[REPO]
    repository.commits["f" * 40] = {"meta/info.json": b"newer"}
    repository.branches["main"] = "f" * 40
    hub.pull(REPO, tmp_path / "tagged", version="v2.1")
    assert tree(tmp_path / "tagged") == tree(dataset)
    with pytest.raises(DatasetError, match="not JSON"):
        hub.pull(REPO, tmp_path / "main", version="v3.0")


def test_uploads_that_fail_for_a_while_are_repeated(server, dataset):
    server.faults = [Fault("PUT", "/blob/", 503, times=2)]
    commit = hub.push(dataset, REPO).commit
    assert server.repositories[REPO].commits[commit] == contents(dataset)


@pytest.mark.parametrize("status", [503, 0])
def test_a_push_that_failed_is_finished_by_the_next(status, server, dataset):
    server.faults = [Fault("POST", "/commit/", status, times=100)]
    with pytest.raises(HubError) as caught:
        hub.push(dataset, REPO)
    assert "same command again" in str(caught.value)
    assert server.repositories[REPO].tags == {}
    server.faults = []
    commit = hub.push(dataset, REPO).commit
    assert server.repositories[REPO].commits[commit] == contents(dataset)


def test_a_download_that_broke_off_goes_on(server, dataset, tmp_path):
    hub.push(dataset, REPO)
    server.faults = [Fault("GET", "episode_000001.parquet", 404, times=100)]
    with pytest.raises(HubError):
        hub.pull(REPO, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    server.faults = []
    hub.pull(REPO, tmp_path / "pulled")
    assert tree(tmp_path / "pulled") == tree(dataset)
    assert not (tmp_path / "pulled.download").exists()


def half_a_download(server, target, **options):
    """A download that breaks off at a file of rows."""
    server.faults = [Fault("GET", ".parquet", 404, times=100)]
    with pytest.raises(HubError):
        hub.pull(REPO, target, **options)
    server.faults = []
    assert (
        target.with_name(f"{target.name}.download") / "dataset/meta/info.json"
    ).exists()


def test_a_download_does_not_mix_what_it_was_of_before(
    server, dataset, tmp_path
):
    """Readers take every file of rows that they find, and nothing would complain."""
    other = write_dataset(
        tmp_path / "other", [make_episode(tmp_path / "in", 5, 4)], "v3.0"
    )
    hub.push(dataset, REPO)
    hub.push(other, REPO, prune=True)
    half_a_download(server, tmp_path / "pulled", revision="v2.1")
    hub.pull(REPO, tmp_path / "pulled")
    assert tree(tmp_path / "pulled") == tree(other)
    hub.push(dataset, "lab/pears")
    half_a_download(server, tmp_path / "pears")
    hub.pull("lab/pears", tmp_path / "pears")
    assert tree(tmp_path / "pears") == tree(dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in",
        "other",
        "pears",
        "pulled",
        "set",
    ]


@pytest.mark.usefixtures("server")
def test_a_folder_in_the_place_of_the_download_is_kept(dataset, tmp_path):
    hub.push(dataset, REPO)
    (tmp_path / "pulled.download").mkdir()
    (tmp_path / "pulled.download/notes").write_text("mine")
    with pytest.raises(OutputExists, match=r"pulled\.download holds"):
        hub.pull(REPO, tmp_path / "pulled")
    assert (tmp_path / "pulled.download/notes").read_text() == "mine"
    with (
        place.downloading(tmp_path / "other", "x"),
        pytest.raises(OutputExists, match="at work"),
    ):
        hub.pull(REPO, tmp_path / "other")


def test_a_damaged_local_copy_is_no_obstacle_to_a_new_one(
    server, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    other = write_dataset(
        tmp_path / "other", [make_episode(tmp_path / "in", 5, 4)], "v3.0"
    )
    hub.push(other, REPO)
    local = tmp_path / "home" / REPO
    local.mkdir(parents=True)
    # an empty folder is no copy
    assert run(migrate_script, ["--repo-id", REPO]) == 0
    assert open_dataset(local).version == "v2.1"
    (local / "meta/info.json").write_text("{")
    assert run(migrate_script, ["--repo-id", REPO, "--force-conversion"]) == 0
    assert open_dataset(local).version == "v2.1"
    assert (tmp_path / "home/lab/apples_old/meta/info.json").read_text() == "{"
    assert server.repositories[REPO].tags.keys() == {"v3.0"}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("damage", ["video", "videos", "data", "footer"])
def test_half_a_dataset_is_not_uploaded(server, tmp_path, version, damage):
    root = write_dataset(
        tmp_path / "set",
        [make_episode(tmp_path / "in", number, 3) for number in range(2)],
        version,
    )
    if damage in {"videos", "data"}:
        shutil.rmtree(root / damage)
    elif damage == "video":
        max(root.rglob("*.mp4")).unlink()
    else:
        rows = max((root / "data").rglob("*.parquet"))
        rows.write_bytes(rows.read_bytes()[:-20])
    with pytest.raises(DatasetError):
        hub.push(root, REPO)
    assert server.repositories == {}


def test_the_files_of_two_versions_do_not_come_into_one_repository(
    server, dataset, tmp_path
):
    other = write_dataset(
        tmp_path / "other", [make_episode(tmp_path / "in", 5, 4)], "v3.0"
    )
    first = hub.push(dataset, REPO)
    with pytest.raises(HubError, match="another LeRobot version") as caught:
        hub.push(other, REPO)
    assert "--prune" in str(caught.value)
    assert server.repositories[REPO].tags == {"v2.1": first.commit}
    second = hub.push(other, REPO, prune=True)
    assert server.repositories[REPO].tags == {
        "v2.1": first.commit,
        "v3.0": second.commit,
    }
    with pytest.raises(HubError, match="another LeRobot version"):
        hub.push(dataset, REPO)


def test_a_card_that_somebody_wrote_on_the_hub_stays(server, dataset):
    hub.push(dataset, REPO)
    repository = server.repositories[REPO]
    repository.commits[repository.branches["main"]]["README.md"] = b"by hand"
    (dataset / "README.md").unlink()
    (dataset / ".env").write_text("secret")
    (dataset / "meta/modality.json").write_text("{}")
    commit = repository.commits[hub.push(dataset, REPO).commit]
    assert commit["README.md"] == b"by hand"
    assert ".env" not in commit


def test_a_token_that_may_only_read_is_found_before_the_work(
    server, tmp_path, monkeypatch
):
    write_piper(tmp_path / "day.hdf5", episodes=1, lengths=3)
    monkeypatch.setenv("HF_TOKEN", READ)
    words = [
        "convert",
        str(tmp_path / "day.hdf5"),
        "--output",
        str(tmp_path / "out"),
        "--repo-id",
        REPO,
        "--push",
    ]
    assert run(app, words) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day.hdf5"]
    assert server.repositories == {}


def test_a_repository_id_is_not_too_long(dataset):
    with pytest.raises(UsageError, match="not a repository id"):
        hub.push(dataset, f"lab/{'a' * 96}")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "does not know who asks"),
        ("hf_wrong", "401"),
        (READ, "may not do this"),
    ],
)
def test_tokens_that_do_not_do(token, said, server, dataset, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match="hf auth login") as caught:
        hub.push(dataset, REPO)
    assert said in str(caught.value)
    with pytest.raises(HubError, match="hf auth login"):
        hub.check_login(REPO)
    assert server.repositories == {}


def test_the_hub_is_not_there(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(
        huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9"
    )
    monkeypatch.setenv("HF_TOKEN", WRITE)
    with pytest.raises(HubError, match="cannot be reached"):
        hub.push(dataset, REPO)
    with pytest.raises(HubError, match="cannot be reached"):
        hub.pull(REPO, tmp_path / "pulled")


def test_offline_mode(dataset, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        hub.push(dataset, REPO)


@pytest.mark.usefixtures("server")
def test_what_is_not_on_the_hub(dataset, tmp_path):
    with pytest.raises(HubError, match=f"no dataset {REPO}"):
        hub.pull(REPO, tmp_path / "pulled")
    hub.push(dataset, REPO)
    with pytest.raises(HubError, match="no such revision"):
        hub.pull(REPO, tmp_path / "pulled", revision="v9")


@pytest.mark.usefixtures("server")
def test_what_is_refused_before_the_hub_is_asked(dataset, tmp_path):
    with pytest.raises(PiperlineError, match="not a repository id"):
        hub.push(dataset, "no slash")
    with pytest.raises(DatasetError, match="no such dataset"):
        hub.push(tmp_path / "nothing", REPO)
    with pytest.raises(OutputExists):
        hub.pull(REPO, dataset)


def test_convert_uploads_what_it_made(server, tmp_path, monkeypatch, capsys):
    write_piper(tmp_path / "day.hdf5", episodes=2, lengths=3)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    assert (
        run(
            app,
            [
                "convert",
                str(tmp_path / "day.hdf5"),
                "--repo-id",
                REPO,
                "--push",
                "--workers",
                "1",
                "--json",
            ],
        )
        == 0
    )
    commit = server.repositories[REPO].commits[
        server.repositories[REPO].tags["v2.1"]
    ]
    assert commit == contents(tmp_path / "home" / REPO)
    assert json.loads(capsys.readouterr().out)["pushed"]["tag"] == "v2.1"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert (
        run(
            app,
            [
                "convert",
                str(tmp_path / "day.hdf5"),
                "--repo-id",
                "lab/pears",
                "--push",
            ],
        )
        == 8
    )
    assert not (tmp_path / "home/lab/pears").exists()
    assert (
        run(
            app,
            [
                "convert",
                str(tmp_path / "day.hdf5"),
                "--repo-id",
                "lab/pears",
                "--push",
                "--slurm",
            ],
        )
        == 2
    )


def test_an_upload_that_fails_keeps_the_dataset_and_says_how_to_go_on(
    server, tmp_path, capsys
):
    write_piper(tmp_path / "day.hdf5", episodes=1, lengths=3)
    server.faults = [Fault("POST", "/commit/", 503, times=100)]
    out = str(tmp_path / "out")
    command = [
        "convert",
        str(tmp_path / "day.hdf5"),
        "--output",
        out,
        "--repo-id",
        REPO,
        "--push",
        "--workers",
        "1",
    ]
    assert run(app, command) == 8
    assert f"piperline push {out} --repo-id {REPO}" in capsys.readouterr().err
    server.faults = []
    assert run(app, ["push", out, "--repo-id", REPO]) == 0
    commit = server.repositories[REPO].commits[
        server.repositories[REPO].tags["v2.1"]
    ]
    assert commit == contents(tmp_path / "out")


def test_the_commands_speak_to_the_endpoint_of_the_environment(
    server, dataset, tmp_path
):
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.url,
        "HF_TOKEN": WRITE,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    command = [str(Path(sys.executable).with_name("piperline"))]
    pushed = subprocess.run(
        [*command, "push", dataset, "--repo-id", REPO],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{server.url}/datasets/{REPO}" in pushed.stdout
    subprocess.run([*command, "pull", REPO], env=environment, check=True)
    assert tree(tmp_path / "home/lerobot" / REPO) == tree(dataset)
    shutil.rmtree(dataset)
    environment["HF_TOKEN"] = ""
    failed = subprocess.run(
        [*command, "pull", "a/b"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 8
    assert failed.stderr.startswith("error: there is no dataset a/b")
    assert "Traceback" not in failed.stderr
    assert_holds(
        open_dataset(tmp_path / "home/lerobot" / REPO),
        [make_episode(tmp_path / "again", number, 3) for number in range(2)],
    )


def below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "data/../../escaped",
        "/escaped",
        "a\0b",
        "a//b",
        "./a",
        "half \ud800",
    ],
)
def test_names_that_lead_out_are_refused(server, dataset, tmp_path, name):
    commit = hub.push(dataset, REPO).commit
    server.repositories[REPO].commits[commit][name] = b"mine"
    before = below(tmp_path)
    with pytest.raises(HubError, match="whose name"):
        hub.pull(REPO, tmp_path / "pulled")
    assert below(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["meta/info.json", "data/chunk-000/episode_000001.parquet"]
)
@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-9], lambda data: data[:-9] + b"something"]
)
def test_a_file_that_arrives_otherwise_is_seen(
    server, dataset, tmp_path, name, spoil
):
    hub.push(dataset, REPO)
    server.spoiled[name] = spoil((dataset / name).read_bytes())
    with pytest.raises(HubError) as caught:
        hub.pull(REPO, tmp_path / "pulled")
    assert "same command again" in str(caught.value)
    assert not (tmp_path / "pulled").exists()
    server.spoiled = {}
    hub.pull(REPO, tmp_path / "pulled")
    assert tree(tmp_path / "pulled") == tree(dataset)
    assert not (tmp_path / "pulled.download").exists()


def test_what_is_no_dataset_leaves_nothing(server, dataset, tmp_path):
    commit = hub.push(dataset, REPO).commit
    del server.repositories[REPO].commits[commit]["meta/info.json"]
    before = below(tmp_path)
    with pytest.raises(DatasetError, match="not a LeRobot dataset"):
        hub.pull(REPO, tmp_path / "pulled")
    assert below(tmp_path) == before


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no JSON",
        b"[]",
        b"7",
        b"{}",
        b'{"sha": 7, "siblings": 7}',
        b"[" * 5000,
        b"\xff",
    ],
)
def test_nonsense_of_the_hub_is_told(server, dataset, tmp_path, answer):
    hub.push(dataset, REPO)
    server.nonsense = answer
    before = below(tmp_path)
    with pytest.raises((HubError, DatasetError)):
        hub.pull(REPO, tmp_path / "pulled")
    assert below(tmp_path) == before
    if not answer.startswith(b"{"):  # which says nothing of the token
        with pytest.raises(HubError):
            hub.check_login(REPO)


@pytest.mark.parametrize("token", ["hf_schlüssel", "hf_\x1b[2J"])
def test_a_token_that_cannot_be_sent(server, dataset, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match="no token") as caught:
        hub.push(dataset, REPO)
    assert token not in str(caught.value)
    assert server.requests == []


def test_a_token_file_that_is_not_text(server, dataset, monkeypatch, tmp_path):
    (tmp_path / "token").write_bytes("hf_schlüssel".encode("latin-1"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token")
    )
    for command in (hub.push, lambda *_: hub.pull(REPO, tmp_path / "new")):
        with pytest.raises(HubError, match="no token"):
            command(dataset, REPO)
    assert server.requests == []


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "link", ["meta/notes", "videos/chunk-000/more", "images"]
)
def test_links_that_lead_out_are_not_uploaded(server, dataset, tmp_path, link):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("mine")
    (dataset / link).symlink_to(tmp_path / "secret")
    with pytest.raises(DatasetError, match="leads out of the dataset"):
        hub.push(dataset, REPO)
    assert server.repositories == {}


def test_links_inside_are_uploaded_as_files(server, dataset):
    (dataset / "meta/again.json").symlink_to("info.json")
    commit = hub.push(dataset, REPO).commit
    found = server.repositories[REPO].commits[commit]
    assert found["meta/again.json"] == (dataset / "meta/info.json").read_bytes()

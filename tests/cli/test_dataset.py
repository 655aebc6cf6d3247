import json

import huggingface_hub
import pytest

from piperline.cli import dataset as commands
from piperline.cli.app import app, run
from piperline.cli.dataset import migrate_script
from piperline.hub import push_pull as hub
from piperline.lerobot.dataset import open_dataset
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import make_episode
from tests.helpers.trees import tree
from tests.hub.hub_server import WRITE, HubServer

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content:DeprecationWarning"
)


@pytest.fixture
def episodes(tmp_path):
    return [make_episode(tmp_path / "in", number, 3) for number in range(2)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def workdir(tmp_path, episodes, monkeypatch):
    write_dataset(tmp_path / "set", episodes)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(monkeypatch):
    with HubServer() as server:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", WRITE)
        hub.show_progress(wanted=False)
        yield server


def test_migrate_tells_where_the_datasets_are(tmp_path, episodes, capsys):
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    assert run(app, ["migrate", str(root), "--to", "v2.1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 episodes, 6 frames, 1 task",
        f"the old dataset is kept: {tmp_path / 'set_v30'}",
        f"LeRobot v2.1 dataset: {root}",
        f"next: piperline groot preflight {root}",
    ]
    assert (
        run(
            app,
            [
                "migrate",
                str(root),
                "--to",
                "v3.0",
                "-o",
                str(tmp_path / "out"),
                "--json",
            ],
        )
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert (document["format"], document["output"]) == (
        "v3.0",
        str(tmp_path / "out"),
    )


def test_bad_episodes_are_left_out_and_listed(tmp_path, episodes, capsys):
    root = write_dataset(tmp_path / "set", episodes)
    video = root / "videos/chunk-000/observation.images.mid/episode_000001.mp4"
    video.write_bytes(b"no video")
    command = ["aggregate", str(root), "--output", str(tmp_path / "out")]
    assert run(app, command) == 4
    assert "--skip-bad" in capsys.readouterr().err
    assert run(app, [*command, "--skip-bad"]) == 0
    said = capsys.readouterr()
    assert f"left out: {root}, episode 1: the video cannot be read" in said.err
    assert said.out.splitlines()[0] == "1 episode, 3 frames, 1 task"


def test_episodes_are_chosen(tmp_path, episodes, capsys):
    root = write_dataset(tmp_path / "set", episodes)
    command = [
        "migrate",
        str(root),
        "--to",
        "v3.0",
        "-o",
        str(tmp_path / "out"),
    ]
    assert run(app, [*command, "--episodes", "7"]) == 2
    assert run(app, [*command, "--episodes", "1"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[0] == "1 episode, 3 frames, 1 task"
    )


def test_progress_is_told_now_and_then(tmp_path, episodes, capsys, monkeypatch):
    monkeypatch.setattr(commands, "_LINE_SECONDS", 0.0)
    monkeypatch.setattr(commands, "_FIRST_SECONDS", 0.0)
    root = write_dataset(tmp_path / "set", episodes)
    assert (
        run(
            app,
            [
                "migrate",
                str(root),
                "--to",
                "v3.0",
                "--output",
                str(tmp_path / "out"),
            ],
        )
        == 0
    )
    assert capsys.readouterr().err.splitlines() == [
        "episodes 1/2",
        "episodes 2/2",
    ]


def test_aggregate_goes_to_a_folder_or_a_repository(
    tmp_path, episodes, home, capsys
):
    parts = [
        str(write_dataset(tmp_path / str(number), [episode]))
        for number, episode in enumerate(episodes)
    ]
    assert (
        run(app, ["aggregate", *parts, "--output", str(tmp_path / "out")]) == 0
    )
    assert (
        run(
            app,
            ["aggregate", *parts, "--repo-id", "lab/all", "--format", "v3.0"],
        )
        == 0
    )
    assert_holds(open_dataset(tmp_path / "out"), episodes)
    assert open_dataset(home / "lab/all").version == "v3.0"
    capsys.readouterr()
    assert run(app, ["aggregate", *parts]) == 2
    assert "--output FOLDER or --repo-id" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing", "--to", "v2.1"], (4, "there is no such dataset")),
        ([".", "--to", "v2.1"], (4, "not a LeRobot dataset")),
        (["set", "--to", "v2.1"], (4, "v2.1 already")),
        (["set", "--to", "v3.0", "--output", "set"], (2, "overlap")),
        (["set", "--to", "v3.0", "--output", "in"], (5, "(not changed)")),
        (["set", "--to", "v3.0", "--video-mb", "0"], (2, "not positive")),
        (["set", "--to", "v1.0"], (2, "")),
    ],
)
def test_errors_are_one_message(arguments, expected, workdir, capsys):
    code, said = expected
    before = tree(workdir)
    assert run(app, ["migrate", *arguments]) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("error:") <= 1
    assert tree(workdir) == before


def test_push_and_pull(server, tmp_path, episodes, home, capsys):
    root = write_dataset(tmp_path / "set", episodes)
    assert (
        run(
            app,
            [
                "push",
                str(root),
                "--repo-id",
                "lab/apples",
                "--private",
                "--prune",
            ],
        )
        == 0
    )
    assert (
        capsys.readouterr().out
        == f"{server.url}/datasets/lab/apples (tag v2.1)\n"
    )
    assert run(app, ["pull", "lab/apples"]) == 0
    assert tree(home / "lab/apples") == tree(root)
    assert (
        run(
            app,
            [
                "pull",
                "lab/apples",
                "--revision",
                "v2.1",
                "-o",
                str(tmp_path / "out"),
                "--json",
            ],
        )
        == 0
    )
    assert run(app, ["pull", "lab/apples"]) == 5
    assert run(app, ["push", str(root), "--repo-id", "nonsense"]) == 2


def test_the_script_converts_the_local_copy(tmp_path, episodes, home):
    write_dataset(home / "lab/apples", episodes, "v3.0")
    before = tree(home / "lab/apples")
    assert run(migrate_script, ["--repo-id", "lab/apples"]) == 0
    assert_holds(open_dataset(home / "lab/apples"), episodes)
    assert tree(home / "lab/apples_v30") == before
    write_dataset(tmp_path / "elsewhere/lab/apples", episodes, "v3.0")
    assert (
        run(
            migrate_script,
            ["--repo-id", "lab/apples", "--root", str(tmp_path / "elsewhere")],
        )
        == 0
    )
    assert open_dataset(tmp_path / "elsewhere/lab/apples").version == "v2.1"


def test_the_script_downloads_what_is_not_there(
    server, tmp_path, episodes, home
):
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    assert run(app, ["push", str(root), "--repo-id", "lab/apples"]) == 0
    assert run(migrate_script, ["--repo-id", "lab/apples"]) == 0
    assert_holds(open_dataset(home / "lab/apples"), episodes)
    assert tree(home / "lab/apples_v30") == tree(root)
    assert server.requests


@pytest.mark.usefixtures("server")
def test_force_downloads_again_and_keeps_the_local_copy(
    tmp_path, episodes, home
):
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    assert run(app, ["push", str(root), "--repo-id", "lab/apples"]) == 0
    local = write_dataset(home / "lab/apples", episodes[:1], "v3.0")
    before = tree(local)
    assert (
        run(migrate_script, ["--repo-id", "lab/apples", "--force-conversion"])
        == 0
    )
    assert_holds(open_dataset(local), episodes)
    assert tree(home / "lab/apples_v30") == before
    assert tree(home / "lab/apples_v30_2") == tree(root)
    assert sorted(path.name for path in (home / "lab").iterdir()) == [
        "apples",
        "apples_v30",
        "apples_v30_2",
    ]

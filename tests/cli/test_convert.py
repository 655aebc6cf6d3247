"""`piperline convert` and `hdf2lerobotv21.py` as a user sees them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from piperline.cli.app import app, run
from piperline.cli.console import Output
from piperline.cli.progress import progress_bar
from piperline.cli.scripts import hdf2lerobotv21
from piperline.convert.progress import Progress
from piperline.demo.session import write_recordings
from piperline.text import size_text
from piperline.video.encoder import MODES
from tests.helpers.recordings import write_piper

pytestmark = pytest.mark.usefixtures("workers_in_threads")

PIPERLINE = str(Path(sys.executable).with_name("piperline"))
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    write_piper(tmp_path / "data/file2.hdf5", episodes=2, lengths=[3, 4])
    write_piper(tmp_path / "data/file10.hdf5", episodes=1, lengths=5, first=2)
    return tmp_path / "data"


def test_the_command_makes_a_dataset_and_says_so(data, tmp_path, capsys):
    assert (
        run(
            app,
            [
                "convert",
                str(data),
                "--output",
                str(tmp_path / "out"),
                "--workers",
                "1",
            ],
        )
        == 0
    )
    said = capsys.readouterr()
    assert "3 episodes, 12 frames, 3 cameras, 2 tasks" in said.out
    assert f"LeRobot v2.1 dataset: {tmp_path / 'out'}" in said.out
    assert (
        said.out.splitlines()[-1]
        == f"next: piperline groot preflight {tmp_path / 'out'}"
    )


def test_a_repository_id_names_the_folder(data, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    assert (
        run(
            app,
            [
                "convert",
                str(data),
                "--repo-id",
                "lab/apples",
                "-w",
                "1",
                "--no-groot",
            ],
        )
        == 0
    )
    assert (tmp_path / "home/lab/apples/meta/info.json").is_file()
    assert not (tmp_path / "home/lab/apples/meta/stats.json").exists()


def test_json_is_all_that_stands_on_standard_output(data, tmp_path, capsys):
    assert (
        run(
            app,
            [
                "convert",
                str(data),
                "-o",
                str(tmp_path / "out"),
                "-w",
                "1",
                "--json",
            ],
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert (result["episodes"], result["frames"], result["left_out"]) == (
        3,
        12,
        [],
    )


def test_the_script_tells_how_to_upload_what_is_there(
    data, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        "piperline.hub.push_pull.check_login", lambda _repo_id: None
    )
    words = ["--all", "--repo-id", "lab/apples", "--hdf5-root", str(data)]
    assert run(hdf2lerobotv21, words) == 0
    assert run(hdf2lerobotv21, [*words, "--fps", "10", "--push"]) == 5
    said = capsys.readouterr().err
    assert (
        f"piperline push {tmp_path}/home/lab/apples --repo-id lab/apples"
        in said
    )
    assert run(hdf2lerobotv21, [*words, "--overwrite"]) == 0


def test_names_are_printed_without_control_characters(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    write_piper(
        tmp_path / "data/\x1b[31mred.hdf5", episodes=1, names=["\x1b[32mgreen"]
    )
    assert (
        run(
            app,
            [
                "convert",
                str(tmp_path / "data"),
                "-o",
                str(tmp_path / "out"),
                "--dry-run",
            ],
        )
        == 0
    )
    assert "\\x1b[31mred.hdf5 \\x1b[32mgreen" in capsys.readouterr().out


@pytest.mark.parametrize("descriptor", ["1", "2"])
def test_a_closed_stream_is_no_error(data, tmp_path, descriptor):
    script = f'exec {descriptor}>&-; exec "$@"'
    command = [
        PIPERLINE,
        "convert",
        str(data),
        "-o",
        str(tmp_path / "out"),
        "-w",
        "1",
    ]
    done = subprocess.run(["bash", "-c", script, "bash", *command], check=False)
    assert done.returncode == 0
    assert (tmp_path / "out/meta/info.json").is_file()


@pytest.mark.parametrize(
    ("video", "size"),
    [("h264", (60, 80)), ("h264", (240, 320)), ("copy", (120, 160))],
)
def test_a_dry_run_tells_the_size_of_small_pictures(
    video, size, tmp_path, capsys
):
    write_recordings(tmp_path / "in", files=1, episodes=1, frames=60, size=size)
    words = [
        "convert",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--json",
    ]
    words += ["--video", video, "--no-review"]
    assert run(app, [*words, "--dry-run"]) == 0
    expected = json.loads(capsys.readouterr().out)["expected_bytes"]
    assert run(app, words) == 0
    real = json.loads(capsys.readouterr().out)["dataset_bytes"]
    assert 0.75 < expected / real < 1.25


def test_a_dry_run_shows_the_plan_and_writes_nothing(data, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert (
        run(
            app,
            ["convert", str(data), "-o", str(tmp_path / "out"), "--dry-run"],
        )
        == 0
    )
    said = capsys.readouterr().out
    assert said.index("file2.hdf5 episode_0: 3 frames") < said.index(
        "file10.hdf5 episode_2: 5 frames"
    )
    assert "camera mid: 64x48, recorded as jpeg" in said
    expected = "LeRobot v2.1, --video h264, 30 frames a second: about "
    assert expected in said
    assert (
        run(
            app,
            [
                "convert",
                str(data),
                "-o",
                str(tmp_path / "out"),
                "--dry-run",
                "--json",
                "--episodes",
                "1",
            ],
        )
        == 0
    )
    assert [
        episode["length"]
        for episode in json.loads(capsys.readouterr().out)["episodes"]
    ] == [4]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--repo-id"),
        (["-o", "x", "--push"], "--push needs --repo-id"),
        (["-o", "x", "--resize", "wide"], "WIDTHxHEIGHT"),
        (["-o", "x", "--resize", "63x48"], "even"),
        (["-o", "x", "--fps", "29.97"], "whole number"),
        (["-o", "x", "--layout", "pipper"], "did you mean"),
        (["-o", "x", "--video", "gif"], "gif"),
        (["-o", "x", "--colour", "rgb"], "--colour"),
        (["--repo-id", "no-owner"], "not a repository id"),
    ],
)
def test_options_that_cannot_be(data, monkeypatch, capsys, options, words):
    tmp_path = data.parent
    monkeypatch.chdir(tmp_path)
    assert run(app, ["convert", str(data), *options]) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_left_out_episodes_are_listed(data, tmp_path, capsys):
    with h5py.File(data / "file2.hdf5", "r+") as file:
        file["episode_1"].attrs["length"] = 0
    arguments = ["convert", str(data), "-o", str(tmp_path / "out"), "-w", "1"]
    assert run(app, arguments) == 3
    assert "no frames" in capsys.readouterr().err
    assert run(app, [*arguments, "--skip-bad"]) == 0
    assert "left out: " in (said := capsys.readouterr().out)
    assert "episode_1: the episode has no frames" in said


def test_the_help_tells_the_settings_of_each_video_mode(capsys):
    run(app, ["convert", "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for settings in MODES.values():
        for option, value in settings.options.items():
            shown = {
                "g": f"every {value}",
                "crf": f"crf {value}",
                "preset": value,
                "bf": "no B-frames",
            }.get(option, "")
            assert shown in said


def test_the_documented_script(data):
    tmp_path = data.parent
    environment = {**os.environ, "HF_LEROBOT_HOME": str(tmp_path / "home")}
    script = [sys.executable, str(CHECKOUT / "hdf2lerobotv21.py")]
    for options, repo, frames in [
        (["--all"], "your/all", 12),
        (
            ["--hdf5-files", "file10.hdf5", "--hdf5-files", "file2.hdf5"],
            "your/chosen",
            12,
        ),
        (["--hdf5-files", "file10.hdf5"], "your/one", 5),
    ]:
        command = [
            *script,
            *options,
            "--repo-id",
            repo,
            "--hdf5-root",
            "./data",
        ]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        info = json.loads(
            (tmp_path / "home" / repo / "meta/info.json").read_text()
        )
        assert info["total_frames"] == frames
        assert (info["fps"], info["robot_type"], info["codebase_version"]) == (
            30,
            "bi_piper",
            "v2.1",
        )


def test_the_documented_script_asks_which_recordings(capsys):
    for options in ([], ["--all", "--hdf5-files", "a.hdf5"]):
        assert run(hdf2lerobotv21, ["--repo-id", "a/b", *options]) == 2
        assert "--hdf5-files" in capsys.readouterr().err


@pytest.mark.measured
def test_a_bar_is_shown_on_a_terminal(data, tmp_path):
    ours, theirs = pty.openpty()
    command = [
        PIPERLINE,
        "convert",
        str(data),
        "-o",
        str(tmp_path / "out"),
        "-w",
        "1",
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            shown += part
        assert process.wait() == 0
    os.close(ours)
    assert b"images/s" in shown


def test_elsewhere_a_line_comes_now_and_then(capsys, monkeypatch):
    moments = iter(range(0, 2000, 6))
    monkeypatch.setattr(
        "piperline.cli.progress.time.monotonic", lambda: float(next(moments))
    )
    with progress_bar(Output()) as watch:
        watch(Progress(files=4, files_done=2))
        for done in (1, 10, 500):
            watch(
                Progress(
                    "stage",
                    episodes=4,
                    images=1000,
                    images_done=done,
                    size_done=10_000 * done,
                )
            )
        watch(Progress("assemble"))
    said = capsys.readouterr().err
    assert "looking at recordings: 2 of 4" in said
    assert "episodes 0/4, " in said
    assert "left" in said
    assert "putting the dataset together" in said


def test_sizes_are_told_for_people():
    assert [size_text(size) for size in (999, 1000, 2_500_000, 3e9, 4e12)] == [
        "999 B",
        "1.0 kB",
        "2.5 MB",
        "3.0 GB",
        "4.00 TB",
    ]


def test_layouts_are_listed_and_shown(capsys):
    assert run(app, ["layout", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][
        :1
    ] == ["piper"]
    assert run(app, ["layout", "show", "aloha"]) == 0
    assert "observations/qpos" in capsys.readouterr().out
    assert run(app, ["layout", "show", "nothing"]) == 2


@pytest.mark.in_processes
def test_a_fault_of_the_program_keeps_its_traceback(
    data, tmp_path, monkeypatch
):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("piperline.convert.run.plan_run", broken)
    with pytest.raises(ZeroDivisionError):
        run(app, ["convert", str(data), "-o", str(tmp_path / "out"), "-w", "1"])


@pytest.mark.in_processes
def test_interruptions_and_system_errors_end_with_a_word(
    data, tmp_path, monkeypatch, capsys
):
    for error, code in (
        (KeyboardInterrupt(), 130),
        (OSError("the disk has gone"), 1),
    ):

        def broken(*_args, error=error, **_kwargs):
            raise error

        monkeypatch.setattr("piperline.convert.run.plan_run", broken)
        assert (
            run(
                app,
                ["convert", str(data), "-o", str(tmp_path / "out"), "-w", "1"],
            )
            == code
        )
        assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], "at least one worker"),
        (["--workers", "-3"], "at least one worker"),
        (["--partition", "cpu"], "--slurm is not"),
        (["--slurm", "--workers", "2", "--no-resume"], "does not go with"),
        (["--repo-id", "lab/apples", "--push", "--slurm"], "piperline push"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(
    data, tmp_path, capsys, options, words
):
    assert (
        run(
            app,
            ["convert", str(data), "--output", str(tmp_path / "out"), *options],
        )
        == 2
    )
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.work").exists()

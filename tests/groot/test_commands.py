"""`piperline groot`: what is printed where, and the exit codes."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from piperline.cli.app import app, run
from tests.groot.test_launch import make_checkout
from tests.helpers.documents import REPOSITORY


@pytest.fixture
def call(capsys):
    """Run a command: its exit code, what it prints, what it notes."""

    def call(*words):
        code = run(app, ["groot", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_config_writes_and_names_the_files(call, good, tmp_path):
    code, out, err = call(
        "config",
        good,
        "--output",
        tmp_path / "c",
        "--relative",
        "left_arm",
        "right_arm",
    )
    assert code == 0
    assert [line.rsplit("/", 1)[-1] for line in out.splitlines()] == [
        "modality.json",
        "bi_piper_config.py",
        "finetune_bi_piper.sh",
    ]
    chosen = tmp_path / "c/bi_piper_config.py"
    assert err.endswith(f"piperline groot preflight {good} --config {chosen}\n")
    code, _, err = call("config", good, "--output", tmp_path / "c", "--gpus", 1)
    assert code == 5
    assert "--overwrite" in err
    assert (
        call(
            "config",
            good,
            "--output",
            tmp_path / "c",
            "--gpus",
            1,
            "--overwrite",
        )[0]
        == 0
    )


def test_config_goes_to_the_documented_folder(
    call, good, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert call("config", good, "--version", "n1.7")[0] == 0
    assert (tmp_path / "config_for_gr00tn17/lerobot_train_bi_piper.sh").exists()


def test_config_fills_in_the_folder_that_a_checkout_ships(
    call, good, tmp_path, monkeypatch
):
    folder = tmp_path / "config_for_gr00tn16"
    shutil.copytree(REPOSITORY / folder.name, folder)
    monkeypatch.chdir(tmp_path)
    assert call("config", good)[0] == 0
    script = folder / "finetune_bi_piper.sh"
    assert f"DATASET=${{DATASET:-{good}}}" in script.read_text()
    script.write_text(script.read_text() + "# mine\n")
    code, _, err = call("config", good, "--gpus", 1)
    assert code == 5
    assert "finetune_bi_piper.sh: already exists and differs" in err


def test_config_says_that_it_guessed(call, copy, tmp_path):
    before = json.loads((copy / "meta/modality.json").read_text())
    (copy / "meta/modality.json").unlink()
    code, _, err = call("config", copy, "--output", tmp_path / "c")
    assert code == 0
    assert "guessed the groups" in err
    assert "left_gripper 6:7" in err
    assert json.loads((copy / "meta/modality.json").read_text()) == before


def test_config_says_what_is_relative_and_what_is_left_out(
    call, copy, tmp_path
):
    (copy / "meta/modality.json").unlink()
    path = copy / "meta/info.json"
    told = json.loads(path.read_text())
    told["features"]["observation.images.mid"]["info"]["is_depth_map"] = True
    path.write_text(json.dumps(told))
    chosen = ["--version", "n1.7", "--horizon", 8]
    code, _, err = call("config", copy, "--output", tmp_path / "c", *chosen)
    assert code == 0
    assert "relative to the state: left_arm, right_arm; --relative" in err
    assert "left out: observation.images.mid: depth" in err
    assert f"preflight {copy} --version n1.7 --horizon 8\n" in err


def test_stats_names_the_files(call, copy):
    code, out, _ = call("stats", copy, "--horizon", 8)
    assert code == 0
    assert out.count("\n") == 3
    assert (
        len(
            json.loads((copy / "meta/relative_stats.json").read_text())[
                "left_arm"
            ]["max"]
        )
        == 8
    )


def test_what_n17_does_with_the_statistics_is_told(call, copy, tmp_path):
    """It computes them once more and marks them; N1.6 stops at the mark, and `stats` removes it."""
    code, _, err = call("stats", copy)
    assert (code, err.count("N1.7 of June 2026 and later")) == (0, 1)
    checkout = make_checkout(tmp_path, "n1.7")
    for words in (
        ("preflight", copy, "--version", "n1.7"),
        ("launch", copy, "--checkout", checkout, "--version", "n1.7"),
    ):
        code, _, err = call(*words)
        assert code == 0
        assert f"to change back: piperline groot stats {copy}" in err
    for version in ("n1.5", "n1.6", "n1.7-april"):
        assert call("preflight", copy, "--version", version)[2] == ""


def test_preflight_of_a_clean_dataset(call, good):
    code, out, err = call("preflight", good, "--fail-on", "warning")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [
        "no findings",
        "3 episodes, 120 frames: 75 usable samples, 1 shard, 1 optimiser step per epoch",
    ]


def test_preflight_fails_at_the_asked_severity(call, good, tmp_path):
    short = ("preflight", good, "--tables-only", "--horizon", 16)
    assert call(*short)[0] == 0
    code, out, _ = call(*short, "--gpus", 3)
    assert code == 1
    assert (
        "error: a global batch of 256 cannot be divided evenly among 3 GPUs [batch]"
        in out
    )
    assert f"next:  piperline groot config {good} --gpus 3 --batch 255\n" in out
    (tmp_path / "checkpoint-10").mkdir()
    warned = (*short, "--output-dir", tmp_path)
    assert call(*warned)[0] == 0
    assert call(*warned, "--fail-on", "warning")[0] == 1


def test_preflight_as_json(call, copy):
    (copy / "meta/tasks.jsonl").write_text("\n")
    code, out, _ = call("preflight", copy, "--json")
    assert code == 1
    report = json.loads(out)
    assert report["findings"][0]["code"] == "meta-syntax"
    assert report["findings"][0]["place"] == {
        "file": str(copy / "meta/tasks.jsonl")
    }
    assert report["forecast"] is None


def test_launch_prints_the_command(call, good, tmp_path):
    checkout = make_checkout(tmp_path / "gr00t", "n1.6")
    code, out, _ = call(
        "launch", good, "--checkout", checkout, "--gpus", 1, "--batch", 32
    )
    assert code == 0
    assert (
        f"cd {checkout} && python gr00t/experiment/launch_finetune.py --base_model_path "
        "nvidia/GR00T-N1.6-3B" in out
    )
    assert "--global_batch_size 32" in out


def test_launch_starts_nothing_that_would_fail(call, copy, tmp_path):
    checkout = make_checkout(tmp_path / "gr00t", "n1.6")
    next((copy / "videos").rglob("*.mp4")).unlink()
    code, out, err = call("launch", copy, "--checkout", checkout, "--run")
    assert code == 1
    assert "[video-missing]" in out
    assert "not started" in err


def test_launch_on_another_version_is_an_error(call, good, tmp_path):
    code, _, err = call(
        "launch", good, "--checkout", make_checkout(tmp_path / "gr00t", "n1.5")
    )
    assert code == 1
    assert "n1.6.1-release" in err


def test_help_imports_nothing_heavy():
    """Only what is light: parameters and their defaults."""
    program = (
        "import sys, piperline.cli.groot; print(sorted({'av', 'h5py', 'numpy', 'pyarrow'} & "
        "set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("meta/info.json", "meta-syntax"),
        ("meta/modality.json", "meta-syntax"),
        ("meta/episodes.jsonl", "meta-missing"),
        ("data/chunk-000/episode_000000.parquet", "data-unreadable"),
        ("videos/chunk-000/*/episode_000000.mp4", "video-unreadable"),
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    call, copy, name, code
):
    file = next(copy.glob(name))
    file.unlink()
    os.mkfifo(file)
    status, out, _ = call("preflight", copy, "--json")
    assert status == 1
    assert code in {finding["code"] for finding in json.loads(out)["findings"]}


@pytest.mark.parametrize("words", [["groot", "preflight"], ["verify"]])
def test_json_that_is_nested_too_deep_is_told(copy, capsys, words):
    (copy / "meta" / "modality.json").write_text("[" * 1_000_000)
    assert run(app, [*words, str(copy)]) == 1
    assert "modality.json" in "".join(capsys.readouterr())


@pytest.mark.parametrize("fps", ["1" + "0" * 400, "0.2", "NaN"])
def test_an_absurd_rate_is_no_traceback(call, copy, fps):
    path = copy / "meta/info.json"
    path.write_text(path.read_text().replace('"fps": 30', f'"fps": {fps}', 1))
    assert f'"fps": {fps}' in path.read_text()
    status, out, _ = call("preflight", copy, "--json", "--tables-only")
    assert status in {0, 1}
    assert "findings" in json.loads(out)


def test_a_shape_of_terabytes_is_a_finding(call, copy):
    path = copy / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.state"]["shape"] = [10**12]
    path.write_text(json.dumps(info))
    status, out, _ = call("preflight", copy, "--json")
    assert status == 1
    found = json.loads(out)["findings"]
    assert "features with a dtype" in found[0]["message"]


def test_pipes_in_the_place_of_configs_are_not_waited_for(call, copy, tmp_path):
    os.mkfifo(tmp_path / "mine.py")
    status, out, _ = call(
        "preflight", copy, "--config", tmp_path / "mine.py", "--tables-only"
    )
    assert status == 1
    assert "not a plain file" in out
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out/modality.json")
    status, _, err = call("config", copy, "--output", tmp_path / "out")
    assert status == 5
    assert "modality.json: already exists and differs" in err

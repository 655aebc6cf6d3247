"""The checkout, the plan, the start."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from piperline.cli.app import app, run
from piperline.errors import DatasetError, PiperlineError, UsageError
from piperline.groot.launch import checkout_version, plan_launch, start
from piperline.groot.settings import Settings
from piperline.groot.stats import write_groot_stats
from piperline.groot.versions import VERSIONS, target


def make_checkout(folder: Path, version: str) -> Path:
    """The files by which a checkout is known; the launcher writes down how it was called."""
    goal = target(version)
    (folder / goal.launcher).parent.mkdir(parents=True)
    text = (
        "import json, os, sys\nif __name__ == '__main__':\n"
        "    json.dump([sys.argv, os.getcwd()], open('called.json', 'w'))\n    sys.exit(3)\n"
    )
    (folder / goal.launcher).write_text(text)
    if goal.marker != goal.launcher:
        (folder / goal.marker).mkdir(parents=True)
    if goal.told_by:
        (folder / "gr00t/data").mkdir()
        (folder / "gr00t/data/stats.py").write_text(f"KEY = {goal.told_by!r}\n")
    return folder


@pytest.fixture
def checkout(tmp_path):
    return make_checkout(tmp_path / "any name", "n1.6")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_checkout_is_known_by_its_files(tmp_path, version):
    assert (
        checkout_version(make_checkout(tmp_path / "n1.5-main", version)).version
        == version
    )


def test_what_is_no_checkout(tmp_path):
    with pytest.raises(
        PiperlineError, match="no checkout of Isaac-GR00T"
    ) as caught:
        checkout_version(tmp_path)
    assert (
        caught.value.next_step
        == "git clone -b n1.6.1-release https://github.com/NVIDIA/Isaac-GR00T"
    )


def test_a_checkout_of_another_version_names_the_tag(good, tmp_path):
    checkout = make_checkout(tmp_path / "main", "n1.7")
    with pytest.raises(
        PiperlineError, match=r"is GR00T N1\.7, and cannot train GR00T N1\.6"
    ) as caught:
        plan_launch(good, checkout)
    assert "checkout n1.6.1-release" in str(caught.value.next_step)


def test_the_plan_is_the_command_and_the_config_it_needs(good, checkout):
    plan = plan_launch(good, checkout, videos=False)
    assert plan.report.findings == ()
    config = checkout / "config_for_gr00tn16/bi_piper_config.py"
    assert plan.command[:4] == (
        "torchrun",
        "--nproc_per_node=8",
        "--master_port=29500",
        "gr00t/experiment/launch_finetune.py",
    )
    assert plan.command[
        plan.command.index("--modality_config_path") + 1
    ] == str(config)
    assert plan.command[plan.command.index("--dataset_path") + 1] == str(good)
    assert "'/" in plan.line  # the folder has a space
    assert "RELATIVE" in config.read_text()


def test_a_config_that_is_there_is_used_as_it_is(good, checkout):
    plan_launch(good, checkout, videos=False)
    config = checkout / "config_for_gr00tn16/bi_piper_config.py"
    config.write_text(
        config.read_text().replace(
            '"left_gripper": ActionRepresentation.ABS', '"tail": Action'
        )
        + "\n#"
    )
    plan = plan_launch(good, checkout, videos=False)
    assert [finding.code for finding in plan.report.findings] == [
        "config-broken"
    ]


@pytest.mark.parametrize("version", ["n1.5", "n1.6"])
def test_a_config_that_says_otherwise_is_refused(good, tmp_path, version):
    checkout = make_checkout(tmp_path / "checkout", version)
    plan_launch(good, checkout, version=version, videos=False)
    plan_launch(good, checkout, version=version, horizon=16, videos=False)
    with pytest.raises(UsageError, match="says otherwise") as caught:
        plan_launch(good, checkout, version=version, horizon=12, videos=False)
    assert caught.value.found == "a horizon of 16"
    step = str(caught.value.next_step)
    assert run(app, shlex.split(step)[1:]) == 0
    write_groot_stats(
        good_copy := shutil.copytree(good, tmp_path / "dataset"), horizon=12
    )
    plan = plan_launch(
        good_copy, checkout, version=version, horizon=12, videos=False
    )
    assert plan.report.findings == ()


def test_other_relative_groups_are_refused(good, checkout):
    plan_launch(good, checkout, videos=False)
    with pytest.raises(UsageError, match="says otherwise") as caught:
        plan_launch(good, checkout, relative=["left_arm"], videos=False)
    assert caught.value.found == "relative groups left_arm, right_arm"
    assert "--relative left_arm --output" in str(caught.value.next_step)


def test_an_old_checkpoint_is_seen(good, checkout):
    (checkout / "outputs/bi_piper_finetune/checkpoint-10").mkdir(parents=True)
    plan = plan_launch(
        good,
        checkout,
        videos=False,
        settings=Settings(shard_size=512, sampling_rate=0.5),
    )
    assert [finding.code for finding in plan.report.findings] == [
        "output-resumes"
    ]


def test_n15_gets_a_module_on_its_path(good, tmp_path):
    checkout = make_checkout(tmp_path / "checkout", "n1.5")
    plan = plan_launch(good, checkout, version="n1.5", videos=False)
    folder = checkout / "config_for_gr00tn15"
    assert plan.command[:4] == (
        "env",
        f"PYTHONPATH={folder}",
        "python",
        "scripts/gr00t_finetune.py",
    )
    assert "bi_piper_config:BiPiperDataConfig" in plan.command
    assert (folder / "bi_piper_config.py").exists()


def test_a_dataset_without_modality_json(copy, checkout):
    (copy / "meta/modality.json").unlink()
    with pytest.raises(DatasetError, match=r"no meta/modality\.json") as caught:
        plan_launch(copy, checkout)
    assert caught.value.next_step == f"piperline groot config {copy}"


def test_it_starts_in_the_checkout_and_returns_its_exit_code(
    good, checkout, tmp_path, monkeypatch
):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    plan = plan_launch(
        good, checkout, settings=Settings(gpus=1, batch=8), videos=False
    )
    assert start(plan) == 3
    arguments, folder = json.loads((checkout / "called.json").read_text())
    assert folder == str(checkout)
    assert arguments[arguments.index("--global_batch_size") + 1] == "8"


@pytest.mark.parametrize("module", ["gr00t", "no_such_module"])
def test_a_python_without_gr00t_starts_nothing(
    module, good, checkout, tmp_path, monkeypatch
):
    """The checkout has a folder gr00t, which is no environment that GR00T was installed into."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/torchrun").touch(mode=0o755)
    (tmp_path / "bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    plan = plan_launch(good, checkout, videos=False)
    launcher = checkout / target("n1.6").launcher
    launcher.write_text(f"import {module}\n{launcher.read_text()}")
    with pytest.raises(PiperlineError, match="what GR00T needs") as caught:
        start(plan)
    assert (
        caught.value.found == f"ModuleNotFoundError: No module named '{module}'"
    )
    assert not (checkout / "called.json").exists()
    assert caught.value.next_step == f"source '{checkout}/.venv/bin/activate'"


def test_without_the_environment_of_gr00t(
    good, checkout, monkeypatch, tmp_path
):
    plan = plan_launch(good, checkout, videos=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PiperlineError, match="there is no torchrun here"):
        start(plan)

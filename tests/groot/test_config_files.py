"""The generated files: golden, run against stand-ins of GR00T, parsed by GR00T's options."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from piperline.cli.app import app, run
from piperline.errors import DatasetError, OutputExists, PiperlineError
from piperline.groot.config_files import (
    SHIPPED_DATASET,
    files,
    prepare,
    write_files,
)
from piperline.groot.modality_config import read_choice
from piperline.groot.settings import Settings
from piperline.groot.versions import VERSIONS, target
from tests.groot.datasets import make_dataset
from tests.helpers.pinned import assert_golden

REPOSITORY = Path(__file__).parents[2]
SETTINGS = Settings(dataset_path=SHIPPED_DATASET)


def written(root, version, settings=SETTINGS, **options):
    goal = target(version)
    meta, choice, _ = prepare(root, goal, **options)
    return files(meta, choice, goal, settings)


# --- golden files ---


def test_the_committed_folder_is_what_is_written(good):
    folder = REPOSITORY / "config_for_gr00tn16"
    assert {
        path.name: path.read_text(encoding="utf-8")
        for path in folder.iterdir()
        if path.is_file()
    } == written(good, "n1.6")


@pytest.mark.parametrize("version", ["n1.5", "n1.7"])
def test_the_other_versions_are_golden(good, version):
    texts = written(good, version)
    assert len(texts) == (4 if version == "n1.7" else 3)
    for name, text in texts.items():
        assert_golden(f"groot/{version}/{name}", text)


# --- the modality config runs ---


@dataclass
class ModalityConfig:
    """As in gr00t/data/types.py of N1.6."""

    delta_indices: list[int]
    modality_keys: list[str]
    sin_cos_embedding_keys: list[str] | None = None
    mean_std_embedding_keys: list[str] | None = None
    action_configs: list[Any] | None = None


@dataclass
class ActionConfig:
    rep: str
    type: str
    format: str
    state_key: str | None = None


def namespace(**values):
    return type("Enum", (), values)


@pytest.fixture
def gr00t(monkeypatch):
    """Modules with GR00T's names; returns what is registered."""
    registered: dict[str, dict[str, ModalityConfig]] = {}

    def register_modality_config(config, embodiment_tag):
        assert embodiment_tag not in registered
        registered[embodiment_tag] = config

    def module(name, **values):
        made = ModuleType(name)
        made.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, made)

    for name in (
        "gr00t",
        "gr00t.configs",
        "gr00t.configs.data",
        "gr00t.data",
        "gr00t.experiment",
    ):
        module(name)
    module(
        "gr00t.configs.data.embodiment_configs",
        register_modality_config=register_modality_config,
    )
    module(
        "gr00t.data.embodiment_tags",
        EmbodimentTag=namespace(NEW_EMBODIMENT="new_embodiment"),
    )
    module(
        "gr00t.data.types",
        ModalityConfig=ModalityConfig,
        ActionConfig=ActionConfig,
        ActionFormat=namespace(DEFAULT="default"),
        ActionRepresentation=namespace(
            RELATIVE="relative", ABSOLUTE="absolute"
        ),
        ActionType=namespace(NON_EEF="non_eef"),
    )
    module(
        "gr00t.experiment.data_config",
        So100DataConfig=type("So100DataConfig", (), {}),
    )
    return registered


GROUPS = ["left_arm", "left_gripper", "right_arm", "right_gripper"]


@pytest.mark.parametrize("version", ["n1.6", "n1.7"])
def test_the_config_registers_in_gr00t(good, gr00t, version):
    text = written(good, version)["bi_piper_config.py"]
    exec(compile(text, "bi_piper_config.py", "exec"), {})  # noqa: S102 - as GR00T does
    config = gr00t["new_embodiment"]
    assert {part: entry.modality_keys for part, entry in config.items()} == {
        "video": ["left_wrist", "mid", "right_wrist"],
        "state": GROUPS,
        "action": GROUPS,
        "language": ["annotation.human.task_description"],
    }
    assert config["action"].delta_indices == list(range(16))
    assert [entry.rep for entry in config["action"].action_configs] == [
        "relative",
        "absolute",
    ] * 2
    assert {
        (entry.type, entry.format) for entry in config["action"].action_configs
    } == {("non_eef", "default")}


@pytest.mark.usefixtures("gr00t")
def test_the_n15_config_is_a_data_config_class(good):
    values: dict[str, type] = {}
    exec(written(good, "n1.5")["bi_piper_config.py"], values)  # noqa: S102 - as GR00T does
    found = values["BiPiperDataConfig"]
    assert vars(found)["video_keys"] == [
        "video.left_wrist",
        "video.mid",
        "video.right_wrist",
    ]
    assert vars(found)["action_keys"] == [f"action.{group}" for group in GROUPS]
    assert vars(found)["action_indices"] == list(range(16))


def test_our_reader_of_configs_reads_what_is_written(good, tmp_path):
    options: dict[str, Any] = {
        "horizon": 24,
        "relative": ["right_arm"],
        "cameras": ["mid", "left_wrist"],
    }
    write_files(tmp_path, written(good, "n1.6", **options))
    _, expected, _ = prepare(good, target("n1.6"), **options)
    found = read_choice(tmp_path / "bi_piper_config.py")
    assert found == expected
    assert found.relative == {"right_arm": "right_arm"}
    assert found.cameras == ("mid", "left_wrist")


# --- the launch scripts run ---


def finetune_parser():
    """The options of gr00t/experiment/launch_finetune.py in N1.6, with its defaults."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for name in ("base_model_path", "dataset_path"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument(
        "--embodiment_tag",
        required=True,
        choices=["NEW_EMBODIMENT", "GR1", "LIBERO_PANDA"],
    )
    parser.add_argument("--modality_config_path")
    for name in ("tune_llm", "tune_visual", "use_wandb"):
        parser.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=False
        )
    for name in ("tune_projector", "tune_diffusion_model"):
        parser.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=True
        )
    parser.add_argument("--color_jitter_params", nargs="*")
    for name, value in {
        "global_batch_size": 64,
        "dataloader_num_workers": 2,
        "gradient_accumulation_steps": 1,
        "save_steps": 1000,
        "save_total_limit": 5,
        "num_gpus": 1,
        "max_steps": 10000,
        "shard_size": 1024,
        "num_shards_per_epoch": 100_000,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, number in {
        "learning_rate": 1e-4,
        "weight_decay": 1e-5,
        "warmup_ratio": 0.05,
        "episode_sampling_rate": 0.1,
        "state_dropout_prob": 0.0,
    }.items():
        parser.add_argument(f"--{name}", type=float, default=number)
    for name, text in {
        "output_dir": "./outputs",
        "wandb_project": "finetune-gr00t-n1d6",
    }.items():
        parser.add_argument(f"--{name}", default=text)
    return parser


RECORD = f"""#!{sys.executable}
import json, os, sys
json.dump(sys.argv, open(os.environ["RECORD"], "w"))
"""


@pytest.fixture
def run_script(tmp_path):
    """Run a script where python, torchrun and accelerate only write down how they were called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "torchrun", "accelerate", "lerobot-train"):
        (programs / name).write_text(RECORD)
        (programs / name).chmod(0o755)

    def run(texts, script, **variables):
        write_files(tmp_path / "config", texts, overwrite=True)
        environment = os.environ | variables
        environment |= {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "RECORD": str(tmp_path / "record.json"),
        }
        command = ["bash", str(tmp_path / "config" / script)]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        called = (
            json.loads((tmp_path / "record.json").read_text())
            if done.returncode == 0
            else []
        )
        return done, [Path(called[0]).name, *called[1:]] if called else []

    return run


def test_the_n16_script_gives_gr00t_the_documented_settings(
    good, run_script, tmp_path
):
    done, called = run_script(written(good, "n1.6"), "finetune_bi_piper.sh")
    assert done.returncode == 0, done.stderr
    launcher = "gr00t/experiment/launch_finetune.py"
    assert called[:4] == [
        "torchrun",
        "--nproc_per_node=8",
        "--master_port=29500",
        launcher,
    ]
    found = vars(finetune_parser().parse_args(called[4:]))
    expected = vars(
        finetune_parser().parse_args(
            [
                *("--base_model_path", "nvidia/GR00T-N1.6-3B"),
                *("--dataset_path", "dataset/bi_piper"),
                *("--embodiment_tag", "NEW_EMBODIMENT"),
            ]
        )
    ) | {
        "modality_config_path": str(tmp_path / "config/bi_piper_config.py"),
        "output_dir": "outputs/bi_piper_finetune",
        "num_gpus": 8,
        "global_batch_size": 256,
        "dataloader_num_workers": 4,
        "color_jitter_params": [
            "brightness",
            "0.3",
            "contrast",
            "0.4",
            "saturation",
            "0.5",
            "hue",
            "0.08",
        ],
        "use_wandb": True,
    }
    assert found == expected


def test_one_gpu_needs_no_torchrun(good, run_script):
    _, called = run_script(
        written(good, "n1.6"),
        "finetune_bi_piper.sh",
        NUM_GPUS="1",
        MAX_STEPS="7",
        BATCH="32",
    )
    assert called[:2] == ["python", "gr00t/experiment/launch_finetune.py"]
    found = finetune_parser().parse_args(called[2:])
    assert (found.num_gpus, found.max_steps, found.global_batch_size) == (
        1,
        7,
        32,
    )


def test_every_setting_is_an_option(good, run_script):
    settings = Settings(
        gpus=2,
        batch=10,
        steps=3,
        save_steps=2,
        keep=1,
        warmup=0.1,
        weight_decay=0.01,
        learning_rate=3e-5,
        color_jitter=(0, 0.1, 0.2, 0),
        workers=1,
        wandb=False,
        dataset_path="a b/c'd",
        output_dir="out; rm x",
        base_model="mine",
        shard_size=77,
        sampling_rate=0.5,
    )
    _, called = run_script(
        written(good, "n1.6", settings), "finetune_bi_piper.sh"
    )
    found = finetune_parser().parse_args(called[4:])
    assert (found.dataset_path, found.output_dir, found.base_model_path) == (
        "a b/c'd",
        "out; rm x",
        "mine",
    )
    assert (
        found.num_gpus,
        found.global_batch_size,
        found.max_steps,
        found.save_steps,
    ) == (
        2,
        10,
        3,
        2,
    )
    assert (
        found.save_total_limit,
        found.warmup_ratio,
        found.weight_decay,
        found.learning_rate,
    ) == (1, 0.1, 0.01, 3e-5)
    assert found.color_jitter_params == [
        "brightness",
        "0",
        "contrast",
        "0.1",
        "saturation",
        "0.2",
        "hue",
        "0",
    ]
    assert (found.dataloader_num_workers, found.use_wandb) == (1, False)
    assert (found.shard_size, found.episode_sampling_rate) == (77, 0.5)


def test_the_n16_script_does_not_go_on_from_an_old_checkpoint(
    good, run_script, tmp_path
):
    (tmp_path / "outputs/bi_piper_finetune/checkpoint-1000").mkdir(parents=True)
    done, _ = run_script(written(good, "n1.6"), "finetune_bi_piper.sh")
    assert done.returncode == 1
    assert "holds checkpoints" in done.stderr
    done, _ = run_script(
        written(good, "n1.6"), "finetune_bi_piper.sh", RESUME="1"
    )
    assert done.returncode == 0


def test_the_n15_script_starts_its_own_launcher(good, run_script):
    _, called = run_script(written(good, "n1.5"), "finetune_bi_piper.sh")
    assert called[:2] == ["python", "scripts/gr00t_finetune.py"]
    options = dict(zip(called[2::2], called[3::2], strict=True))
    assert options["--data_config"] == "bi_piper_config:BiPiperDataConfig"
    assert (
        options["--num_gpus"],
        options["--batch_size"],
        options["--report_to"],
    ) == (
        "8",
        "32",
        "wandb",
    )


def test_n17_also_trains_through_lerobot(good, run_script):
    _, called = run_script(
        written(good, "n1.7"), "lerobot_train_bi_piper.sh", NUM_GPUS="1"
    )
    assert called[0] == "lerobot-train"
    options = dict(word.removeprefix("--").split("=", 1) for word in called[1:])
    excluded = json.loads(options["policy.relative_exclude_joints"])
    names = json.loads((good / "meta/info.json").read_text())["features"][
        "action"
    ]["names"]
    assert options["dataset.root"] == f"{SETTINGS.dataset_path}-v3"
    assert options["policy.max_steps"] == options["steps"] == "10000"
    rates = ("optimizer_lr", "optimizer_weight_decay", "warmup_ratio")
    assert [float(options[f"policy.{name}"]) for name in rates] == [
        1e-4,
        1e-5,
        0.05,
    ]
    jitter = json.loads(options["dataset.image_transforms.tfs"])["jitter"]
    assert jitter["kwargs"]["brightness"] == [0.7, 1.3]
    assert jitter["kwargs"]["hue"] == [-0.08, 0.08]
    # LeRobot: absolute is a name that contains one of them, whatever the case.
    absolute = [
        name
        for name in names
        if any(word.lower() in name.lower() for word in excluded)
    ]
    assert absolute == ["left_gripper.pos", "right_gripper.pos"]
    assert options["policy.use_relative_actions"] == "true"
    assert options["policy.type"] == "groot"


def test_cameras_that_lerobot_must_not_see_are_taken_out(good):
    script = "lerobot_train_bi_piper.sh"
    assert "--drop-camera" not in written(good, "n1.7")[script]
    text = written(good, "n1.7", cameras=["mid"])[script]
    others = "--drop-camera left_wrist --drop-camera right_wrist"
    assert f"# piperline edit {SETTINGS.dataset_path}-v3 {others}" in " ".join(
        text.split()
    )


@pytest.mark.parametrize(
    ("names", "relative", "excluded"),
    [
        (("arm_1", "arm_2", "hand_1"), ["arm"], ["hand"]),
        (("joint_a", "joint_b", "joint_c"), ["arm"], []),
        (("arm_1", "waist_1", "gripper"), ["arm"], ["waist_1", "gripper"]),
    ],
)
def test_lerobot_is_told_names_that_fit(tmp_path, names, relative, excluded):
    root = make_dataset(
        tmp_path / "set", names=names, cameras=("mid",), lengths=(20,)
    )
    text = written(root, "n1.7", relative=relative)["lerobot_train_bi_piper.sh"]
    assert (
        f"relative_exclude_joints='{json.dumps(excluded)}'" in text
        or f"joints={json.dumps(excluded)}" in text
    )


def test_names_that_lerobot_cannot_tell_apart(tmp_path):
    root = make_dataset(
        tmp_path / "set",
        names=("j1", "gripper_of_j1"),
        cameras=("mid",),
        lengths=(20,),
    )
    edit = json.loads((root / "meta/modality.json").read_text())
    for part in ("state", "action"):
        edit[part] = {
            "tool": {"start": 0, "end": 1},
            "arm": {"start": 1, "end": 2},
        }
    (root / "meta/modality.json").write_text(json.dumps(edit))
    with pytest.raises(PiperlineError, match="do not tell them apart"):
        written(root, "n1.7")


def test_long_lists_take_a_line_for_each_name(tmp_path):
    sides = [
        f"{side}_{part}_1"
        for side in ("left", "right")
        for part in ("shoulder", "gripper", "finger", "leg")
    ]
    root = make_dataset(
        tmp_path / "set",
        names=[*sides, "waist", "neck", "head", "base"],
        cameras=("mid",),
    )
    text = written(root, "n1.6")["bi_piper_config.py"]
    assert (
        '        modality_keys=[\n            "left_arm",\n            "left_gripper",\n'
        in text
    )
    assert read_choice(write_files(tmp_path / "c", {"c.py": text})[0]).action[
        -4:
    ] == (
        "waist",
        "neck",
        "head",
        "base",
    )


# --- bad input ---


def test_files_that_were_edited_are_kept(good, tmp_path):
    texts = written(good, "n1.6")
    assert len(write_files(tmp_path, texts)) == 3
    assert write_files(tmp_path, texts) == []
    (tmp_path / "finetune_bi_piper.sh").write_text("mine")
    with pytest.raises(
        OutputExists, match=r"finetune_bi_piper\.sh: already exists and differs"
    ):
        write_files(tmp_path, texts)
    assert (tmp_path / "finetune_bi_piper.sh").read_text() == "mine"
    assert [
        path.name for path in write_files(tmp_path, texts, overwrite=True)
    ] == ["finetune_bi_piper.sh"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"relative": ["left_leg"]},
            "no group of both state and action left_leg",
        ),
        ({"cameras": ["front"]}, "no camera front"),
        ({"horizon": 45}, "longer than every episode"),
        ({"horizon": 0}, "a horizon of 0 steps"),
        ({"horizon": 51}, "predicts 50 steps at most"),
    ],
)
def test_names_and_horizons_that_do_not_fit(good, options, message):
    with pytest.raises(PiperlineError, match=message):
        written(good, "n1.6", **options)


def test_settings_that_a_version_does_not_have(good):
    with pytest.raises(PiperlineError, match="no relative actions"):
        written(good, "n1.5", relative=["left_arm"])
    with pytest.raises(PiperlineError, match="no option for colour jitter"):
        written(good, "n1.5", Settings(color_jitter=(0, 0, 0, 0)))
    with pytest.raises(
        PiperlineError, match="cannot be divided evenly among 3 GPUs"
    ) as caught:
        written(good, "n1.6", Settings(gpus=3))
    assert caught.value.next_step == "for example --batch 255"
    with pytest.raises(PiperlineError, match=r"no GR00T version 'n2'"):
        target("n2")


def test_overlapping_groups_are_an_error(copy):
    path = copy / "meta/modality.json"
    modality = json.loads(path.read_text())
    modality["action"]["right_arm"] = {"start": 6, "end": 12}
    path.write_text(json.dumps(modality))
    with pytest.raises(
        DatasetError, match="left_gripper and right_arm share dimensions"
    ):
        written(copy, "n1.6")


def test_a_v3_dataset_is_told_how_to_migrate(copy):
    path = copy / "meta/info.json"
    path.write_text(path.read_text().replace("v2.1", "v3.0"))
    with pytest.raises(DatasetError, match=r"v3\.0") as caught:
        written(copy, "n1.6")
    assert caught.value.next_step == f"piperline migrate {copy} --to v2.1"


def test_groups_of_a_foreign_dataset_are_guessed(copy):
    (copy / "meta/modality.json").unlink()
    meta, choice, guessed = prepare(copy, VERSIONS["n1.6"])
    assert guessed
    assert choice.action == tuple(GROUPS)
    assert meta.modality is not None


@pytest.mark.parametrize(
    ("robot", "name"),
    [("SO-100 arm", "so_100_arm"), ("双臂", "robot"), ("7dof", "robot_7dof")],
)
def test_the_config_is_a_module_that_python_can_import(copy, robot, name):
    path = copy / "meta/info.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"robot_type": robot})
    )
    assert f"{name}_config.py" in written(copy, "n1.6")


@pytest.mark.parametrize("part", ["annotation", "video", "state"])
@pytest.mark.parametrize("version", ["n1.5", "n1.6"])
def test_no_config_of_names_that_python_cannot_read(
    copy, tmp_path, capsys, part, version
):
    path = copy / "meta/modality.json"
    modality = json.loads(path.read_text())
    modality[part]["half\ud83d"] = next(iter(modality[part].values()))
    path.write_text(json.dumps(modality))
    words = [
        "groot",
        "config",
        copy,
        "--version",
        version,
        "--output",
        tmp_path / "config",
    ]
    assert run(app, [*map(str, words)]) == 4
    assert (
        "modality.json holds text that is not UTF-8" in capsys.readouterr().err
    )
    assert not (tmp_path / "config").exists()

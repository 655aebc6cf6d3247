"""The launch scripts: bash around GR00T's training script, or around LeRobot's (0.6)."""

import json
import shlex
from collections.abc import Sequence

from piperline.errors import PiperlineError, Place
from piperline.groot.loader import Meta
from piperline.groot.modality_config import Choice
from piperline.groot.settings import Settings, arguments
from piperline.groot.versions import Target
from piperline.text import printable

_VARIABLES = {
    "--dataset_path": "DATASET",
    "--output_dir": "OUTPUT",
    "--num_gpus": "NUM_GPUS",
    "--max_steps": "MAX_STEPS",
    "--global_batch_size": "BATCH",
}
"""The options that a launch script takes from the environment."""

_N16_START = """CONFIG=$HERE/{name}_config.py

LAUNCH=(torchrun --nproc_per_node="$NUM_GPUS" --master_port=29500 {launcher})
if [ "$NUM_GPUS" -eq 1 ]; then
    LAUNCH=(python {launcher})
fi
"""
_N15_START = """export PYTHONPATH="$HERE:${{PYTHONPATH:-}}"

LAUNCH=(python {launcher})
"""
_RESUME = """
# GR00T goes on from the last checkpoint in the folder without a word, also with another dataset.
if compgen -G "$OUTPUT/checkpoint-*" > /dev/null && [ "${RESUME:-0}" != 1 ]; then
    echo "$OUTPUT holds checkpoints: set OUTPUT to a new folder, or RESUME=1 to go on from them" >&2
    exit 1
fi

"""


def class_name(name: str) -> str:
    """The data config class of N1.5: `BiPiperDataConfig`."""
    return "".join(word.capitalize() for word in name.split("_")) + "DataConfig"


def script_text(name: str, target: Target, settings: Settings) -> str:
    """The launch script: bash, run in the folder of the Isaac-GR00T checkout."""
    n15 = target.version == "n1.5"
    config = f"{name}_config:{class_name(name)}" if n15 else "CONFIG"
    options = arguments(target, settings, config, name)
    defaults = "\n".join(
        f"{variable}=${{{variable}:-{shlex.quote(values[0])}}}"
        for option, *values in options
        if (variable := _VARIABLES.get(option))
    )
    lines = " \\\n    ".join(
        _shell_option(option, values) for option, *values in options
    )
    start = _N15_START if n15 else _N16_START
    resume = _RESUME if target.is_of_spring else ""
    return f"""#!/usr/bin/env bash
# Fine-tune {target.title} on {name}, in the folder of the Isaac-GR00T checkout ({target.ref}).
# Each of these can also be set from outside: NUM_GPUS=1 MAX_STEPS=200 bash finetune_{name}.sh
set -euo pipefail

{defaults}
HERE=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
{resume}{start.format(name=name, launcher=target.launcher)}
set -x
"${{LAUNCH[@]}}" \\
    {lines}
"""


def _shell_option(option: str, values: Sequence[str]) -> str:
    if option in _VARIABLES:
        return f'{option} "${_VARIABLES[option]}"'
    if option == "--modality_config_path":
        return f'{option} "$CONFIG"'
    return " ".join((option, *map(shlex.quote, values)))


def lerobot_text(
    name: str, meta: Meta, choice: Choice, target: Target, settings: Settings
) -> str:
    """N1.7 through LeRobot: which dimensions stay absolute is told by parts of their names.

    The options are those of `GrootConfig` and `ImageTransformsConfig` in huggingface/lerobot 0.6.
    """
    excluded = json.dumps(_excluded_joints(meta, choice))
    source = shlex.quote(str(settings.dataset_path))
    dataset = shlex.quote(f"{settings.dataset_path}-v3")
    output = shlex.quote(settings.output_dir or f"outputs/{name}_lerobot")
    return f"""#!/usr/bin/env bash
# Fine-tune {target.title} on {name} with LeRobot 0.6 or newer, which reads v3.0 only:
#     piperline migrate {source} --to v3.0 --output {dataset}{_dropped(meta, choice, dataset)}
# LeRobot keeps every checkpoint.
set -euo pipefail

DATASET=${{DATASET:-{dataset}}}
OUTPUT=${{OUTPUT:-{output}}}
NUM_GPUS=${{NUM_GPUS:-{settings.gpus}}}

LAUNCH=(accelerate launch --multi_gpu --num_processes="$NUM_GPUS" "$(command -v lerobot-train)")
if [ "$NUM_GPUS" -eq 1 ]; then
    LAUNCH=(lerobot-train)
fi
set -x
"${{LAUNCH[@]}}" \\
    --dataset.repo_id={shlex.quote(f"local/{name}")} \\
    --dataset.root="$DATASET" \\
    --policy.type=groot \\
    --policy.base_model_path={shlex.quote(settings.base_model or target.base_model)} \\
    --policy.embodiment_tag=new_embodiment \\
    --policy.chunk_size={choice.horizon} \\
    --policy.n_action_steps={choice.horizon} \\
    --policy.use_relative_actions={json.dumps(bool(choice.relative))} \\
    --policy.relative_exclude_joints={shlex.quote(excluded)} \\
    --policy.optimizer_lr={settings.learning_rate:g} \\
    --policy.optimizer_weight_decay={settings.weight_decay:g} \\
    --policy.warmup_ratio={settings.warmup:g} \\
    --policy.max_steps={settings.steps} \\
    --policy.push_to_hub=false \\
    --dataset.image_transforms.enable={json.dumps(any(settings.color_jitter))} \\
    --dataset.image_transforms.tfs={shlex.quote(_jitter(settings))} \\
    --batch_size={settings.batch // settings.gpus} \\
    --steps={settings.steps} \\
    --save_freq={settings.save_steps} \\
    --num_workers={settings.workers} \\
    --output_dir="$OUTPUT" \\
    --wandb.enable={json.dumps(settings.wandb)}
"""


def _dropped(meta: Meta, choice: Choice, dataset: str) -> str:
    """The command that takes the other cameras out: LeRobot trains on all that there are."""
    names = [
        meta.video_key(name).removeprefix("observation.images.")
        for name in meta.groups("video")
        if name not in choice.cameras
    ]
    if not names:
        return ""
    cameras = " ".join(f"--drop-camera {shlex.quote(name)}" for name in names)
    return f"\n#     piperline edit {dataset} {cameras}"


def _jitter(settings: Settings) -> str:
    """GR00T's colour jitter as a transform of LeRobot: ranges instead of distances."""
    brightness, contrast, saturation, hue = settings.color_jitter
    ranges = {
        "brightness": [max(0, 1 - brightness), 1 + brightness],
        "contrast": [max(0, 1 - contrast), 1 + contrast],
        "saturation": [max(0, 1 - saturation), 1 + saturation],
        "hue": [-hue, hue],
    }
    jitter = {"weight": 1.0, "type": "ColorJitter", "kwargs": ranges}
    return json.dumps({"jitter": jitter})


def _excluded_joints(meta: Meta, choice: Choice) -> list[str]:
    """Parts of names that occur in exactly the absolute dimensions of the action, ignoring case.

    Raises:
        PiperlineError: the names cannot tell absolute from relative dimensions.
    """
    names = [
        name.lower() for name in meta.schema.features["action"].names or ()
    ]
    relative: set[str] = set()
    for group in choice.relative:
        column, start, end = meta.column("action", group)
        relative.update(names[start:end] if column == "action" else ())
    absolute = [name for name in names if name not in relative]
    for words in (["gripper"], ["hand"], ["finger"], absolute):
        if {
            name for name in names if any(word in name for word in words)
        } == set(absolute):
            return words if absolute else []
    raise PiperlineError(
        "LeRobot chooses relative dimensions by their names, and these do not tell them apart",
        place=Place(file=meta.root),
        expected="a word such as gripper in the names of all absolute dimensions, and in no other",
        found=", ".join(map(printable, names)) or "no names",
        next_step="give the gripper dimensions names that contain 'gripper'",
    )

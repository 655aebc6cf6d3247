"""What a fine-tuning needs beside the dataset: the modality config `.py` and the launch script of a GR00T version.

Names and defaults of options are those of `gr00t/experiment/launch_finetune.py` (N1.6, N1.7) and
`scripts/gr00t_finetune.py` (N1.5) in NVIDIA/Isaac-GR00T, and of `lerobot-train` in huggingface/lerobot 0.6.
"""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from piperline.errors import OutputExists, PiperlineError, Place
from piperline.groot.choice import Choice
from piperline.groot.folder import Meta
from piperline.groot.modality import write_whole
from piperline.groot.versions import Target

__all__ = ["Settings", "arguments", "config_name", "config_text", "files", "launcher", "script_text", "write_files"]

_SHORT, _SCIENTIFIC = 90, 1e-3
COLOR_JITTER = (0.3, 0.4, 0.5, 0.08)


@dataclass(frozen=True)
class Settings:
    """How to train. The defaults are the documented ones.

    Attributes:
        dataset: the folder of the dataset on the training machine.
        output: where checkpoints go; None: `outputs/NAME_finetune` in the checkout.
        base_model: the checkpoint to start from; None: the published one of the version.
        gpus: how many GPUs of one machine.
        batch: samples of one step on all GPUs together.
        steps, save_steps: optimiser steps, in all and between two checkpoints.
        keep: how many checkpoints stay.
        warmup: the share of the steps in which the learning rate rises.
        weight_decay, learning_rate: of AdamW.
        color_jitter: brightness, contrast, saturation, hue.
        workers: data-loader processes of each GPU.
        wandb: report to Weights & Biases.
        shard_size, sampling_rate: GR00T's `--shard_size` (steps) and `--episode_sampling_rate`; None: its defaults.
    """

    dataset: str
    output: str | None = None
    base_model: str | None = None
    gpus: int = 8
    batch: int = 256
    steps: int = 10_000
    save_steps: int = 1_000
    keep: int = 5
    warmup: float = 0.05
    weight_decay: float = 1e-5
    learning_rate: float = 1e-4
    color_jitter: tuple[float, float, float, float] = COLOR_JITTER
    workers: int = 4
    wandb: bool = True
    shard_size: int | None = None
    sampling_rate: float | None = None


def config_name(meta: Meta) -> str:
    """The robot's name as a Python module can be called: `bi_piper`."""
    name = re.sub(r"\W+", "_", str(meta.info.get("robot_type") or meta.root.name), flags=re.ASCII).strip("_").lower()
    return name if name[:1].isalpha() else f"robot_{name}".rstrip("_")


def files(meta: Meta, choice: Choice, target: Target, settings: Settings) -> dict[str, str]:
    """All files of a folder such as `config_for_gr00tn16`, by name."""
    name = config_name(meta)
    result = {
        "modality.json": json.dumps(meta.modality, indent=4, ensure_ascii=False) + "\n",
        f"{name}_config.py": config_text(name, choice, target),
        f"finetune_{name}.sh": script_text(name, target, settings),
    }
    if target.version == "n1.7":
        result[f"lerobot_train_{name}.sh"] = _lerobot_text(name, meta, choice, target, settings)
    return result


def write_files(folder: Path, texts: dict[str, str], *, overwrite: bool = False) -> list[Path]:
    """Write files into `folder`, each whole; those that are there and equal stay.

    Raises:
        OutputExists: one is there and differs, and `overwrite` is not set: it may have been edited.
    """
    changed = [folder / name for name, text in texts.items() if _text(folder / name) != text]
    edited = [path for path in changed if path.exists()]
    if edited and not overwrite:
        raise OutputExists(
            f"{', '.join(path.name for path in edited)}: exists and differs; it may have been edited",
            place=Place(file=folder),
            next_step="choose another --output, or replace it with --overwrite",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in changed:
        write_whole(path, texts[path.name])
    return changed


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def config_text(name: str, choice: Choice, target: Target) -> str:
    """The modality config `.py`."""
    return _n15_config(name, choice) if target.version == "n1.5" else _modality_config(name, choice, target)


def _modality_config(name: str, choice: Choice, target: Target) -> str:
    actions = "".join(
        f"    {json.dumps(group)}: ActionRepresentation.{kind},\n"
        for group, kind in zip(choice.action, choice.representations, strict=True)
    )
    return f'''"""{target.title} on {name}: what it uses of the dataset, how actions are represented. By piperline."""

from gr00t.configs.data.embodiment_configs import register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import ActionConfig, ActionFormat, ActionRepresentation, ActionType, ModalityConfig

HORIZON = {choice.horizon}  # steps of an action chunk

# The one place for this choice. RELATIVE: the difference to the state at the beginning of the chunk.
# ABSOLUTE: the recorded target itself. After a change: piperline groot stats DATASET --relative ...
ACTIONS = {{
{actions}}}

{name}_config = {{
    "video": ModalityConfig(
        delta_indices=[0],
        modality_keys={_list(choice.cameras)},
    ),
    "state": ModalityConfig(
        delta_indices=[0],
        modality_keys={_list(choice.state)},
    ),
    "action": ModalityConfig(
        delta_indices=list(range(HORIZON)),
        modality_keys=list(ACTIONS),
        action_configs=[
            ActionConfig(rep=rep, type=ActionType.NON_EEF, format=ActionFormat.DEFAULT) for rep in ACTIONS.values()
        ],
    ),
    "language": ModalityConfig(
        delta_indices=[0],
        modality_keys={_list(choice.language)},
    ),
}}

register_modality_config({name}_config, embodiment_tag=EmbodimentTag.NEW_EMBODIMENT)
'''


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_")) + "DataConfig"


def _n15_config(name: str, choice: Choice) -> str:
    return f'''"""GR00T N1.5 on {name}: what of the dataset it uses; its actions are all absolute. By piperline."""

from gr00t.experiment.data_config import So100DataConfig


class {_class_name(name)}(So100DataConfig):
    """Min-max normalisation, crop and colour jitter of NVIDIA's SO-100 example, on our cameras and groups."""

    video_keys = {_list([f"video.{camera}" for camera in choice.cameras], 4)}
    state_keys = {_list([f"state.{group}" for group in choice.state], 4)}
    action_keys = {_list([f"action.{group}" for group in choice.action], 4)}
    language_keys = {_list(choice.language, 4)}
    observation_indices = [0]
    action_indices = list(range({choice.horizon}))
'''


def _list(names: Iterable[str], indent: int = 8) -> str:
    """A list as Python text, on one line if it is short."""
    words = [json.dumps(name, ensure_ascii=False) for name in names]
    line = ", ".join(words)
    if len(line) + indent <= _SHORT:
        return f"[{line}]"
    return "[\n" + "".join(f"{' ' * (indent + 4)}{word},\n" for word in words) + " " * indent + "]"


def _number(value: float) -> str:
    """The shortest usual form: 0.05, 1e-4."""
    return f"{value:g}" if value >= _SCIENTIFIC else np.format_float_scientific(value, trim="-", exp_digits=1)


def launcher(target: Target, gpus: int) -> list[str]:
    """The program that runs the training script: one GPU needs no torchrun, and N1.5 starts it by itself."""
    if gpus == 1 or target.version == "n1.5":
        return ["python", target.launcher]
    return ["torchrun", f"--nproc_per_node={gpus}", "--master_port=29500", target.launcher]


def arguments(target: Target, settings: Settings, config: str, name: str) -> list[tuple[str, ...]]:
    """The options of the training script, each with its values.

    Args:
        target: the version.
        settings: how to train.
        config: the modality config; for N1.5 the module and class.
        name: of the robot, for the default output folder.

    Raises:
        PiperlineError: the batch cannot be divided among the GPUs, or the version has no such setting.
    """
    if settings.gpus < 1 or settings.batch < 1 or settings.batch % settings.gpus:
        raise PiperlineError(
            f"a batch of {settings.batch} cannot be divided evenly among {settings.gpus} GPUs",
            next_step=f"for example --batch {max(1, settings.batch // max(settings.gpus, 1)) * max(settings.gpus, 1)}",
        )
    common = [
        ("--base_model_path", settings.base_model or target.base_model),
        ("--dataset_path", settings.dataset),
        ("--output_dir", settings.output or f"outputs/{name}_finetune"),
        ("--num_gpus", str(settings.gpus)),
        ("--max_steps", str(settings.steps)),
        ("--save_steps", str(settings.save_steps)),
        ("--warmup_ratio", _number(settings.warmup)),
        ("--weight_decay", _number(settings.weight_decay)),
        ("--learning_rate", _number(settings.learning_rate)),
        ("--dataloader_num_workers", str(settings.workers)),
    ]
    special = _n15_arguments if target.version == "n1.5" else _n16_arguments
    return [*common, *special(settings, config)]


def _n15_arguments(settings: Settings, config: str) -> list[tuple[str, ...]]:
    if settings.color_jitter != COLOR_JITTER or settings.shard_size or settings.sampling_rate:
        raise PiperlineError("GR00T N1.5 has no option for colour jitter or shards: change the config .py instead")
    return [
        ("--data_config", config),
        ("--batch_size", str(settings.batch // settings.gpus)),
        ("--embodiment_tag", "new_embodiment"),
        ("--report_to", "wandb" if settings.wandb else "tensorboard"),
    ]


def _n16_arguments(settings: Settings, config: str) -> list[tuple[str, ...]]:
    names = ("brightness", "contrast", "saturation", "hue")
    jitter = [word for name, value in zip(names, settings.color_jitter, strict=True) for word in (name, f"{value:g}")]
    result: list[tuple[str, ...]] = [
        ("--modality_config_path", config),
        ("--embodiment_tag", "NEW_EMBODIMENT"),
        ("--global_batch_size", str(settings.batch)),
        ("--save_total_limit", str(settings.keep)),
        ("--color_jitter_params", *jitter),
    ]
    if settings.shard_size:
        result.append(("--shard_size", str(settings.shard_size)))
    if settings.sampling_rate:
        result.append(("--episode_sampling_rate", _number(settings.sampling_rate)))
    return [*result, ("--use_wandb",)] if settings.wandb else result


_VARIABLES = {
    "--dataset_path": "DATASET",
    "--output_dir": "OUTPUT",
    "--num_gpus": "NUM_GPUS",
    "--max_steps": "MAX_STEPS",
    "--global_batch_size": "BATCH",
}
"""The options that a launch script takes from the environment."""


def script_text(name: str, target: Target, settings: Settings) -> str:
    """The launch script: bash, run in the folder of the Isaac-GR00T checkout."""
    n15 = target.version == "n1.5"
    config = f"{name}_config:{_class_name(name)}" if n15 else "CONFIG"
    options = arguments(target, settings, config, name)
    defaults = "\n".join(
        f"{variable}=${{{variable}:-{shlex.quote(values[0])}}}"
        for option, *values in options
        if (variable := _VARIABLES.get(option))
    )
    lines = " \\\n    ".join(_shell_option(option, values) for option, *values in options)
    start = _N15_START if n15 else _N16_START
    resume = _RESUME if target.version == "n1.6" else ""
    return f"""#!/usr/bin/env bash
# Fine-tune {target.title} on {name}. Run it in the folder of the Isaac-GR00T checkout (tag {target.ref}).
# Each of these can also be set from outside: NUM_GPUS=1 MAX_STEPS=200 bash finetune_{name}.sh
set -euo pipefail

{defaults}
HERE=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
{resume}{start.format(name=name, launcher=target.launcher)}
set -x
"${{LAUNCH[@]}}" \\
    {lines}
"""


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
# N1.6 goes on from the last checkpoint in the folder without a word, also with another dataset.
if compgen -G "$OUTPUT/checkpoint-*" > /dev/null && [ "${RESUME:-0}" != 1 ]; then
    echo "$OUTPUT holds checkpoints: set OUTPUT to a new folder, or RESUME=1 to go on from them" >&2
    exit 1
fi

"""


def _shell_option(option: str, values: Sequence[str]) -> str:
    if option in _VARIABLES:
        return f'{option} "${_VARIABLES[option]}"'
    if option == "--modality_config_path":
        return f'{option} "$CONFIG"'
    return " ".join((option, *map(shlex.quote, values)))


def _lerobot_text(name: str, meta: Meta, choice: Choice, target: Target, settings: Settings) -> str:
    """N1.7 through LeRobot: which dimensions stay absolute is told by parts of their names."""
    excluded = json.dumps(excluded_joints(meta, choice))
    dataset = shlex.quote(settings.dataset)
    output = shlex.quote(settings.output or f"outputs/{name}_lerobot")
    return f"""#!/usr/bin/env bash
# Fine-tune {target.title} on {name} with LeRobot 0.6 or newer, which reads v3.0 only:
#     piperline migrate DATASET --to v3.0
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
    --policy.push_to_hub=false \\
    --batch_size={settings.batch // settings.gpus} \\
    --steps={settings.steps} \\
    --save_freq={settings.save_steps} \\
    --num_workers={settings.workers} \\
    --output_dir="$OUTPUT" \\
    --wandb.enable={json.dumps(settings.wandb)}
"""


def excluded_joints(meta: Meta, choice: Choice) -> list[str]:
    """Parts of names that LeRobot finds in exactly the absolute dimensions of the action, ignoring case.

    Raises:
        PiperlineError: the names cannot tell absolute from relative dimensions.
    """
    names = [name.lower() for name in meta.schema.features["action"].names or ()]
    relative: set[str] = set()
    for group in choice.relative:
        column, start, end = meta.column("action", group)
        relative.update(names[start:end] if column == "action" else ())
    absolute = [name for name in names if name not in relative]
    for words in (["gripper"], ["hand"], ["finger"], absolute):
        if {name for name in names if any(word in name for word in words)} == set(absolute):
            return words if absolute else []
    raise PiperlineError(
        "LeRobot chooses relative dimensions by their names, and these do not tell them apart",
        place=Place(file=meta.root),
        found=", ".join(names) or "no names",
        next_step="give the gripper dimensions names that contain 'gripper'",
    )

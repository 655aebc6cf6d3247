"""How to train: the settings, and the options of GR00T's training scripts that they become.

Names and defaults of options are those of `gr00t/experiment/launch_finetune.py` (N1.6, N1.7) and
`scripts/gr00t_finetune.py` (N1.5) in NVIDIA/Isaac-GR00T.
"""

from dataclasses import dataclass
from pathlib import Path

from piperline.errors import PiperlineError
from piperline.groot.versions import Target

_SCIENTIFIC = 1e-3
COLOR_JITTER = (0.3, 0.4, 0.5, 0.08)


@dataclass(frozen=True)
class Settings:
    """How to train. The defaults are the documented ones.

    Attributes:
        gpus: GPUs of one machine.
        batch: samples of one step, on all GPUs together.
        steps: optimiser steps.
        save_steps: steps between two checkpoints.
        keep: checkpoints that stay.
        warmup: share of the steps in which the learning rate rises.
        weight_decay: of AdamW.
        learning_rate: of AdamW.
        color_jitter: brightness, contrast, saturation, hue.
        workers: data-loader processes of each GPU.
        wandb: report to Weights & Biases.
        dataset_path: folder of the dataset on the training machine; by default where it is now.
        output_dir: folder for checkpoints; by default outputs/NAME_finetune in the checkout.
        base_model: checkpoint to start from; by default the published one.
        shard_size: steps of a shard (GR00T's --shard_size).
        sampling_rate: share of an episode that goes into one shard (GR00T's
            --episode_sampling_rate).
    """

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
    dataset_path: str | None = None
    output_dir: str | None = None
    base_model: str | None = None
    shard_size: int | None = None
    sampling_rate: float | None = None


@dataclass(frozen=True)
class Launch:
    """The settings of a launch that the data have to fit, with the documented defaults.

    Attributes:
        gpus: how many.
        batch: samples of one step on all GPUs together.
        workers: data-loader processes of each GPU.
        shard_size: steps of a shard (`--shard_size`).
        sampling_rate: the share of an episode that goes into one shard (`--episode_sampling_rate`).
        output: the folder for checkpoints, if it is known.
        base_model: the checkpoint to start from, if it is not the published one.
    """

    gpus: int = 8
    batch: int = 256
    workers: int = 4
    shard_size: int = 1024
    sampling_rate: float = 0.1
    output: Path | None = None
    base_model: Path | None = None


def output_folder(settings: Settings, name: str) -> str:
    """Where checkpoints go, seen from the checkout."""
    return settings.output_dir or f"outputs/{name}_finetune"


def launcher(target: Target, gpus: int) -> list[str]:
    """The program that runs the training script; one GPU needs no torchrun, N1.5 starts its own."""
    if gpus == 1 or target.version == "n1.5":
        return ["python", target.launcher]
    return [
        "torchrun",
        f"--nproc_per_node={gpus}",
        "--master_port=29500",
        target.launcher,
    ]


def arguments(
    target: Target, settings: Settings, config: str, name: str
) -> list[tuple[str, ...]]:
    """The options of the training script, each with its values.

    Args:
        target: the version.
        settings: how to train, with `dataset_path`.
        config: the modality config; for N1.5 the module and class.
        name: of the robot, for the default output folder.

    Raises:
        PiperlineError: the batch cannot be divided among the GPUs, or the version has no such
        setting.
    """
    if (
        settings.gpus < 1
        or settings.batch < 1
        or settings.batch % settings.gpus
    ):
        raise PiperlineError(
            f"a batch of {settings.batch} cannot be divided evenly among {settings.gpus} GPUs",
            expected="1 GPU or more, and equally many samples on each",
            found=f"--batch {settings.batch} --gpus {settings.gpus}",
            next_step=(
                "for example --batch "
                f"{max(1, settings.batch // max(settings.gpus, 1)) * max(settings.gpus, 1)}"
            ),
        )
    common = [
        ("--base_model_path", settings.base_model or target.base_model),
        ("--dataset_path", str(settings.dataset_path)),
        ("--output_dir", output_folder(settings, name)),
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


def _n15_arguments(
    settings: Settings,
    config: str,
) -> list[tuple[str, ...]]:
    special = {
        "--color-jitter": settings.color_jitter != COLOR_JITTER,
        "--shard-size": settings.shard_size,
        "--sampling-rate": settings.sampling_rate,
    }
    if any(special.values()):
        raise PiperlineError(
            "GR00T N1.5 has no option for colour jitter or shards",
            expected="none of --color-jitter, --shard-size and --sampling-rate",
            found=", ".join(name for name, value in special.items() if value),
            next_step="leave them out, and change the config .py instead",
        )
    return [
        ("--data_config", config),
        ("--batch_size", str(settings.batch // settings.gpus)),
        ("--embodiment_tag", "new_embodiment"),
        ("--report_to", "wandb" if settings.wandb else "tensorboard"),
    ]


def _n16_arguments(
    settings: Settings,
    config: str,
) -> list[tuple[str, ...]]:
    names = ("brightness", "contrast", "saturation", "hue")
    jitter = [
        word
        for name, value in zip(names, settings.color_jitter, strict=True)
        for word in (name, f"{value:g}")
    ]
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
        result.append(
            ("--episode_sampling_rate", _number(settings.sampling_rate))
        )
    return [*result, ("--use_wandb",)] if settings.wandb else result


def _number(value: float) -> str:
    """The shortest usual form: 0.05, 1e-4."""
    if value == 0 or abs(value) >= _SCIENTIFIC:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"

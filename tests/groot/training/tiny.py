"""Fine-tunes a tiny random GR00T N1.6 by its own code; OUTPUT/losses.json tells what came of it.

A program of GR00T's own environment (`make test-gr00t`): its loader, processor, model classes and
trainer; the model has the real parts, Eagle included, with few and small layers, and nothing that
was trained before. Usage: `python tiny.py SOURCE DATASET CONFIG.py OUTPUT SEED`.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

STEPS, BATCH = 60, 16
NOISES = (1, 2, 3)
_WIDTH = 256
_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
_VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "full_attention_indexes": [0],
}


def shrink_eagle() -> None:
    """Let the backbone read its own configuration with small numbers, and attend without a GPU."""
    import torch
    from gr00t.model.modules import eagle_backbone
    from transformers import AutoConfig, AutoModel, modeling_utils

    class SmallConfig:
        @staticmethod
        def from_pretrained(path: str, **words: Any) -> Any:
            config = AutoConfig.from_pretrained(path, **words)
            for part, sizes in (
                (config.text_config, _TEXT),
                (config.vision_config, _VISION),
            ):
                for name, value in sizes.items():
                    setattr(part, name, value)
                part.torch_dtype = torch.float32
                part._attn_implementation = "flash_attention_2"
                part._attn_implementation_autoset = True
            config.torch_dtype = torch.float32
            config._attn_implementation_autoset = True
            return config

    class SmallModel:
        @staticmethod
        def from_config(config: Any, **words: Any) -> Any:
            # its own rule for random weights names a class that is not there: torch's instead
            modeling_utils._init_weights = False
            model = AutoModel.from_config(config, **words)
            modeling_utils._init_weights = True
            # flash attention, which the classes insist on when they are made, needs a GPU
            for part, how in (
                (model.language_model, "sdpa"),
                (model.vision_model, "each_image"),
            ):
                for module in part.modules():
                    if hasattr(module, "config"):
                        module.config._attn_implementation = how
            # words are not asked for, and the widest layer by far would say them
            model.language_model.lm_head = torch.nn.Identity()
            return model.float()

    modeling_utils.ALL_ATTENTION_FUNCTIONS["each_image"] = attend_each_image
    eagle_backbone.AutoConfig = SmallConfig
    eagle_backbone.AutoModel = SmallModel


def wake_action_head() -> None:
    """Let the random weights of the action head be as large as its width asks for.

    They begin at 0.02, whatever the width. In a narrow head hardly anything of state and actions
    then comes out, and 60 steps teach it no more than the mean.
    """
    from gr00t.model.modules import embodiment_conditioned_mlp as layers

    class Awake(layers.CategorySpecificLinear):  # type: ignore[misc]
        def __init__(self, *sizes: Any, **words: Any) -> None:
            super().__init__(*sizes, **words)
            self.W.data *= self.W.shape[1] ** -0.5 / self.W.data.std()

    layers.CategorySpecificLinear = Awake


def attend_each_image(
    _module: object,
    query: Any,
    key: Any,
    value: Any,
    _mask: object,
    *,
    seq_len_list: list[int],
    scaling: float,
    **_words: object,
) -> tuple[Any, None]:
    """Attention within each image of a batch, whose images stand one behind the other."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    parts = [part.split(seq_len_list, dim=2) for part in (query, key, value)]
    seen = [
        scaled_dot_product_attention(*part, scale=scaling)
        for part in zip(*parts, strict=True)
    ]
    return torch.cat(seen, dim=2).transpose(1, 2).contiguous(), None


def configuration(dataset: str, output: str) -> Any:
    """What `launch_finetune` sets, with a small action head, for the CPU."""
    from gr00t.configs.base_config import get_default_config

    entry = {
        "dataset_paths": [dataset],
        "mix_ratio": 1.0,
        "embodiment_tag": "new_embodiment",
    }
    config = get_default_config().load_dict(
        {"data": {"download_cache": False, "datasets": [entry]}}
    )
    config.load_config_path = None
    model, training, data = config.model, config.training, config.data
    model.tune_top_llm_layers = 0
    model.select_layer = 2
    model.load_bf16 = model.use_flash_attention = True
    model.eagle_collator = model.use_relative_action = True
    model.reproject_vision = False
    model.max_state_dim = model.max_action_dim = 32
    model.backbone_embedding_dim = _TEXT["hidden_size"]
    model.hidden_size = model.input_embedding_dim = _WIDTH
    model.max_num_embodiments = 11
    model.state_dropout_prob = 0.0
    model.diffusion_model_cfg = {
        **model.diffusion_model_cfg,
        "num_layers": 2,
        "num_attention_heads": 8,
        "attention_head_dim": _WIDTH // 8,
        "output_dim": _WIDTH,
        "dropout": 0.0,
    }
    training.start_from_checkpoint = None
    training.max_steps, training.save_steps = STEPS, STEPS
    training.global_batch_size, training.num_gpus = BATCH, 1
    training.dataloader_num_workers = 0
    training.learning_rate = 1e-3
    training.optim = "adamw_torch"
    training.bf16 = training.fp16 = training.tf32 = False
    training.output_dir, training.use_wandb = output, False
    data.shard_size, data.episode_sampling_rate = 192, 0.5
    data.num_shards_per_epoch = 100
    return config


def trained(config: Any) -> dict[str, Any]:
    """What came of a training by GR00T's own code: compared before it, and after it."""
    from gr00t.experiment import experiment

    told: dict[str, Any] = {}

    class Compared(experiment.Gr00tTrainer):  # type: ignore[misc]
        def train(self, *args: Any, **words: Any) -> Any:
            inputs = some_rows(self)
            told["before"] = compared(self.model, inputs)
            result = super().train(*args, **words)
            told["after"] = compared(self.model, inputs)
            told["steps"] = self.state.global_step
            told["logged"] = [
                entry["loss"]
                for entry in self.state.log_history
                if "loss" in entry
            ]
            return result

    experiment.Gr00tTrainer = Compared
    experiment.run(config)
    return told


def some_rows(trainer: Any) -> Any:
    """Every fourth sample of the dataset, as the model takes them."""
    (shards,) = trainer.train_dataset.datasets
    items = [
        item
        for number in range(len(shards))
        for item in shards.get_shard(number)
    ]
    return trainer.data_collator(items[::4])["inputs"]


def compared(model: Any, inputs: Any) -> list[dict[str, float]]:
    """Of each noise: the mean loss with the actions of each row, and with those of another.

    The noise and its times are the same for both. `errors` says how many standard errors lie
    between them.
    """
    import torch

    actions, training = inputs["action"], model.training
    model.eval()
    found = []
    for noise in NOISES:
        chance = torch.Generator().manual_seed(noise)
        order = torch.randperm(len(actions), generator=chance)
        real = _loss_of_each(model, inputs, actions, noise)
        shuffled = _loss_of_each(model, inputs, actions[order], noise)
        more = shuffled - real
        error = more.std() / len(more) ** 0.5
        told = {
            "real": real.mean(),
            "shuffled": shuffled.mean(),
            "errors": more.mean() / error,
        }
        found.append({name: float(value) for name, value in told.items()})
    model.train(training)
    return found


def _loss_of_each(model: Any, inputs: Any, actions: Any, noise: int) -> Any:
    import torch

    torch.manual_seed(noise)
    with torch.no_grad():
        result = model({**inputs, "action": actions})
    counted = result["action_mask"].sum((1, 2))
    return result["action_loss"].sum((1, 2)) / counted


def main() -> None:
    """Train and tell."""
    source, dataset, modality, output, seed = sys.argv[1:]
    sys.path[:0] = [source, str(Path(modality).parent)]
    shrink_eagle()
    wake_action_head()
    importlib.import_module(Path(modality).stem)
    config = configuration(dataset, output)
    config.data.seed = int(seed)
    told = trained(config)
    Path(output, "losses.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()

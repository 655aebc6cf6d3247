#!/usr/bin/env bash
# Fine-tune GR00T N1.6 on bi_piper, in the folder of the Isaac-GR00T checkout (n1.6.1-release).
# Each of these can also be set from outside: NUM_GPUS=1 MAX_STEPS=200 bash finetune_bi_piper.sh
set -euo pipefail

DATASET=${DATASET:-dataset/bi_piper}
OUTPUT=${OUTPUT:-outputs/bi_piper_finetune}
NUM_GPUS=${NUM_GPUS:-8}
MAX_STEPS=${MAX_STEPS:-10000}
BATCH=${BATCH:-256}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# GR00T goes on from the last checkpoint in the folder without a word, also with another dataset.
if compgen -G "$OUTPUT/checkpoint-*" > /dev/null && [ "${RESUME:-0}" != 1 ]; then
    echo "$OUTPUT holds checkpoints: set OUTPUT to a new folder, or RESUME=1 to go on from them" >&2
    exit 1
fi

CONFIG=$HERE/bi_piper_config.py

LAUNCH=(torchrun --nproc_per_node="$NUM_GPUS" --master_port=29500 gr00t/experiment/launch_finetune.py)
if [ "$NUM_GPUS" -eq 1 ]; then
    LAUNCH=(python gr00t/experiment/launch_finetune.py)
fi

set -x
"${LAUNCH[@]}" \
    --base_model_path nvidia/GR00T-N1.6-3B \
    --dataset_path "$DATASET" \
    --output_dir "$OUTPUT" \
    --num_gpus "$NUM_GPUS" \
    --max_steps "$MAX_STEPS" \
    --save_steps 1000 \
    --warmup_ratio 0.05 \
    --weight_decay 1e-5 \
    --learning_rate 1e-4 \
    --dataloader_num_workers 4 \
    --modality_config_path "$CONFIG" \
    --embodiment_tag NEW_EMBODIMENT \
    --global_batch_size "$BATCH" \
    --save_total_limit 5 \
    --color_jitter_params brightness 0.3 contrast 0.4 saturation 0.5 hue 0.08 \
    --use_wandb

"""GR00T N1.6 on bi_piper: what it uses of the dataset, and how."""

from gr00t.configs.data.embodiment_configs import register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import (
    ActionConfig,
    ActionFormat,
    ActionRepresentation,
    ActionType,
    ModalityConfig,
)

HORIZON = 16  # steps of an action chunk

# Change it here only. RELATIVE: the difference to the state at the beginning of the chunk.
# ABSOLUTE: the recorded target itself. After a change: piperline groot stats DATASET --relative ...
ACTIONS = {
    "left_arm": ActionRepresentation.RELATIVE,
    "left_gripper": ActionRepresentation.ABSOLUTE,
    "right_arm": ActionRepresentation.RELATIVE,
    "right_gripper": ActionRepresentation.ABSOLUTE,
}

bi_piper_config = {
    "video": ModalityConfig(
        delta_indices=[0],
        modality_keys=["left_wrist", "mid", "right_wrist"],
    ),
    "state": ModalityConfig(
        delta_indices=[0],
        modality_keys=["left_arm", "left_gripper", "right_arm", "right_gripper"],
    ),
    "action": ModalityConfig(
        delta_indices=list(range(HORIZON)),
        modality_keys=list(ACTIONS),
        action_configs=[
            ActionConfig(rep=rep, type=ActionType.NON_EEF, format=ActionFormat.DEFAULT)
            for rep in ACTIONS.values()
        ],
    ),
    "language": ModalityConfig(
        delta_indices=[0],
        modality_keys=["annotation.human.task_description"],
    ),
}

register_modality_config(bi_piper_config, embodiment_tag=EmbodimentTag.NEW_EMBODIMENT)

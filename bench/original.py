"""The original way: recordings through lerobot 0.4.2's add_frame and save_episode.

Runs in that environment.

Everything is left at its default, as the scripts in use leave it: frames are written as PNG in this
process, read back for statistics and for SVT-AV1. Only the colours are put right (OpenCV decodes to
BGR, LeRobot takes RGB), so that its frames can be compared with ours.

    python original.py OUTPUT RECORDING...
"""

import re
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch

# The CPU build of torch lacks torchvision's operators; its Python part only wants this one to be
# declared.
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
_LIBRARY.define(
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
)

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402 - after the operators are declared

FPS = 30
CAMERAS = {
    "image_left": "left_wrist",
    "image_mid": "mid",
    "image_right": "right_wrist",
}
VECTOR = {
    "dtype": "float32",
    "shape": (14,),
    "names": [f"joint_{number}" for number in range(14)],
}
VIDEO = {
    "dtype": "video",
    "shape": (480, 640, 3),
    "names": ["height", "width", "channels"],
}
FEATURES = {
    "observation.state": VECTOR,
    "action": VECTOR,
    **{f"observation.images.{name}": VIDEO for name in CAMERAS.values()},
}


def convert(recordings: list[Path], output: Path) -> None:
    """Write one LeRobot v3.0 dataset of all recordings."""
    dataset = LeRobotDataset.create(
        "bench/original", FPS, FEATURES, root=output, robot_type="bi_piper"
    )
    for path in recordings:
        with h5py.File(path) as file:
            for name in sorted(
                file, key=lambda name: int(re.sub(r"\D", "", name))
            ):
                add_episode(dataset, file[name])
                dataset.save_episode()
    dataset.finalize()


def add_episode(dataset: LeRobotDataset, group: h5py.Group) -> None:
    """Hand every frame of an episode to LeRobot."""
    vectors = {
        "observation.state": np.array(group["state"]),
        "action": np.array(group["action"]),
    }
    images = {
        f"observation.images.{name}": group[key][()]
        for key, name in CAMERAS.items()
    }
    for index in range(group.attrs["length"]):
        frame = {key: rows[index] for key, rows in vectors.items()}
        frame |= {key: decode(rows[index]) for key, rows in images.items()}
        dataset.add_frame({**frame, "task": group.attrs["instruction"]})


def decode(data: np.ndarray) -> np.ndarray:
    """A recorded JPEG as RGB."""
    return np.asarray(
        cv2.cvtColor(
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
            cv2.COLOR_BGR2RGB,
        )
    )


if __name__ == "__main__":
    convert([Path(argument) for argument in sys.argv[2:]], Path(sys.argv[1]))

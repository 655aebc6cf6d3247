"""LeRobot itself, as a server: runs in the environment of the official library, not in ours.

A request is one line of JSON on standard input, {"do": NAME, ...}; the answer one line on standard
output: {"ok": ...} or {"error": TEXT}. Arrays travel in .npz files. One process serves many
requests, since importing LeRobot takes seconds. Nothing of piperline is imported here.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

if sys.argv[1:] == ["--declare-operators"]:
    # The CPU build of torch lacks torchvision's operators; its Python part only wants this one to
    # be declared.
    _LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    _LIBRARY.define(
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    )

from lerobot.datasets.compute_stats import compute_episode_stats
from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset


def read(request):
    """Open a dataset as a user does, take every item, save all that it holds as arrays."""
    dataset = LeRobotDataset(
        "oracle/dataset",
        root=request["root"],
        episodes=request["episodes"],
        delta_timestamps=request["deltas"],
        video_backend="pyav",
    )
    cameras = dataset.meta.camera_keys
    depth = getattr(dataset.meta, "depth_keys", ())  # from 0.6 on
    columns: dict[str, list[np.ndarray]] = {}
    texts: dict[str, list[str]] = {}
    for number in range(len(dataset)):
        for key, value in dataset[number].items():
            if isinstance(value, str):
                texts.setdefault(key, []).append(value)
            else:
                columns.setdefault(key, []).append(
                    _frame(value)
                    if key in cameras and key not in depth
                    else value.numpy()
                )
    arrays: dict[str, Any] = {
        key: np.stack(values) for key, values in columns.items()
    }
    np.savez(request["arrays"], **arrays)
    return {
        "texts": texts,
        "version": CODEBASE_VERSION,
        "fps": dataset.fps,
        "length": len(dataset),
        "episodes": dataset.meta.total_episodes,
        "cameras": cameras,
        "features": dataset.features,
        "stats": _lists(dataset.meta.stats),
    }


def _frame(image):
    """From (..., 3, H, W) in [0, 1] to uint8 (..., H, W, 3).

    The scale is part of what is checked.
    """
    if image.dtype != torch.float32 or image.min() < 0 or image.max() > 1:
        raise ValueError(
            f"a frame of {image.dtype} between {image.min()} and {image.max()}"
        )
    return (image * 255).round().to(torch.uint8).movedim(-3, -1).numpy()


def _lists(stats):
    return {
        key: {name: np.asarray(value).tolist() for name, value in parts.items()}
        for key, parts in stats.items()
    }


def stats(request):
    """The statistics of one episode by `compute_episode_stats`.

    It reads images from files, so they become PNG.
    """
    data: dict[str, Any] = {}
    features: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for key, array in np.load(request["arrays"]).items():
            is_image = array.ndim == 4
            data[key] = (
                _png_files(array, Path(folder, str(len(data))))
                if is_image
                else array
            )
            features[key] = {
                "dtype": "image" if is_image else str(array.dtype),
                "shape": array.shape[1:],
            }
        return _lists(compute_episode_stats(data, features))


def _png_files(frames, folder):
    folder.mkdir()
    paths = [str(folder / f"{number}.png") for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        Image.fromarray(frame).save(path, compress_level=1)
    return paths


def write(request):
    """Record a dataset with `add_frame` and `save_episode`, as a user does."""
    features = {
        key: {**feature, "shape": tuple(feature["shape"])}
        for key, feature in request["features"].items()
    }
    dataset = LeRobotDataset.create(
        "oracle/dataset",
        request["fps"],
        features,
        root=request["root"],
        robot_type=request["robot_type"],
    )
    arrays = np.load(request["arrays"])
    for episode, tasks in enumerate(request["tasks"]):
        columns = {key: arrays[f"{episode}/{key}"] for key in features}
        for number, task in enumerate(tasks):
            _add(
                dataset,
                {key: column[number] for key, column in columns.items()},
                task,
            )
        dataset.save_episode()
    if hasattr(dataset, "finalize"):
        dataset.finalize()


def append(request):
    """Record one more episode, as of now, into a dataset that is there; how many there are then."""
    dataset = LeRobotDataset(
        "oracle/dataset", root=request["root"], video_backend="pyav"
    )
    dataset.start_image_writer(0, 1)
    dataset.episode_buffer = dataset.create_episode_buffer()
    for _ in range(request["frames"]):
        frame = {}
        for key, feature in dataset.features.items():
            if feature["dtype"] == "video":
                frame[key] = np.zeros(feature["shape"], np.uint8)
            elif key in {"observation.state", "action"}:
                frame[key] = np.zeros(feature["shape"], np.float32)
        _add(dataset, frame, "a new task")
    dataset.save_episode()
    return dataset.meta.total_episodes


def _add(dataset, frame, task):
    if CODEBASE_VERSION == "v2.1":
        dataset.add_frame(frame, task)
    else:
        dataset.add_frame({**frame, "task": task})


def main():
    """Answer until standard input ends. LeRobot prints as it likes: that goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {
                "ok": {
                    "read": read,
                    "stats": stats,
                    "write": write,
                    "append": append,
                }[request["do"]](request)
            }
        except Exception as error:  # noqa: BLE001 - it is told with its traceback
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


main()

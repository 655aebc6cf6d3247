"""Recordings as the recorders of the field write them, from descriptions of their structure.

Each writer returns what a conversion must give: rows, instructions and cameras of every episode.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.helpers.recordings import (
    Color,
    Floats,
    Pixels,
    Storage,
    actions,
    jpeg,
    paint,
    png,
    states,
    write_aloha,
    write_images,
    write_piper,
)
from tests.helpers.videos import write_video

LENGTH = 6


@dataclass(frozen=True)
class Recorded:
    """What a recorder wrote, and what it must become.

    Attributes:
        layout: the built-in layout that must be found.
        source: the file or folder to convert.
        fps: frames a second.
        state, action: of each episode, float64 (frames, dimensions).
        tasks: of each episode; None where only --task tells.
        cameras: the names, in the order of the numbers in the frames.
    """

    layout: str
    source: Path
    fps: int
    state: Sequence[Floats]
    action: Sequence[Floats]
    tasks: Sequence[str | None]
    cameras: Sequence[str]


def painted(episode: int, camera: int, length: int = LENGTH) -> list[Pixels]:
    """The numbered frames of a camera."""
    return [paint(episode, camera, frame) for frame in range(length)]


def depth(length: int = LENGTH) -> NDArray[np.uint16]:
    """Depth images in millimetres, uint16 (length, 48, 64)."""
    return np.full((length, 48, 64), 1500, np.uint16)


def cameras(
    group: h5py.Group,
    paths: Sequence[str],
    episode: int,
    *,
    length: int = LENGTH,
    storage: Storage = "jpeg-fixed-stripped",
    color: Color = "rgb",
) -> None:
    """Write the numbered frames of cameras."""
    for number, path in enumerate(paths):
        parent, _, name = path.rpartition("/")
        where = group.require_group(parent) if parent else group
        write_images(
            where, name, painted(episode, number, length), storage, color
        )


def arms(values: Floats) -> dict[str, Any]:
    """The parts of 14 numbers: joints and gripper of the left and the right arm."""
    return {
        "left_arm": values[:, :6],
        "left_gripper": values[:, 6],
        "right_arm": values[:, 7:13],
        "right_gripper": values[:, 13],
    }


def piper(folder: Path) -> Recorded:
    write_piper(folder / "a.hdf5", lengths=LENGTH)
    return Recorded(
        "piper",
        folder,
        30,
        [states(0, LENGTH), states(1, LENGTH)],
        [actions(0, LENGTH), actions(1, LENGTH)],
        ["pick up the cube", "put it into the bowl"],
        ["left_wrist", "mid", "right_wrist"],
    )


def aloha(folder: Path) -> Recorded:
    write_aloha(folder / "episode_0.hdf5", length=LENGTH)
    wrists = ["cam_high", "cam_left_wrist", "cam_right_wrist"]
    rows = [states(0, LENGTH)], [actions(0, LENGTH)]
    return Recorded("aloha", folder, 50, *rows, [None], wrists)


def mobile_aloha(folder: Path) -> Recorded:
    write_aloha(folder / "episode_0.hdf5", length=LENGTH, compressed=True)
    base = np.stack([np.arange(LENGTH) / 10, -np.arange(LENGTH) / 5], axis=1)
    with h5py.File(folder / "episode_0.hdf5", "r+") as file:
        file["base_action"][:] = base
    told = np.concatenate([actions(0, LENGTH), base.astype(np.float32)], axis=1)
    wrists = ["cam_high", "cam_left_wrist", "cam_right_wrist"]
    return Recorded(
        "aloha", folder, 50, [states(0, LENGTH)], [told], [None], wrists
    )


def cobot_magic(folder: Path) -> Recorded:
    names = ["cam_high", "cam_left_wrist", "cam_right_wrist"]
    base = np.ones((LENGTH, 2)) / 4
    for episode in (2, 10):
        with h5py.File(folder / f"episode_{episode}.hdf5", "w") as file:
            file.attrs["sim"], file.attrs["compress"] = False, False
            file["observations/qpos"] = states(episode, LENGTH)
            file["observations/qvel"] = states(episode, LENGTH)
            file["observations/effort"] = states(episode, LENGTH)
            file["action"] = actions(episode, LENGTH)
            file["base_action"] = base
            paths = [f"observations/images/{name}" for name in names]
            cameras(file, paths, episode, storage="raw")
            for name in names:
                file[f"observations/images_depth/{name}"] = depth()
    text = {
        "instruction": "fold the towel",
        "expanded_instruction": ["fold it"],
    }
    (folder / "expanded_instruction_gpt-4-turbo.json").write_text(
        json.dumps(text)
    )
    np.save(
        folder / "instruction.npy", np.array({"pickled": 1}), allow_pickle=True
    )
    return Recorded(
        "cobot_magic",
        folder,
        30,
        [states(2, LENGTH), states(10, LENGTH)],
        [np.concatenate([actions(e, LENGTH), base], axis=1) for e in (2, 10)],
        ["fold the towel"] * 2,
        names,
    )


def _agilex(file: h5py.File, episode: int) -> None:
    state, action = states(episode, LENGTH), actions(episode, LENGTH)
    arm = file.create_group("arm/jointStatePosition")
    for side, columns in (("Left", slice(0, 7)), ("Right", slice(7, 14))):
        arm[f"puppet{side}"] = state[:, columns]
        arm[f"master{side}"] = action[:, columns]
        file[f"arm/jointStateEffort/puppet{side}"] = state[:, columns]
    file["size"] = LENGTH
    file["instruction"] = b"instructions.json"
    file["timestamp"] = 1.7e9 + np.arange(LENGTH) / 20


def _agilex_recorded(source: Path, episodes: Sequence[int]) -> Recorded:
    return Recorded(
        "agilex_data_tools",
        source,
        20,
        [states(episode, LENGTH) for episode in episodes],
        [actions(episode, LENGTH) for episode in episodes],
        ["stack the cups"] * len(episodes),
        ["front", "left", "right"],
    )


def agilex_paths(folder: Path) -> Recorded:
    for episode in (0, 1):
        own = folder / "stack_cups" / f"episode{episode}"
        own.mkdir(parents=True)
        (own / "instructions.json").write_text(
            json.dumps(["stack the cups", "put them up"])
        )
        with h5py.File(own / "data.hdf5", "w") as file:
            _agilex(file, episode)
            for number, name in enumerate(("front", "left", "right")):
                (own / f"camera/color/{name}").mkdir(parents=True)
                paths = [
                    f"camera/color/{name}/{1.7e9 + t / 20:.2f}.jpg"
                    for t in range(LENGTH)
                ]
                for path, frame in zip(
                    paths, painted(episode, number), strict=True
                ):
                    (own / path).write_bytes(jpeg(frame))
                file[f"camera/color/{name}"] = np.array(paths, dtype="S")
                file[f"camera/depth/{name}"] = np.array(
                    [f"{p}.png" for p in paths], dtype="S"
                )
    return _agilex_recorded(folder, [0, 1])


def agilex_arrays(folder: Path) -> Recorded:
    (folder / "instructions.json").write_text(json.dumps(["stack the cups"]))
    for episode in (0, 1):
        with h5py.File(folder / f"episode{episode}.hdf5", "w") as file:
            _agilex(file, episode)
            paths = [
                f"camera/color/{name}" for name in ("front", "left", "right")
            ]
            cameras(file, paths, episode, storage="raw", color="bgr")
    return _agilex_recorded(folder, [0, 1])


def control_your_robot(
    folder: Path,
    *,
    family: str = "",
    names: Sequence[str] = (),
    storage: Storage = "raw",
) -> Recorded:
    names = names or ("cam_head", "cam_left_wrist", "cam_right_wrist")
    task = folder / "put_apple"
    task.mkdir()
    for episode in (0, 1):
        parts = arms(states(episode, LENGTH))
        with h5py.File(task / f"{episode}.hdf5", "w") as file:
            for side in ("left", "right"):
                arm = file.create_group(f"{family}{side}_arm")
                arm["joint"] = parts[f"{side}_arm"]
                arm["gripper"] = parts[f"{side}_gripper"]
                arm["qpos"] = parts[f"{side}_arm"] * 2
            paths = [f"{family}{name}/color" for name in names]
            color: Color = "rgb" if storage == "raw" else "swapped-jpeg"
            cameras(file, paths, episode, storage=storage, color=color)
    (task / "config.json").write_text(
        json.dumps({"save_freq": 15, "move_check": True})
    )
    (task / "instructions.json").write_text(
        json.dumps({"instructions": ["put the apple in"]})
    )
    rows = [states(episode, LENGTH) for episode in (0, 1)]
    return Recorded(
        "control_your_robot",
        task,
        15,
        [values[:-1] for values in rows],
        [values[1:] for values in rows],
        ["put the apple in"] * 2,
        [name.removeprefix("cam_") for name in names],
    )


def control_your_robot_jpeg(folder: Path) -> Recorded:
    return control_your_robot(folder, storage="jpeg-fixed-stripped")


def control_your_robot_slave(folder: Path) -> Recorded:
    names = ("cam_high", "cam_left_wrist", "cam_right_wrist")
    return control_your_robot(
        folder, family="slave_", names=names, storage="jpeg-fixed-stripped"
    )


def robotwin(folder: Path) -> Recorded:
    names = ("front_camera", "head_camera", "left_camera", "right_camera")
    root = folder / "beat_block" / "demo_clean"
    (root / "data").mkdir(parents=True)
    (root / "instructions").mkdir()
    for episode in (0, 1):
        text = {
            "seen": [f"beat block {episode}", "hit it"],
            "unseen": ["strike"],
        }
        (root / f"instructions/episode{episode}.json").write_text(
            json.dumps(text)
        )
        with h5py.File(root / f"data/episode{episode}.hdf5", "w") as file:
            for name, values in arms(states(episode, LENGTH)).items():
                file[f"joint_action/{name}"] = values
            file["joint_action/vector"] = states(episode, LENGTH)
            paths = [f"observation/{name}/rgb" for name in names]
            cameras(file, paths, episode, color="swapped-jpeg")
            for name in names:
                file[f"observation/{name}/intrinsic_cv"] = np.zeros(
                    (LENGTH, 3, 3)
                )
                file[f"observation/{name}/depth"] = depth()
            file["endpose/left_endpose"] = np.zeros((LENGTH, 7))
    rows = [states(episode, LENGTH) for episode in (0, 1)]
    return Recorded(
        "robotwin",
        folder / "beat_block",
        30,
        [values[:-1] for values in rows],
        [values[1:] for values in rows],
        ["beat block 0", "beat block 1"],
        names,
    )


def xpolicylab(folder: Path) -> Recorded:
    names = ("cam_head", "cam_left_wrist", "cam_right_wrist")
    rows = states(3, LENGTH)
    with h5py.File(folder / "episode_0000003.hdf5", "w") as file:
        file["data_format_version"] = "v1.0"
        file["additional_info/frequency"] = 25
        file["instructions"] = json.dumps(["stack two blocks", "pile them"])
        for kind, values in (("state", rows[:-1]), ("action", rows[1:])):
            for side, start in (("left", 0), ("right", 7)):
                file[f"{kind}/{side}_arm_joint_states"] = values[
                    :, start : start + 6
                ]
                file[f"{kind}/{side}_ee_joint_states"] = values[
                    :, start + 6 : start + 7
                ]
                file[f"{kind}/{side}_ee_poses"] = np.ones((LENGTH - 1, 7))
        cameras(
            file,
            [f"vision/{name}/colors" for name in names],
            3,
            color="swapped-jpeg",
        )
        for name in names:
            file[f"vision/{name}/extrinsics_matrix"] = np.zeros((LENGTH, 4, 4))
    return Recorded(
        "xpolicylab",
        folder,
        25,
        [rows[:-1]],
        [rows[1:]],
        ["stack two blocks"],
        names,
    )


def robomind(folder: Path) -> Recorded:
    names = ("camera_front", "camera_left_wrist", "camera_right_wrist")
    for episode, part in ((0, "train"), (1, "val")):
        own = (
            folder
            / f"put_the_cup/success_episodes/{part}/10{episode}_1200/data"
        )
        own.mkdir(parents=True)
        failed = (
            folder / f"put_the_cup/fail_episodes/{part}/10{episode}_1200/data"
        )
        failed.mkdir(parents=True)
        with h5py.File(own / "trajectory.hdf5", "w") as file:
            values = {
                "puppet": states(episode, LENGTH),
                "master": actions(episode, LENGTH),
            }
            for arm, numbers in values.items():
                file[f"{arm}/joint_position_left"] = numbers[:, :7]
                file[f"{arm}/joint_position_right"] = numbers[:, 7:]
                file[f"{arm}/joint_effort_left"] = numbers[:, :7]
            paths = [f"observations/rgb_images/{name}" for name in names]
            cameras(file, paths, episode, storage="jpeg-vlen")
            images = [
                np.frombuffer(png(frame), np.uint8)
                for frame in painted(episode, 0)
            ]
            rows = file.create_dataset(
                f"observations/depth_images/{names[0]}",
                (LENGTH,),
                h5py.vlen_dtype(np.uint8),
            )
            for index, image in enumerate(images):
                rows[index] = image
        (failed / "trajectory.hdf5").write_bytes(
            (own / "trajectory.hdf5").read_bytes()
        )
    return Recorded(
        "robomind",
        folder,
        30,
        [states(0, LENGTH), states(1, LENGTH)],
        [actions(0, LENGTH), actions(1, LENGTH)],
        ["put the cup"] * 2,
        names,
    )


def robomind2(folder: Path) -> Recorded:
    names = ("camera_front", "camera_left", "camera_right")
    own = folder / "agilex/open_drawer/success_episodes/0813/data"
    own.mkdir(parents=True)
    (folder / "agilex/open_drawer/zh_description.txt").write_text(
        "打开抽屉\n", encoding="utf-8"
    )
    with h5py.File(own / "trajectory.hdf5", "w") as file:
        stamps = 1.75e9 + np.arange(LENGTH) / 101
        for arm, values in (
            ("puppet", states(0, LENGTH)),
            ("master", actions(0, LENGTH)),
        ):
            for stream, columns in (
                ("arm_left", slice(0, 6)),
                ("end_effector_left", slice(6, 7)),
                ("arm_right", slice(7, 13)),
                ("end_effector_right", slice(13, 14)),
            ):
                group = file.create_group(f"{arm}/{stream}_position_align")
                group["data"] = values[:, columns]
                group["is_intervene"] = np.zeros(LENGTH, bool)
                group["timestamp"] = stamps
        paths = [f"camera_observations/color_images/{name}" for name in names]
        cameras(file, paths, 0, storage="jpeg-vlen")
        file["camera_observations/timestamp"] = stamps
    rows = [states(0, LENGTH)], [actions(0, LENGTH)]
    return Recorded("robomind2", folder, 101, *rows, ["打开抽屉"], names)


def robomimic(folder: Path) -> Recorded:
    with h5py.File(folder / "image.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["total"], data.attrs["env_args"] = (
            2 * LENGTH,
            json.dumps({"env_name": "Lift"}),
        )
        file["mask/train"] = np.array([b"demo_0"])
        for episode in (0, 1):
            demo = data.create_group(f"demo_{episode}")
            demo.attrs["num_samples"], demo.attrs["model_file"] = (
                LENGTH,
                "<xml/>",
            )
            state = states(episode, LENGTH, 9)
            demo["actions"] = actions(episode, LENGTH, 7)
            demo["states"], demo["rewards"] = (
                states(episode, LENGTH, 32),
                np.zeros(LENGTH),
            )
            demo["dones"] = np.zeros(LENGTH, np.int64)
            for group in ("obs", "next_obs"):
                demo[f"{group}/robot0_eef_pos"] = state[:, :3]
                demo[f"{group}/robot0_eef_quat"] = state[:, 3:7]
                demo[f"{group}/robot0_gripper_qpos"] = state[:, 7:]
                paths = [
                    f"{group}/agentview_image",
                    f"{group}/robot0_eye_in_hand_image",
                ]
                cameras(demo, paths, episode, storage="raw")
    return Recorded(
        "robomimic",
        folder / "image.hdf5",
        20,
        [states(0, LENGTH, 9), states(1, LENGTH, 9)],
        [actions(0, LENGTH, 7), actions(1, LENGTH, 7)],
        [None, None],
        ["agentview", "robot0_eye_in_hand"],
    )


def libero(folder: Path) -> Recorded:
    with h5py.File(folder / "KITCHEN_SCENE1_demo.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["problem_info"] = json.dumps(
            {"language_instruction": "open the drawer"}
        )
        for episode in (0, 1):
            demo = data.create_group(f"demo_{episode}")
            demo.attrs["num_samples"] = LENGTH
            state = states(episode, LENGTH, 8)
            demo["actions"] = actions(episode, LENGTH, 7)
            demo["obs/ee_states"], demo["obs/gripper_states"] = (
                state[:, :6],
                state[:, 6:],
            )
            demo["obs/joint_states"] = states(episode, LENGTH, 7)
            demo["states"] = states(episode, LENGTH, 20)
            for number, name in enumerate(("agentview_rgb", "eye_in_hand_rgb")):
                frames = [
                    frame[::-1, ::-1] for frame in painted(episode, number)
                ]
                write_images(demo["obs"], name, frames, "raw", "rgb")
    return Recorded(
        "libero",
        folder,
        20,
        [states(0, LENGTH, 8), states(1, LENGTH, 8)],
        [actions(0, LENGTH, 7), actions(1, LENGTH, 7)],
        ["open the drawer"] * 2,
        ["agentview", "eye_in_hand"],
    )


def isaaclab(folder: Path) -> Recorded:
    with h5py.File(folder / "dataset.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["total"], data.attrs["env_args"] = (
            3 * LENGTH,
            json.dumps({"env_name": "x"}),
        )
        for episode, success in ((0, True), (1, False), (2, True)):
            demo = data.create_group(f"demo_{episode}")
            demo.attrs["num_samples"], demo.attrs["success"] = LENGTH, success
            demo.create_dataset(
                "obs/joint_pos",
                data=states(episode, LENGTH, 9),
                compression="gzip",
            )
            demo["actions"] = actions(episode, LENGTH, 8)
            demo["states/articulation/robot/joint_position"] = states(
                episode, LENGTH, 9
            )
            cameras(demo, ["obs/front", "obs/wrist"], episode, storage="raw")
    return Recorded(
        "isaaclab",
        folder,
        30,
        [states(0, LENGTH, 9), states(2, LENGTH, 9)],
        [actions(0, LENGTH, 8), actions(2, LENGTH, 8)],
        [None, None],
        ["front", "wrist"],
    )


def droid(folder: Path) -> Recorded:
    names = ("17225336", "22008760", "24400334")
    for episode in (0, 1):
        own = (
            folder / f"success/2023-07-0{episode + 1}/Fri_Jul__7_09:4{episode}"
        )
        own.mkdir(parents=True)
        (own / "metadata_x.json").write_text(json.dumps({"uuid": "x"}))
        state, action = states(episode, LENGTH, 8), actions(episode, LENGTH, 8)
        with h5py.File(own / "trajectory.h5", "w") as file:
            robot = file.create_group("observation/robot_state")
            robot["joint_positions"] = state[:, :7]
            robot["gripper_position"] = state[:, 7]
            robot["cartesian_position"] = state[:, :6]
            file["action/joint_velocity"] = action[:, :7]
            file["action/gripper_position"] = action[:, 7]
            file["action/cartesian_velocity"] = action[:, :6]
        for number, name in enumerate(names):
            video = own / f"recordings/MP4/{name}.mp4"
            write_video(video, painted(episode, number), fps=15, bf="0")
            write_video(
                video.with_stem(f"{name}-stereo"),
                painted(episode, 9),
                fps=15,
            )
    return Recorded(
        "droid",
        folder,
        15,
        [states(0, LENGTH, 8), states(1, LENGTH, 8)],
        [actions(0, LENGTH, 8), actions(1, LENGTH, 8)],
        [None, None],
        names,
    )


def unitree(folder: Path) -> Recorded:
    names = ("cam_left_high", "cam_left_wrist")
    for episode in (0, 1):
        with h5py.File(folder / f"episode_{episode}.hdf5", "w") as file:
            file.attrs["sim"] = False
            file["observations/qpos"] = states(episode, LENGTH, 16)
            file["action"] = actions(episode, LENGTH, 16)
            file["language_raw"] = np.array([f"open it {episode}".encode()])
            file["substep_reasonings"] = np.array([b"why"] * LENGTH)
            file["is_edited"] = False
            paths = [f"observations/images/{name}" for name in names]
            cameras(file, paths, episode, storage="raw")
    return Recorded(
        "unitree",
        folder,
        30,
        [states(0, LENGTH, 16), states(1, LENGTH, 16)],
        [actions(0, LENGTH, 16), actions(1, LENGTH, 16)],
        ["open it 0", "open it 1"],
        names,
    )


def behavior(folder: Path) -> Recorded:
    with h5py.File(folder / "episode_1.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["config"] = json.dumps({"task": "x"})
        data.attrs["scene_file"] = json.dumps({"objects": []})
        data.attrs["n_episodes"], data.attrs["n_steps"] = 2, 2 * LENGTH
        for episode in (0, 1):
            demo = data.create_group(f"demo_{episode}")
            demo.attrs["num_samples"] = LENGTH
            demo["action"] = actions(episode, LENGTH, 23)
            demo["obs/robot_r1::proprio"] = states(episode, LENGTH, 30)
            demo["reward"] = np.zeros(LENGTH)
            paths = ["obs/head::rgb", "obs/wrist::rgb"]
            cameras(demo, paths, episode, storage="raw")
    return Recorded(
        "behavior",
        folder,
        30,
        [states(0, LENGTH, 30), states(1, LENGTH, 30)],
        [actions(0, LENGTH, 23), actions(1, LENGTH, 23)],
        [None, None],
        ["head", "wrist"],
    )


RECORDERS: Mapping[str, Callable[[Path], Recorded]] = {
    "piper": piper,
    "aloha": aloha,
    "mobile-aloha": mobile_aloha,
    "cobot-magic": cobot_magic,
    "agilex-paths": agilex_paths,
    "agilex-arrays": agilex_arrays,
    "control-your-robot-raw": control_your_robot,
    "control-your-robot-jpeg": control_your_robot_jpeg,
    "control-your-robot-slave": control_your_robot_slave,
    "robotwin": robotwin,
    "xpolicylab": xpolicylab,
    "robomind": robomind,
    "robomind2": robomind2,
    "robomimic": robomimic,
    "libero": libero,
    "isaaclab": isaaclab,
    "droid": droid,
    "unitree": unitree,
    "behavior": behavior,
}
"""All of them, by what they are."""

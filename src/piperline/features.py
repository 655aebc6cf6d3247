"""What a dataset holds: its features, their types, and the Arrow schema they make.

A feature is an entry of LeRobot's `info.json["features"]` (formats v2.1 and v3.0 of
huggingface/lerobot, `src/lerobot/datasets/utils.py`). Feature names are made here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.episode import VideoInfo
from piperline.recordings.layout import Layout
from piperline.stats import COLOR_STEPS
from piperline.video.depth_codes import LEROBOT
from piperline.video.depth_unit import MILLIMETRES, DepthUnit

NO_DEPTH: Mapping[str, DepthUnit] = MappingProxyType({})
CAMERA_PREFIX = "observation.images."
CAMERA_AXES = ("height", "width", "channels")
DEPTH_KEYS = (
    "depth_unit",
    "video.depth_min",
    "video.depth_max",
    "video.shift",
    "video.depth_shift",
    "video.use_log",
    "video.pix_fmt",
)
"""What turns the numbers in depth images into distances, in a feature's `info` (lerobot 0.6)."""


@dataclass(frozen=True)
class Feature:
    """One entry of `info.json["features"]`.

    Attributes:
        dtype: a numpy type name, `string`, `image`, or `video`.
        shape: the shape of one frame's value; (height, width, channels) for cameras.
        names: a name for each dimension of a vector; `("height", "width", "channels")` for cameras.
        info: for videos, what the file is (codec, pixel format, rate): LeRobot's `info`.
        own: keys of the entry that LeRobot does not know, with their values; "names" where they
            are not a list.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    info: Mapping[str, Any] | None = None
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_video(self) -> bool:
        """Whether the values lie in mp4 files instead of Parquet columns."""
        return self.dtype == "video"

    @property
    def camera_size(self) -> tuple[int, int, int]:
        """Height, width and channels of a camera's images, told apart by `names`.

        Raises:
            ValueError: the shape is not that of images.
        """
        if len(self.shape) != len(CAMERA_AXES):
            raise ValueError(f"{self.shape} is not the shape of images")
        axes = [
            "channels" if name == "channel" else name
            for name in self.names or ()
        ]
        if sorted(axes) != sorted(CAMERA_AXES):
            axes = list(CAMERA_AXES)
        height, width, channels = (
            self.shape[axes.index(axis)] for axis in CAMERA_AXES
        )
        return height, width, channels

    @property
    def histogram_shape(self) -> tuple[int, int]:
        """Of a camera's histograms: channels, and how many values each may have."""
        return (1, 1 << 16) if self.is_depth else (3, 256)

    @property
    def histogram_steps(self) -> float:
        """How many steps of a camera's histograms make 1 in its statistics."""
        if not self.is_depth:
            return COLOR_STEPS
        unit = (self.info or {}).get("depth_unit")
        return MILLIMETRES["m" if unit == "m" else "mm"]

    @property
    def is_depth(self) -> bool:
        """Whether this is a camera whose images hold distances, of one channel."""
        if self.dtype not in {"image", "video"}:
            return False
        said = self.info or {}
        if (
            said.get("is_depth_map") is True
            or said.get("video.is_depth_map") is True
        ):
            return True
        return self.camera_size[2] == 1


@dataclass(frozen=True)
class Schema:
    """What all episodes of a dataset have in common.

    Attributes:
        fps: frames a second, a whole number: LeRobot's readers truncate others.
        robot_type: LeRobot's name for the robot, or None.
        features: the recorded features in order, vectors first, then cameras; without the columns
            that every dataset has (`BOOKKEEPING`).
        groups: named spans of the dimensions of each vector, half-open:
            {"observation.state": {"left_arm": (0, 6)}}.
        own: keys of info.json that LeRobot does not know, with their values.
    """

    fps: int
    robot_type: str | None
    features: Mapping[str, Feature]
    groups: Mapping[str, Mapping[str, tuple[int, int]]] = field(
        default_factory=dict
    )
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The keys of the video features, in order."""
        return tuple(
            key for key, feature in self.features.items() if feature.is_video
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of the features that are Parquet columns, in order."""
        return tuple(
            key
            for key, feature in self.features.items()
            if not feature.is_video
        )


BOOKKEEPING: Mapping[str, Feature] = {
    # seconds from the episode's start: frame_index / fps
    "timestamp": Feature("float32", (1,)),
    "frame_index": Feature("int64", (1,)),  # from 0 in each episode
    "episode_index": Feature("int64", (1,)),  # from 0 in the dataset
    "index": Feature("int64", (1,)),  # row number in the dataset
    "task_index": Feature("int64", (1,)),  # row of the task table
}
"""The columns that every LeRobot dataset has, after the recorded ones and in this order."""

EPISODE_LOCAL = ("timestamp", "frame_index")
"""The bookkeeping columns that do not depend on an episode's number in its dataset."""


def array_of(values: NDArray[Any]) -> pa.Array:
    """A column of values as an Arrow array; numbers stay where they are in memory.

    `pa.array` gives the same, but loads `numpy.ma` first, which takes each process 30 ms.
    """
    if values.dtype.kind not in "iuf" or not values.dtype.isnative:
        return pa.array(values)
    own = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(own.dtype)
    return pa.Array.from_buffers(kind, len(own), [None, pa.py_buffer(own)])


def frame_times(
    frames: NDArray[np.int64],
    fps: int,
) -> NDArray[np.float32]:
    """The timestamps of frames: float32 seconds, the smallest that are not below frame / fps.

    GR00T N1.5 asks torchcodec for the frame that is shown at a timestamp. One that was rounded
    down lies before its frame, and gives the frame before it: 42 of 107 at 30 frames a second.

    Args:
        frames: their numbers from the start of the episode.
        fps: frames a second.
    """
    exact = frames / fps
    times = exact.astype(np.float32)
    early = times < exact
    times[early] = np.nextafter(
        times[early],
        np.float32(np.inf),
    )
    return times


def camera_key(name: str) -> str:
    """The feature name of a camera: `observation.images.NAME`."""
    return CAMERA_PREFIX + name


def camera_feature(video: VideoInfo) -> Feature:
    """The feature of an RGB camera whose files are `video`.

    Its `info` is in LeRobot's words, which GR00T N1.5 reads too.
    """
    info = {
        "video.height": video.height,
        "video.width": video.width,
        "video.codec": video.codec,
        "video.pix_fmt": video.pix_fmt,
        "video.is_depth_map": False,
        "video.fps": video.fps,
        "video.channels": 3,
        "has_audio": False,
    }
    return Feature(
        "video",
        (video.height, video.width, 3),
        CAMERA_AXES,
        info,
    )


def depth_feature(video: VideoInfo, unit: DepthUnit) -> Feature:
    """The feature of a depth camera whose files are `video`, in the words of lerobot 0.6.

    Args:
        video: what its files are.
        unit: of the recorded distances, in which the statistics are.
    """
    info = {
        "video.height": video.height,
        "video.width": video.width,
        "video.codec": video.codec,
        "video.pix_fmt": video.pix_fmt,
        "video.fps": video.fps,
        "video.channels": 1,
        "has_audio": False,
        "is_depth_map": True,
        "depth_unit": unit,
        **LEROBOT.info,
    }
    shape = (video.height, video.width, 1)
    return Feature("video", shape, CAMERA_AXES, info)


def layout_schema(
    layout: Layout,
    *,
    cameras: Mapping[str, VideoInfo],
    depth: Mapping[str, DepthUnit] = NO_DEPTH,
    fps: int,
    robot_type: str | None,
) -> Schema:
    """The schema of a dataset made by `layout`.

    Args:
        layout: what the recordings hold, with a name for each dimension
            (`recordings.detect.settle`).
        cameras: the videos of the cameras by name, in order: their sizes are known only from the
            recordings.
        depth: the unit of those that are depth cameras.
        fps: frames a second.
        robot_type: LeRobot's name for the robot.
    """
    vectors = {
        key: Feature(
            "float32", (len(rule.dimension_names),), rule.dimension_names
        )
        for key, rule in layout.vectors.items()
    }
    videos = {
        camera_key(name): depth_feature(video, depth[name])
        if name in depth
        else camera_feature(video)
        for name, video in cameras.items()
    }
    return Schema(
        fps=fps,
        robot_type=robot_type,
        features={**vectors, **videos},
        groups={key: dict(rule.groups) for key, rule in layout.vectors.items()},
    )

"""The waist: one episode, encoded, with nothing in it that depends on its number in a dataset.

Readers of recordings and of datasets make `EncodedEpisode`; writers of datasets take it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.stats import FeatureStats


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is.

    Attributes:
        codec: FFmpeg's name: `h264`, `av1`, `mjpeg`, ...
        pix_fmt: FFmpeg's name of the pixel format: `yuv420p`, `yuvj420p`, ...
        width, height: in pixels.
        fps: frames a second.
    """

    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: int


@dataclass(frozen=True)
class Proof:
    """What was looked at of a clip when it was made, and found right.

    Attributes:
        packets: that are recorded JPEG byte for byte.
        frames: that were decoded and show what was recorded.
        cannot_tell: those of them that are too much like their neighbours to be told apart.
    """

    packets: int = 0
    frames: int = 0
    cannot_tell: int = 0


@dataclass(frozen=True)
class Digests:
    """What a video file holds that was read when it was made: frame n is shown at n / fps.

    Attributes:
        sha256: of the file, hexadecimal.
        bytes: how many it has.
        packets: SHA-256 of its packets; see `video.digests`.
    """

    sha256: str
    bytes: int
    packets: str


@dataclass(frozen=True)
class Clip:
    """A span of a video file, in whole frames.

    Attributes:
        path: the video file.
        first: the number of its first frame in the file.
        count: how many frames.
        info: what the file is.
        whole: whether the file holds nothing else, so that it can be linked or copied as it is.
        proof: what was looked at of it when it was made; None where nothing was.
        digests: of the file, where they are known.
    """

    path: Path
    first: int
    count: int
    info: VideoInfo
    whole: bool = True
    proof: Proof | None = None
    digests: Digests | None = None

    def __post_init__(self) -> None:
        if self.first < 0 or self.count < 1:
            raise ValueError(
                f"a clip needs first >= 0 and count >= 1, not {self.first} and {self.count}"
            )


@dataclass(frozen=True)
class EncodedEpisode:
    """One episode as rows, clips and statistics.

    Attributes:
        table: Arrow table of `length` rows: the recorded vectors (fixed-size lists of float32, or
            whatever the dataset holds) and `features.EPISODE_LOCAL`; no `index`, `episode_index`,
            `task_index`.
        clips: a span of `length` frames for each camera, by feature key.
        camera_stats: image statistics by feature key; those of columns follow from `table`.
        tasks: the episode's task texts, in the order in which they first occur.
        task_rows: int64 of shape (length,), for each row the offset of its task in `tasks`; None if
            there is one.
        subtasks: the episode's subtask texts; `subtask_index` in `table` holds offsets in it.
        own: what the episode table of its dataset says about it that LeRobot does not know.
    """

    table: pa.Table
    clips: Mapping[str, Clip]
    camera_stats: Mapping[str, FeatureStats]
    tasks: tuple[str, ...]
    task_rows: NDArray[np.int64] | None = None
    subtasks: tuple[str, ...] = ()
    own: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, clip in self.clips.items():
            if clip.count != self.length:
                raise ValueError(
                    f"{key}: {clip.count} frames for {self.length} rows"
                )

    def __repr__(self) -> str:
        """Short: a table and statistics do not belong into a line."""
        return f"EncodedEpisode({self.length} frames, {list(self.clips)}, {list(self.tasks)})"

    @property
    def length(self) -> int:
        """How many frames."""
        return int(self.table.num_rows)

"""Videos of the codes of depth: lossless HEVC of 12 bits, as LeRobot 0.6 writes it."""

from typing import cast

import numpy as np
from av.video.frame import VideoFrame

from piperline.video.depth_codes import Codes
from piperline.video.encoder import VideoSettings

PIX_FMT = "gray12le"

SETTINGS = VideoSettings(
    "depth",
    "libx265",
    # LeRobot's key frames; one thread and no frames out of order, so that bytes are the same
    # everywhere and packets can be cut.
    {
        "preset": "ultrafast",
        "x265-params": "lossless=1:keyint=2:min-keyint=1:scenecut=0:bframes=0:open-gop=0:"
        "pools=none:frame-threads=1:info=0:log-level=none",
    },
    pix_fmt=PIX_FMT,
)


def picture_of(codes: Codes) -> VideoFrame:
    """Codes as a frame to encode."""
    return VideoFrame.from_ndarray(np.ascontiguousarray(codes), format=PIX_FMT)


def codes_of(picture: VideoFrame) -> Codes:
    """The codes of a decoded frame, uint16 (H, W)."""
    return cast("Codes", picture.to_ndarray(format=PIX_FMT))

"""Which encoder makes H.264: x264, or the one in an NVIDIA GPU where it works.

x264 is the default: its bytes are the same on every machine. Those of a GPU are not.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import numpy as np

from piperline.errors import UsageError, VideoError
from piperline.video.decoder import PictureDecoder
from piperline.video.encoder import MODES, Mode, VideoSettings, VideoWriter

Encoder = Literal["x264", "nvenc", "auto"]

NVENC = VideoSettings(
    "h264",
    "h264_nvenc",
    {"preset": "p4", "rc": "constqp", "qp": "23", "g": "8", "bf": "0"},
    description="NVENC preset p4, quantizer 23, key frame every 8, no B-frames, yuv420p; "
    "the bytes depend on the GPU and its driver",
)
_SIDE = 256
"""Pixels: GPUs take no image of less than about 150."""


def settings_for(video: Mode, encoder: Encoder) -> VideoSettings:
    """How videos are made.

    Args:
        video: the mode.
        encoder: `x264`; `nvenc`, which must work on this machine; or `auto`, which is `nvenc` where
            it works and else `x264`.

    Raises:
        UsageError: there is no such mode or encoder, the encoder is none of the mode, or NVENC does
            not work on this machine.
    """
    for what, option, known, value in (
        ("video mode", "--video", tuple(MODES), video),
        ("encoder", "--encoder", get_args(Encoder), encoder),
    ):
        if value not in known:
            raise UsageError(
                f"there is no {what} {value!r}",
                expected=" or ".join(known),
                next_step=f"give {option} {known[0]}, or leave it out",
            )
    if encoder == "x264":
        return MODES[video]
    if video != "h264":
        raise UsageError(
            "--encoder chooses between encoders of H.264",
            expected="--video h264",
            found=f"--video {video} --encoder {encoder}",
            next_step="leave out --encoder, or --video",
        )
    refusal = _refusal()
    if refusal is None:
        return NVENC
    if encoder == "auto":
        return MODES[video]
    raise UsageError(
        "NVENC does not work on this machine",
        expected="an NVIDIA GPU that has an encoder, its driver, and an FFmpeg built for it",
        found=refusal,
        next_step="leave out --encoder: x264 makes the videos; "
        "--encoder auto takes NVENC only where it works",
    )


def _refusal() -> str | None:
    """What NVENC says when it is to encode an image here; None where it does so."""
    image = PictureDecoder().raw(np.zeros((_SIDE, _SIDE, 3), np.uint8))
    try:
        with (
            TemporaryDirectory() as folder,
            VideoWriter(Path(folder, "image.mp4"), NVENC, fps=1) as writer,
        ):
            writer.add(image)
    except VideoError as error:
        return error.found or error.message
    return None

"""What a run shall do, from its options."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from piperline.convert.encode import EncodeSettings
from piperline.errors import LayoutError, UsageError
from piperline.features import BOOKKEEPING
from piperline.lerobot import WRITERS
from piperline.output.publish import check_limits
from piperline.recordings.detect import find_layout, settle
from piperline.recordings.find import Inputs
from piperline.recordings.layout import Layout, load_layout
from piperline.recordings.reader import Read, here
from piperline.recordings.rules import Color
from piperline.text import is_utf8, printable
from piperline.video.encoder import Mode
from piperline.video.hardware import Encoder, settings_for


@dataclass(frozen=True)
class Job:
    """What a run shall do, apart from which recordings it is done to.

    Attributes:
        layout: what the recordings hold.
        settings: how they are encoded.
        format: the LeRobot version to write: `v2.1` or `v3.0`.
        robot_type: LeRobot's name for the robot.
        task: the task text of episodes that have none of their own.
        groot: write the statistics that GR00T would compute before training; v2.1 only.
        data_mb, video_mb: v3.0: MiB at which a new data file, or video file of a camera, is begun.
        license: the licence of the data, for the dataset card; None claims none.
    """

    layout: Layout
    settings: EncodeSettings
    format: str
    robot_type: str
    task: str | None = None
    groot: bool = False
    data_mb: float = 100
    video_mb: float = 200
    license: str | None = None


_HIGHEST_FPS = 1000
_LONGEST_SIDE = 8192
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def make_job(
    *,
    layout: str | Path | Layout | None = None,
    inputs: Inputs = (),
    video: Mode = "h264",
    encoder: Encoder = "x264",
    fps: float | None = None,
    robot_type: str | None = None,
    task: str | None = None,
    color: Color | None = None,
    resize: tuple[int, int] | None = None,
    format: str = "v2.1",  # noqa: A002 - the option's name
    groot: bool = True,
    data_mb: float = 100,
    video_mb: float = 200,
    license: str | None = None,  # noqa: A002 - the option's name
    verify: bool = False,
    read: Read = here,
) -> Job:
    """What a run shall do, from its options; those of None come from the layout.

    Args:
        layout: what the recordings hold: a built-in layout's name, the path of a TOML file, or a
            layout; None finds the built-in one that `inputs` have, without those `piper`.
        inputs: files and folders. They tell what a layout leaves open, such as the names of
            dimensions.
        video: how images become videos: `h264`, `av1`, or `copy` for the recorded JPEG bytes.
        encoder: what makes H.264: `x264`; `nvenc`, an NVIDIA GPU, whose bytes depend on the
            machine; or `auto`: `nvenc` where it works.
        fps: frames a second, a whole number.
        robot_type: LeRobot's name for the robot.
        task: the task text of episodes that have none of their own.
        color: how the recorded colours are meant: `rgb`, `bgr` or `swapped-jpeg`.
        resize: width and height of the videos in pixels, even numbers; None keeps the size.
        format: the LeRobot version to write: `v2.1` or `v3.0`.
        groot: write the statistics that GR00T would compute before training (v2.1).
        data_mb: v3.0: MiB at which a new data file is begun.
        video_mb: v3.0: MiB at which a new video file of a camera is begun.
        verify: hold what is encoded against the recorded images, in the same pass.
        license: the licence of the data, as the Hugging Face Hub names it (`cc-by-4.0`); None
            claims none.
        read: calls what reads `inputs`: of worker processes, their `read`.

    Raises:
        LayoutError: there is no such layout.
        RecordingError: an input is missing, or several layouts fit.
        UsageError: an option cannot be.
    """
    rules = _coloured(_layout(layout, inputs, read), color)
    rate = _whole_rate(rules.fps if fps is None else fps)
    _refuse_names_of_bookkeeping(rules)
    if resize:
        _refuse_odd_sides(*resize)
    made_by = settings_for(video, encoder)
    if format not in WRITERS:
        raise UsageError(
            f"there is no format {format}",
            expected=" or ".join(WRITERS),
            next_step=f"give --format {next(iter(WRITERS))}, or leave it out",
        )
    if license is not None:
        _refuse_no_license(license)
    if robot_type is not None:
        _refuse_lines(robot_type)
    check_limits(data_mb, video_mb)
    return Job(
        layout=replace(rules, fps=rate),
        settings=EncodeSettings(made_by, rate, resize, verify),
        format=format,
        robot_type=robot_type or rules.robot_type,
        task=None if task is None else _task_text(task),
        groot=groot,
        data_mb=data_mb,
        video_mb=video_mb,
        license=license,
    )


def _coloured(layout: Layout, color: Color | None) -> Layout:
    if not color:
        return layout
    cameras = {
        name: rule.recolored(color) for name, rule in layout.cameras.items()
    }
    return replace(layout, cameras=cameras)


def _whole_rate(rate: float) -> int:
    if math.isfinite(rate) and rate == int(rate) and 1 <= rate <= _HIGHEST_FPS:
        return int(rate)
    raise UsageError(
        f"the frame rate is not a whole number from 1 to {_HIGHEST_FPS}",
        expected="a whole number of frames a second: "
        "LeRobot's tools cut off the rest, and frames drift",
        found=str(rate),
        next_step="give the whole rate that was meant, for example --fps 30",
    )


def _refuse_names_of_bookkeeping(layout: Layout) -> None:
    taken = sorted(layout.vectors.keys() & BOOKKEEPING.keys())
    if taken:
        raise LayoutError(
            f"the layout {layout.name} has vectors of names that every LeRobot dataset has: "
            + ", ".join(taken),
            expected="other names, such as observation.time",
            next_step="rename it in the layout",
        )


def _refuse_odd_sides(width: int, height: int) -> None:
    nearest = [_nearest_side(side) for side in (width, height)]
    if [width, height] != nearest:
        raise UsageError(
            "video of 4:2:0 colour has even sides",
            expected=f"even numbers of pixels, up to {_LONGEST_SIDE}",
            found=f"{width}x{height}",
            next_step=f"for example --resize {nearest[0]}x{nearest[1]}",
        )


def _nearest_side(side: int) -> int:
    even = max(2, round(side / 2) * 2)
    return min(even, _LONGEST_SIDE)


def _refuse_no_license(name: str) -> None:
    if not _LICENSE.fullmatch(name):
        raise UsageError(
            "this is no name of a licence",
            expected="a name of the Hugging Face Hub's list",
            found=printable(name),
            next_step="for example --license cc-by-4.0",
        )


def _refuse_lines(robot_type: str) -> None:
    if not robot_type.isprintable():
        raise UsageError(
            "the name of the robot is no text on one line",
            expected="LeRobot's name for it: --robot-type bi_piper",
            found=printable(robot_type),
            next_step="leave out --robot-type: the layout has a name",
        )


def _task_text(task: str) -> str:
    text = task.strip()
    if not text or not is_utf8(text):
        raise UsageError(
            "the task text is empty, or not UTF-8",
            expected="words for the robot: --task 'pick up the apple'",
            found=printable(task) or "nothing",
            next_step="write what the robot does, or leave out --task",
        )
    return text


def _layout(
    layout: str | Path | Layout | None, inputs: Inputs, read: Read
) -> Layout:
    """The layout that is named, or the one that the recordings have, with all that they tell."""
    if layout is None:
        rules = find_layout(inputs, read) if inputs else load_layout("piper")
    else:
        rules = layout if isinstance(layout, Layout) else load_layout(layout)
    return settle(rules, inputs, read) if inputs else rules

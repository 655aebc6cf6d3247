"""How two arms move: paths of their fingertips, and the joints that follow them.

Lengths in metres, angles in radians. The table's x points right, y away from the arms, z up; each
arm stands on y = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWER = (-2.6179, 0.0, -2.967, -1.745, -1.22, -2.09439, 0.0)
UPPER = (2.6179, 3.14, 0.0, 1.745, 1.22, 2.09439, 0.10)
"""The limits of a Piper arm: six joints in radians, the gripper's opening in metres.

From AgileX's data_tools, `data_to_hdf5.py`.
"""

BASES = (-0.28, 0.28)
"""x of the left and of the right arm."""

TASKS = (
    "put the red cube into the bowl",
    "pass the red cube from the right arm to the left arm",
)

_UPPER_ARM, _FOREARM, _HAND = 0.285, 0.252, 0.13
_SHOULDER, _ELBOW, _PITCH = np.radians([172.2, -162.3, -4.9])
"""A Piper's joints 2, 3 and 5 count down from these angles: of the upper arm above the horizon, of
the forearm to the upper arm, of the hand to the forearm. Lengths and angles follow from the
Denavit-Hartenberg parameters of AgileX's piper_sdk, `kinematics/piper_fk.py`."""

_OPEN, _CLOSED = 0.07, 0.034  # the cube is 34 mm wide
_IDLE_SECONDS, _LAG_SECONDS = 0.5, 0.08
_ENCODER_NOISE = 4e-4


class _Key(NamedTuple):
    """Where the fingertips are at a part of the time, 0 to 1."""

    at: float
    x: float
    y: float
    z: float
    grip: float


@dataclass(frozen=True)
class Motion:
    """An episode's numbers, T frames.

    Attributes:
        task: what it is, in words.
        state: measured, float64 (T, 14): six joints and the gripper of the left arm, then of the
            right.
        action: commanded, the same form; the arms follow it a little later.
        cube: where the cube is, float64 (T, 3).
        bowl: where the bowl is, (x, y).
    """

    task: str
    state: Floats
    action: Floats
    cube: Floats
    bowl: tuple[float, float]


def plan_motion(
    rng: np.random.Generator, *, frames: int, fps: int, task: int
) -> Motion:
    """Move both arms through a task that fills `frames` frames, after half a second of rest.

    Args:
        rng: decides where things lie.
        frames: how many.
        fps: frames a second.
        task: number of the text in `TASKS`.
    """
    cube = (rng.uniform(-0.34, -0.22) * (1 - 2 * task), rng.uniform(0.3, 0.38))
    bowl = (rng.uniform(-0.04, 0.04), rng.uniform(0.36, 0.42))
    left, right, holds = (_put_into_bowl, _hand_over)[task](cube, bowl)
    seconds = np.arange(frames) / fps
    commands = [
        _command(left, BASES[0], seconds),
        _command(right, BASES[1], seconds),
    ]
    action = np.concatenate(commands, axis=1)
    late = np.clip(seconds - _LAG_SECONDS, 0, None)
    state = np.stack(
        [np.interp(late, seconds, column) for column in action.T], axis=1
    )
    state += rng.normal(0, _ENCODER_NOISE, state.shape)
    limits = np.array([LOWER * 2, UPPER * 2])
    state, action = (np.clip(values, *limits) for values in (state, action))
    return Motion(
        TASKS[task],
        state,
        action,
        _carried(
            cube,
            holds,
            state,
            seconds,
        ),
        bowl,
    )


def arm_points(joints: Floats, base: float) -> Floats:
    """Where shoulder, elbow, wrist and fingertips are.

    Args:
        joints: (..., 7), radians; the gripper is not used.
        base: x of the arm.

    Returns:
        float64 (..., 4, 3).
    """
    turn = -joints[..., 0]
    bends = np.array([_SHOULDER, _ELBOW, _PITCH]) - joints[..., [1, 2, 4]]
    angles = np.cumsum(bends, axis=-1)
    lengths = np.array([_UPPER_ARM, _FOREARM, _HAND])
    zero = np.zeros_like(angles[..., :1])
    out = np.cumsum(lengths * np.cos(angles), axis=-1)
    up = np.cumsum(lengths * np.sin(angles), axis=-1)
    reach = np.concatenate([zero, out], axis=-1)
    height = np.concatenate([zero, up], axis=-1) + 0.1
    x = base + reach * np.sin(turn)[..., None]
    y = reach * np.cos(turn)[..., None]
    return np.stack([x, y, height], axis=-1)


_Hold = tuple[float, float, int]  # from when, until when, by which arm


def _rest(side: int, at: float) -> _Key:
    return _Key(at, BASES[side], 0.2, 0.2, _OPEN)


def _grasp(
    x: float,
    y: float,
    start: float,
    end: float,
) -> list[_Key]:
    """Come from above, close, lift."""
    span = end - start
    return [
        _Key(start, x, y, 0.14, _OPEN),
        _Key(start + span * 0.4, x, y, 0.02, _OPEN),
        _Key(start + span * 0.6, x, y, 0.02, _CLOSED),
        _Key(end, x, y, 0.14, _CLOSED),
    ]


def _put_into_bowl(
    cube: tuple[float, float], bowl: tuple[float, float]
) -> tuple[list[_Key], list[_Key], list[_Hold]]:
    """The left arm carries the cube; the right one steadies the bowl."""
    carry = [
        _Key(0.7, *bowl, 0.13, _CLOSED),
        _Key(0.76, *bowl, 0.1, _CLOSED),
        _Key(0.82, *bowl, 0.1, _OPEN),
    ]
    left = [
        _rest(0, 0),
        *_grasp(*cube, 0.2, 0.5),
        *carry,
        _rest(0, 1),
    ]
    rim = (bowl[0] + 0.08, bowl[1])
    steady = [
        _Key(at, *rim, 0.07, grip)
        for at, grip in (
            (0.45, _OPEN),
            (0.55, 0.01),
            (0.85, 0.01),
            (0.9, _OPEN),
        )
    ]
    return (
        left,
        [
            _rest(1, 0),
            *steady,
            _rest(1, 1),
        ],
        [(0.4, 0.8, 0)],
    )


def _hand_over(
    cube: tuple[float, float], bowl: tuple[float, float]
) -> tuple[list[_Key], list[_Key], list[_Hold]]:
    """The right arm lifts the cube; the left one takes it over and puts it down."""
    meet = (0.0, bowl[1] - 0.08, 0.16)
    give = [
        _Key(0.5, *meet, _CLOSED),
        _Key(0.62, *meet, _CLOSED),
        _Key(0.68, *meet, _OPEN),
    ]
    right = [
        _rest(1, 0),
        *_grasp(*cube, 0.12, 0.38),
        *give,
        _rest(1, 0.9),
    ]
    take = [
        _Key(0.5, *meet, _OPEN),
        _Key(0.6, *meet, _CLOSED),
        _Key(0.66, *meet, _CLOSED),
    ]
    down = [
        _Key(0.82, -0.25, 0.33, 0.02, _CLOSED),
        _Key(0.88, -0.25, 0.33, 0.02, _OPEN),
    ]
    return (
        [
            _rest(0, 0.2),
            *take,
            *down,
            _rest(0, 1),
        ],
        right,
        [(0.28, 0.64, 1), (0.64, 0.86, 0)],
    )


def _command(
    keys: Sequence[_Key],
    base: float,
    seconds: Floats,
) -> Floats:
    """The joints that bring one arm through `keys`: float64 (T, 7)."""
    progress = _progress(seconds)
    at = np.array([key.at for key in keys])
    segment = np.clip(
        np.searchsorted(
            at,
            progress,
            side="right",
        )
        - 1,
        0,
        len(keys) - 2,
    )
    begin, end = at[segment], at[segment + 1]
    share = np.clip(
        (progress - begin) / (end - begin),
        0,
        1,
    )
    # minimum jerk: Flash and Hogan 1985
    smooth = share**3 * (10 - 15 * share + 6 * share**2)
    values = np.array([key[1:] for key in keys])
    steps = (values[segment + 1] - values[segment]) * smooth[:, None]
    x, y, z, grip = (values[segment] + steps).T
    return np.column_stack([_reach_for(x - base, y, z), grip])


def _progress(seconds: Floats) -> Floats:
    """How much of the task is done, 0 to 1; it begins after some idle time."""
    moving = max(float(seconds[-1]) - _IDLE_SECONDS, 1e-9)
    return np.clip((seconds - _IDLE_SECONDS) / moving, 0, 1)


def _reach_for(x: Floats, y: Floats, z: Floats) -> Floats:
    """Six joints that bring the fingertips there with the hand pointing down: float64 (T, 6)."""
    turn, reach = np.arctan2(x, y), np.hypot(x, y)
    height = z + _HAND - 0.1
    far = np.clip(
        np.hypot(reach, height),
        0.05,
        _UPPER_ARM + _FOREARM - 1e-3,
    )
    inner = (far**2 - _UPPER_ARM**2 - _FOREARM**2) / (2 * _UPPER_ARM * _FOREARM)
    outer = (far**2 + _UPPER_ARM**2 - _FOREARM**2) / (2 * _UPPER_ARM * far)
    elbow = -np.arccos(np.clip(inner, -1, 1))
    shoulder = np.arctan2(height, reach) + np.arccos(np.clip(outer, -1, 1))
    pitch = np.clip(
        _PITCH + np.pi / 2 + shoulder + elbow,
        LOWER[4],
        UPPER[4],
    )
    return np.column_stack(
        [
            -turn,
            _SHOULDER - shoulder,
            _ELBOW - elbow,
            -0.05 * turn,
            pitch,
            -turn,
        ]
    )


def _carried(
    cube: tuple[float, float],
    holds: Sequence[_Hold],
    state: Floats,
    seconds: Floats,
) -> Floats:
    """Where the cube is: at rest, between the fingers, and where they let it go: float64 (T, 3)."""
    progress = _progress(seconds)
    arms = np.split(state, 2, axis=1)
    tips = [
        arm_points(joints, base)[:, 3]
        for joints, base in zip(arms, BASES, strict=True)
    ]
    position = np.empty((len(seconds), 3))
    position[:] = (*cube, 0.02)
    for start, end, side in holds:
        held = progress >= start
        last = max(int(np.searchsorted(progress, end)) - 1, 0)
        frames = np.minimum(np.arange(len(progress)), last)
        position[held] = tips[side][frames][held]
        position[progress >= end, 2] = 0.02
    return position

"""What the numbers of a robot are: which are joints, grippers and arms, and how far they can go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

_GRIPPERS = ("gripper", "finger", "grip")
_SIDES = ("left", "right")

_PIPER_LOWER = (-2.6179, 0.0, -2.967, -1.745, -1.22, -2.09439, 0.0)
_PIPER_UPPER = (2.6179, 3.14, 0.0, 1.745, 1.22, 2.09439, 0.10)
"""Six joints in radians, the gripper in metres (AgileX's data_tools, `data_to_hdf5.py`)."""

_LIMITS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "bi_piper": (_PIPER_LOWER * 2, _PIPER_UPPER * 2)
}


@dataclass(frozen=True)
class Robot:
    """What is known of the state vector of a robot, D dimensions.

    Attributes:
        names: of the dimensions.
        joints, grippers: which dimensions they are; int64.
        arms: the dimensions of each arm, by its side; empty where the names tell no sides.
        lower, upper: float64 (D,), where the robot is known; else None.
    """

    names: tuple[str, ...]
    joints: Indices
    grippers: Indices
    arms: Mapping[str, Indices]
    lower: Floats | None = None
    upper: Floats | None = None

    @property
    def short_names(self) -> tuple[str, ...]:
        """The names without the ending that all of LeRobot's have."""
        return tuple(name.removesuffix(".pos") for name in self.names)

    def joints_of(self, side: str) -> Indices:
        """The joints of one arm, without its gripper."""
        return np.intersect1d(self.arms[side], self.joints)


def make_robot(robot_type: str, names: Sequence[str]) -> Robot:
    """What the names and the type of a robot tell.

    Args:
        robot_type: LeRobot's name for it.
        names: of the dimensions of the state.
    """
    lowered = [name.lower() for name in names]
    gripper = np.array(
        [_is_gripper(name) for name in lowered],
        dtype=bool,
    )
    sided = {
        side: [i for i, name in enumerate(lowered) if side in name]
        for side in _SIDES
    }
    arms = {
        side: np.array(dims, dtype=np.int64)
        for side, dims in sided.items()
        if dims
    }
    limits: dict[str, Any] = {}
    known = _LIMITS.get(robot_type)
    if known and len(known[0]) == len(names):
        limits = {
            "lower": np.array(known[0]),
            "upper": np.array(known[1]),
        }
    both = len({len(dims) for dims in arms.values()}) == 1 and len(arms) == len(
        _SIDES
    )
    return Robot(
        tuple(names),
        np.flatnonzero(~gripper),
        np.flatnonzero(gripper),
        arms if both else {},
        **limits,
    )


def _is_gripper(name: str) -> bool:
    return any(word in name for word in _GRIPPERS)

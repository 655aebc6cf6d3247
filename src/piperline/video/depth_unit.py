"""The units in which depth is recorded: apart, so that layouts and help need no numpy."""

from collections.abc import Mapping
from typing import Literal

DepthUnit = Literal["mm", "m"]

MILLIMETRES: Mapping[DepthUnit, float] = {"mm": 1.0, "m": 1000.0}
"""How many there are in a unit of depth."""

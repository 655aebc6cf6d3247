"""Robot recordings in HDF5 to LeRobot datasets that NVIDIA Isaac GR00T trains on.

The names below are loaded when they are first used, so that `import piperline` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "convert": "piperline.convert.run",
    "make_job": "piperline.convert.job",
    "open_dataset": "piperline.lerobot.dataset",
    "plan_run": "piperline.convert.run",
}

__all__ = ["convert", "make_job", "open_dataset", "plan_run"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

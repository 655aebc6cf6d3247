"""Robot recordings in HDF5 to LeRobot datasets that NVIDIA Isaac GR00T trains on.

The names below are loaded when they are first used, so that `import piperline` costs nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036 - says so before the first syntax error
    raise ImportError(
        f"piperline needs Python 3.11 or newer; this is {sys.version.split()[0]}"
    )

if TYPE_CHECKING:
    from piperline.convert.job import make_job
    from piperline.convert.run import convert, plan_run
    from piperline.lerobot.dataset import open_dataset

__version__ = "0.1.0"

_MODULES = {
    "convert": "piperline.convert.run",
    "make_job": "piperline.convert.job",
    "open_dataset": "piperline.lerobot.dataset",
    "plan_run": "piperline.convert.run",
}

__all__ = ["convert", "make_job", "open_dataset", "plan_run"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the real types are above, for type checkers
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The versions of GR00T that we serve, and what differs between them.

Read in NVIDIA/Isaac-GR00T at the tags n1.5-release, n1.6-release, n1.6.1-release and n1.7-release;
the horizons and widths are those of the published checkpoints' configurations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from piperline.errors import PiperlineError

Version = Literal["n1.5", "n1.6", "n1.7"]
DEFAULT_VERSION: Version = "n1.6"
DEFAULT_HORIZON = 16
"""Steps of an action chunk, of GR00T's own examples."""


@dataclass(frozen=True)
class Target:
    """One version of GR00T.

    Attributes:
        version: its short name.
        title: how people call it.
        base_model: the published checkpoint on the Hugging Face Hub.
        launcher: the training script in the checkout.
        marker: a path that only checkouts of this version have.
        ref: the git tag to check out.
        horizon: the longest action chunk of the checkpoint, in steps.
        state_width, action_width: the most dimensions in all groups together.
    """

    version: Version
    title: str
    base_model: str
    launcher: str
    marker: str
    ref: str
    horizon: int
    state_width: int
    action_width: int

    @property
    def folder(self) -> str:
        """The usual name of the folder with config and script: `config_for_gr00tn16`."""
        return "config_for_gr00t" + self.version.replace(".", "")


_LAUNCHER = "gr00t/experiment/launch_finetune.py"
_N15 = "scripts/gr00t_finetune.py"
VERSIONS: Mapping[str, Target] = {
    "n1.5": Target(
        "n1.5", "GR00T N1.5", "nvidia/GR00T-N1.5-3B", _N15, _N15, "n1.5-release", 16, 64, 32
    ),
    "n1.6": Target(
        "n1.6",
        "GR00T N1.6",
        "nvidia/GR00T-N1.6-3B",
        _LAUNCHER,
        "gr00t/model/gr00t_n1d6",
        "n1.6.1-release",
        50,
        128,
        128,
    ),
    "n1.7": Target(
        "n1.7",
        "GR00T N1.7",
        "nvidia/GR00T-N1.7-3B",
        _LAUNCHER,
        "gr00t/model/gr00t_n1d7",
        "n1.7-release",
        40,
        132,
        132,
    ),
}


def target(version: str) -> Target:
    """The version of that name.

    Raises:
        PiperlineError: there is none.
    """
    if version in VERSIONS:
        return VERSIONS[version]
    raise PiperlineError(
        f"there is no GR00T version {version!r} here",
        expected="one of " + ", ".join(VERSIONS),
        found=version,
    )

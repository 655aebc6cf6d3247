"""The versions of GR00T that we serve, and what differs between them.

There are two N1.7: the tag n1.7-release of April 2026, which behaves as N1.6 in much
(`n1.7-april`), and the general release on main since July 2026 (`n1.7`).

Read in NVIDIA/Isaac-GR00T at the tags n1.5-release, n1.6-release, n1.6.1-release and n1.7-release;
the horizons and widths are those of the published checkpoints' configurations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from piperline.errors import PiperlineError
from piperline.text import printable

Version = Literal["n1.5", "n1.6", "n1.7-april", "n1.7"]
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
        ref: the git tag or branch to check out.
        told_by: a word in `gr00t/data/stats.py` by which it is told from an older one of the same
            marker.
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
    told_by: str | None = None

    @property
    def family(self) -> str:
        """`n1.7` for both N1.7."""
        return self.version.partition("-")[0]

    @property
    def is_of_spring(self) -> bool:
        """Whether it is older than June 2026.

        It then stops at shards without samples and at keys of later versions in statistics, and
        goes on from checkpoints without being asked.
        """
        return self.version in {"n1.6", "n1.7-april"}

    @property
    def computes_stats_again(self) -> bool:
        """Whether it takes no statistics but those with its own `__fingerprints__`."""
        return self.version == "n1.7"

    @property
    def folder(self) -> str:
        """The usual name of the folder with config and script: `config_for_gr00tn16`."""
        return "config_for_gr00t" + self.family.replace(".", "")


_LAUNCHER = "gr00t/experiment/launch_finetune.py"
_N15 = "scripts/gr00t_finetune.py"
VERSIONS: Mapping[str, Target] = {
    "n1.5": Target(
        "n1.5",
        "GR00T N1.5",
        "nvidia/GR00T-N1.5-3B",
        _N15,
        _N15,
        "n1.5-release",
        16,
        64,
        32,
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
    "n1.7-april": Target(
        "n1.7-april",
        "GR00T N1.7 of April 2026",
        "nvidia/GR00T-N1.7-3B",
        _LAUNCHER,
        "gr00t/model/gr00t_n1d7",
        "n1.7-release",
        40,
        132,
        132,
    ),
    "n1.7": Target(
        "n1.7",
        "GR00T N1.7",
        "nvidia/GR00T-N1.7-3B",
        _LAUNCHER,
        "gr00t/model/gr00t_n1d7",
        "main",
        40,
        132,
        132,
        told_by="__fingerprints__",
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
        found=printable(version),
        next_step=f"give --version {DEFAULT_VERSION}, or leave it out",
    )

"""Start a fine-tuning: the checkout of Isaac-GR00T, preflight, the command."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from piperline.errors import DatasetError, PiperlineError, Place, UsageError
from piperline.files import read_plain
from piperline.finding import command
from piperline.groot.config_files import config_name, config_text, write_files
from piperline.groot.launch_scripts import class_name
from piperline.groot.loader import Meta, require_meta
from piperline.groot.modality_config import default_choice, read_choice
from piperline.groot.preflight import PreflightReport, preflight
from piperline.groot.settings import (
    Launch,
    Settings,
    arguments,
    launcher,
    output_folder,
)
from piperline.groot.versions import (
    DEFAULT_HORIZON,
    DEFAULT_VERSION,
    VERSIONS,
    Target,
    target,
)
from piperline.text import printable


@dataclass(frozen=True)
class LaunchPlan:
    """A launch that could be started.

    Attributes:
        checkout: the folder in which the command runs.
        command: the program and its arguments.
        report: what preflight says about it.
    """

    checkout: Path
    command: tuple[str, ...]
    report: PreflightReport

    @property
    def line(self) -> str:
        """The command for a shell."""
        return f"cd {shlex.quote(str(self.checkout))} && {shlex.join(self.command)}"


_IMPORTS = """import os, runpy, sys
sys.path[0] = os.path.dirname(sys.argv[1])
runpy.run_path(sys.argv[1], run_name="imports")
"""
"""What the training script imports, from where it is found when the script is started.

`import gr00t` alone says nothing: the checkout has a folder of that name.
"""


def checkout_version(checkout: Path) -> Target:
    """Which version of GR00T a checkout is, told by its files: branches may have any name.

    Raises:
        PiperlineError: it is none.
    """
    # The newest first: later versions may keep files of earlier ones.
    for goal in reversed(list(VERSIONS.values())):
        there = (checkout / goal.marker).exists() and (
            checkout / goal.launcher
        ).is_file()
        if there and _says(checkout / "gr00t/data/stats.py", goal.told_by):
            return goal
    raise PiperlineError(
        "this is no checkout of Isaac-GR00T N1.5, N1.6 or N1.7",
        place=Place(file=checkout),
        expected=" or ".join(
            dict.fromkeys(goal.marker for goal in VERSIONS.values())
        ),
        found="a folder without them, or with those of another version"
        if checkout.is_dir()
        else "no folder",
        next_step=f"git clone -b {target(DEFAULT_VERSION).ref} https://github.com/NVIDIA/Isaac-GR00T",
    )


def _says(path: Path, word: str | None) -> bool:
    return word is None or (
        path.is_file() and word in path.read_text(encoding="utf-8")
    )


def plan_launch(
    root: Path,
    checkout: Path,
    *,
    version: str = DEFAULT_VERSION,
    horizon: int | None = None,
    relative: Sequence[str] | None = None,
    config: Path | None = None,
    settings: Settings | None = None,
    videos: bool = True,
) -> LaunchPlan:
    """Check everything and make the command; nothing is started.

    Args:
        root: the dataset.
        checkout: the folder of Isaac-GR00T.
        version: that the checkout must be of.
        horizon: steps of an action chunk; None: those of the config, or 16 in a new one.
        relative: action groups relative to the state; None: those of the config, or the arms.
        config: a modality config `.py`; None: the one in the checkout's `config_for_gr00tn16` (or
            as the version is called), which is written if it is not there.
        settings: how to train.
        videos: preflight looks into videos too.

    Raises:
        PiperlineError: the checkout is of another version, or the settings do not fit together.
        UsageError: the config was there before, and says otherwise than `horizon` or `relative`.
        DatasetError: the dataset cannot be read, or has no modality.json.
    """
    goal = _wanted(checkout, target(version))
    meta = require_modality(root)
    settings = replace(
        settings or Settings(),
        dataset_path=str(root.resolve()),
    )
    name = config_name(meta)
    if config is None:
        config = checkout / goal.folder / f"{name}_config.py"
        if not config.exists():
            steps = DEFAULT_HORIZON if horizon is None else horizon
            choice = default_choice(meta, horizon=steps, relative=relative)
            write_files(
                config.parent, {config.name: config_text(name, choice, goal)}
            )
    _check_options(root, config, goal, horizon, relative)
    n15 = goal.version == "n1.5"
    span, checked = (_n15_horizon(config), None) if n15 else (None, config)
    report = preflight(
        root,
        version=version,
        horizon=span,
        config=checked,
        launch=_launch(settings, checkout, name),
        videos=videos,
    )
    named = (
        f"{config.stem}:{class_name(name)}" if n15 else str(config.resolve())
    )
    options = [
        word
        for option in arguments(goal, settings, named, name)
        for word in option
    ]
    # N1.5 imports the config by its module name.
    before = ["env", f"PYTHONPATH={config.parent.resolve()}"] if n15 else []
    return LaunchPlan(
        checkout, (*before, *launcher(goal, settings.gpus), *options), report
    )


def _check_options(
    root: Path,
    config: Path,
    goal: Target,
    horizon: int | None,
    relative: Sequence[str] | None,
) -> None:
    """See that a config which was there before does what the options say."""
    wanted: list[str] = []
    other: list[str] = []
    if horizon is not None and horizon != (found := _horizon(config, goal)):
        wanted.append(f"a horizon of {horizon}")
        other.append(f"a horizon of {found}")
    if relative is not None and goal.version != "n1.5":
        groups = list(read_choice(config).relative)
        if sorted(relative) != sorted(groups):
            wanted.append(f"relative groups {', '.join(relative) or 'none'}")
            other.append(f"relative groups {', '.join(groups) or 'none'}")
    if other:
        asked = ["--horizon", horizon] if horizon is not None else []
        asked += ["--relative", *relative] if relative is not None else []
        words = [
            "--version",
            goal.version,
            *asked,
            "--output",
            config.parent,
            "--overwrite",
        ]
        raise UsageError(
            "the config in the checkout says otherwise than the options, and training goes by it",
            place=Place(file=config),
            expected=" and ".join(wanted),
            found=" and ".join(other),
            next_step=command("piperline", "groot", "config", root, *words),
        )


def _horizon(config: Path, goal: Target) -> int | None:
    return (
        _n15_horizon(config)
        if goal.version == "n1.5"
        else read_choice(config).horizon
    )


def _n15_horizon(config: Path) -> int | None:
    """The steps that a config of N1.5 names as we write it; None in another form."""
    text = read_plain(config).decode()
    found = re.search(r"action_indices = list\(range\((\d+)\)\)", text)
    return int(found[1]) if found else None


def start(plan: LaunchPlan) -> int:
    """Run the command in the checkout, its words going where ours go; its exit code.

    Raises:
        PiperlineError: GR00T's environment is not active: there is no such program, or its Python
            cannot import what the training script imports.
    """
    program = next(
        word for word in plan.command if word in {"python", "torchrun"}
    )
    activate = (
        f"source {shlex.quote(str(plan.checkout / '.venv/bin/activate'))}"
    )
    found = shutil.which(program)
    if found is None:
        raise PiperlineError(
            f"there is no {program} here: GR00T's environment is not active",
            place=Place(file=plan.checkout),
            expected=f"{program} on the PATH, of the environment in which GR00T is installed",
            found=f"no {program}",
            next_step=activate,
        )
    python = Path(found).with_name("python")
    launcher = next(word for word in plan.command if word.endswith(".py"))
    asked = subprocess.run(
        [python, "-c", _IMPORTS, launcher],
        cwd=plan.checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        last = asked.stderr.strip().splitlines()[-1:]
        raise PiperlineError(
            "the Python that would start the training cannot import what GR00T needs",
            place=Place(file=python),
            expected="a Python with all that the training script imports",
            found=printable(" ".join(last)),
            next_step=activate,
        )
    return subprocess.run(
        plan.command, cwd=plan.checkout, check=False
    ).returncode


def require_modality(root: Path) -> Meta:
    """The files of `meta/`, with `modality.json`.

    Raises:
        DatasetError: training could not read them, or there is no `modality.json`.
    """
    meta = require_meta(root)
    if meta.modality is None:
        raise DatasetError(
            "the dataset has no meta/modality.json",
            place=Place(file=root),
            next_step=command("piperline", "groot", "config", root),
            expected="the file that tells GR00T what the vectors hold",
            found="a dataset without it",
        )
    return meta


def _wanted(checkout: Path, goal: Target) -> Target:
    found = checkout_version(checkout)
    if found != goal:
        git = f"git -C {shlex.quote(str(checkout))}"
        raise PiperlineError(
            f"the checkout is {found.title}, and cannot train {goal.title}",
            place=Place(file=checkout),
            expected=goal.marker,
            found=f"{found.marker}: this checkout trains with --version {found.version}",
            next_step=f"{git} fetch --tags && {git} checkout {goal.ref}",
        )
    return goal


def _launch(settings: Settings, checkout: Path, name: str) -> Launch:
    output = checkout / output_folder(settings, name)
    base = checkout / settings.base_model if settings.base_model else None
    launch = Launch(
        settings.gpus,
        settings.batch,
        settings.workers,
        output=output,
        base_model=base,
    )
    return replace(
        launch,
        shard_size=settings.shard_size or launch.shard_size,
        sampling_rate=settings.sampling_rate or launch.sampling_rate,
    )

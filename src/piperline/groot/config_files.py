"""The files of a fine-tuning: modality config `.py`, launch script, `modality.json`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from piperline.errors import DatasetError, OutputExists, PiperlineError, Place
from piperline.files import write_whole
from piperline.finding import command
from piperline.groot.checks.modality import (
    check_choice,
    check_modality,
    check_target,
)
from piperline.groot.launch_scripts import class_name, lerobot_text, script_text
from piperline.groot.loader import Meta, require, require_meta
from piperline.groot.modality import MODALITY_FILE, modality
from piperline.groot.modality_config import Choice, default_choice
from piperline.groot.settings import Settings
from piperline.groot.versions import DEFAULT_HORIZON, Target
from piperline.text import printable

_SHORT = 90
SHIPPED_DATASET = "dataset/bi_piper"
"""The dataset of the launch script in `config_for_gr00tn16/`."""


def config_name(meta: Meta) -> str:
    """The robot's name as a Python module can be called: `bi_piper`."""
    robot = str(meta.info.get("robot_type") or meta.root.name)
    name = (
        re.sub(
            r"\W+",
            "_",
            robot,
            flags=re.ASCII,
        )
        .strip("_")
        .lower()
    )
    return name if name[:1].isalpha() else f"robot_{name}".rstrip("_")


def files(
    meta: Meta, choice: Choice, target: Target, settings: Settings
) -> dict[str, str]:
    """All files of a folder such as `config_for_gr00tn16`, by name."""
    name = config_name(meta)
    settings = replace(
        settings, dataset_path=settings.dataset_path or str(meta.root.resolve())
    )
    result = {
        "modality.json": json.dumps(meta.modality, indent=4, ensure_ascii=False)
        + "\n",
        f"{name}_config.py": config_text(name, choice, target),
        f"finetune_{name}.sh": script_text(name, target, settings),
    }
    if target.family == "n1.7":
        result[f"lerobot_train_{name}.sh"] = lerobot_text(
            name, meta, choice, target, settings
        )
    return result


def prepare(
    root: Path,
    target: Target,
    *,
    horizon: int = DEFAULT_HORIZON,
    relative: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
) -> tuple[Meta, Choice, bool]:
    """Read a dataset and choose of it; nothing is written.

    Args:
        root: the dataset folder.
        target: the version of GR00T.
        horizon: steps of an action chunk.
        relative: action groups relative to the state; None: the arms.
        cameras: which and in which order; None: all.

    Returns:
        The dataset's files, always with a modality; what is chosen; whether the modality is a guess
        from names.

    Raises:
        DatasetError: training could not read the dataset, its groups overlap, or no episode is long
        enough. PiperlineError: a name in `relative` or `cameras` is unknown.
    """
    meta = require_meta(root)
    guessed = meta.modality is None
    if guessed:
        meta = replace(meta, modality=modality(meta.schema))
    if relative and target.version == "n1.5":
        raise PiperlineError(
            "GR00T N1.5 has no relative actions",
            expected="no --relative",
            found=f"--relative {printable(' '.join(relative))}",
            next_step="leave out --relative, or name a later version: --version n1.6",
        )
    _require_vectors(meta)
    require(check_modality(meta))
    choice = default_choice(
        meta, horizon=horizon, relative=relative, cameras=cameras
    )
    require(
        [
            *check_choice(meta, choice, Place(file=root)),
            *check_target(meta, choice, target),
        ]
    )
    longest = max((length for _, length in meta.episodes), default=0)
    if longest < horizon:
        raise DatasetError(
            f"the horizon of {horizon} frames is longer than every episode",
            place=Place(file=root),
            found=f"the longest episode has {longest} frames",
            next_step=command(
                "piperline",
                "groot",
                "config",
                root,
                "--horizon",
                longest // 2 or 1,
            ),
            expected=f"an episode of {horizon} frames or more",
        )
    return meta, choice, guessed


def _require_vectors(meta: Meta) -> None:
    """See that there is a state and an action, where `modality.json` was guessed."""
    missing = [part for part in ("state", "action") if not meta.groups(part)]
    if missing and not (meta.root / MODALITY_FILE).exists():
        raise DatasetError(
            f"the dataset has no {' and no '.join(missing)} that GR00T could use",
            place=Place(file=meta.root),
            expected="float vectors named observation.state and action",
            found=", ".join(meta.schema.columns),
            next_step="name the vectors so in the layout, and convert again",
        )


def shipped_files(
    meta: Meta,
    choice: Choice,
    target: Target,
) -> dict[str, str]:
    """The files as this repository ships them for Piper: nobody has edited those that are equal."""
    return files(meta, choice, target, Settings(dataset_path=SHIPPED_DATASET))


def write_files(
    folder: Path,
    texts: Mapping[str, str],
    *,
    overwrite: bool = False,
    unedited: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write files into `folder`, each whole; those that are there and equal stay.

    Args:
        folder: where; made if it is absent.
        texts: the files by name.
        overwrite: replace files that differ.
        unedited: texts that may be replaced all the same, by name.

    Returns:
        The files that were written.

    Raises:
        OutputExists: one is there and differs, and `overwrite` is not set: it may have been edited.
    """
    present = {folder / name: _text(folder / name) for name in texts}
    changed = [
        path for path, text in present.items() if text != texts[path.name]
    ]
    known = unedited or {}
    foreign = [
        path for path in changed if present[path] != known.get(path.name, "")
    ]
    edited = [path for path in foreign if path.exists()]
    names = ", ".join(path.name for path in edited)
    if edited and not overwrite:
        raise OutputExists(
            f"{names}: already exists and differs; it may have been edited (not changed)",
            place=Place(file=folder),
            expected="no such file, or one that piperline wrote and nobody changed",
            next_step="choose another --output, or replace it with --overwrite",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in changed:
        write_whole(path, texts[path.name])
    return changed


def _text(path: Path) -> str | None:
    """What a file holds; None where there is none, or something else."""
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def config_text(name: str, choice: Choice, target: Target) -> str:
    """The modality config `.py`."""
    if target.version == "n1.5":
        return _n15_config(name, choice)
    return _modality_config(name, choice, target)


def _modality_config(name: str, choice: Choice, target: Target) -> str:
    actions = "".join(
        f"    {json.dumps(group)}: ActionRepresentation.{kind},\n"
        for group, kind in zip(
            choice.action, choice.representations, strict=True
        )
    )
    return f'''"""{target.title} on {name}: what it uses of the dataset, and how."""

from gr00t.configs.data.embodiment_configs import register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import (
    ActionConfig,
    ActionFormat,
    ActionRepresentation,
    ActionType,
    ModalityConfig,
)

HORIZON = {choice.horizon}  # steps of an action chunk

# Change it here only. RELATIVE: the difference to the state at the beginning of the chunk.
# ABSOLUTE: the recorded target itself. After a change: piperline groot stats DATASET --relative ...
ACTIONS = {{
{actions}}}

{name}_config = {{
    "video": ModalityConfig(
        delta_indices=[0],
        modality_keys={_list(choice.cameras)},
    ),
    "state": ModalityConfig(
        delta_indices=[0],
        modality_keys={_list(choice.state)},
    ),
    "action": ModalityConfig(
        delta_indices=list(range(HORIZON)),
        modality_keys=list(ACTIONS),
        action_configs=[
            ActionConfig(rep=rep, type=ActionType.NON_EEF, format=ActionFormat.DEFAULT)
            for rep in ACTIONS.values()
        ],
    ),
    "language": ModalityConfig(
        delta_indices=[0],
        modality_keys={_list(choice.language)},
    ),
}}

register_modality_config({name}_config, embodiment_tag=EmbodimentTag.NEW_EMBODIMENT)
'''


def _n15_config(name: str, choice: Choice) -> str:
    cameras = _list([f"video.{camera}" for camera in choice.cameras], 4)
    states = _list([f"state.{group}" for group in choice.state], 4)
    actions = _list([f"action.{group}" for group in choice.action], 4)
    return f'''"""GR00T N1.5 on {name}: what it uses of the dataset. All actions are absolute."""

from gr00t.experiment.data_config import So100DataConfig


class {class_name(name)}(So100DataConfig):
    """Normalisation, crop and colour jitter of NVIDIA's SO-100 example, for this robot."""

    video_keys = {cameras}
    state_keys = {states}
    action_keys = {actions}
    language_keys = {_list(choice.language, 4)}
    observation_indices = [0]
    action_indices = list(range({choice.horizon}))
'''


def _list(names: Iterable[str], indent: int = 8) -> str:
    """A list as Python text, on one line if it is short."""
    words = [json.dumps(name, ensure_ascii=False) for name in names]
    line = ", ".join(words)
    if len(line) + indent <= _SHORT:
        return f"[{line}]"
    return (
        "[\n"
        + "".join(f"{' ' * (indent + 4)}{word},\n" for word in words)
        + " " * indent
        + "]"
    )

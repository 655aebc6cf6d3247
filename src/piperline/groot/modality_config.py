"""What a modality config chooses of a dataset: cameras, groups, action representation, horizon.

Either our defaults, or what an existing config `.py` of GR00T N1.6 / N1.7 registers.
"""

import runpy
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from piperline.errors import PiperlineError, Place
from piperline.files import read_plain
from piperline.groot.loader import Meta
from piperline.groot.modality import (
    LANGUAGE_KEY,
    MODALITY_FILE,
    TASK_KEY,
    rotation,
)
from piperline.groot.versions import DEFAULT_HORIZON
from piperline.text import printable


@dataclass(frozen=True)
class Choice:
    """What of a dataset training uses, and how.

    Attributes:
        cameras, state, action: names in `modality.json`, in order.
        representations: for each action group `RELATIVE`, `ABSOLUTE` or `DELTA`.
        state_keys: for each action group the state group that a relative action refers to; None: of
            the same name.
        state_deltas, action_deltas: which frames, counted from the current one.
        language: the language keys; training takes exactly one.
        language_deltas: as the others; training takes [0].
    """

    cameras: tuple[str, ...]
    state: tuple[str, ...]
    action: tuple[str, ...]
    representations: tuple[str, ...]
    state_keys: tuple[str | None, ...]
    action_deltas: tuple[int, ...]
    state_deltas: tuple[int, ...] = (0,)
    language: tuple[str, ...] = (LANGUAGE_KEY,)
    language_deltas: tuple[int, ...] = (0,)

    @property
    def horizon(self) -> int:
        """How many frames an action chunk spans."""
        return max(self.action_deltas) - min(self.action_deltas) + 1

    @property
    def relative(self) -> dict[str, str]:
        """The relative action groups and the state groups that they refer to."""
        rows = zip(
            self.action, self.representations, self.state_keys, strict=False
        )
        return {
            action: state or action
            for action, kind, state in rows
            if kind == "RELATIVE"
        }


def default_choice(
    meta: Meta,
    *,
    horizon: int = DEFAULT_HORIZON,
    relative: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
) -> Choice:
    """All cameras and groups of `modality.json`; arms relative to the state, the rest absolute.

    Args:
        meta: the dataset.
        horizon: steps of an action chunk.
        relative: action groups that are relative to the state group of the same name; None: those
            with "arm" in their name that have one of the same width, and hold no rotation.
        cameras: which, in the order in which the model sees them; None: all.

    Raises:
        PiperlineError: a name is no such group or camera, or the horizon is not positive.
    """
    actions, states, videos = (
        meta.groups("action"),
        meta.groups("state"),
        meta.groups("video"),
    )
    able = [group for group in actions if group in states]
    _known(meta, "group of both state and action", relative or (), able)
    _known(meta, "camera", cameras or (), list(videos))
    if horizon < 1:
        raise PiperlineError(
            f"a horizon of {horizon} steps is none",
            expected="1 or more",
            next_step=f"give --horizon {DEFAULT_HORIZON}, or leave it out",
        )
    chosen = _relative_groups(meta, able) if relative is None else relative
    kinds = {group: "RELATIVE" for group in actions if group in chosen}
    return Choice(
        cameras=tuple(cameras or videos),
        state=tuple(states),
        action=tuple(actions),
        representations=tuple(
            kinds.get(group, "ABSOLUTE") for group in actions
        ),
        state_keys=(None,) * len(actions),
        action_deltas=tuple(range(horizon)),
        language=(_language(list(meta.groups("annotation"))),),
    )


def _relative_groups(meta: Meta, groups: Sequence[str]) -> list[str]:
    """Arms with a state of the same width, and without rotations, which are not subtracted."""
    return [
        group
        for group in groups
        if "arm" in group and _is_subtractable(meta, group)
    ]


def _is_subtractable(meta: Meta, group: str) -> bool:
    widths = [end - start for _, start, end in _spans(meta, group)]
    names = [meta.dimension_names(part, group) for part in ("state", "action")]
    return widths[0] == widths[1] and not any(map(rotation, names))


def _spans(
    meta: Meta,
    group: str,
) -> list[tuple[str, int, int]]:
    return [meta.column(part, group) for part in ("state", "action")]


def _known(
    meta: Meta, kind: str, names: Sequence[str], there: list[str]
) -> None:
    unknown = [name for name in names if name not in there]
    if unknown:
        raise PiperlineError(
            f"there is no {kind} {', '.join(unknown)}",
            place=Place(file=meta.root / MODALITY_FILE),
            expected=", ".join(map(printable, there))
            or "none: there is no such thing",
            next_step="name those that are there, or leave the option out",
        )


def _language(annotations: list[str]) -> str:
    """Our own key if it is there, else the first that sounds like a task."""
    own = [TASK_KEY] if TASK_KEY in annotations or not annotations else []
    return (
        "annotation."
        + [
            *own,
            *(name for name in annotations if "task" in name),
            *annotations,
        ][0]
    )


def read_choice(path: Path) -> Choice:
    """Run a modality config `.py` of N1.6 or N1.7 as training would, and return what it registers.

    The file is executed: it is the user's own program, which training executes too. GR00T's modules
    are stood in for, so that neither GR00T nor torch is needed.

    Raises:
        PiperlineError: its name is not a unique module name, it fails, or it registers nothing.
    """
    place = Place(file=path)
    if not path.stem.isidentifier() or path.stem in sys.stdlib_module_names:
        raise PiperlineError(
            f"GR00T imports the config by its name, and cannot as {path.stem!r}",
            place=place,
            expected="a name of letters, digits and _ that no module of Python has",
            next_step="rename it to something like my_robot_config.py",
        )
    registered: list[tuple[Any, Any]] = []
    try:
        read_plain(path)  # a pipe would be waited for
        with _stand_ins(registered):
            runpy.run_path(str(path))
        # Exactly one: training refuses a second registration, and silently goes on without any.
        [(config, _tag)] = registered
        return _choice(config)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PiperlineError(
            "the modality config does not work",
            place=place,
            expected="a program that registers one modality config",
            found=reason,
            next_step="write it again: `piperline groot config DATASET --overwrite`",
        ) from error


def _choice(config: dict[str, Any]) -> Choice:
    action = config["action"]
    absolute = SimpleNamespace(rep="ABSOLUTE", state_key=None)
    entries = action.action_configs or [absolute] * len(action.modality_keys)
    fields = [_fields(entry) for entry in entries]
    kinds = [str(entry["rep"]).upper() for entry in fields]
    state_keys = [entry.get("state_key") for entry in fields]
    return Choice(
        cameras=tuple(config["video"].modality_keys),
        state=tuple(config["state"].modality_keys),
        action=tuple(action.modality_keys),
        representations=tuple(kinds),
        state_keys=tuple(state_keys),
        action_deltas=tuple(action.delta_indices),
        state_deltas=tuple(config["state"].delta_indices),
        language=tuple(config["language"].modality_keys),
        language_deltas=tuple(config["language"].delta_indices),
    )


def _fields(entry: object) -> dict[str, Any]:
    """The fields of an action config, which may be an object or a dict."""
    return entry if isinstance(entry, dict) else vars(entry)


class _Names:
    """An enumeration of names: `ActionRepresentation.RELATIVE` is "RELATIVE"."""

    def __getattr__(self, name: str) -> str:
        return name


def _modality_config(
    delta_indices: Iterable[int], modality_keys: Iterable[str], **more: object
) -> SimpleNamespace:
    return SimpleNamespace(
        delta_indices=list(delta_indices),
        modality_keys=list(modality_keys),
        **{"action_configs": None} | more,
    )


@contextmanager
def _stand_ins(registered: list[tuple[Any, Any]]) -> Iterator[None]:
    """Modules with GR00T's names, as long as a config runs."""

    def register_modality_config(
        config: dict[str, Any], embodiment_tag: object = "NEW_EMBODIMENT"
    ) -> None:
        registered.append((config, embodiment_tag))

    enums = {
        name: _Names()
        for name in (
            "ActionFormat",
            "ActionRepresentation",
            "ActionType",
            "EmbodimentTag",
        )
    }
    types = {
        "ModalityConfig": _modality_config,
        "ActionConfig": SimpleNamespace,
        **enums,
    }
    contents: dict[str, dict[str, Any]] = {
        "gr00t": {},
        "gr00t.configs": {},
        "gr00t.configs.data": {},
        "gr00t.configs.data.embodiment_configs": {
            "register_modality_config": register_modality_config,
            **types,
        },
        "gr00t.data": {},
        "gr00t.data.embodiment_tags": {"EmbodimentTag": enums["EmbodimentTag"]},
        "gr00t.data.types": types,
    }
    hidden = {
        name: sys.modules[name] for name in contents if name in sys.modules
    }
    for name, values in contents.items():
        module = ModuleType(name)
        module.__dict__.update(values, __path__=[])
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in contents:
            del sys.modules[name]
        sys.modules.update(hidden)

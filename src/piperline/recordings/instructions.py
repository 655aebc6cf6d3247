"""The instruction of an episode, from the sources that a layout names."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from piperline.errors import BadEpisode, Place
from piperline.recordings.beside import find_beside, read_beside, value_at
from piperline.recordings.hdf5 import lookup, text
from piperline.recordings.rules import TaskRule
from piperline.text import is_utf8, printable


@dataclass(frozen=True)
class Instruction:
    """What the sources of an instruction tell.

    Attributes:
        text: without spaces around it; None where no source tells one.
        instead: what was found where there is none.
        changes: how many different texts the rows hold, where there is one in each.
    """

    text: str | None
    instead: str = ""
    changes: int = 1


def find_instruction(
    rules: tuple[TaskRule, ...], root: h5py.Group, place: Place
) -> Instruction:
    """The first instruction that a source tells.

    Args:
        rules: the sources, in order.
        root: the group of the episode.
        place: its file and name.

    Raises:
        BadEpisode: a text is not UTF-8, or a file beside the recording cannot be read.
    """
    reasons = []
    for rule in rules:
        value = value_of(rule, root, place)
        texts = texts_of(value, rule.key)
        if texts:
            rows = isinstance(value, np.ndarray) and rule.key is None
            return Instruction(
                _chosen(rule, texts, place),
                changes=len(set(texts)) if rows else 1,
            )
        reasons.append(_reason(rule, value))
    return Instruction(None, "; ".join(reasons) or "none, or empty")


def value_of(rule: TaskRule, root: h5py.Group, place: Place) -> object:
    """What a source holds; None where it is not there."""
    path = Path(place.file or "")
    if rule.text is not None:
        return lookup(root, rule.text, place)
    if rule.folder is not None:
        return _folder_name(rule.folder, path).replace("_", " ")
    if rule.file is None:
        return None
    name = rule.file.replace("{stem}", path.stem)
    beside = find_beside(
        path,
        name.replace("{number}", str(number_of(place))),
    )
    return None if beside is None else read_beside(beside, place)


def _folder_name(wanted: int | str, path: Path) -> str:
    parents = path.resolve().parents
    if isinstance(wanted, int):
        return parents[wanted - 1].name if len(parents) >= wanted else ""
    return next(
        (folder.parent.name for folder in parents if folder.name == wanted), ""
    )


def number_of(place: Place) -> int:
    """The last number in an episode's name, in its file's or in a folder's; 0 where none is."""
    path = Path(place.file or "").resolve()
    for name in (
        place.episode or "",
        path.stem,
        *(folder.name for folder in path.parents),
    ):
        numbers = re.findall(r"[0-9]{1,9}", name)
        if numbers:
            return int(numbers[-1])
    return 0


def texts_of(value: object, key: str | None) -> list[str]:
    """The texts that a value holds, empty ones left out: of a list, of JSON under `key`."""
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, bytes):
        value = text(value)
    if key and isinstance(value, (str, list)):
        value = _parsed(value)
    value = value_at(value, key)
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value)
    items = value if isinstance(value, (list, tuple)) else [value]
    texts = [
        text(item).strip()
        for item in items
        if isinstance(
            item,
            (str, bytes),
        )
    ]
    return [item for item in texts if item]


def _parsed(value: object) -> object:
    """The values of a JSON text, or of a list with one; anything else as it is."""
    single = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(single, bytes):
        single = text(single)
    if not isinstance(single, str):
        return value
    try:
        return json.loads(single)
    except (ValueError, RecursionError):
        return value


def _chosen(
    rule: TaskRule,
    texts: list[str],
    place: Place,
) -> str:
    index = number_of(place) % len(texts) if rule.choose == "by-number" else 0
    chosen = texts[index]
    if not is_utf8(chosen):
        raise BadEpisode(
            "the task text is not UTF-8",
            place=place,
            expected=f"UTF-8 in {rule.described}",
            found=printable(chosen),
            next_step="write it anew as UTF-8, or leave the episode out with --skip-bad",
        )
    return chosen


def _reason(rule: TaskRule, value: object) -> str:
    if value is None:
        return f"{rule.described}: not there"
    if isinstance(value, (dict, str, bytes)):
        return (
            f"{rule.described}: empty"
            if not value or not rule.key
            else f"no key {rule.key}"
        )
    return f"{rule.described}: {printable(repr(value))[:80]}"

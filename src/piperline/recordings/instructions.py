"""The instruction of an episode, from the sources that a layout names."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from piperline.errors import BadEpisode, Place
from piperline.recordings.beside import find_beside, read_beside, value_at
from piperline.recordings.hdf5 import is_there, lookup
from piperline.recordings.rules import TaskRule
from piperline.text import is_utf8, printable, text


@dataclass(frozen=True)
class Instruction:
    """What the sources of an instruction tell.

    Attributes:
        text: without spaces around it; None where no source tells one.
        instead: what was found where there is none.
        rows: the text of each row of a dataset, empty ones too, where it holds several.
        several: how many different texts an attribute holds, where the first of them is taken.
    """

    text: str | None
    instead: str = ""
    rows: tuple[str, ...] = ()
    several: int = 0


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
            return Instruction(
                _chosen(rule, texts, place),
                rows=_of_rows(value, rule),
                several=_several(texts, rule),
            )
        reasons.append(_reason(rule, value) + _of_that_name(rule, root, place))
    return Instruction(None, "; ".join(reasons) or "none, or empty")


Spans = tuple[tuple[int, str], ...]
"""Instructions that change: the frame from which each one holds, and its text."""


def spans_of(texts: Sequence[str]) -> Spans:
    """When the instruction of an episode changes; an empty text is the one before it.

    Args:
        texts: of each frame.
    """
    first = next(filter(None, texts), "")
    spans = [(0, first)]
    for frame, text_ in enumerate(texts):
        if text_ and text_ != spans[-1][1]:
            spans.append((frame, text_))
    return tuple(spans)


def texts_in(spans: Spans) -> tuple[str, ...]:
    """The texts of spans, each once, in the order in which they first hold."""
    return tuple(dict.fromkeys(text_ for _, text_ in spans))


def spans_from(spans: Spans, first: int, length: int) -> Spans:
    """The spans of `length` frames from number `first` on, counted from there."""
    last = max((start for start, _ in spans if start <= first), default=0)
    return tuple(
        (max(start - first, 0), text_)
        for start, text_ in spans
        if last <= start < first + length
    )


def _of_rows(value: object, rule: TaskRule) -> tuple[str, ...]:
    """The texts of a dataset with several different ones; nothing where they are no plain rows."""
    if not isinstance(value, np.ndarray) or rule.key or rule.text is None:
        return ()
    if "@" in rule.text or value.ndim not in {1, 2} or value.size != len(value):
        return ()
    rows = tuple(
        text(item).strip() if isinstance(item, (str, bytes)) else ""
        for item in value.ravel().tolist()
    )
    different = set(filter(None, rows))
    return rows if len(different) > 1 else ()


def _several(texts: list[str], rule: TaskRule) -> int:
    """How many different texts an attribute holds, one of which is taken for no reason."""
    of_attribute = "@" in (rule.text or "") and not rule.key
    count = len(set(texts))
    return count if of_attribute and rule.choose == "first" and count > 1 else 0


def _of_that_name(rule: TaskRule, root: h5py.Group, place: Place) -> str:
    """Tells of a dataset that has the name of an attribute which is not there."""
    path, mark, name = (rule.text or "").partition("@")
    dataset = f"{path}/{name}" if path.strip("/") else f"{path}{name}"
    if not mark or is_there(root, rule.text or "", place):
        return ""
    if not is_there(root, dataset, place):
        return ""
    return f', but the dataset {dataset} is: text = "{dataset}" under [[task]] of a layout reads it'


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
    refuse_bad_text([chosen], place, f" in {rule.described}")
    return chosen


def refuse_bad_text(
    texts: Sequence[str], place: Place, where: str = ""
) -> None:
    """See that texts can be written.

    Raises:
        BadEpisode: one is not UTF-8.
    """
    bad = next((one for one in texts if not is_utf8(one)), None)
    if bad is not None:
        raise BadEpisode(
            "the task text is not UTF-8",
            place=place,
            expected=f"UTF-8{where}",
            found=printable(bad),
            next_step="write it anew as UTF-8, or leave the episode out with --skip-bad",
        )


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

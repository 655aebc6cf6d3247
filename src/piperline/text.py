"""Text for people and files: control characters made visible, sizes, natural order."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

_STEP = 1000  # from one unit of size to the next
_SHOWN = 10

_Kind = TypeVar("_Kind")
_Item = TypeVar("_Item")


def printable(text: str) -> str:
    """`text` with control characters, surrogates and line breaks shown as escapes."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def text(name: str | bytes) -> str:
    """A name as text; h5py gives names that are not UTF-8 as bytes."""
    return (
        name
        if isinstance(name, str)
        else name.decode("utf-8", errors="surrogateescape")
    )


def stored(name: str) -> bytes:
    """A name as it is stored; of what `text` gave."""
    return name.encode("utf-8", errors="surrogateescape")


def listed(names: list[str], most: int = 8) -> str:
    """Some names for an error message."""
    shown = ", ".join(printable(name) for name in names[:most])
    return (
        f"{shown}, ... ({len(names)} in all)"
        if len(names) > most
        else shown or "nothing"
    )


def shown(name: bytes) -> str:
    """A stored name as text without control characters; undecodable bytes as escapes."""
    return printable(text(name))


def is_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8: names from a file, or of one, need not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def size_text(size: float) -> str:
    """A number of bytes for people: `2.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < _STEP:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= _STEP
    return f"{size:.2f} TB"


def natural_key(name: str) -> tuple[tuple[tuple[str, int, str], ...], str]:
    """Sort key that puts `episode_2` before `episode_10`.

    Equal numbers that are written differently keep a fixed order.
    """
    # not int(): it refuses thousands of digits
    parts = re.findall(r"([^0-9]*)0*([0-9]*)", name)
    return tuple((words, len(digits), digits) for words, digits in parts), name


def plural(count: int, word: str) -> str:
    """A number with its noun: `1 shard`, `2 shards`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def message_of(line: str) -> str:
    """What is wrong, of an error in one line, without the place and what was found."""
    return re.split(r" \(|: ", line, maxsplit=1)[0]


def few_of_each(
    items: Iterable[_Item], kind: Callable[[_Item], _Kind]
) -> tuple[list[_Item], dict[_Kind, int]]:
    """Ten items of each kind, in their order, and how many more there are of which kinds.

    For people: a recording may hold 100,000 groups of which the same is to be said.
    """
    few: list[_Item] = []
    seen: dict[_Kind, int] = {}
    for item in items:
        count = seen[kind(item)] = seen.get(kind(item), 0) + 1
        if count <= _SHOWN:
            few.append(item)
    more = {of: count - _SHOWN for of, count in seen.items()}
    return few, {of: count for of, count in more.items() if count > 0}

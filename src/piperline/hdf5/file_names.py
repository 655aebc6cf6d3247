"""Names of output files and groups, made from names that may be anything."""

import hashlib
import unicodedata
from collections.abc import Callable, Sequence

_MOST_BYTES = 180  # file systems take 255, from which a prefix, a suffix and a number go off


def file_stems(names: Sequence[str]) -> list[str]:
    """A file name without its suffix for each name: usable everywhere, no two alike in any case.

    Names of letters, digits, `_`, `-` and `.` stay as they are; other characters become `_`; names
    that are too long are cut and end with a part of their SHA-256. The second of two alike becomes
    `NAME_2`.
    """
    return unique([_stem(name) for name in names], key=str.casefold)


def unique(
    names: Sequence[str],
    *,
    key: Callable[[str], str],
) -> list[str]:
    """The names; those that came before get `_2`, `_3`, ..., but never a name that is among them.

    Args:
        names: in the order of their rights to them.
        key: two names are the same if their keys are.
    """
    reserved = {key(name) for name in names}
    taken: set[str] = set()
    made = []
    for name in names:
        number, candidate = 1, name
        while key(candidate) in taken or (
            number > 1 and key(candidate) in reserved
        ):
            number += 1
            candidate = f"{name}_{number}"
        taken.add(key(candidate))
        made.append(candidate)
    return made


def _safe(character: str) -> str:
    return character if character.isalnum() or character in "_-." else "_"


def _stem(name: str) -> str:
    text = "".join(map(_safe, unicodedata.normalize("NFC", name)))
    if text[:1] in {"", ".", "-"}:  # neither hidden nor an option
        text = "_" + text.lstrip(".")
    if len(text.encode()) <= _MOST_BYTES:
        return text
    digest = hashlib.sha256(
        name.encode("utf-8", "surrogateescape")
    ).hexdigest()[:8]
    return (
        text.encode()[: _MOST_BYTES - 9].decode(errors="ignore") + "_" + digest
    )

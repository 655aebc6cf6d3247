"""Text for people and files: control characters made visible, sizes, natural order."""

import re


def printable(text: str) -> str:
    """`text` with control characters, surrogates and line breaks shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


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
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.2f} TB"


def natural_key(name: str) -> tuple[tuple[tuple[str, int, str], ...], str]:
    """Sort key that puts `episode_2` before `episode_10`; equal numbers written differently keep a fixed order."""
    parts = re.findall(r"([^0-9]*)0*([0-9]*)", name)  # not int(): it refuses thousands of digits
    return tuple((words, len(digits), digits) for words, digits in parts), name


def counted(count: int, what: str) -> str:
    """A number of things: `1 episode`, `2 episodes`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

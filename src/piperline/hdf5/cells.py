"""Texts in the cells of a terminal: a Chinese character takes two of them."""

import unicodedata


def cells(text: str) -> int:
    """How many cells `text` takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clipped(text: str, width: int) -> str:
    """`text`, or its beginning and an ellipsis, in at most `width` cells."""
    if cells(text) <= width:
        return text
    while cells(text) > width - 1:
        text = text[:-1]
    return text + "…"


def padded(text: str, width: int) -> str:
    """`text` with spaces behind it, in at least `width` cells."""
    return text + " " * (width - cells(text))

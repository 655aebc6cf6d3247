"""Documents as tests read them: what stands in their fences, and the commands among it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = {"sh", "bash"}
_PROGRESS = re.compile(
    r"(episodes \d+/\d+|looking at recordings|putting the dataset)"
)


@dataclass(frozen=True)
class Fence:
    """One block of a document: what language, and what is in it."""

    language: str
    text: str


def fences(page: str) -> list[Fence]:
    """The blocks of a document, in order."""
    return [
        Fence(*found)
        for found in _FENCE.findall(
            (REPOSITORY / page).read_text(encoding="utf-8")
        )
    ]


def lines(text: str) -> list[str]:
    """The lines of a shell block; one that ends with a backslash goes on."""
    whole = text.replace("\\\n", " ").splitlines()
    return [line for line in whole if line.strip() and not line.startswith("#")]


def shell_lines(page: str) -> list[str]:
    """All lines of the shell blocks of a document."""
    return [
        line
        for fence in fences(page)
        if fence.language in SHELLS
        for line in lines(fence.text)
    ]


def programs(line: str) -> Iterator[list[str]]:
    """The commands of a line, as words: `a && b | c > d` gives a, b and c."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word not in {"&&", "|", ";"}:
            words.append(word)
            continue
        stop = words.index(">") if ">" in words else len(words)
        start = next(
            (
                place
                for place, word in enumerate(words)
                if not re.match(r"\w+=", word)
            ),
            0,
        )
        yield words[start:stop]
        words = []


def normal(text: str) -> list[str]:
    """An output without what differs from one recording and one machine to the next.

    Progress is left out; numbers, with their sign, become N; units of size become the same; spaces
    shrink to one; one shard is as good as several.
    """
    kept = "\n".join(
        line for line in text.splitlines() if not _PROGRESS.match(line)
    )
    numbers = re.sub(r"-?\d+(\.\d+)?", "N", kept)
    units = re.sub(r"N [kMGT]?B\b", "N bytes", numbers)
    units = re.sub(r"\b(episode|frame|sample|shard|step)s\b", r"\1", units)
    return [
        " ".join(line.split()) for line in units.splitlines() if line.strip()
    ]

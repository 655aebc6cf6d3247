"""What a check finds: data, not an exception."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from piperline.errors import Place
from piperline.text import printable

Severity = Literal["error", "warning"]
"""`error`: what comes next fails, or silently does the wrong thing. `warning`: it may."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a recording or a dataset.

    Attributes:
        code: its stable name, lower case with hyphens: programs match on it.
        severity: see `Severity`.
        message: what is wrong and what follows from it; texts from files made printable.
        place: where, as closely as it is known.
        numbers: the measured values, by name.
        remedy: a command or a step that corrects it.
    """

    code: str
    severity: Severity
    message: str
    place: Place | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    remedy: str | None = None

    def __str__(self) -> str:
        """For people: the message, then where and what to do, a line each."""
        lines = [f"{self.severity}: {printable(self.message)} [{self.code}]"]
        if self.place and str(self.place):
            lines.append(f"    where: {self.place}")
        if self.remedy:
            lines.append(f"    next:  {self.remedy}")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For programs: everything, in JSON's types."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "place": self.place.document() if self.place else None,
            "numbers": dict(self.numbers),
            "remedy": self.remedy,
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` gave."""
        place = document["place"]
        return cls(**{**document, "place": place and Place(**place)})


def grouped(findings: Sequence[Finding]) -> list[Finding]:
    """One finding of each code, the first of it; its message tells in how many places more."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return [_with_count(group) for group in by_code.values()]


def _with_count(group: Sequence[Finding]) -> Finding:
    first, others = group[0], len(group) - 1
    if not others:
        return first
    places = "place" if others == 1 else "places"
    return replace(
        first, message=f"{first.message} (and in {others} more {places})"
    )


def command(*words: object) -> str:
    """A command line that runs as it is shown, words quoted where a shell needs it."""
    return shlex.join(map(str, words))


def fails(findings: Iterable[Finding], at: Severity) -> bool:
    """Whether one of `findings` is at least as severe as `at`."""
    return any(
        at == "warning" or finding.severity == "error" for finding in findings
    )

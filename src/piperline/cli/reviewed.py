"""What a review of the recordings found, at the end of what converts them."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from piperline.finding import grouped
from piperline.text import plural, printable

if TYPE_CHECKING:
    from piperline.convert.review import Reviewed

REVIEW = Path("review")
"""Where `piperline review` writes, if it is not told otherwise."""

_SHOWN_KINDS = 5


def review_command(
    inputs: Sequence[Path], target: Path, layout: str | None
) -> str:
    """The command that shows what a review found, as it runs.

    Args:
        inputs: files and folders.
        target: the dataset's folder; the review goes beside it where another has its place.
        layout: as it was given.
    """
    from piperline.review.folder import ReviewFolder

    words = ["piperline", "review", *map(str, inputs)]
    if layout:
        words += ["--layout", layout]
    if ReviewFolder(REVIEW).is_foreign:
        words += ["--output", str(target.with_name(f"{target.name}.review"))]
    return printable(shlex.join(words))


def found_lines(review: "Reviewed", command: str) -> Iterator[str]:
    """What a review found, in few lines for people; `command` shows all of it."""
    findings = review.findings
    errors = sum(finding.severity == "error" for finding in findings)
    counts = f"{plural(errors, 'error')}, {plural(len(findings) - errors, 'warning')}"
    yield f"review of the recordings: {counts if findings else 'nothing found'}"
    kinds = grouped(findings)
    yield from map(str, kinds[:_SHOWN_KINDS])
    if len(kinds) > _SHOWN_KINDS:
        others = ", ".join(finding.code for finding in kinds[_SHOWN_KINDS:])
        yield f"... and of other kinds: {others}"
    yield from note_lines(review.notes)
    if findings:
        yield f"to see all of it, and what can be done: {command}"


def note_lines(notes: Sequence[str]) -> Iterator[str]:
    """What is worth knowing, a line each."""
    yield from (printable(f"note: {note}") for note in notes)

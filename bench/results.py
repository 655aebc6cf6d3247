"""Results go into bench/README.md, each kind between its own two marks."""

from collections.abc import Iterable
from pathlib import Path

README = Path(__file__).with_name("README.md")


def publish(kind: str, lines: Iterable[str]) -> None:
    """Print `lines` as they come.

    When all are there, put them in the place of the last results of this kind.
    """
    start, end = f"<!-- results of {kind} -->\n", f"<!-- end of {kind} -->\n"
    text = ""
    for line in lines:
        print(line, flush=True)
        text += line + "\n"
    before, _, rest = README.read_text().partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(
            f"bench/README.md has no place for the results of {kind}"
        )
    README.write_text(before + start + "\n" + text + "\n" + end + after)

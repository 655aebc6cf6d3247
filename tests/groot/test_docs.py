"""The guide names every finding there is, in both languages, and its options exist."""

import inspect
import re
from pathlib import Path

import pytest

from piperline.cli import groot

REPOSITORY = Path(__file__).parents[2]
SOURCES = [*(REPOSITORY / "src/piperline/groot").rglob("*.py")]
PAGES = ["docs/groot.md", "docs/groot.zh-CN.md"]


def raised_codes():
    """The codes of all findings: `"code", "severity", message`."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = re.findall(
        r'"([a-z0-9]+(?:-[a-z0-9]+)*)",\s*(?:"(?:error|warning)"|severity)\s*,',
        text,
    )
    return set(named) | {"nan", "inf", "dataset-missing", "modality-missing"}


@pytest.mark.parametrize("page", PAGES)
def test_every_finding_is_explained(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    table = set(
        re.findall(
            r"`([a-z0-9]+(?:-[a-z0-9]+)*)`",
            text[text.index("| `dataset-missing`") :],
        )
    )
    assert raised_codes() - table == set()


def test_both_languages_have_the_same_parts():
    pages = [(REPOSITORY / page).read_text(encoding="utf-8") for page in PAGES]
    for pattern in (
        r"^#+ ",
        r"^\|",
        r"^```",
        r"`[a-z]+-[a-z-]+`",
        r"`--[a-z-]+",
    ):
        first, second = (
            re.findall(pattern, text, re.MULTILINE) for text in pages
        )
        assert first == second
    blocks = [
        re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for text in pages
    ]
    assert blocks[0] == blocks[1]


def test_the_options_of_the_table_exist():
    text = (REPOSITORY / PAGES[0]).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`--.*?) \|", text, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"--([a-z-]+)", row)}
    settings = inspect.signature(groot.config).parameters["settings"].default
    there = {*inspect.signature(groot.config).parameters, *vars(settings)}
    assert {
        name.removeprefix("no-").replace("-", "_") for name in named
    } - there == set()

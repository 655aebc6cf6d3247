"""Codes: each has a remedy and stands in the documents; no two explain each other."""

import ast
from pathlib import Path

import pytest

from piperline.detectors import codes
from piperline.detectors.codes import CAUSES, REMEDIES
from piperline.review.proposals import PERHAPS_TO_DROP, SURE_TO_DROP
from tests.helpers.documents import REPOSITORY

SOURCES = Path(codes.__file__).parent


def used():
    """The codes that detectors give: the first argument of each `fault`."""
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "fault"
            ):
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    yield code.value


def test_each_code_has_a_remedy_and_no_remedy_is_left_over():
    given = {*used(), "idle-start", "idle-end", "unreadable"}
    assert given == set(REMEDIES)


def test_causes_are_codes_and_none_explains_what_explains_it():
    assert set(CAUSES) | set().union(*CAUSES.values()) <= set(REMEDIES)
    both = {
        (a, b)
        for a, own in CAUSES.items()
        for b in own
        if a != b and a in CAUSES.get(b, ())
    }
    assert both == set()


def test_what_is_dropped_are_codes():
    assert set(REMEDIES) >= SURE_TO_DROP | PERHAPS_TO_DROP
    assert not SURE_TO_DROP & PERHAPS_TO_DROP


@pytest.mark.parametrize("page", ["docs/review.md", "docs/review.zh-CN.md"])
def test_the_documents_tell_each_code(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert [code for code in REMEDIES if f"`{code}`" not in text] == []

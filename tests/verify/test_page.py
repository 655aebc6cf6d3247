"""The page of a report, in a browser: both languages, and nothing loaded from elsewhere."""

import pytest

from piperline.verify import VerifyOptions, verify
from piperline.verify.chinese import CODES
from piperline.verify.page import page as laid_out
from tests.helpers.browser import chromium
from tests.verify.sets import MID, set_instruction
from tests.verify.test_mutations import MUTATIONS


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def test_it_speaks_english_and_chinese(copy, browser, tmp_path):
    case = copy()
    case.video(MID, 1).unlink()
    set_instruction(case, 0, "<b>other</b>")
    report = verify(case.root, VerifyOptions((case.recordings,), strips=True))
    file = tmp_path / "page.html"
    file.write_text(laid_out(report))
    for language, first, then, other in (
        ("en-US", "not verified set", "未通过 set", "中文"),
        ("zh-CN", "未通过 set", "not verified set", "English"),
    ):
        context = browser.new_context(locale=language)
        page = context.new_page()
        page.goto(file.as_uri())
        assert page.locator("h1").inner_text() == first
        page.get_by_label(other).check()
        assert page.locator("h1").inner_text() == then
        shown = page.locator("main").inner_text()
        chinese = other == "中文"
        assert ("缺少视频" in shown) == chinese
        assert ("录制文件" in shown) == chinese
        assert ("What was looked at" in shown) != chinese
        assert "the video is missing" in shown
        assert "<b>other</b>" in shown
        context.close()


def test_every_finding_has_a_chinese_name():
    every = [one for m in MUTATIONS.values() for one in (m.expected, m.by_seal)]
    codes = {entry[0] for found in every for entry in found}
    assert len(codes) > 30
    assert codes <= CODES.keys()

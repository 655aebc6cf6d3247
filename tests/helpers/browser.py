"""Debian's Chromium, driven without a window."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from piperline.video.images import decode_image

Pixels = NDArray[np.uint8]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. A missing one is a fault of the machine, not a reason to skip."""
    path = shutil.which("chromium")
    assert path, "apt-get install chromium"
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, review: Path, *, language: str = "en-US"
) -> Iterator[Page]:
    """The page of a review, from the disk, in a new profile."""
    context = browser.new_context(
        locale=language, viewport={"width": 1400, "height": 900}
    )
    page = context.new_page()
    page.goto((review / "index.html").resolve().as_uri())
    page.wait_for_selector("html[data-ready]")
    yield page
    context.close()


def complaints(page: Page) -> list[str]:
    """What the page, or the browser about it, has complained of."""
    said = [
        message.text
        for message in page.console_messages()
        if message.type == "error"
    ]
    return [*map(str, page.page_errors()), *said]


def until(page: Page, condition: str) -> None:
    """Wait for a condition, in JavaScript.

    Playwright's own way would have the page evaluate text, which it forbids.
    """
    page.evaluate(
        "new Promise((done, fail) => {"
        "  const end = performance.now() + 30_000;"
        f" const met = () => ({condition});"
        "  const late = () => performance.now() > end;"
        "  const again = () => late() ? fail(met.toString()) : setTimeout(look, 5);"
        "  const look = () => met() ? done() : again();"
        "  look();"
        "})"
    )


def photo(what: Page | Locator) -> Pixels:
    """What is seen, uint8 (H, W, 3)."""
    return decode_image(what.screenshot(type="png"))

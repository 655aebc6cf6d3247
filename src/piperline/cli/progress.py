"""How far a run is: one bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from piperline.cli.console import Output
from piperline.text import size_text

if TYPE_CHECKING:
    from piperline.convert.progress import Progress


_LINE_SECONDS = 5.0
_ETA_SECONDS = 5.0
"""Before so many seconds of encoding, the rate is that of processes that still start."""


@contextmanager
def progress_bar(out: Output) -> "Iterator[Callable[[Progress], None]]":
    """Gives a function to call with the state of a run; the bar goes when the context is left."""
    if out.volume == "quiet":
        yield lambda _state: None
        return
    if not sys.stderr.isatty():
        yield _Lines(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    percent = TextColumn("{task.percentage:>3.0f}%")
    columns = (TextColumn("{task.description}"), BarColumn(), percent)
    with Bar(
        *columns,
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("starting", total=None)
        rate = _Rate()
        shown = ""

        def watch(state: "Progress") -> None:
            nonlocal shown
            done, total = state.images_done, state.images
            if state.phase == "plan":
                done, total = state.files_done, state.files
            if state.phase == "check":
                done, total = state.size_done, state.size
            text = rate.describe(state) + rate.remaining(state)
            bar.update(
                task, description=text, completed=done, total=total or None
            )
            # a phase may end before the bar draws itself again
            if shown != state.phase:
                bar.refresh()
                shown = state.phase

        yield watch


class _Rate:
    """Knows when encoding began."""

    def __init__(self) -> None:
        self._began: float | None = None

    def describe(self, state: "Progress") -> str:
        if state.phase == "plan":
            return f"looking at recordings: {state.files_done} of {state.files}"
        if state.phase == "check":
            read, size = size_text(state.size_done), size_text(state.size)
            return (
                f"reading the dataset that is to be replaced: {read} of {size}"
            )
        if state.phase == "assemble":
            return "putting the dataset together"
        now = time.monotonic()
        self._began = self._began or now
        seconds = max(now - self._began, 1e-3)
        speed = f"{state.images_done / seconds:.0f} images/s"
        data = f"{size_text(state.size_done / seconds)}/s"
        return (
            f"episodes {state.episodes_done}/{state.episodes}, {speed}, {data}"
        )

    def remaining(self, state: "Progress") -> str:
        """The time that is left, once the rate can be told."""
        if (
            not state.images_done
            or self._began is None
            or state.phase != "stage"
        ):
            return ""
        passed = time.monotonic() - self._began
        if passed < _ETA_SECONDS:
            return ""
        seconds = (
            passed * (state.images - state.images_done) / state.images_done
        )
        minutes, rest = divmod(round(seconds), 60)
        if not minutes:
            return f", {rest} s left"
        return f", {minutes} min {rest} s left"


class _Lines:
    """A line at the beginning, and one every few seconds."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._rate = _Rate()
        self._next = 0.0

    def __call__(self, state: "Progress") -> None:
        text = self._rate.describe(state)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._out.note(text + self._rate.remaining(state))

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


@contextmanager
def progress_bar(out: Output) -> "Iterator[Callable[[Progress], None]]":
    """Gives a function to call with the state of a run; the bar goes when the context is left."""
    if not sys.stderr.isatty():
        yield _Lines(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    percent = TextColumn("{task.percentage:>3.0f}%")
    columns = (TextColumn("{task.description}"), BarColumn(), percent, TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        rate = _Rate()

        def watch(state: "Progress") -> None:
            planning = state.phase == "plan"
            done, total = (
                (state.files_done, state.files) if planning else (state.images_done, state.images)
            )
            bar.update(task, description=rate.describe(state), completed=done, total=total or None)

        yield watch


class _Rate:
    """Knows when encoding began."""

    def __init__(self) -> None:
        self._began: float | None = None

    def describe(self, state: "Progress") -> str:
        if state.phase == "plan":
            return f"looking at recordings: {state.files_done} of {state.files}"
        if state.phase == "assemble":
            return "putting the dataset together"
        now = time.monotonic()
        self._began = self._began or now
        seconds = max(now - self._began, 1e-3)
        text = f"episodes {state.episodes_done}/{state.episodes}"
        return f"{text}, {state.images_done / seconds:.0f} images/s, {size_text(state.size_done / seconds)}/s"

    def remaining(self, state: "Progress") -> str:
        if not state.images_done or self._began is None or state.phase != "stage":
            return ""
        seconds = (
            (time.monotonic() - self._began)
            * (state.images - state.images_done)
            / state.images_done
        )
        return (
            f", {seconds / 60:.0f} min {seconds % 60:.0f} s left"
            if seconds >= 60
            else f", {seconds:.0f} s left"
        )


class _Lines:
    """A line now and then."""

    def __init__(self, out: Output) -> None:
        self._out, self._rate, self._next, self._phase = (
            out,
            _Rate(),
            time.monotonic() + _LINE_SECONDS,
            "",
        )

    def __call__(self, state: "Progress") -> None:
        text = self._rate.describe(state)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._out.note(text + self._rate.remaining(state))

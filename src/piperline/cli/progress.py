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
    rate = _Rate()

    with _shown(out) as show:

        def watch(state: "Progress") -> None:
            done, total = state.images_done, state.images
            if state.phase == "plan":
                done, total = state.files_done, state.files
            if state.phase == "check":
                done, total = state.size_done, state.size
            text = rate.describe(state)
            show(state.phase, lambda: text + rate.remaining(state), done, total)

        yield watch


@contextmanager
def verify_bar(
    out: Output,
) -> Iterator[Callable[[tuple[str, int, int]], None]]:
    """The same for the state of a verification: a phase, and how much of how much is done."""
    began: dict[str, float] = {}

    with _shown(out, _LINE_SECONDS) as show:

        def watch(state: tuple[str, int, int]) -> None:
            phase, told, total = state
            now = time.monotonic()
            passed = now - began.setdefault(phase, now)
            done = min(told, total)
            show(
                phase,
                lambda: _verified(phase, done, total, passed),
                done,
                total,
            )

        yield watch


_PHASES = {
    "seal": "the seal",
    "itself": "the dataset in itself",
    "recordings": "against the recordings",
    "videos": "decoding what is left",
}
_UNITS = {"itself": "episodes"}


def _verified(phase: str, done: int, total: int, passed: float) -> str:
    speed = done / max(passed, 1e-3)
    if phase == "seal":
        text = f"{size_text(done)} of {size_text(total)}, {size_text(speed)}/s"
    else:
        unit = _UNITS.get(phase, "frames")
        text = f"{done} of {total} {unit}, {speed:.0f} {unit}/s"
    return f"{_PHASES[phase]}: {text}{_left(done, total, passed)}"


@contextmanager
def _shown(
    out: Output, silence: float = 0.0
) -> "Iterator[Callable[[str, Callable[[], str], int, int], None]]":
    """Gives a function that shows a phase, a text, and how much of how much is done.

    Where lines tell it, the first one comes after so many seconds of `silence`.
    """
    if out.volume == "quiet":
        yield lambda _phase, _text, _done, _total: None
        return
    if not sys.stderr.isatty():
        yield _Lines(out, silence)
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
        shown = ""

        def show(
            phase: str, text: Callable[[], str], done: int, total: int
        ) -> None:
            nonlocal shown
            bar.update(
                task, description=text(), completed=done, total=total or None
            )
            # a phase may end before the bar draws itself again
            if shown != phase:
                bar.refresh()
                shown = phase

        yield show


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
        return _left(state.images_done, state.images, passed)


def _left(done: int, total: int, passed: float) -> str:
    """The time that is left, once the rate can be told."""
    if not done or passed < _ETA_SECONDS:
        return ""
    minutes, rest = divmod(round(passed * (total - done) / done), 60)
    if not minutes:
        return f", {rest} s left"
    return f", {minutes} min {rest} s left"


class _Lines:
    """A line at the beginning, or after a silence, and one every few seconds."""

    def __init__(self, out: Output, silence: float) -> None:
        self._out = out
        self._next = time.monotonic() + silence

    def __call__(
        self, _phase: str, text: Callable[[], str], _done: int, _total: int
    ) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._out.note(text())

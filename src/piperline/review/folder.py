"""The folder that a review writes: signals, the result, the plan, what a page shows."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from piperline.errors import OutputExists, Place, output_error
from piperline.files import read_plain, write_whole
from piperline.review.worker import signals_file
from piperline.review.write_page import curves_script
from piperline.signals.episode import EpisodeSignals, load_signals
from piperline.text import printable
from piperline.video.images import contact_sheet, encode_jpeg
from piperline.video.thumbnails import colored

RESULT, PLAN, NEW_PLAN = "review.json", "plan.toml", "plan.new.toml"
_MARK = ".piperline-review"
_FOLDERS = ("signals", "episodes", "thumbnails", "videos")


class ReviewFolder:
    """The folder of a review.

    Args:
        root: where it is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.signals = root / "signals"
        self.videos = root / "videos"
        self.result = root / RESULT
        self.plan = root / PLAN

    @property
    def is_ours(self) -> bool:
        """Whether a review made it."""
        return (self.root / _MARK).is_file()

    @property
    def is_foreign(self) -> bool:
        """Whether there is something in its place that no review made."""
        there = self.root.exists() and not self.is_ours
        return there and _holds_anything(self.root)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, or see that an earlier review made it.

        Raises:
            OutputExists: there is another folder, or a file.
            OutputError: it cannot be written.
        """
        try:
            mark = self.root / _MARK
            if self.is_foreign:
                raise OutputExists(
                    "there is something that no review made",
                    place=Place(file=self.root),
                    expected="nothing, an empty folder, or an earlier review",
                    found="other files in it"
                    if self.root.is_dir()
                    else "a file",
                    next_step="name another folder with --output",
                )
            self.root.mkdir(parents=True, exist_ok=True)
            for name in _FOLDERS:
                (self.root / name).mkdir(exist_ok=True)
            if not mark.exists():
                write_whole(mark, "made by piperline review\n")
            yield
        except OSError as error:
            known = output_error(error, self.root)
            if known is None:
                raise
            raise known from error

    def has(self, key: str, videos: Path | None) -> bool:
        """Whether an earlier review kept the signals of an episode.

        And its videos where they are wanted.
        """
        return self.load(key) is not None and (
            videos is None or (videos / key).is_dir()
        )

    def load(self, key: str) -> EpisodeSignals | None:
        """Signals that an earlier review kept."""
        return load_signals(signals_file(self.signals, key))

    def show(self, signals: EpisodeSignals) -> None:
        """Write what a page shows of an episode, unless it is there."""
        curves = self.root / "episodes" / f"{signals.key}.js"
        if not curves.exists():
            write_whole(curves, curves_script(signals))
        pictures = self.root / "thumbnails" / f"{signals.key}.jpg"
        rows = [
            [colored(thumbnail) for thumbnail in c.shown]
            for c in signals.cameras.values()
        ]
        if rows and not pictures.exists():
            new = pictures.with_suffix(".new")
            new.write_bytes(encode_jpeg(_even(contact_sheet(rows, gap=0))))
            new.replace(pictures)

    def write_plan(self, text: str) -> Path:
        """Write the plan; beside it, where a person has edited the one that is there."""
        marks = self.root / "signals" / "plan.sha256"
        known = marks.read_text(encoding="ascii") if marks.exists() else ""
        there = _plan_at(self.plan)
        edited = (
            there is not None and hashlib.sha256(there).hexdigest() != known
        )
        if edited and there != text.encode():
            write_whole(self.root / NEW_PLAN, text)
            return self.root / NEW_PLAN
        write_whole(self.plan, text)
        write_whole(marks, hashlib.sha256(text.encode()).hexdigest())
        return self.plan

    def write_result(self, document: Mapping[str, Any]) -> None:
        """Write the result, last."""
        write_whole(
            self.result, json.dumps(document, ensure_ascii=True, default=plain)
        )


def _plan_at(path: Path) -> bytes | None:
    """The plan that is there, if any.

    Raises:
        OutputExists: there is something that is no plan.
    """
    if not path.exists():
        return None
    try:
        return read_plain(path)
    except OSError as error:
        raise OutputExists(
            "there is something in the place of the plan that is none",
            place=Place(file=path),
            expected="a plan, or nothing",
            found=printable(str(error)),
            next_step="move it away, or name another folder with --output",
        ) from error


def _holds_anything(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _even(sheet: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A sheet of even sides, as 4:2:0 wants them."""
    height, width = sheet.shape[:2]
    return np.pad(
        sheet,
        ((0, height % 2), (0, width % 2), (0, 0)),
        mode="edge",
    )


def plain(value: object) -> object:
    """A value that JSON does not have, as one that it has."""
    return value.item() if isinstance(value, np.generic) else str(value)

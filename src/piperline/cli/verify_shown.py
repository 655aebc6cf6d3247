"""What `verify` shows, found and laid out in a process of its own: recordings are untrusted.

Light to import: the process of the command loads no library for it.
"""

import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piperline.errors import BadEpisode, DatasetError, Place, RecordingError
from piperline.garbage import loading
from piperline.recordings.limits import MOST_DEATHS
from piperline.recordings.reader import Reader, say

if TYPE_CHECKING:
    from piperline.verify.progress import VerifyProgress

_BEAT = 0.1  # seconds

Bad = dict[tuple[str, str | None], RecordingError]


@dataclass(frozen=True)
class WantedVerification:
    """What is to be verified, and how: see `piperline.verify.VerifyOptions`.

    Attributes:
        dataset: its folder.
        page: whether the page for people is wanted, too.
    """

    dataset: Path
    sources: tuple[Path, ...]
    layout: str | None
    frames: int | None
    page: bool
    signed_by: Path | None


@dataclass(frozen=True)
class ShownVerification:
    """What came of it.

    Attributes:
        verified: whether nothing is wrong.
        lines: for people.
        document: for programs.
        page: for people, if it was wanted.
    """

    verified: bool
    lines: tuple[str, ...]
    document: Mapping[str, Any]
    page: str | None


def verified(
    wanted: WantedVerification, watch: Callable[[Any], None]
) -> ShownVerification:
    """Verify a dataset; recordings that crash, hang or take too much memory are findings.

    What was done before one crashed is not done again.

    Args:
        wanted: what, and how.
        watch: told how far it is.

    Raises:
        DatasetError: the dataset crashes it.
        PiperlineError: what `piperline.verify.verify` raises.
    """
    passed: bytes | None = None

    def heard(message: object) -> None:
        nonlocal passed
        if isinstance(message, bytes):
            passed = message
        else:
            watch(message)

    bad: Bad = {}
    with Reader(memory=None, heard=heard) as read:
        while True:
            try:
                return read(wanted.dataset, _shown, wanted, dict(bad), passed)
            except BadEpisode as error:
                _take_down(error, wanted.dataset, bad)


def _take_down(error: BadEpisode, dataset: Path, bad: Bad) -> None:
    """Note what is not to be read again.

    Raises:
        DatasetError: it is the dataset.
        BadEpisode: it crashed although it was not to be read.
    """
    part = _part(error.place or Place(), bad)
    if part[0] == str(dataset):
        raise _broken(dataset, error) from error
    if part in bad:
        raise error
    bad[part] = error


def _part(place: Place, bad: Bad) -> tuple[str, str | None]:
    """What is not read again: an episode, or the recording of which many crashed."""
    file = str(place.file)
    deaths = sum(name == file for name, _ in bad)
    return file, place.episode if deaths < MOST_DEATHS else None


def _broken(dataset: Path, error: BadEpisode) -> DatasetError:
    return DatasetError(
        "reading this dataset crashes",
        place=Place(file=dataset),
        expected="an undamaged dataset",
        found=str(error.found),
        next_step="fetch it again, or make it anew",
    )


def _shown(
    wanted: WantedVerification, bad: Bad, passed: bytes | None
) -> ShownVerification:
    with loading():
        from piperline.verify import VerifyOptions, verify
    options = VerifyOptions(
        wanted.sources,
        wanted.layout,
        wanted.frames,
        wanted.page,
        wanted.signed_by,
        _Beat().watch,
        bad,
        # as bytes: the process of the command loads none of it
        keep=lambda done: say(pickle.dumps(done)),
        passed=pickle.loads(passed) if passed else None,  # noqa: S301 - of a process of ours
    )
    report = verify(wanted.dataset, options)
    page = None
    if wanted.page:
        from piperline.verify.page import page as laid_out

        page = laid_out(report)
    lines = tuple(report.lines())
    is_good = report.verdict == "verified"
    return ShownVerification(is_good, lines, report.document(), page)


class _Beat:
    """Says how far a verification is, some times a second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._phase = ""

    def watch(self, state: "VerifyProgress") -> None:
        now = time.monotonic()
        ends = state.phase != self._phase or state.done == state.total
        if ends or now >= self._next:
            self._next, self._phase = now + _BEAT, state.phase
            say((state.phase, state.done, state.total))

"""Episodes and moments as people write them: `3,7,10:15`, `day_1.hdf5:episode_3`, `30:`, `1.5s`."""

import re
from dataclasses import dataclass

from piperline.errors import UsageError
from piperline.text import printable

_NUMBER = re.compile(r"\d{1,9}")
_RANGE = re.compile(r"(\d{0,9}):(\d{0,9})")
_MOMENT = re.compile(r"(?P<frames>\d{1,9})|(?P<seconds>\d{1,6}(\.\d{1,6})?)s")


@dataclass(frozen=True)
class Moment:
    """A point in an episode.

    Attributes:
        value: a frame's number, or seconds from the start.
        in_seconds: which of the two.
    """

    value: float
    in_seconds: bool = False

    def frame(self, fps: int) -> int:
        """The number of the frame that is shown then."""
        return round(self.value * fps) if self.in_seconds else int(self.value)

    def __str__(self) -> str:
        return f"{self.value:g}s" if self.in_seconds else f"{self.value:.0f}"


def parse_moment(text: str) -> Moment:
    """Read a frame number (`30`) or seconds (`1.5s`).

    Raises:
        UsageError: it is neither.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            "this is no frame number and no time",
            expected="a frame number such as 30, or seconds such as 1.5s",
            found=printable(text) or "nothing",
            next_step="write it with digits alone, and with an s behind them for seconds",
        )
    if found["frames"]:
        return Moment(int(found["frames"]))
    return Moment(float(found["seconds"]), in_seconds=True)


def parse_span(text: str) -> tuple[Moment | None, Moment | None]:
    """Read a half-open span (`30:`, `:200`, `1.5s:9s`); None where it goes to the end.

    Raises:
        UsageError: it is none.
    """
    start, colon, stop = text.strip().partition(":")
    if not colon or not (start or stop):
        raise UsageError(
            "this is no span of frames",
            expected="START:STOP in frames or seconds; one may be left out, as in 30:",
            found=printable(text) or "nothing",
            next_step="write 30:200 for the frames 30 to 199, for example",
        )
    return (
        parse_moment(start) if start.strip() else None,
        parse_moment(stop) if stop.strip() else None,
    )


def parse_episodes(text: str) -> list[str | range]:
    """Read a list of episodes: numbers, half-open ranges of them, and sources.

    Returns:
        Ranges of numbers (one number is a range of one; an open end is -1), and the sources as they
        stand: `FILE:EPISODE`.

    Raises:
        UsageError: a part of it is empty.
    """
    return [
        _episodes(
            part.strip(),
            text,
        )
        for part in text.split(",")
    ]


def _episodes(part: str, text: str) -> str | range:
    if _NUMBER.fullmatch(part):
        return range(int(part), int(part) + 1)
    if found := _RANGE.fullmatch(part):
        stop = int(found[2]) if found[2] else -1
        return range(int(found[1] or 0), stop)
    if not part:
        raise UsageError(
            "a part of the list of episodes is empty",
            expected="numbers and half-open ranges (3,7,10:15), or sources (day_1.hdf5:episode_3)",
            found=printable(text) or "nothing",
            next_step="remove the comma too many, or write what is missing beside it",
        )
    return part

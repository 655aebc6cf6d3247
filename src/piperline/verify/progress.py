"""How far a verification is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class VerifyProgress:
    """How far a verification is; `verify` calls back with it when it changes.

    Attributes:
        phase: `seal`, `itself`, `recordings` or `videos`.
        done, total: how much of it: bytes of `seal`, episodes of `itself`, frames of all cameras
            of the others.
    """

    phase: str = "seal"
    done: int = 0
    total: int = 0


Watcher = Callable[[VerifyProgress], None]


class Tally:
    """Counts what was looked at, for a watcher.

    Args:
        watch: told of every change.
    """

    def __init__(self, watch: Watcher = lambda _state: None) -> None:
        self._state, self._watch = VerifyProgress(), watch

    def begin(self, phase: str, total: int) -> None:
        """The next phase begins, of so much."""
        self._state = VerifyProgress(phase, 0, total)
        self._watch(self._state)

    def moved(self, count: int = 1) -> None:
        """So much more of it is done."""
        self._state.done += count
        self._watch(self._state)

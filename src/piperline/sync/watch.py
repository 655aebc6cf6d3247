"""sync --watch: recordings are taken as they become complete, beside a recorder that goes on."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from piperline.convert.plan import LeftOut
from piperline.errors import RecordingError
from piperline.recordings.find import Inputs, find_recordings
from piperline.recordings.growing import is_marked_open, open_for_writing
from piperline.sync.run import SyncOptions, SyncResult, sync

_Look = tuple[int, int]
_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class WatchRound:
    """What a round of watching tells; each thing once.

    Attributes:
        result: what came of it; None where it could not be done.
        left_out: what cannot be converted, and why.
        waiting: recordings that are not complete.
        error: why it could not be done.
    """

    result: SyncResult | None = None
    left_out: tuple[LeftOut, ...] = ()
    waiting: tuple[Path, ...] = ()
    error: RecordingError | None = None


def watch(
    inputs: Inputs, output: Path, options: SyncOptions, *, every: float
) -> Iterator[WatchRound]:
    """Sync again and again, without an end.

    A recording is taken when two looks found it of the same size and time, no process has it open
    for writing, and it does not say so itself. What cannot be converted is left out until it
    changes.

    Args:
        inputs: HDF5 files, and folders of them.
        output: the dataset's folder.
        options: how.
        every: seconds between two looks.

    Yields:
        What each round tells, if it tells anything new.

    Raises:
        PiperlineError: what `sync` raises, but for what recordings are.
    """
    watcher = _Watcher(inputs, output, options)
    while True:
        told = watcher.round()
        if told != WatchRound():
            yield told
        time.sleep(every)


class _Watcher:
    def __init__(
        self, inputs: Inputs, output: Path, options: SyncOptions
    ) -> None:
        self._inputs, self._output = inputs, output
        self._options = replace(options, skip_bad=True, held=self._is_held)
        self._looks: dict[Path, _Look] = {}
        self._held: dict[Path, bool] = {}
        self._told: set[object] = set()
        self._waiting: set[Path] = set()
        self._rounds = 0

    def round(self) -> WatchRound:
        """Look, and sync what is complete."""
        try:
            self._look()
            result = sync(self._inputs, self._output, self._options)
        except RecordingError as error:
            new = self._once([str(error)])
            return WatchRound(error=error) if new else WatchRound()
        except FileNotFoundError:  # a recording went while it was looked at
            return WatchRound()
        self._rounds += 1
        waiting = [p for p in result.waiting if p not in self._waiting]
        self._waiting = set(result.waiting)
        changed = not result.up_to_date or self._rounds == 1
        return WatchRound(
            result if changed else None,
            tuple(self._once(result.changes.left_out)),
            tuple(waiting),
        )

    def _look(self) -> None:
        """See which recordings are as they were at the last look, and closed."""
        files = [path for path, _ in find_recordings(self._inputs)]
        looks = {path: _look_at(path) for path in files if path.exists()}
        steady = [
            path for path in looks if looks[path] == self._looks.get(path)
        ]
        self._looks = looks
        writing = open_for_writing() if steady else set()
        closed = {
            path
            for path in steady
            if path.resolve() not in writing and not is_marked_open(path)
        }
        self._held = {path: path not in closed for path in files}

    def _is_held(self, path: Path) -> bool:
        return self._held.get(path, True)

    def _once(self, things: Iterable[_Thing]) -> list[_Thing]:
        """Those of some things that were not told yet."""
        new = [thing for thing in things if thing not in self._told]
        self._told.update(new)
        return new


def _look_at(path: Path) -> _Look:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns

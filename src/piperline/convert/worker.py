"""A worker process: it looks at recordings and stages episodes, as it is told over a socket.

It is started as a program of its own, not forked and not through `multiprocessing`: so it inherits
no locks of FFmpeg or HDF5, and callers need no `if __name__ == "__main__"` guard.
"""

import time
import traceback
from collections.abc import Callable

from piperline.convert.look import look
from piperline.convert.messages import (
    Done,
    Failed,
    Look,
    LookSetup,
    Moved,
    StageUnit,
    WorkerSetup,
)
from piperline.convert.stage import Staging
from piperline.errors import PiperlineError, Place, RecordingError, output_error
from piperline.process import serve_units
from piperline.recordings.limits import out_of_memory
from piperline.recordings.reader import Call, Crashed, answer
from piperline.text import printable

_REPORT_SECONDS = 0.1


class Reporter:
    """Sends progress, but not too often.

    Args:
        send: takes a message.
    """

    def __init__(self, send: Callable[[object], None]) -> None:
        self._send = send
        self._frames = self._size = 0
        self._next = 0.0

    def __call__(self, frames: int, size: int) -> None:
        """Take note of frames and recorded bytes that were gone through."""
        self._frames += frames
        self._size += size
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Send what was not sent yet."""
        self._send(Moved(self._frames, self._size))
        self._frames = self._size = 0
        self._next = time.monotonic() + _REPORT_SECONDS


def _work(
    setup: WorkerSetup | LookSetup,
    unit: StageUnit | Look,
    send: Callable[[object], None],
) -> Done | Failed | Crashed:
    place = (
        Place(file=unit.file) if isinstance(unit, Look) else unit.episode.place
    )
    try:
        match setup, unit:
            case LookSetup(), Look():
                look(setup, unit, send)
            case WorkerSetup(), StageUnit():
                _stage(setup, unit, Reporter(send))
    except PiperlineError as error:
        return Failed(error)
    except MemoryError:
        return Failed(out_of_memory(place))
    except OSError as error:
        if known := _of_system(error, setup, place):
            return Failed(known)
        return Crashed(traceback.format_exc())
    except Exception:  # noqa: BLE001 - it is told with its traceback
        return Crashed(traceback.format_exc())
    return Done()


def _of_system(
    error: OSError, setup: WorkerSetup | LookSetup, place: Place
) -> PiperlineError | None:
    """What the system says of the output, or, while nothing is written, of the recording."""
    if isinstance(setup, WorkerSetup):
        return output_error(error, setup.staging)
    return RecordingError(
        "the file cannot be read",
        place=place,
        expected="a file that stays where it is",
        found=printable(str(error)),
        next_step="check the path, and whether this user may read it",
    )


def _stage(setup: WorkerSetup, unit: StageUnit, report: Reporter) -> None:
    staging = Staging(setup.staging)
    episode, job = unit.episode, setup.job
    measured = episode.key in setup.measured
    if unit.camera is None:
        staging.stage_episode(episode, job, report, measured=measured)
    else:
        staging.stage_camera(
            episode, job, unit.camera, report, measured=measured
        )
    report.flush()


def main(descriptor: int) -> None:
    """Serve the pool over the socket `descriptor`, until it closes it."""

    def work(
        setup: WorkerSetup | LookSetup,
        unit: StageUnit | Look | Call,
        send: Callable[[object], None],
    ) -> object:
        if isinstance(unit, Call):
            return answer(setup, unit, send)
        return _work(setup, unit, send)

    serve_units(descriptor, work)

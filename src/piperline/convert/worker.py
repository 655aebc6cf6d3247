"""A worker process: it stages what it is told over a socket.

It is started as a program of its own, not forked and not through `multiprocessing`: so it inherits
no locks of FFmpeg or HDF5, and callers need no `if __name__ == "__main__"` guard.
"""

import time
import traceback
from collections.abc import Callable

from piperline.convert.messages import Crashed, Done, Failed, Moved, Unit, WorkerSetup
from piperline.convert.stage import Staging
from piperline.errors import PiperlineError, output_error
from piperline.process import serve_units

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
    setup: WorkerSetup, unit: Unit, send: Callable[[object], None]
) -> Done | Failed | Crashed:
    report = Reporter(send)
    staging = Staging(setup.staging)
    try:
        if unit.camera is None:
            staging.stage_episode(unit.episode, setup.job, report)
        else:
            staging.stage_camera(unit.episode, setup.job, unit.camera, report)
        report.flush()
    except PiperlineError as error:
        return Failed(error)
    except OSError as error:
        known = output_error(error, setup.staging)
        return Failed(known) if known else Crashed(traceback.format_exc())
    except Exception:
        return Crashed(traceback.format_exc())
    return Done()


def main(descriptor: int) -> None:
    """Serve the pool over the socket `descriptor`, until it closes it."""
    serve_units(descriptor, _work)

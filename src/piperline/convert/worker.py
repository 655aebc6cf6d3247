"""A worker process: it stages what it is told over a socket.

It is started as a program of its own, not forked and not through `multiprocessing`: so it inherits no locks of
FFmpeg or HDF5, and callers need no `if __name__ == "__main__"` guard.
"""

import time
import traceback
from multiprocessing.connection import Connection

from piperline.convert.messages import Crashed, Done, Failed, Moved, Setup, Task
from piperline.convert.stage import Staging
from piperline.errors import PiperlineError, output_error
from piperline.process import parent

_REPORT_SECONDS = 0.1


class Reporter:
    """Sends progress, but not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._frames, self._size, self._next = connection, 0, 0, 0.0

    def __call__(self, frames: int, size: int) -> None:
        """Take note of frames and recorded bytes that were gone through."""
        self._frames, self._size = self._frames + frames, self._size + size
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Send what was not sent yet."""
        self._connection.send(Moved(self._frames, self._size))
        self._frames = self._size = 0
        self._next = time.monotonic() + _REPORT_SECONDS


def _work(connection: Connection, setup: Setup, task: Task) -> Done | Failed | Crashed:
    report = Reporter(connection)
    staging = Staging(setup.staging)
    try:
        if task.camera is None:
            staging.stage_episode(task.episode, setup.job, report)
        else:
            staging.stage_camera(task.episode, setup.job, task.camera, report)
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
    """Serve the parent over the socket `descriptor`, until it closes it."""
    with parent(descriptor) as connection:
        setup: Setup = connection.recv()
        while True:
            task: Task = connection.recv()
            connection.send(_work(connection, setup, task))

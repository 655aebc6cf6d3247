"""What a process that reads recordings may take, and the errors where one takes more."""

import signal

from piperline.errors import BadEpisode, PiperlineError, Place, TaskFailed
from piperline.process import Died, Silent

WORKER_MEMORY = 8 << 30
"""Of a worker, in bytes of address space."""
WORKER_SECONDS = 600
"""For how long a worker may say nothing while it reads an episode."""
READER_MEMORY = 2 << 30
"""As WORKER_MEMORY, of a process that reads structure, numbers and single images."""
READER_SECONDS = 60
"""As WORKER_SECONDS, for such a process: it speaks when it comes to an episode."""
READ_MEMORY = 512 << 20
"""What reading some values may take, in bytes, beside what their dataset claims."""
MOST_DEATHS = 8
"""Of processes over one file: then the rest of it is not looked at."""
_CRASHES = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGABRT,
    signal.SIGFPE,
    signal.SIGILL,
}


def out_of_memory(place: Place) -> BadEpisode:
    """The error for a recording that takes more memory than a worker may have."""
    return BadEpisode(
        "this takes more memory than a recording may need",
        place=place,
        expected="images and vectors that fit into some gigabytes together",
        found="no memory left",
        next_step="leave it out with --skip-bad",
    )


def lost(why: Died | Silent, place: Place) -> PiperlineError:
    """The error for an episode at which a worker ended, or was ended.

    A worker that crashed or hung has met a recording that its libraries cannot take.
    """
    match why:
        case Silent(seconds):
            return _unreadable(place, f"nothing for {seconds:.0f} seconds")
        case Died(code) if -code in _CRASHES:
            return _unreadable(place, f"a crash ({signal.Signals(-code).name})")
    return died(why.code, place)


def _unreadable(place: Place, found: str) -> BadEpisode:
    return BadEpisode(
        "reading this crashes or hangs",
        place=place,
        expected="an undamaged recording",
        found=found,
        next_step="copy or record it again, or leave it out with --skip-bad",
    )


def died(code: int, place: Place) -> TaskFailed:
    """The error for a worker process that ended while it was at work on `place`.

    Args:
        code: its exit code; negative, a signal.
        place: what it was at work on.
    """
    how = (
        f"ended by {signal.Signals(-code).name}"
        if code < 0
        else f"ended with exit code {code}"
    )
    step = "run the same command again: it does only what is missing"
    if code == -signal.SIGKILL:
        step += "; if memory was short, with fewer --workers"
    return TaskFailed(
        "a worker process died", place=place, found=how, next_step=step
    )

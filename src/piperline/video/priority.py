"""Encoders that take more of the machine than they are given."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
    """Keep this thread's scheduling while an encoder opens, and give it to the encoder's threads.

    SVT-AV1 makes the thread that opens it, and its own, real-time ones where root runs it
    (`svt_av1_enc_init_handle`). All that is started from there would be real-time too, and a
    process that computes for long would leave no CPU to anything else.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _threads()
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            begun = _threads() - before
            for thread in (*begun, threading.get_native_id()):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(task.name) for task in _THREADS.iterdir()}

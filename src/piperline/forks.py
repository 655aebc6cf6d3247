"""A function called for many items by forks of this process: they see its memory, nothing is sent.

Only for processes without threads, such as a `Child` that is told that it forks: a fork has none of
them, but the locks that they held. Arrow has threads as soon as it reads: what is called must leave
it alone.
"""

import gc
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from piperline.process import ChildDied, end_with

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST = 32
"""Items that are worth a fork: it takes some milliseconds."""


def call_each(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> list[Result]:
    """The results for all items, in their order.

    A fork does half of them, and has forks of its own do parts of them: to start many takes little
    longer than to start some.

    Args:
        function: called with each of them; its results are pickled.
        items: what is to do.
        processes: at most; with one, and for few items, nothing is forked.

    Raises:
        ChildDied: something killed a fork.
        RuntimeError: the function raised something in one, with its traceback.
    """
    theirs = processes // 2
    if theirs == 0 or len(items) < 2 * FEWEST:
        return [function(item) for item in items]
    middle = len(items) - len(items) * theirs // processes
    try:
        fork = _Fork(lambda: call_each(function, items[middle:], theirs))
    except OSError:  # there may be no more processes: it takes longer
        return [function(item) for item in items]
    found = call_each(function, items[:middle], processes - theirs)
    return found + fork.result()


class _Fork(Generic[Result]):
    """A fork that calls a function and sends what it returns."""

    def __init__(self, function: Callable[[], list[Result]]) -> None:
        self._reading, writing = os.pipe()
        parent = os.getpid()
        try:
            self._process = os.fork()
        except OSError:
            os.close(self._reading)
            os.close(writing)
            raise
        if self._process == 0:
            _send_result(writing, parent, function)
        os.close(writing)

    def result(self) -> list[Result]:
        """What the function returned."""
        with os.fdopen(self._reading, "rb") as file:
            told = file.read()
        _, status = os.waitpid(self._process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            raise ChildDied(code)
        if code:
            raise RuntimeError(f"a fork ended with {code}")
        result, wrong = pickle.loads(told)  # noqa: S301 - of our own fork
        if wrong:
            raise wrong
        found: list[Result] = result
        return found


def _send_result(
    writing: int, parent: int, function: Callable[[], Any]
) -> None:
    """In the fork, which ends with it: what belongs to the parent is left alone."""
    gc.disable()  # a look through all objects would copy them
    result: Any = None
    wrong: Exception | None = None
    try:
        # It has the other end of its pipe, and those of its parents: without one that reads, it
        # would write for ever, and others would wait for it.
        end_with(parent)
        result = function()
    except ChildDied as death:
        wrong = death
    except BaseException:  # noqa: BLE001 - it is told to the parent
        wrong = RuntimeError(f"in a fork:\n{traceback.format_exc()}")
    # Whatever goes wrong here is told by the exit code: it must not go on as the parent.
    with suppress(BaseException):
        with os.fdopen(writing, "wb") as file:
            pickle.dump((result, wrong), file, pickle.HIGHEST_PROTOCOL)
        os._exit(0)
    os._exit(1)

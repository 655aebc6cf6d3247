"""How much address space this process may take: for its life, or while it reads something."""

import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock

_PAGE = resource.getpagesize()


class _MemoryLimit:
    """How much address space this process may take.

    Args:
        size: in bytes; less where the user has set less.
    """

    def __init__(self, size: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limits = [
            limit
            for limit in (size, soft, hard)
            if limit != resource.RLIM_INFINITY
        ]
        self._most, self._hard = min(limits), hard
        self._lock = RLock()
        self._set(self._most)

    @contextmanager
    def lowered(self, more: int) -> Iterator[None]:
        """While the body runs: at most `more` bytes more than the process has."""
        with self._lock:
            before, _ = resource.getrlimit(resource.RLIMIT_AS)
            self._set(min(self._most, _taken() + more))
            try:
                yield
            finally:
                self._set(before)

    def _set(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size, self._hard))


def _taken() -> int:
    """How much address space this process has taken, in bytes."""
    # A tenth of the time that `Path` would take.
    descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(descriptor, 64).split()[0]) * _PAGE
    finally:
        os.close(descriptor)


_memory_limit: _MemoryLimit | None = None


def limit_memory(size: int) -> None:
    """Let this process take `size` bytes at most; less where the user has set less."""
    global _memory_limit  # noqa: PLW0603 - a process has one
    _memory_limit = _MemoryLimit(size)


def at_most_more(size: int) -> AbstractContextManager[None]:
    """While the body runs, this process may take at most `size` bytes more than it has.

    Only a process of ours that was started with a limit: that of the user is left as it is.
    """
    return (
        nullcontext() if _memory_limit is None else _memory_limit.lowered(size)
    )


@contextmanager
def limited_memory(more: int) -> Iterator[None]:
    """While the body runs, this process may take at most `more` bytes more than it has.

    As in a process that was started with that limit, `at_most_more` holds there.
    """
    global _memory_limit  # noqa: PLW0603 - a process has one
    outer, before = _memory_limit, resource.getrlimit(resource.RLIMIT_AS)
    _memory_limit = _MemoryLimit(_taken() + more)
    try:
        yield
    finally:
        _memory_limit = outer
        resource.setrlimit(resource.RLIMIT_AS, before)

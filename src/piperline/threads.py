"""Threads that share work: in order, and not all at once, so that what waits takes no memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD = 8
"""Batches for each thread: while one that takes long is waited for, the others go on."""


def in_threads(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    threads: int,
    *,
    batch: int = 1,
) -> Generator[_Result, None, None]:
    """What `work` makes of each item, in order.

    Args:
        work: what is done; not in Python's lock, for the most part.
        items: are taken as threads become free.
        threads: how many.
        batch: items that a thread takes at once, where handing one out costs as much as its work.

    Raises:
        Exception: what the work raised; what has not begun by then is dropped.
    """
    waiting: deque[Future[list[_Result]]] = deque()
    ended = Event()

    def all_of(some: Sequence[_Item]) -> list[_Result]:
        return [work(item) for item in some if not ended.is_set()]

    with ThreadPoolExecutor(threads) as pool:
        try:
            for some in batches(items, batch):
                waiting.append(pool.submit(all_of, some))
                if len(waiting) >= threads * _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            ended.set()  # else a batch would go on to its end after Ctrl-C
            for future in waiting:
                future.cancel()


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Items in lists of `size`, the last of them shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch

"""When Python looks for garbage: not while a process loads its modules, nor when it ends.

Both look through all objects there are, and find nothing: that is a fifth of a second of CPU where
numpy, Arrow, FFmpeg and HDF5 are loaded.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 100_000
"""New objects after which Python looks; some 10 MB."""


@contextmanager
def loading() -> Iterator[None]:
    """The body loads modules: all of them stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def seldom() -> Iterator[None]:
    """The body makes many objects that stay: to look through them again and again finds nothing."""
    before = gc.get_threshold()
    gc.set_threshold(_MANY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def about_to_end() -> None:
    """The process ends, and all that it holds with it."""
    gc.freeze()

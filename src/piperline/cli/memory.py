"""What is said where memory is short, before the libraries fail in ways of their own."""

import resource

from piperline.errors import PiperlineError
from piperline.text import printable

_LEAST_MEMORY = 1 << 30
_WORDS = (
    "failed to map",
    "cannot allocate",
    "cannot map",
    "can't start new thread",
)
"""Of libraries that could not be loaded, and of Python."""


def see_that_libraries_fit() -> None:
    """Look at the limit of address space: with too little of it, libraries crash.

    Raises:
        PiperlineError: there is too little.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < _LEAST_MEMORY:
        raise _no_memory(
            "the limit of memory is too low", f"{most >> 20} MiB (ulimit -v)"
        )


def is_of_memory(error: Exception) -> bool:
    """Whether no memory is left: libraries cannot be loaded then either."""
    return isinstance(error, MemoryError) or any(
        word in str(error).lower() for word in _WORDS
    )


def out_of_memory(error: Exception) -> PiperlineError:
    """What to say of such an error."""
    lines = str(error).splitlines()  # the last one of a process of ours tells
    found = lines[-1] if lines else "an allocation that failed"
    return _no_memory("there is no memory left", printable(found))


def _no_memory(message: str, found: str) -> PiperlineError:
    return PiperlineError(
        message,
        expected="memory for the libraries and for some images: 2 GiB of address space or more",
        found=found,
        next_step="see `ulimit -v` and what else runs here; with fewer --workers less is needed",
    )

"""Whether a recording is still being written, without a lock that would disturb its recorder."""

import os
from pathlib import Path

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSION, _FLAGS = 8, 11
"""Where the superblock has its version, and from version 2 on its consistency flags."""
_OPEN_TO_WRITE, _OPEN_SWMR = 0b001, 0b100
_MARKED_SINCE = 2


def is_marked_open(path: Path) -> bool:
    """Whether an HDF5 file says that it is open for writing, or was not closed.

    Source: HDF5 File Format Specification 3.0, II.A, superblock versions 2 and 3.
    """
    if not path.is_file():
        return False  # a pipe would be waited for
    try:
        with path.open("rb") as file:
            head = file.read(_FLAGS + 1)
    except OSError:
        return False
    if not head.startswith(_SIGNATURE) or len(head) <= _FLAGS:
        return False
    marked = head[_FLAGS] & (_OPEN_TO_WRITE | _OPEN_SWMR)
    return head[_VERSION] >= _MARKED_SINCE and bool(marked)


def open_for_writing() -> set[Path]:
    """The files that processes have open for writing, as far as this user may know."""
    found: set[Path] = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = Path(descriptor.readlink())
            info = descriptor.parents[1] / "fdinfo" / descriptor.name
            flags = next(
                line.split()[1]
                for line in info.read_text().splitlines()
                if line.startswith("flags:")
            )
        except (
            OSError,
            StopIteration,
        ):  # it has ended meanwhile, or is another user's
            continue
        if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
            found.add(target)
    return found

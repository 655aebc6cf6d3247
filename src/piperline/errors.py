"""Every error that piperline raises on purpose.

    PiperlineError              message, place, expected and found, next step                exit 1
    |- UsageError               options that cannot be                                       exit 2
    |- LayoutError              the layout itself is wrong                                   exit 2
    |- RecordingError           the HDF5 input is not what the layout says                   exit 3
    |   |- LayoutMismatch       dataset missing, wrong shape or dtype
    |   '- BadEpisode           this episode only; --skip-bad leaves it out
    |- DatasetError             a LeRobot dataset on disk cannot be read                     exit 4
    |   |- UnsupportedVersion   a LeRobot version that this command cannot read
    |   '- IncompatibleDatasets datasets that cannot become one
    |- OutputExists             the output already exists and is not changed                 exit 5
    |- OutputError              the output cannot be written (no space, no permission)       exit 5
    |- VideoError               an encoder is missing, or FFmpeg failed                      exit 6
    |- TaskFailed               episodes failed or workers died                              exit 7
    '- HubError                 the Hugging Face Hub refused, or cannot be reached           exit 8

Exceptions stop an operation. What a check finds is data, not an exception: see `piperline.finding`.
"""

import errno
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from piperline.text import printable


@dataclass(frozen=True)
class Place:
    """Where something is wrong. Every field may be unknown.

    Attributes:
        file: the file or folder.
        hdf5_path: the path inside an HDF5 file.
        episode: the episode's name.
        camera: the camera's name.
        frame: the frame's number in its episode, from 0.
    """

    file: Path | str | None = None
    hdf5_path: str | None = None
    episode: str | None = None
    camera: str | None = None
    frame: int | None = None

    def __str__(self) -> str:
        """Name what is known, control characters made visible: names come from untrusted files."""
        known: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                name = field.name.replace("hdf5_path", "HDF5 path")
                known.append(f"{name} {printable(str(value))}")
        return ", ".join(known)

    def document(self) -> dict[str, str]:
        """What is known, for JSON."""
        return {
            name: str(value)
            for name, value in vars(self).items()
            if value is not None
        }


class PiperlineError(Exception):
    """Something that the user can correct.

    Args:
        message: what is wrong, one sentence.
        place: where.
        expected: what should have been there.
        found: what was there.
        next_step: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        place: Place | None = None,
        expected: str | None = None,
        found: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.expected = expected
        self.found = found
        self.next_step = next_step

    def __str__(self) -> str:
        """All that is known, a line each."""
        parts = (
            ("", self.message),
            ("where:    ", str(self.place) if self.place else None),
            ("expected: ", self.expected),
            ("found:    ", self.found),
            ("next:     ", self.next_step),
        )
        return "\n".join(f"{label}{text}" for label, text in parts if text)

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel from worker processes with all that they know."""
        # vars: notes as well.
        return _rebuild, (type(self), self.message, self._known()), vars(self)

    def _known(self) -> dict[str, object]:
        return {
            "place": self.place,
            "expected": self.expected,
            "found": self.found,
            "next_step": self.next_step,
        }


def _rebuild(
    kind: type[PiperlineError], message: str, known: dict[str, object]
) -> PiperlineError:
    return kind(message, **known)  # type: ignore[arg-type]


class UsageError(PiperlineError):
    """Options that cannot be, or do not go together."""

    exit_code = 2


class LayoutError(PiperlineError):
    """A layout file that is not a layout."""

    exit_code = 2


class RecordingError(PiperlineError):
    """An HDF5 file that is not a recording of the layout, or cannot be read."""

    exit_code = 3


class LayoutMismatch(RecordingError):
    """A recording in which something that the layout declares is missing or different."""


class BadEpisode(RecordingError):
    """One episode that cannot be converted; the others can."""


FETCH_AGAIN = (
    "fetch the dataset again, put it back from a copy, or make it anew"
)


SAME_AGAIN = "run the same command again; check the disk if this comes again"
"""What to do where what was written is not what was to be written."""


class DatasetError(PiperlineError):
    """A LeRobot dataset on disk that cannot be read: somebody else's file, so all four lines count.

    Args:
        message: what is wrong, one sentence.
        expected: what should have been there.
        found: what was there.
        place: where; added on the way up where it is not known at once.
        next_step: what to do about it; of a damaged file by default.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        expected: str,
        found: str,
        place: Place | None = None,
        next_step: str = FETCH_AGAIN,
    ) -> None:
        super().__init__(
            message,
            place=place,
            expected=expected,
            found=found,
            next_step=next_step,
        )


class UnsupportedVersion(DatasetError):
    """A dataset of a LeRobot version that this command does not read."""


class IncompatibleDatasets(DatasetError):
    """Datasets that cannot become one; the message lists every difference."""


class OutputExists(PiperlineError):
    """The output already exists; it is not changed."""

    exit_code = 5


class OutputError(PiperlineError):
    """The output cannot be written there: no space, no permission, not a folder."""

    exit_code = 5


class VideoError(PiperlineError):
    """An encoder is missing, or FFmpeg failed; its own last words are in `found`."""

    exit_code = 6


class TaskFailed(PiperlineError):
    """Episodes that could not be converted, or worker processes that died; the rest is done."""

    exit_code = 7


class HubError(PiperlineError):
    """The Hugging Face Hub refused, or cannot be reached."""

    exit_code = 8


def check_workers(workers: int | None) -> None:
    """See that there is to be a worker process, where a number of them is named.

    Raises:
        UsageError: there is to be none.
    """
    if workers is not None and workers < 1:
        raise UsageError(
            "there must be at least one worker process",
            expected="--workers 1, or more",
            found=f"--workers {workers}",
            next_step="give --workers 1 or more, or leave the option out: "
            "the CPUs then tell how many there are",
        )


_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}
_BROKEN = {
    errno.EIO: "the disk, or the network to it, has failed",
    errno.ESTALE: "the file system was taken away: its server knows the file no more",
}
_NOT_WRITABLE = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "there is no permission to write",
    errno.EPERM: "there is no permission to write",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EEXIST: "a file, or a link that leads nowhere, lies in the place of a folder",
    errno.ENAMETOOLONG: "a name is longer than the file system takes",
    errno.EBUSY: "a folder cannot be renamed: it is a mount point, or another program holds it",
    errno.EXDEV: "a folder cannot be renamed: it, or its place, lies on another file system",
}


LARGER_FILES = (
    "a limit of file size within which the output fits",
    "raise the limit, `ulimit -f unlimited`, and run the same command again",
)
"""What is expected, and what to do, where a file may not grow."""


def _has_no_inodes(path: Path) -> bool:
    """Whether a file system is full by its number of files."""
    there = next(one for one in (path, *path.parents) if one.exists())
    known = os.statvfs(there)
    return known.f_files > 0 and known.f_favail == 0


def output_error(
    error: OSError, path: Path, no_room: str | None = None
) -> OutputError | None:
    """The error for output that cannot be written at `path`; None for any other error.

    Args:
        error: what the system said.
        path: the output.
        no_room: what to do for want of room or permission; None: what is done is kept.
    """
    code = error.errno or 0
    reason = (_NO_ROOM | _BROKEN | _NOT_WRITABLE).get(code)
    if reason is None:
        return None
    if code == errno.ENOSPC and _has_no_inodes(path):
        reason = "the file system takes no more files: it has no inodes left"
    expected, step = (
        "a folder in which this user can write",
        "choose another folder",
    )
    if code == errno.EXDEV:
        # overlayfs: what came with the image of a container has no name of its own
        step += ", or in a container make a copy of the old one first, which can be renamed"
    if code in _NO_ROOM:
        expected = "room for the output"
        step = "make room: what is done is kept, and the same command goes on from there"
    step = no_room or step
    if code == errno.EFBIG:
        expected, step = LARGER_FILES
    if code in _BROKEN:
        expected = "a disk that takes what is written"
        step = (
            "see what `dmesg` says of the disk, and run the same command again"
        )
    return OutputError(
        reason,
        place=Place(file=path),
        expected=expected,
        found=printable(str(error)),
        next_step=step,
    )

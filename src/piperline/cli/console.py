"""What commands say: data on standard output, prose on standard error."""

import errno
import json
import os
import re
import resource
import shlex
import shutil
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from piperline.errors import LARGER_FILES, PiperlineError, Place
from piperline.text import printable

Volume = Literal["quiet", "normal", "verbose"]

_COMMANDS = (
    "convert|review|sync|migrate|edit|aggregate|verify|push|pull|demo|layout|"
    "hdf5|shards|groot"
)
_OWN_COMMAND = re.compile(
    rf"(?<![\w./-])piperline(?= (?:{_COMMANDS}|--help)\b)"
)

_ROOM = (
    "room for what is written",
    "make room, and run the same command again",
)
_MAY_USE = (
    "a path that this user may use",
    "choose a path that this user may use, or change its permissions",
)
_EXPECTED_AND_NEXT = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: LARGER_FILES,
    errno.EROFS: (
        "a folder that can be written",
        "choose a folder that can be written",
    ),
    errno.EACCES: _MAY_USE,
    errno.EPERM: _MAY_USE,
    errno.EIO: (
        "a disk that works",
        "see what `dmesg` says of the disk, and run the same command again",
    ),
    errno.EEXIST: (
        "a folder, or nothing",
        "move away what lies there, a file or a link that leads nowhere",
    ),
    errno.ENOENT: ("a file or folder of that name", "check the path"),
}
_OTHERWISE = (
    "a path that this user may use",
    "check the path, and whether this user may use it",
)

_NO_TEMPORARY_FOLDER = "No usable temporary directory"
"""What `tempfile` says, whatever it was that kept it from writing."""


class Output:
    """Where a command's words go.

    Args:
        json_wanted: one JSON document on standard output instead of prose; notes still go to
            standard error.
    """

    volume: ClassVar[Volume] = "normal"
    """`quiet`: results and errors only; `verbose`: also where an error comes from."""

    def __init__(self, *, json_wanted: bool = False) -> None:
        self.json_wanted = json_wanted

    def data(self, text: str) -> None:
        """A line of the result, for people."""
        if not self.json_wanted:
            sys.stdout.write(as_typed(text) + "\n")

    def document(
        self,
        value: Mapping[str, Any] | list[Any],
    ) -> None:
        """The result, for programs; only if JSON was asked for."""
        if self.json_wanted:
            text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
            sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """A word beside the result; none if `--quiet` was asked for."""
        if self.volume != "quiet":
            sys.stderr.write(as_typed(text) + "\n")

    def error(self, error: Exception) -> None:
        """Why a command failed: message, place, expected, found, next step."""
        notes = getattr(error, "__notes__", [])
        sys.stderr.write(
            as_typed("\n".join([f"error: {error}", *notes])) + "\n"
        )
        if self.volume == "verbose":
            sys.stderr.write("".join(traceback.format_exception(error)))


def as_typed(text: str) -> str:
    """`text` with our own commands as the user can type them where they stand."""
    return _OWN_COMMAND.sub(lambda _: program(), text)


def program() -> str:
    """How this program is called: `piperline` if the shell finds it, else its path."""
    if Path(sys.argv[0]).name == "__main__.py":
        return shlex.join(
            [
                _shortest(Path(sys.executable)),
                "-m",
                "piperline",
            ]
        )
    own = Path(sys.executable).with_name("piperline")
    if Path(sys.argv[0]).name == "piperline":
        own = Path(sys.argv[0])
    found = shutil.which("piperline")
    if found and own.exists() and Path(found).samefile(own):
        return "piperline"
    if not own.exists():
        return shlex.join(
            [
                _shortest(Path(sys.executable)),
                "-m",
                "piperline",
            ]
        )
    return shlex.quote(_shortest(own))


def _shortest(path: Path) -> str:
    """A path as one would type it: relative if it lies below the working directory."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are kept: .venv/bin/python is one
    if absolute.is_relative_to(Path.cwd()):
        return str(absolute.relative_to(Path.cwd()))
    return str(absolute)


def system_error(error: OSError) -> PiperlineError:
    """An error of the operating system, in the form of ours."""
    reason = error.strerror or str(error)
    if reason.startswith(_NO_TEMPORARY_FOLDER):
        return _no_temporary_file(error)
    expected, step = _EXPECTED_AND_NEXT.get(error.errno or 0, _OTHERWISE)
    place = (
        Place(file=printable(os.fsdecode(error.filename)))
        if error.filename
        else None
    )
    return PiperlineError(
        f"the operating system refused: {reason}",
        place=place,
        expected=expected,
        found=printable(str(error)),
        next_step=step,
    )


def _no_temporary_file(error: OSError) -> PiperlineError:
    """The error where no folder takes a temporary file; a limit of file size is the true cause."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    found = printable(str(error))
    _, step = LARGER_FILES
    if most == resource.RLIM_INFINITY:
        step = "make room in /tmp, or name another folder: TMPDIR=FOLDER before the command"
    else:
        found = f"a limit of file size of {most:,} bytes (ulimit -f)"
    return PiperlineError(
        "no temporary file can be written",
        expected="a folder for temporary files: TMPDIR, /tmp or /var/tmp",
        found=found,
        next_step=step,
    )

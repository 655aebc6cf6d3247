"""The prompt of the HDF5 shell, with line editing and completion on a terminal; and its answers."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from piperline.cli.console import Output
from piperline.cli.hdf5_shown import Screen, shell_completed, shell_told
from piperline.cli.hdf5_text import attribute_text, node_lines, values_lines
from piperline.errors import PiperlineError
from piperline.hdf5.inspect import Node
from piperline.hdf5.shell import Answer, Listing, Usage, WrittenImage
from piperline.hdf5.values import SampledValues
from piperline.recordings.reader import Read, Reader
from piperline.text import printable
from piperline.video.images import contact_sheet

_WIDEST_NAME = 24  # to which what follows is aligned


def interact(path: Path) -> int:
    """Read commands until `exit` or the end of input.

    The file is read in a process of its own: if a command crashes it, or is interrupted, the next
    one gets another.

    Returns:
        The exit code: from a pipe, that of the last command that failed; 0 on a terminal.
    """
    out, terminal = Output(), sys.stdin.isatty()
    code = 0
    with Reader() as read:
        shell = _Shell(path, read)
        shell.run("pwd")
        if terminal:
            _complete_with(shell)
            out.note(
                f"{path.name}: `help` lists the commands, Tab completes names"
            )
        for line in _lines(shell, out) if terminal else sys.stdin:
            try:
                for answer in shell.run(line):
                    out.data(answer)
            except PiperlineError as error:
                out.error(error)
                code = error.exit_code
            except KeyboardInterrupt:
                out.note("interrupted")
            if shell.closed:
                break
    return 0 if terminal else code


class _Shell:
    """The shell of a file, which another process reads.

    Args:
        path: the file.
        read: calls what reads it.
    """

    def __init__(self, path: Path, read: Read) -> None:
        self.here: tuple[str, ...] = ()
        self.closed = False
        self._path, self._read = path, read

    def run(self, line: str) -> tuple[str, ...]:
        """Do what `line` says; the lines of the answer.

        Raises:
            PiperlineError: it cannot be done.
        """
        width = shutil.get_terminal_size((80, 24)).columns
        screen = Screen(width, sys.stdout.isatty())
        told = self._read(
            self._path, shell_told, self._path, self.here, line, screen
        )
        self.here, self.closed = told.here, told.closed
        return told.lines

    def complete(self, line: str) -> tuple[str, ...]:
        """The lines that `line` may become."""
        try:
            return self._read(
                self._path, shell_completed, self._path, self.here, line
            )
        except PiperlineError:
            return ()


def _lines(shell: _Shell, out: Output) -> Iterator[str]:
    """What is typed; Ctrl-C gives up a line, Ctrl-D ends."""
    while True:
        try:
            yield input(f"/{'/'.join(shell.here)}> ")
        except KeyboardInterrupt:
            out.note("")
        except EOFError:
            out.note("")
            return


def _complete_with(shell: _Shell) -> None:
    """Let Tab complete, and the arrow keys go through what was typed."""
    import readline

    def complete(_: str, number: int) -> str | None:
        found = shell.complete(
            readline.get_line_buffer()[: readline.get_endidx()]
        )
        if number >= len(found):
            return None
        return found[number][readline.get_begidx() :]

    readline.set_completer_delims(" /")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


# --- answers --------------------------------------------------------------------------------------


def answer_lines(answer: Answer, width: int) -> Iterator[str]:
    """What a command of the shell answered."""
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, Usage):
        yield from _usage_lines(answer)
    elif isinstance(answer, Listing):
        yield from _listing_lines(answer, width)
    elif isinstance(answer, Node):
        yield answer.path
        yield from node_lines(answer, width, level=0, whole=True)
    elif isinstance(answer, SampledValues):
        yield from values_lines(answer, width - 4, whole=True)
    elif isinstance(answer, WrittenImage):
        yield f"{answer.path}: {answer.width}x{answer.height}"
    elif isinstance(answer, np.ndarray):
        yield from image_lines(answer, width - 4)
    elif isinstance(answer, Mapping):
        yield from _all_attributes(answer)


def _usage_lines(usage: Usage) -> Iterator[str]:
    width = max(map(len, usage.commands)) + 2
    for command, meaning in usage.commands.items():
        yield f"{command:{width}}{meaning}"


def _listing_lines(listing: Listing, width: int) -> Iterator[str]:
    names = max(
        (cell_len(node.name) + 1 for node in listing.nodes),
        default=0,
    )
    for node in listing.nodes:
        if listing.is_tree:
            yield from node_lines(node, width)
        else:
            yield from node_lines(
                node, width, level=0, names=min(names, _WIDEST_NAME)
            )


def _all_attributes(
    attributes: Mapping[str, SampledValues | str],
) -> Iterator[str]:
    """Attributes, whole; a text keeps its lines."""
    if not attributes:
        yield "no attributes"
    for name, value in attributes.items():
        if isinstance(value, SampledValues) and len(value.texts) == 1:
            first, *rest = value.texts[0].splitlines() or [""]
            yield f"@{name} = {printable(first)}"
            yield from map(printable, rest)
        else:
            yield f"@{name} = {attribute_text(value, whole=True)}"


def image_lines(
    image: NDArray[np.uint8],
    columns: int,
) -> Iterator[str]:
    """An image in the colours of a terminal, two rows of pixels in a line.

    The upper half block is in one pixel's colour, its background in the other's.
    """
    small = contact_sheet([[image]], gap=0, max_width=columns)
    for upper, lower in zip(
        small[0::2],
        small[1::2],
        strict=False,
    ):
        pairs = zip(upper.tolist(), lower.tolist(), strict=True)
        yield (
            "".join(_half_blocks(above, below) for above, below in pairs)
            + "\x1b[0m"
        )


def _half_blocks(above: Sequence[int], below: Sequence[int]) -> str:
    foreground, background = (
        ";".join(map(str, color)) for color in (above, below)
    )
    return f"\x1b[38;2;{foreground}m\x1b[48;2;{background}m▀"

"""The prompt of the HDF5 shell: on a terminal with line editing, history and completion."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from piperline.cli.console import Output
from piperline.cli.hdf5_text import answer_lines
from piperline.errors import PiperlineError
from piperline.hdf5.shell import Shell
from piperline.recordings.hdf5 import open_file


def interact(path: Path) -> int:
    """Read commands until `exit` or the end of input.

    Returns:
        The exit code: from a pipe, that of the last command that failed; 0 on a terminal.
    """
    out, terminal = Output(), sys.stdin.isatty()
    code = 0
    with open_file(path) as file:
        shell = Shell(file, images=sys.stdout.isatty())
        if terminal:
            _complete_with(shell)
            out.note(f"{path.name}: `help` lists the commands, Tab completes names")
        for line in _lines(shell, out) if terminal else sys.stdin:
            try:
                for answer in answer_lines(shell.run(line), _width()):
                    out.data(answer)
            except PiperlineError as error:
                out.error(error)
                code = error.exit_code
            except KeyboardInterrupt:
                out.note("interrupted")
            if shell.closed:
                break
    return 0 if terminal else code


def _width() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def _lines(shell: Shell, out: Output) -> Iterator[str]:
    """What is typed; Ctrl-C gives up a line, Ctrl-D ends."""
    while True:
        try:
            yield input(f"{shell.path}> ")
        except KeyboardInterrupt:
            out.note("")
        except EOFError:
            out.note("")
            return


def _complete_with(shell: Shell) -> None:
    """Let Tab complete, and the arrow keys go through what was typed."""
    import readline  # noqa: PLC0415 - from a pipe there is nothing to edit

    def complete(_: str, number: int) -> str | None:
        found = shell.complete(readline.get_line_buffer()[: readline.get_endidx()])
        if number >= len(found):
            return None
        return found[number][readline.get_begidx() :]

    readline.set_completer_delims(" /")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")

"""The command tree. Commands are named by their import path, so that `--help` imports nothing heavy."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from piperline import __version__
from piperline.cli.output import Output
from piperline.errors import PiperlineError

__all__ = ["app", "main", "run"]

app = App(
    name="piperline",
    version=__version__,
    help="Robot recordings in HDF5 to LeRobot datasets that NVIDIA Isaac GR00T trains on.",
    help_format="markdown",
    default_parameter=None,
)

app.command(layout := App(name="layout", help="Layouts: what recordings of one kind hold."))
layout.command("piperline.cli.layout:list_layouts", name="list", help="List the built-in layouts.")
layout.command("piperline.cli.layout:show", name="show", help="Print a built-in layout as TOML.")


def run(tree: App, tokens: Sequence[str] | None = None) -> int:
    """Run a command of `tree` and turn its errors into one message and an exit code.

    Returns:
        0, or the exit code of the error (see `piperline.errors`); 2 for a wrong command line, 130 after Ctrl-C.
    """
    output = Output()
    try:
        result = tree(tokens, exit_on_error=False, print_error=True)
    except CycloptsError:
        return 2
    except PiperlineError as error:
        output.error(error)
        return error.exit_code
    except OSError as error:
        output.error(error)
        return 1
    except KeyboardInterrupt:
        output.note("interrupted")
        return 130
    return result if isinstance(result, int) else 0


def main() -> None:
    """The `piperline` command."""
    sys.exit(run(app))

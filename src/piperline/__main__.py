"""`python -m piperline`, and the `piperline` command: Ctrl-C is answered from the first moment."""

import signal
import sys
from types import FrameType

from piperline.garbage import about_to_end, loading


def main() -> None:
    """Start the command line; its imports take a while, and Ctrl-C may come first."""
    signal.signal(signal.SIGINT, _interrupted)
    with loading():
        from piperline.cli.app import main as command_line
    try:
        command_line()
    finally:
        about_to_end()


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    sys.stderr.write("interrupted: nothing was changed\n")
    sys.exit(130)


if __name__ == "__main__":
    main()

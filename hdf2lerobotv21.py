"""Convert Piper recordings into a LeRobot v2.1 dataset; also `piperline convert`."""

import sys

try:
    from piperline.cli.app import run
    from piperline.cli.scripts import hdf2lerobotv21
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install ."
    )

if __name__ == "__main__":
    sys.exit(run(hdf2lerobotv21))

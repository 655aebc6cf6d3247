"""Convert Piper recordings into a LeRobot v2.1 dataset: `piperline convert` with the documented options."""

import sys

from piperline.cli.app import run
from piperline.cli.scripts import hdf2lerobotv21

if __name__ == "__main__":
    sys.exit(run(hdf2lerobotv21))

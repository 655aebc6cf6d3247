"""LeRobot v3.0 to v2.1; also `piperline migrate DATASET --to v2.1`."""

import sys

try:
    from piperline.cli.app import run
    from piperline.cli.dataset import migrate_script
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install ."
    )

if __name__ == "__main__":
    sys.exit(run(migrate_script))

"""LeRobot v3.0 to v2.1: `lerobot_v30_to_v21.py --repo-id lerobot/pusht`. Also `piperline migrate DATASET --to v2.1`."""

import sys

from piperline.cli.app import run
from piperline.cli.dataset import migrate_script

if __name__ == "__main__":
    sys.exit(run(migrate_script))

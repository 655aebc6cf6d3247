"""Make one dataset of shards: `python convert_parallel/aggregate_hdf5_shards.py --repo-id A/B --num-shards 4`.

Also `piperline shards aggregate`.
"""

import sys

from piperline.cli.shards import aggregate_hdf5_shards

if __name__ == "__main__":
    sys.exit(aggregate_hdf5_shards())

"""Convert recordings in parallel, into shards: `python convert_parallel/convert_hdf5_shards.py --all --workers 4 ...`.

Also `piperline shards convert`.
"""

import sys

from piperline.cli.shards import convert_hdf5_shards

if __name__ == "__main__":
    sys.exit(convert_hdf5_shards())

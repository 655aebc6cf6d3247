"""Convert recordings in parallel, into shards; also `piperline shards convert`."""

import sys

try:
    from piperline.cli.shards import convert_hdf5_shards
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install ."
    )

if __name__ == "__main__":
    sys.exit(convert_hdf5_shards())

"""Repack HDF5 files; also `piperline hdf5 repack` and `analyze`."""

import sys

try:
    from piperline.cli.hdf5_scripts import repack_hdf5
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install ."
    )

if __name__ == "__main__":
    sys.exit(repack_hdf5())

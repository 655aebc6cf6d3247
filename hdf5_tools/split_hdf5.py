"""Split an HDF5 file; also `piperline hdf5 split` and `groups`."""

import sys

try:
    from piperline.cli.hdf5_scripts import split_hdf5
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install .")

if __name__ == "__main__":
    sys.exit(split_hdf5())

"""Show what an HDF5 file holds; also `piperline hdf5 inspect`."""

import sys

try:
    from piperline.cli.hdf5_scripts import read_hdf5
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install .")

if __name__ == "__main__":
    sys.exit(read_hdf5())

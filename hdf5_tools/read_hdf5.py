"""Look into an HDF5 file: `python hdf5_tools/read_hdf5.py data.h5 --attrs --preview`."""

import sys

try:
    from piperline.cli.hdf5_scripts import read_hdf5
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install ."
    )

if __name__ == "__main__":
    sys.exit(read_hdf5())

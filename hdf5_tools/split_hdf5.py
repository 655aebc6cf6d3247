"""Split an HDF5 file: `python hdf5_tools/split_hdf5.py split-hdf5-file -i data.h5`."""

import sys

try:
    from piperline.cli.hdf5_scripts import split_hdf5
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {error}; in the checkout, with Python 3.11 or newer: python -m pip install ."
    )

if __name__ == "__main__":
    sys.exit(split_hdf5())

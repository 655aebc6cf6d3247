"""Look into an HDF5 file: `python hdf5_tools/read_hdf5.py data.h5 --attrs --preview`."""

import sys

from piperline.cli.hdf5_scripts import read_hdf5

if __name__ == "__main__":
    sys.exit(read_hdf5())

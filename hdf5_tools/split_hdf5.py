"""Split an HDF5 file: `python hdf5_tools/split_hdf5.py split-hdf5-file -i data.h5`."""

import sys

from piperline.cli.hdf5_scripts import split_hdf5

if __name__ == "__main__":
    sys.exit(split_hdf5())

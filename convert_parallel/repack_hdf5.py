"""Repack HDF5 files: `python convert_parallel/repack_hdf5.py repack -i data -e 50`. Also `piperline hdf5 repack`."""

import sys

from piperline.cli.hdf5_scripts import repack_hdf5

if __name__ == "__main__":
    sys.exit(repack_hdf5())

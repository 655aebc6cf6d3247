"""Tools for HDF5 files: look into them, split them, repack them."""

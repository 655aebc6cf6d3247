"""Recordings: HDF5 files seen through a layout. They are untrusted."""

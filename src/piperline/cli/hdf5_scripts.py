"""The documented scripts for HDF5 files: the commands of `piperline hdf5` under other names."""

from cyclopts import App

from piperline.cli import hdf5
from piperline.cli.app import run


def read_hdf5() -> int:
    """`hdf5_tools/read_hdf5.py`; returns the exit code."""
    tree = App(
        name="read_hdf5.py",
        version_flags=(),
        help="Show what an HDF5 file holds.",
    )
    tree.default(hdf5.inspect)
    return run(tree)


def split_hdf5() -> int:
    """`hdf5_tools/split_hdf5.py`; returns the exit code."""
    tree = App(
        name="split_hdf5.py",
        version_flags=(),
        help="Make a file of each top-level group of an HDF5 file.",
    )
    tree.command(hdf5.groups, name="list-hdf5-groups")
    tree.command(hdf5.split, name="split-hdf5-file")
    return run(tree)


def repack_hdf5() -> int:
    """`convert_parallel/repack_hdf5.py`; returns the exit code."""
    tree = App(
        name="repack_hdf5.py",
        version_flags=(),
        help="Put episodes into files of equally many each.",
    )
    tree.command(hdf5.analyze, name="analyze")
    tree.command(hdf5.repack, name="repack")
    return run(tree)

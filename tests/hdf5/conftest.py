"""Files that the tests of the HDF5 tools look at."""

import h5py
import pytest

from tests.hdf5.kinds import KINDS


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """A file with every kind of thing; nobody writes to it."""
    path = tmp_path_factory.mktemp("zoo") / "zoo.h5"
    with h5py.File(path, "w") as file:
        for kind, build in KINDS.items():
            build(file.create_group(kind), "it")
        file["images many"] = h5py.SoftLink("/images/it")
        file["far"] = h5py.ExternalLink("zoo.h5", "/x")
        file["lost"] = h5py.ExternalLink("none.h5", "/x")
    return path

import shutil

import pytest

from tests.groot.datasets import make_dataset


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A clean Piper dataset, not to be changed."""
    return make_dataset(tmp_path_factory.mktemp("groot") / "good")


@pytest.fixture
def copy(good, tmp_path):
    """A clean Piper dataset of one's own."""
    shutil.copytree(good, tmp_path / "dataset")
    return tmp_path / "dataset"

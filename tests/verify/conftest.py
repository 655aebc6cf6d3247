import pytest

from tests.verify.sets import copy_of, make_case


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """Good datasets by video mode and version, made when they are asked for; not to be changed."""
    made = {}

    def case(video="h264", version="v2.1"):
        if (video, version) not in made:
            folder = tmp_path_factory.mktemp(f"{video}-{version}")
            made[video, version] = make_case(folder, video, version)
        return made[video, version]

    return case


@pytest.fixture
def copy(good, tmp_path):
    """A copy of a good dataset, for one test."""

    def case(video="h264", version="v2.1"):
        return copy_of(good(video, version), tmp_path)

    return case

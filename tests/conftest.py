from collections.abc import Iterator

import pytest

from tests.oracle.official import OfficialReader


@pytest.fixture(scope="session")
def official_reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficialReader]:
    reader = OfficialReader(tmp_path_factory.mktemp("oracle"))
    yield reader
    reader.close()

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Slurm, running


@pytest.fixture(scope="session")
def cluster() -> Iterator[Slurm]:
    with (
        tempfile.TemporaryDirectory(
            prefix="slurm-", ignore_cleanup_errors=True
        ) as root,
        running(Path(root)) as slurm,
    ):
        yield slurm


@pytest.fixture
def slurm(cluster: Slurm) -> Iterator[Slurm]:
    """The cluster, with an empty queue before and after."""
    yield cluster
    cluster.run(
        "scancel",
        "--full",
        *(line.partition("_")[0] for line in cluster.queue()),
        check=False,
    )
    cluster.wait_until_empty()

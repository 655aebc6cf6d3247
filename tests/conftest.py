import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from piperline.cli.app import app, run
from tests.oracle.official import OfficialReader

# The same examples in each run: a change fails by what it changed.
# `HYPOTHESIS_PROFILE=explore` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# Commands are shown as the shell would find them.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def official_reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficialReader]:
    reader = OfficialReader(tmp_path_factory.mktemp("oracle"))
    yield reader
    reader.close()


@pytest.fixture
def convert(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `piperline convert`: exit code, standard output, the error message."""

    def command(*tokens: object) -> tuple[int, str, str]:
        code = run(app, ["convert", *map(str, tokens), "--workers", "1"])
        out, err = capsys.readouterr()
        return code, out, err[err.find("error:") :] if "error:" in err else ""

    return command

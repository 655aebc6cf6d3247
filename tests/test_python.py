"""piperline in Python: what `import piperline` offers."""

import inspect
import re
import shutil
import subprocess
import sys
from importlib import import_module

import pytest

import piperline
from piperline.errors import UsageError
from tests.helpers.recordings import write_piper

NAMES = ["convert", "make_job", "open_dataset", "plan_run"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "a.hdf5"
    write_piper(path)
    return path


def test_the_names_are_found():
    assert set(NAMES) <= set(dir(piperline))
    with pytest.raises(AttributeError, match="no attribute 'covert'"):
        piperline.covert  # noqa: B018 - looked up, not used


@pytest.mark.slow
def test_type_checkers_see_the_types(tmp_path):
    mypy = shutil.which("mypy")
    assert mypy
    (tmp_path / "use.py").write_text(
        "import piperline\n"
        "reveal_type(piperline.make_job())\n"
        "piperline.convert('a', 'b', piperline.make_job())\n"
        "piperline.convert('a', 'b', 3)\n"
    )
    done = subprocess.run(
        [mypy, "--follow-imports=silent", "use.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Revealed type is "piperline.convert.job.Job"' in done.stdout
    assert 'use.py:4: error: Argument 3 to "convert"' in done.stdout
    assert "use.py:3" not in done.stdout


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_single_path_is_a_path(recording, kind):
    plan = piperline.plan_run(kind(recording), piperline.make_job())
    assert [episode.file for episode in plan.episodes][:1] == [recording]


def test_convert_is_the_function_whatever_was_imported_before(
    recording, tmp_path
):
    import_module("piperline.convert.plan")
    result = piperline.convert(
        [recording], tmp_path / "out", piperline.make_job(), workers=1
    )
    assert result.episodes > 0


def test_things_are_shown_in_a_line(recording, tmp_path):
    job = piperline.make_job(license="cc-by-4.0")
    output = tmp_path / "out"
    piperline.convert(recording, output, job, workers=1, episodes="0")
    dataset = piperline.open_dataset(output)
    assert repr(dataset) == f"Dataset({str(output)!r}, v2.1, 1 episodes)"
    (episode,) = dataset
    assert repr(episode).startswith(
        f"EncodedEpisode({episode.length} frames, ['observation.images"
    )
    assert len(repr(episode)) < 250
    assert (
        (output / "README.md")
        .read_text()
        .startswith("---\nlicense: cc-by-4.0\n")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video": "h265"}, "no video mode 'h265'"),
        ({"license": "my: own"}, "no name of a licence"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UsageError, match=message):
        piperline.make_job(**options)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_documented(name):
    function = getattr(import_module(piperline._MODULES[name]), name)
    told = set(
        re.findall(
            r"^ {4}(\w+): ", inspect.getdoc(function) or "", re.MULTILINE
        )
    )
    assert set(inspect.signature(function).parameters) - told == set()


def test_importing_it_is_light():
    code = "import sys, piperline; sys.exit(len({'numpy', 'av', 'h5py'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False).returncode
        == 0
    )

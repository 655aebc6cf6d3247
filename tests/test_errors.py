"""Errors know their place, travel between processes and end with their exit code."""

import ast
import errno
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from piperline import errors
from piperline.errors import (
    BadEpisode,
    DatasetError,
    PiperlineError,
    Place,
    output_error,
)
from piperline.text import printable

SOURCE = Path(errors.__file__).parent


def without_next_step(path: Path) -> Iterator[str]:
    """Where a module makes an error that does not say what to do; a DatasetError always does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(
            node.func, ast.Name
        ):
            continue
        kind = getattr(errors, node.func.id, None)
        if not isinstance(kind, type) or not issubclass(kind, PiperlineError):
            continue
        named = {keyword.arg for keyword in node.keywords}
        if not named & {"next_step", None} and not issubclass(
            kind, DatasetError
        ):
            yield f"{path.name}:{node.lineno}"


def test_every_error_is_made_with_a_next_step():
    modules = SOURCE.rglob("*.py")
    assert [
        place for path in modules for place in without_next_step(path)
    ] == []


def test_an_error_without_a_next_step_is_seen(tmp_path):
    module = tmp_path / "new.py"
    module.write_text(
        'UsageError("no", found="1")\n'
        'UsageError("no", next_step="do")\n'
        'DatasetError("no", expected="2", found="1")\n'
        "Place()\n"
    )
    assert [*without_next_step(module)] == ["new.py:1"]


def test_an_error_tells_all_it_knows():
    place = Place(
        file=Path("a.hdf5"),
        hdf5_path="/e/state",
        episode="e",
        camera="mid",
        frame=0,
    )
    error = BadEpisode(
        "it is bad",
        place=place,
        expected="good",
        found="bad",
        next_step="mend it",
    )
    assert str(error).splitlines() == [
        "it is bad",
        "where:    file a.hdf5, HDF5 path /e/state, episode e, camera mid, frame 0",
        "expected: good",
        "found:    bad",
        "next:     mend it",
    ]
    assert str(PiperlineError("only this")) == "only this"


def test_an_error_survives_pickling():
    error = BadEpisode("it is bad", place=Place(frame=3), found="bad")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(again) is BadEpisode
    assert str(again) == str(error)


def test_names_from_files_cannot_write_to_the_terminal():
    assert (
        printable("a\x1b[31mb\nc\udce9 \u8bed")
        == "a\\x1b[31mb\\nc\\udce9 \u8bed"
    )
    assert "\x1b" not in str(Place(episode="\x1b[2J"))


def test_every_error_is_drawn_at_the_top():
    tree = errors.__doc__ or ""
    kinds = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, PiperlineError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        line = next(line for line in tree.splitlines() if kind.__name__ in line)
        if "exit" in line:
            assert line.endswith(f"exit {kind.exit_code}")


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOSPC,
        errno.EROFS,
        errno.EFBIG,
        errno.EBUSY,
        errno.EXDEV,
        errno.EIO,
    ],
)
def test_what_cannot_be_written_is_an_output_error(number):
    error = output_error(OSError(number, "oh"), Path("out"))
    assert error is not None
    assert error.exit_code == 5


def test_other_system_errors_pass():
    assert output_error(OSError(errno.ENXIO, "oh"), Path("out")) is None

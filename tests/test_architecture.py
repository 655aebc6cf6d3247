"""Arrows down, one door per dependency: read from the imports of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "piperline"

ROOMS = [  # from the top; a module may import its own room and those below
    {"cli"},
    {"hub", "demo"},
    {"run", "transfer"},
    {"groot"},
    {"check"},
    {"encode"},
    {"recording", "hdf5", "lerobot"},
    {"layout", "features", "episode", "video", "mp4", "payload", "pixels", "remux", "stills", "stats", "home"},
    {"errors", "cells", "disk", "process"},
]

DOORS = {
    "av": {"video", "remux", "stills"},
    "h5py": {"recording", "hdf5"},
    "hdf5plugin": {"recording", "hdf5"},
    "datatrove": {"run.cluster"},
    "huggingface_hub": {"hub"},
    "cyclopts": {"cli"},
    "rich": {"cli"},
    "pydantic": {"layout", "run"},
}

FORBIDDEN = {"torch", "lerobot", "pandas", "cv2", "PIL"}

MODULES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "piperline":
                yield from (f"piperline.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def floor(name: str) -> int:
    room = name.split(".", maxsplit=1)[0]
    return next(number for number, rooms in enumerate(ROOMS) if room in rooms)


def is_entry(path: Path) -> bool:
    """The package's own front page, which shows what all rooms offer."""
    return path == SOURCE / "__init__.py"


@pytest.mark.parametrize("path", [path for path in MODULES if not is_entry(path)], ids=name_of)
def test_imports_go_down(path):
    here = floor(name_of(path))
    for imported in imports(path):
        if imported.startswith("piperline."):
            target = imported.removeprefix("piperline.")
            if target.startswith("__"):
                continue
            assert floor(target) >= here, f"{name_of(path)} imports {imported}, which lies above it"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_door_for_each_dependency(path):
    name = name_of(path)
    for imported in imports(path):
        top = imported.split(".")[0]
        assert top not in FORBIDDEN, f"{name} imports {imported}"
        doors = DOORS.get(top)
        if doors is not None:
            inside = any(name == door or name.startswith(f"{door}.") for door in doors)
            assert inside, f"{name} imports {imported}, whose doors are {doors}"


def test_the_rooms_are_those_there_are():
    named = set().union(*ROOMS)
    there = {name_of(path).split(".")[0] for path in MODULES if not is_entry(path)}
    assert there <= named


def test_modules_stay_small():
    long = {name_of(path): count for path in MODULES if (count := len(path.read_text().splitlines())) > 450}
    assert not long

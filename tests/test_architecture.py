"""Arrows down, one door for each dependency: read from the imports of every module."""

import ast
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "piperline"

FLOORS = (
    "cli",
    "demo",
    "cluster",
    "verify",
    "hub",
    "sync",
    "transfer",
    "convert",
    "review",
    "output",
    "seal",
    "groot",
    "detectors",
    "signals",
    "lerobot",
    "edits",
    "features",
    "hdf5",
    "recordings",
    "video",
    "finding",
    "episode",
    "errors",
    "forks",
    "process",
    "threads",
    "memory",
    "garbage",
    "files",
    "stats",
    "spill",
    "text",
)
"""From the top, a room on each floor: a module imports its own room and those below."""

DOORS = {
    "av": ("video",),
    "h5py": ("recordings", "hdf5"),
    "hdf5plugin": ("recordings",),
    "datatrove": ("cluster.ranks",),
    "huggingface_hub": ("hub",),
    "cyclopts": ("cli",),
    "rich": ("cli",),
    "pydantic": ("recordings.layout", "convert", "sync", "cluster"),
}

FORBIDDEN = ("torch", "lerobot", "pandas", "cv2", "PIL")

DOORSTEPS = {SOURCE / "__init__.py", SOURCE / "__main__.py"}
"""What Python imports first: they show what the rooms offer, and start the command line."""

MODULES = sorted(path for path in SOURCE.rglob("*.py") if path not in DOORSTEPS)

LONGEST = 550


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "piperline":
                yield from (f"piperline.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return ".".join(
        path.relative_to(SOURCE).with_suffix("").parts
    ).removesuffix(".__init__")


def room_of(name: str) -> str:
    return name.partition(".")[0]


def upward(path: Path) -> Iterator[str]:
    here = FLOORS.index(room_of(name_of(path)))
    for imported in imports(path):
        inside = imported.removeprefix("piperline.")
        if inside == imported or inside.startswith("__"):
            continue
        if FLOORS.index(room_of(inside)) < here:
            yield f"{name_of(path)} imports {inside}, which lies above it"


def wrong_doors(path: Path) -> Iterator[str]:
    name = name_of(path)
    for imported in imports(path):
        package = imported.partition(".")[0]
        if package in FORBIDDEN:
            yield f"{name} imports {package}, which tests alone use"
        doors = DOORS.get(package, (name,))
        if not any(
            name == door or name.startswith(f"{door}.") for door in doors
        ):
            yield f"{name} imports {package}, whose doors are {', '.join(doors)}"


def test_each_room_has_its_floor():
    assert {room_of(name_of(path)) for path in MODULES} == set(FLOORS)


def test_imports_go_down():
    assert [breach for path in MODULES for breach in upward(path)] == []


def test_one_door_for_each_dependency():
    assert [breach for path in MODULES for breach in wrong_doors(path)] == []


def test_modules_stay_small():
    lengths = {
        name_of(path): len(path.read_text().splitlines()) for path in MODULES
    }
    assert [name for name, length in lengths.items() if length > LONGEST] == []


THOUGHTS = (
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.IfExp,
)


def dense_lines(code: str) -> list[int]:
    """The lines that hold more than one whole comprehension or conditional."""
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, THOUGHTS)]
    counts = Counter(n.lineno for n in nodes if n.lineno == n.end_lineno)
    return [line for line, count in counts.items() if count > 1]


def test_a_line_holds_one_comprehension_or_conditional():
    dense = {
        name_of(path): dense_lines(path.read_text(encoding="utf-8"))
        for path in MODULES
    }
    assert {name: lines for name, lines in dense.items() if lines} == {}
    assert dense_lines("a = [x if x else y for x in z]") == [1]


def test_a_name_means_one_class():
    owners: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                owners.setdefault(node.name, []).append(name_of(path))
    assert {
        name: owners[name] for name in owners if len(owners[name]) > 1
    } == {}


def test_the_test_sees_an_arrow_that_goes_up(tmp_path, monkeypatch):
    (tmp_path / "video").mkdir()
    (tmp_path / "video/new.py").write_text(
        "from piperline.convert.plan import Plan\nimport h5py\n"
    )
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    assert len([*upward(tmp_path / "video/new.py")]) == 1
    assert len([*wrong_doors(tmp_path / "video/new.py")]) == 1
    for upper, lower in pairwise(FLOORS):
        (tmp_path / f"{lower}.py").write_text(
            f"from piperline.{upper} import x\n"
        )
        assert len([*upward(tmp_path / f"{lower}.py")]) == 1

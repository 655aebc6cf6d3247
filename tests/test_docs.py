"""Documents are run on small data: their commands do what they show, and exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from cyclopts import App

from piperline import errors, open_dataset
from piperline.cli.app import app, run
from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.demo import write_recordings
from piperline.transfer import migrate
from piperline.video.decoder import decode
from tests.helpers.documents import (
    REPOSITORY,
    SHELLS,
    fences,
    lines,
    normal,
    programs,
    shell_lines,
)
from tests.helpers.recordings import (
    actions,
    has_true_colors,
    paint,
    read_code,
    states,
    write_aloha,
    write_images,
)
from tests.helpers.trees import tree
from tests.test_architecture import FLOORS

PLAYED = ["README.md", "docs/layouts.md"]
"""Documents that are run from their first to their last line, and what they show is compared."""

RUN = ["docs/hdf5.md", "docs/datasets.md", "docs/groot.md", "docs/verify.md"]
"""Documents whose commands are run; what they show comes from other recordings."""

PAGES = [
    str(path.relative_to(REPOSITORY))
    for path in sorted(
        (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"))
    )
]
TWINS = [
    page
    for page in PAGES
    if (REPOSITORY / page.replace(".md", ".zh-CN.md")).exists()
]

FOREIGN = {
    ".venv/bin/mypy": "a gate, which make test is",
    ".venv/bin/pytest": "a gate, which make test is",
    ".venv/bin/ruff": "a gate, which make test is",
    ".venv/bin/pip": "needs a package registry",
    "bash": "starts training: needs a GPU",
    "cd": "in a checkout of Isaac-GR00T",
    "cp": "into a checkout of Isaac-GR00T",
    "for": "a loop of the shell, in the environment of Isaac-GR00T",
    "done": "the end of that loop",
    "echo": "feeds a pipe; what it feeds is parsed, and the examples of the help are run",
    "export": "sets a variable of the shell",
    "git": "needs the network",
    "make": "makes environments; its targets are compared with the Makefile",
    "pip": "needs a package registry",
    "python": "in the environment of Isaac-GR00T",
    "python3": "makes an environment, which make setup does",
    "source": "activates an environment",
    "uv": "needs a package registry",
}
"""What is not piperline in documents, and why it is not run here."""

NOT_RUN = {
    "piperline demo": "renders pictures for minutes: tests/demo runs it in small",
    "piperline convert ./data --output out/apples --slurm": "needs SLURM",
    "piperline verify out/apples --sign": "needs an SSH key: tests/verify makes one",
    "piperline sync ./data out/apples --watch": "goes on until Ctrl-C: tests/sync ends it",
    "piperline sync ./data out/apples --push": "needs the Hub: tests/hub/test_push_changes.py",
    "piperline edit out/apples --rename-task": "for those who have this instruction",
    "piperline edit out/apples --plan": "needs a plan: tests/cli/test_edit.py writes one",
    "piperline push": "needs the Hub: tests/cli/test_dataset.py runs it against a server",
    "piperline pull": "needs the Hub: tests/cli/test_dataset.py runs it against a server",
    "piperline shards convert --all --repo-id my-lab/apples --workers 100 --slurm": "needs SLURM",
    "piperline shards aggregate": "needs shards: run after they were made, below",
    "piperline shards status": "needs a job: run after there was one, below",
    "piperline migrate my_dataset --to v2.1": "for those who have a v3.0 dataset",
    "piperline groot launch": "needs a checkout of Isaac-GR00T: tests/groot runs it",
}
"""The commands that are not run here, by what they begin with, and why."""

HEAVY = {"av", "datatrove", "h5py", "huggingface_hub", "numpy", "pyarrow"}
HELP_MODULES = 360


def commands(group: App = app, *above: str) -> dict[tuple[str, ...], App]:
    """Every command there is, by its words."""
    found: dict[tuple[str, ...], App] = {}
    for name in group:
        if not name.startswith("-"):
            deeper = commands(group[name], *above, name)
            found |= deeper or {(*above, name): group[name]}
    return found


COMMANDS = commands()
EXAMPLES = [
    line.strip()
    for command in COMMANDS.values()
    for line in lines(str(command.help_epilogue).split(":\n\n", 1)[1])
]


def parse(words):
    """Let the real command line understand some words; nothing is run."""
    app.parse_args(words[1:], exit_on_error=False, print_error=False)


# --- what stands in documents is there
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_a_document_is_understood(page):
    for line in shell_lines(page):
        for words in programs(line):
            if words[0] == "piperline":
                parse(words)
            else:
                assert words[0] in FOREIGN, line


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_of_the_help_is_understood(line):
    found = [words for words in programs(line) if words[0] == "piperline"]
    assert found
    for words in found:
        parse(words)


def test_a_misspelt_option_would_be_noticed():
    with pytest.raises(Exception, match="--wrkers"):
        parse(shlex.split("piperline convert ./data --output out --wrkers 2"))


def test_make_has_the_targets_of_the_documents():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    text = "\n".join(
        (REPOSITORY / page).read_text(encoding="utf-8") for page in PAGES
    )
    named = set(
        re.findall(r"^ *`?make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE)
    )
    assert {name for pair in named for name in pair if name} <= targets


def readme_commands(page):
    """The commands in the table of a README; names after a group's first belong to the group."""
    rows = re.findall(
        r"^\| (`[a-z0-9].*?) \|",
        (REPOSITORY / page).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    groups = {words[0] for words in COMMANDS if len(words) > 1}
    found = set()
    for row in rows:
        group: tuple[str, ...] = ()
        for part in re.split(";|\N{FULLWIDTH SEMICOLON}", row):
            for name in re.findall(r"`([^`]+)`", part):
                words = tuple(name.split())
                group = words[:1] if words[0] in groups else group
                found.add(words if words[0] in groups else (*group, *words))
            group = ()
    return found


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_every_command_is_in_the_readme(page):
    assert set(COMMANDS) - readme_commands(page) == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (
            target.startswith("https://")
            or ((REPOSITORY / page).parent / target).exists()
        ), target


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_every_script_of_the_readme_tells_how_it_is_used(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for row in re.findall(
        r"^\| (`\w+(?:/\w+)*\.py`.*?) \|", text, re.MULTILINE
    ):
        folder = Path()
        for name in re.findall(r"`([^`]+)`", row):
            script = (
                Path(name) if "/" in name or not folder.name else folder / name
            )
            folder = script.parent
            assert (REPOSITORY / script).is_file(), script


@pytest.mark.parametrize("page", TWINS)
def test_both_languages_show_the_same(page):
    twin = page.replace(".md", ".zh-CN.md")
    first, second = (
        [words for line in shell_lines(name) for words in programs(line)]
        for name in (page, twin)
    )
    assert first == second
    assert fences(page) == fences(twin) or page not in PLAYED
    texts = [
        (REPOSITORY / name).read_text(encoding="utf-8") for name in (page, twin)
    ]
    for pattern in (r"^#+ ", r"^\|"):
        counts = [
            len(re.findall(pattern, text, re.MULTILINE)) for text in texts
        ]
        assert counts[0] == counts[1]
    for text, other in zip(texts, (twin, page), strict=True):
        assert f"]({Path(other).name})" in text


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "docs/architecture.zh-CN.md"]
)
def test_the_architecture_names_every_module(page):
    source = REPOSITORY / "src/piperline"
    there = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if path.name != "__init__.py"
    }
    named = re.findall(r"^([\w/]+\.py)  ", fences(page)[0].text, re.MULTILINE)
    assert len(named) == len(set(named))
    assert (there - set(named), set(named) - there) == (set(), set()), (
        f"not in {page}, and not in src"
    )


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "docs/architecture.zh-CN.md"]
)
def test_the_architecture_tells_the_exit_codes_and_the_rooms(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    told = {
        name: int(code)
        for code, names in re.findall(
            r"^\| (\d+) \| (.*) \|", text, re.MULTILINE
        )
        for name in re.findall(r"\b[A-Z]\w+", names)
    }
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    wanted = {
        kind.__name__: kind.exit_code
        for kind in classes
        if issubclass(kind, errors.PiperlineError)
    }
    assert {name: told.get(name) for name in wanted} == wanted
    assert tuple(fences(page)[1].text.split()) == FLOORS


# --- what stands in documents works
# ------------------------------------------------------------------------------


def write_one_arm(path, first):
    """A file as docs/layouts.md describes it: two episodes, OpenCV's pixels and JPEG."""
    with h5py.File(path, "w") as file:
        for number in (first, first + 1):
            group = file.create_group(f"episode_{number}")
            group.attrs["num_frames"], group.attrs["task"] = (
                6,
                "put the cup on the saucer",
            )
            group["robot/joints"], group["robot/command"] = (
                states(number, 6, 7),
                actions(number, 6, 7),
            )
            group.create_group("cameras")
            front, wrist = (
                [paint(number, camera, frame) for frame in range(6)]
                for camera in (0, 1)
            )
            write_images(group["cameras"], "front", front, "raw", "bgr")
            write_images(group["cameras"], "wrist", wrist, "jpeg-vlen", "rgb")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with everything that documents and examples speak of; copied, never changed."""
    root = tmp_path_factory.mktemp("world")
    recording, _ = write_recordings(
        root / "demo/recordings", files=2, frames=(40, 50, 44), size=(48, 64)
    )
    for place in (
        "data/a.hdf5",
        "data.hdf5",
        "data.h5",
        "day1.hdf5",
        "day2.hdf5",
    ):
        (root / place).parent.mkdir(exist_ok=True)
        shutil.copy(recording, root / place)
    (root / "aloha").mkdir()
    write_aloha(root / "aloha/fold.hdf5")
    convert([recording], root / "my_dataset", make_job(), workers=1)
    for place in (
        "out/apples",
        "out/monday",
        "out/tuesday",
        "out/part_1",
        "out/part_2",
    ):
        shutil.copytree(root / "my_dataset", root / place)
    migrate(
        root / "my_dataset",
        "v3.0",
        output=root / "home/.cache/huggingface/lerobot/lerobot/pusht",
    )
    return root


@pytest.fixture
def place(world, tmp_path, monkeypatch, workers_in_threads):  # noqa: ARG001
    """A copy of the world to work in, and a home there."""
    root = tmp_path / "place"
    shutil.copytree(world, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("HF_HOME", "HF_LEROBOT_HOME"):
        monkeypatch.delenv(name, raising=False)
    return root


def do(line, capfd):
    """Run a command line as a shell would; its exit code, and what it said."""
    if re.search(r"[|>~*]| shell ", line):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", line],
            check=False,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr
    capfd.readouterr()
    code = run(app, shlex.split(line, comments=True)[1:])
    said = capfd.readouterr()
    return code, said.out + said.err


def is_ours(line):
    """Whether piperline is among the commands of a line."""
    return any(words[0] == "piperline" for words in programs(line))


def play(page, capfd, *, compare=True):
    """Run a document from its first line to its last, and compare what it shows with what comes."""
    said = ""
    for fence in fences(page):
        if fence.language in SHELLS:
            for line in lines(fence.text):
                if is_ours(line) and not line.startswith(tuple(NOT_RUN)):
                    code, said = do(line, capfd)
                    assert code == 0, f"{line}\n{said}"
        elif fence.language == "text" and compare:
            # the demo has more sessions than the recordings here
            said = re.sub(r"note: with fewer than .*\n", "", said)
            assert normal(said) == normal(fence.text)
        elif fence.language == "toml":
            Path("my_robot.toml").write_text(fence.text, encoding="utf-8")


def test_the_readme_is_true(place, capfd):
    play("README.md", capfd)
    assert len(open_dataset(place / "demo/apples")) == 6


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_document_work(page, capfd):
    play(page, capfd, compare=False)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("page", ["README.md", "docs/datasets.md"])
def test_the_python_of_a_document_works(page):
    (text,) = (
        fence.text for fence in fences(page) if fence.language == "python"
    )
    subprocess.run(
        [sys.executable, "-c", text], check=True, capture_output=True
    )


def test_a_layout_as_described_converts(place, capfd):
    shutil.rmtree("data")
    Path("data").mkdir()
    write_one_arm("data/day_1.hdf5", 0)
    write_one_arm("data/day_2.hdf5", 2)
    play("docs/layouts.md", capfd)
    dataset = open_dataset(place / "out/cups")
    assert (len(dataset), dataset.info.fps, dataset.schema.robot_type) == (
        4,
        20,
        "my_arm",
    )
    assert dataset.schema.cameras == (
        "observation.images.front",
        "observation.images.wrist",
    )
    for number, episode in enumerate(dataset):
        assert episode.tasks == ("put the cup on the saucer",)
        for camera, clip in enumerate(episode.clips.values()):
            pictures = list(decode(clip.path))
            assert [read_code(picture) for picture in pictures] == [
                (number, camera, frame) for frame in range(6)
            ]
            assert all(map(has_true_colors, pictures))


@pytest.mark.parametrize(
    "line", [line for line in EXAMPLES if not line.startswith(tuple(NOT_RUN))]
)
def test_the_examples_of_the_help_work(line, place, capfd):
    if line.startswith("piperline convert"):
        shutil.rmtree("out")  # what other examples begin with
    code, said = do(line, capfd)
    assert code == 0, said
    if line.startswith("piperline shards convert"):
        for after in (
            "piperline shards aggregate --repo-id my-lab/apples --num-shards 4",
            "piperline shards status",
        ):
            code, said = do(after, capfd)
            assert code == 0, said
    assert tree(place / "my_dataset")["meta/info.json"]


def test_what_is_not_run_is_there():
    there = [*EXAMPLES, *(line for page in PAGES for line in shell_lines(page))]
    for begin in NOT_RUN:
        assert any(line.startswith(begin) for line in there), begin


# --- the help -------------------------------------------------------------------------------------
# ---------------


def helped(*commands):
    """The modules that a process loads to show the help of some commands, and what it said."""
    code = (
        "import sys; before = set(sys.modules); from piperline.cli.app import app, run; "
        "codes = [run(app, [*words.split(), '--help']) for words in sys.argv[1:]]; "
        "sys.stderr.write(' '.join(set(sys.modules) - before)); sys.exit(any(codes))"
    )
    command = [
        sys.executable,
        "-c",
        code,
        *(" ".join(words) for words in commands),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return set(done.stderr.split()), done.stdout


def test_help_is_light():
    """CPU is counted in modules: what is not imported takes none."""
    modules, said = helped(())
    assert not HEAVY & modules
    assert len(modules) < HELP_MODULES
    assert all(f"│ {words[0]} " in said for words in COMMANDS)


def test_the_help_of_every_command_is_light_and_has_examples():
    modules, said = helped(*COMMANDS)
    assert not HEAVY & modules
    parts = said.split("Usage: ")[1:]
    assert len(parts) == len(COMMANDS)
    for words, part in zip(COMMANDS, parts, strict=True):
        assert part.startswith(f"piperline {' '.join(words)}")
        assert f"piperline {' '.join(words)}" in part.split("Examples:")[1]
        assert max(map(len, part.splitlines())) <= 80
        examples = lines(
            str(COMMANDS[words].help_epilogue).split(":\n\n", 1)[1]
        )
        shown = [line.strip() for line in part.splitlines()]
        # each on one line
        assert {line.strip() for line in examples} <= set(shown)
        assert not re.search(r"--empty-|default: (False|None|\(|\])", part)

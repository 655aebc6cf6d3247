"""What every command does, whatever it is for."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from piperline.cli.app import app, run
from piperline.cli.console import as_typed
from piperline.cli.memory import is_of_memory, out_of_memory
from tests.helpers.documents import REPOSITORY

pytestmark = pytest.mark.measured

PIPERLINE = Path(sys.executable).with_name("piperline")
SCRIPTS = [
    "hdf2lerobotv21.py",
    "hdf5_tools/read_hdf5.py",
    "hdf5_tools/split_hdf5.py",
    "convert_parallel/aggregate_hdf5_shards.py",
    "convert_parallel/convert_hdf5_shards.py",
    "convert_parallel/lerobot_v30_to_v21.py",
    "convert_parallel/repack_hdf5.py",
]


@pytest.fixture
def call(capsys):
    """Run a command: its exit code, and what it said on both streams."""

    def call(line):
        code = run(app, line.split())
        return code, *capsys.readouterr()

    return call


def started(*words, **options):
    return subprocess.run(
        words, capture_output=True, text=True, check=False, **options
    )


def test_a_reader_that_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [PIPERLINE, "layout", "list"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


# --- wrong command lines ---


@pytest.mark.parametrize(
    ("line", "message", "step"),
    [
        (
            "inspect a.hdf5",
            "did you mean 'hdf5 inspect'?",
            "piperline hdf5 inspect a.hdf5",
        ),
        (
            "hdf5 inspct a.hdf5",
            "did you mean 'hdf5 inspect'?",
            "piperline hdf5 inspect a.hdf5",
        ),
        (
            "shards inspect",
            "did you mean 'hdf5 inspect'?",
            "piperline hdf5 inspect",
        ),
        (
            "preflight x --json",
            "did you mean 'groot preflight'?",
            "groot preflight x --json",
        ),
        (
            "convert a --wrkers 2",
            "Did you mean --workers?",
            "piperline convert --help",
        ),
        ("xyzzy", "there is no command 'xyzzy'\n", "piperline --help"),
        (
            "hdf5 xyzzy",
            "there is no command 'hdf5 xyzzy'\n",
            "piperline hdf5 --help",
        ),
    ],
)
def test_what_was_meant(call, line, message, step):
    code, out, err = call(line)
    assert (code, out) == (2, "")
    assert message in err
    assert err.endswith(f"{step}\n")


def test_all_commands_are_named(call):
    _, _, err = call("xyzzy")
    expected = (
        "convert, sync, review, migrate, edit, aggregate, verify, push, pull, "
        "demo, layout, hdf5, shards, groot"
    )
    assert f"expected: {expected}\n" in err


@pytest.mark.parametrize(
    "pasted", ["\\ # the recordings", "\\  # the recordings"]
)
def test_comments_behind_backslashes_are_explained(pasted):
    done = started("bash", "-c", f"{PIPERLINE} convert {pasted}\n")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the command was pasted with comments")
    assert "before the comment: convert" in done.stderr


def test_help_is_a_command_too(call):
    code, out, _ = call("help hdf5 frames")
    assert code == 0
    assert out.startswith("Usage: piperline hdf5 frames")


@pytest.mark.parametrize("command", ["convert", "aggregate"])
def test_usage_says_that_there_may_be_several(call, command):
    usage = call(f"{command} --help")[1].splitlines()[0]
    assert usage.endswith("...")


def test_groups_show_examples(call):
    _, out, _ = call("groot --help")
    examples = out.split("Examples:")[1].split("\n")
    assert " piperline groot preflight my_dataset" in [
        line.rstrip() for line in examples
    ]


# --- how it is started ---


def test_the_module_is_the_command(tmp_path):
    done = started(
        sys.executable, "-m", "piperline", "layout", "lst", cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"{sys.executable} -m piperline layout list\n")
    assert started(sys.executable, "-m", "piperline", "-V").stdout == "0.1.0\n"


def test_next_steps_run_as_printed(tmp_path, monkeypatch):
    """A command that the shell does not find is named by its path."""
    folder = tmp_path / "my env/bin"
    folder.mkdir(parents=True)
    (folder / "piperline").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(folder / "piperline")])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert (
        as_typed("next: piperline hdf5 inspect a")
        == "next: 'my env/bin/piperline' hdf5 inspect a"
    )
    assert (
        as_typed("`piperline layout list`")
        == "`'my env/bin/piperline' layout list`"
    )
    assert as_typed("made by piperline, in /tmp/piperline convert") == (
        "made by piperline, in /tmp/piperline convert"
    )
    monkeypatch.setenv("PATH", str(folder))
    assert (
        as_typed("next: piperline hdf5 inspect a")
        == "next: piperline hdf5 inspect a"
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_say_how_to_install(script):
    """Without site-packages nothing is installed."""
    done = started(sys.executable, "-I", "-S", REPOSITORY / script, "--help")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(
        "with Python 3.11 or newer: python -m pip install .\n"
    )


def test_an_older_python_is_told_at_once():
    code = "import sys; sys.version_info = (3, 10, 9); sys.version = '3.10.9'; import piperline"
    done = started(sys.executable, "-c", code)
    last = done.stderr.splitlines()[-1]
    assert (
        last
        == "ImportError: piperline needs Python 3.11 or newer; this is 3.10.9"
    )


# --- how loud it is ---


def test_quiet_and_verbose(call, tmp_path):
    (tmp_path / "none").mkdir()
    line = f"convert {tmp_path / 'none'} --output {tmp_path / 'out'}"
    code, _, err = call(line)
    assert code == 3
    assert "Traceback" not in err
    for flag in ("-v", "--verbose"):
        assert "Traceback" in call(f"{line} {flag}")[2]
    for flag in ("-q", "--quiet"):
        assert call(f"{flag} {line}")[2].startswith("error:")


def test_the_system_refuses_in_the_usual_form(call):
    code, out, err = call("demo /proc/self/fd/x/y")
    assert (code, out) == (5, "")
    assert err.startswith("error: the disk has too little room")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PIPERLINE, "layout", "show", "piper"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the operating system refused: No space left on device",
        "expected: room for what is written",
        "found:    [Errno 28] No space left on device",
        "next:     make room, and run the same command again",
    ]


def test_a_read_only_place_is_told(call, tmp_path, monkeypatch):
    def read_only(path, *_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("piperline.cli.layout.layout_text", read_only)
    code, out, err = call(f"layout show {tmp_path}")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "error: the operating system refused: Read-only file system",
        f"where:    file {tmp_path}",
        "expected: a folder that can be written",
        f"found:    [Errno 30] Read-only file system: '{tmp_path}'",
        "next:     choose a folder that can be written",
    ]


# --- Ctrl-C ---


def test_ctrl_c_is_answered_while_the_program_loads():
    """The signal comes with the first import of a library, long before there is a command."""
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'cyclopts': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from piperline.__main__ import main\n"
        "main()\n"
    )
    done = started(sys.executable, "-c", code, "layout", "list")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted: nothing was changed\n"


def test_ctrl_c_says_what_is_kept(call, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("piperline.cli.convert.run_conversion", interrupted)
    monkeypatch.setattr("piperline.cli.layout.builtin_layouts", interrupted)
    code, _, err = call("convert a b.hdf5 --output o")
    assert code == 128 + signal.SIGINT
    assert err.splitlines() == [
        "interrupted: what is done is kept; to go on from there:",
        "  piperline convert a b.hdf5 --output o",
    ]
    assert call("layout list")[2].startswith(
        "interrupted: no output is left incomplete"
    )


# --- memory ---


def test_a_limit_of_memory_that_is_too_low_is_told_at_once(tmp_path):
    script = 'ulimit -v 400000; "$0" convert "$1"; "$0" --version'
    done = started("sh", "-c", script, PIPERLINE, tmp_path)
    assert done.returncode == 0
    assert done.stdout.strip()
    lines = done.stderr.splitlines()
    assert lines[0] == "error: the limit of memory is too low"
    assert lines[1].endswith("2 GiB of address space or more")
    assert lines[2] == "found:    390 MiB (ulimit -v)"
    assert lines[3].startswith("next:     see `ulimit -v`")


def test_what_a_process_of_ours_says_of_memory_is_told_in_a_line():
    error = RuntimeError(
        "a fault\nTraceback\nRuntimeError: can't start new thread"
    )
    assert is_of_memory(error)
    assert out_of_memory(error).found == "RuntimeError: can't start new thread"
    assert not is_of_memory(RuntimeError("a fault of ours"))


# --- file sizes ---


def test_where_no_temporary_file_can_be_written_the_cause_is_told(
    call, monkeypatch
):
    def none(*_words):
        raise FileNotFoundError(
            errno.ENOENT, "No usable temporary directory found in ['/tmp']"
        )

    monkeypatch.setattr("piperline.cli.layout.builtin_layouts", none)
    code, _, err = call("layout list")
    assert code == 1
    assert "error: no temporary file can be written" in err
    assert "TMPDIR=FOLDER" in err


def test_a_limit_of_file_size_keeps_temporary_files_from_being_written(
    tmp_path,
):
    """Python asks for one where it starts processes of datatrove."""
    words = "from piperline.cli.console import system_error; import tempfile"
    code = f"""{words}
try:
    tempfile.gettempdir()
except OSError as error:
    print(system_error(error))
"""
    script = 'ulimit -f 0; "$0" -c "$1" | cat'
    done = started("sh", "-c", script, sys.executable, code, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "no temporary file can be written",
        "expected: a folder for temporary files: TMPDIR, /tmp or /var/tmp",
        "found:    a limit of file size of 0 bytes (ulimit -f)",
        "next:     raise the limit, `ulimit -f unlimited`, and run the same command again",
    ]

"""The documented command lines, as processes, from a folder as a user has it."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pexpect
import pytest
from PIL import Image

from piperline.errors import OutputError
from piperline.hdf5 import copy, copy_workers
from piperline.hdf5.split_repack import split_plan
from piperline.hdf5.top_level import read_top
from tests.helpers.hostile import UNREADABLE
from tests.helpers.recordings import read_code, write_aloha, write_piper

REPOSITORY = Path(__file__).parents[2]
READ, SPLIT, REPACK = (
    REPOSITORY / script
    for script in (
        "hdf5_tools/read_hdf5.py",
        "hdf5_tools/split_hdf5.py",
        "convert_parallel/repack_hdf5.py",
    )
)
UNMEASURED = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith("COVERAGE")
}
"""For processes that cannot write what they covered: killed, or without room."""
PIPERLINE = Path(sys.executable).with_name("piperline")


@dataclass
class Done:
    """What a command said."""

    stdout: str
    stderr: str


def run(
    folder: Path, script: Path, *words: object, code: int = 0, text: str = ""
) -> Done:
    """Run a script as Python would, but in this process: to start one takes most of a second."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings(
            "ignore", "Cyclopts application invoked without tokens"
        )
        patch.chdir(folder)
        patch.setattr(sys, "argv", [str(script), *map(str, words)])
        patch.setattr(sys, "stdin", io.StringIO(text))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
    assert (ended.value.code or 0) == code, out.getvalue() + err.getvalue()
    return Done(out.getvalue(), err.getvalue())


def differs(one: Path, other: Path, group: str, name: str | None = None) -> str:
    """What h5diff has to say about two groups; nothing if they are the same."""
    command = [
        "h5diff",
        "-v",
        str(one),
        str(other),
        f"/{group}",
        f"/{name or group}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (
        ""
        if done.returncode == 0 and "not comparable" not in done.stdout
        else done.stdout + done.stderr
    )


@pytest.fixture
def data(tmp_path):
    """`data.h5` with 3 episodes, and `data/` with files of 10 and 15."""
    write_piper(tmp_path / "data.h5", episodes=3)
    (tmp_path / "data").mkdir()
    write_piper(tmp_path / "data" / "file1.hdf5", episodes=10, lengths=2)
    write_piper(
        tmp_path / "data" / "file2.hdf5",
        episodes=15,
        lengths=2,
        first=20,
        names=[f"episode_{i}" for i in range(15)],
    )
    return tmp_path


@pytest.mark.parametrize("what", ["split", "repack"])
def test_the_process_of_the_command_loads_no_hdf5(data, what):
    code = """
import atexit, sys
from piperline.__main__ import main
heavy = {"h5py", "numpy"}
loaded = lambda: sys.stderr.write(f"loaded: {heavy & set(sys.modules)}")
atexit.register(loaded)
main()
"""
    words = ["hdf5", what, "-i", data / "data.h5", "-o", data / "out"]
    for ending in ([], ["--overwrite"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, *ending],
            check=True,
            capture_output=True,
            text=True,
        )
        assert "written" in done.stdout
        assert done.stderr.endswith("loaded: set()")


def test_read(data):
    plain = run(data, READ, "data.h5").stdout
    assert (
        "recording, layout piper: 3 episodes, 15 frames, 0.5 s at 30 frames a second"
        in plain
    )
    assert "  camera mid: jpeg 64x48\n" in plain
    assert "pick up the cube" in plain
    assert "image_left  (5,) vlen uint8  contiguous" in plain
    assert "JPEG 64x48 quality ~90 4:2:0" in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert "\x1b" not in plain
    assert "@instruction" not in plain
    full = run(data, READ, "data.h5", "--attrs", "--preview").stdout
    assert "@instruction = pick up the cube" in full
    assert "| [[0.14975 0.18967" in full
    assert run(data, READ, "data.h5", "-a", "-p").stdout == full
    flat = run(data, READ, "data.h5", "--max-level", "1").stdout
    assert "episode_2/  5 members" in flat
    assert "image_left" not in flat
    # the sums are of the whole file
    assert flat.splitlines()[:11] == plain.splitlines()[:11]
    assert run(data, READ, "data.h5", "-l", "1").stdout == flat
    # there are no deeper levels
    assert run(data, READ, "data.h5", "--max-level", "2").stdout == plain


def test_read_as_json(data):
    found = json.loads(
        run(
            data, PIPERLINE, "hdf5", "inspect", "data.h5", "--json", "--attrs"
        ).stdout
    )
    assert (found["groups"], found["datasets"], found["links"]) == (3, 15, 0)
    assert (
        found["recording"]["rows"][1]["instruction"] == "put it into the bowl"
    )
    nodes = {node["path"]: node for node in found["nodes"]}
    assert (
        nodes["/episode_1"]["attributes"]["instruction"]
        == "put it into the bowl"
    )
    action = nodes["/episode_0/action"]
    assert action["facts"]["shape"] == [5, 14]
    assert action["facts"]["stored_bytes"] == 5 * 14 * 4


def test_list_groups(data):
    listed = run(data, SPLIT, "list-hdf5-groups", "--input", "data.h5").stdout
    assert [line.split()[0] for line in listed.splitlines()] == [
        "episode_0",
        "episode_1",
        "episode_2",
    ]
    assert run(data, PIPERLINE, "hdf5", "groups", "data.h5").stdout == listed


@pytest.mark.measured
def test_split(data):
    run(
        data,
        SPLIT,
        "split-hdf5-file",
        "--input",
        "data.h5",
        "--output",
        "./split_output",
    )
    for number in range(3):
        assert (
            differs(
                data / "data.h5",
                data / "split_output" / f"episode_{number}.hdf5",
                f"episode_{number}",
            )
            == ""
        )
    before = (data / "split_output" / "episode_0.hdf5").stat()
    again = run(
        data, SPLIT, "split-hdf5-file", "-i", "data.h5", "-o", "./split_output"
    ).stdout
    assert again.count("kept: output already exists (not changed)") == 3
    assert "split_output/episode_2.hdf5" in again
    assert (
        data / "split_output" / "episode_0.hdf5"
    ).stat().st_mtime_ns == before.st_mtime_ns
    run(
        data,
        SPLIT,
        "split-hdf5-file",
        "--input",
        "data.h5",
        "--output",
        "./split_output",
        "--overwrite",
    )
    assert (
        data / "split_output" / "episode_0.hdf5"
    ).stat().st_ino != before.st_ino


@pytest.mark.parametrize(
    "wanted",
    [
        ("--groups", "episode_0", "episode_2"),
        ("--groups", "episode_2", "--groups", "episode_0"),
    ],
)
def test_split_some_groups_with_a_prefix(data, wanted):
    run(
        data,
        SPLIT,
        "split-hdf5-file",
        "--input",
        "data.h5",
        *wanted,
        "--prefix",
        "piper_",
    )
    assert sorted(p.name for p in (data / "split_output").iterdir()) == [
        "piper_episode_0.hdf5",
        "piper_episode_2.hdf5",
    ]


def test_split_of_a_group_that_is_not_there_says_what_is(data):
    failed = run(
        data,
        SPLIT,
        "split-hdf5-file",
        "--input",
        "data.h5",
        "--groups",
        "episode_7",
        code=3,
    )
    assert "there is no group episode_7" in failed.stderr
    assert "episode_0, episode_1, episode_2" in failed.stderr
    assert not (data / "split_output").exists()


def test_split_says_what_it_would_leave_out(data):
    write_aloha(data / "fold.hdf5")
    for more in ((), ("--dry-run",)):
        failed = run(
            data,
            SPLIT,
            "split-hdf5-file",
            "--input",
            "fold.hdf5",
            *more,
            code=3,
        )
        assert "found:    action" in failed.stderr
        assert "--groups observations" in failed.stderr
    assert not (data / "split_output").exists()
    run(
        data,
        SPLIT,
        "split-hdf5-file",
        "--input",
        "fold.hdf5",
        "--groups",
        "observations",
    )
    assert [path.name for path in (data / "split_output").iterdir()] == [
        "observations.hdf5"
    ]


def test_dry_runs_write_nothing(data):
    before = sorted(data.rglob("*"))
    plan = run(
        data,
        PIPERLINE,
        "hdf5",
        "split",
        "data.h5",
        "--output",
        "new/out",
        "--dry-run",
    ).stdout
    assert "new/out/episode_1.hdf5  1 group" in plan
    plan = run(
        data,
        REPACK,
        "repack",
        "--input",
        "./data",
        "--output",
        "./repacked",
        "-e",
        "5",
        "--dry-run",
    ).stdout
    assert "repacked/repack_0004.hdf5  5 groups" in plan
    assert "  episode_14  <- file2.hdf5:/episode_14  " in plan
    assert sorted(data.rglob("*")) == before


def test_a_dry_run_tells_what_the_run_would_do(data):
    (data / "out").mkdir()
    (data / "out/episode_1.hdf5").write_bytes(b"a file of somebody")
    split = (PIPERLINE, "hdf5", "split", "data.h5", "--output", "out")
    words = [
        line.rsplit("  ", 1)[1]
        for line in run(data, *split, "--dry-run").stdout.splitlines()
        if "<-" not in line
    ]
    assert words == [
        "would be written",
        "kept: output already exists (not changed)",
        "would be written",
    ]
    assert (
        "in the place of the file there"
        in run(data, *split, "--dry-run", "--overwrite").stdout
    )
    with h5py.File(data / "data.h5", "r+") as file:
        file["episode_2/elsewhere"] = h5py.ExternalLink("other.h5", "/x")
    assert "reaches outside" in run(data, *split, "--dry-run", code=3).stderr
    run(data, *split, "--dry-run", "--allow-external")


REPACKED = (
    "--input",
    "./data",
    "--output",
    "./repacked",
    "--episodes-per-file",
)
EPISODES = [f"episode_{number}" for number in range(3)]


@pytest.mark.parametrize(
    ("command", "folder", "files"),
    [
        (
            (
                SPLIT,
                "split-hdf5-file",
                "--input",
                "data.h5",
                "--output",
                "./split_output",
            ),
            "split_output",
            EPISODES,
        ),
        (
            (
                SPLIT,
                "split-hdf5-file",
                "--input",
                "data.h5",
                "--output",
                "./split_output",
                "--prefix",
                "piper_",
            ),
            "split_output",
            [f"piper_{name}" for name in EPISODES],
        ),
        (
            (
                SPLIT,
                "split-hdf5-file",
                "--input",
                "data.h5",
                "--output",
                "./split_output",
                "--overwrite",
            ),
            "split_output",
            EPISODES,
        ),
        (
            (SPLIT, "split-hdf5-file", "-i", "data.h5", "-o", "./split_output"),
            "split_output",
            EPISODES,
        ),
        ((REPACK, "repack", *REPACKED, "50"), "repacked", ["repack_0000"]),
        (
            (REPACK, "repack", *REPACKED, "10"),
            "repacked",
            ["repack_0000", "repack_0001", "repack_0002"],
        ),
        (
            (REPACK, "repack", *REPACKED, "100", "--prefix", "shard_"),
            "repacked",
            ["shard_0000"],
        ),
        (
            (REPACK, "repack", *REPACKED, "50", "--overwrite"),
            "repacked",
            ["repack_0000"],
        ),
        (
            (REPACK, "repack", "-i", "./data", "-o", "./repacked", "-e", "50"),
            "repacked",
            ["repack_0000"],
        ),
        ((REPACK, "repack", "-i", "./data"), "repack_output", ["repack_0000"]),
    ],
)
def test_documented_commands_write_all_episodes(data, command, folder, files):
    run(data, *command)
    made = sorted((data / folder).iterdir())
    assert [path.stem for path in made] == files
    episodes = 0
    for path in made:
        with h5py.File(path) as file:
            episodes += len(file)
    assert episodes == (25 if command[0] == REPACK else 3)


@pytest.mark.parametrize(
    ("options", "proposal"),
    [
        (
            ["--episodes-per-file", "10"],
            "3 files of 10 episodes, the last with 5",
        ),
        (
            ["--pattern", "*.hdf5", "--episodes-per-file", "100"],
            "1 file of 25 episodes",
        ),
        (["-e", "50"], "1 file of 25 episodes"),
    ],
)
def test_analyze(data, options, proposal):
    before = sorted(data.rglob("*"))
    lines = run(
        data, REPACK, "analyze", "--input", "./data", *options
    ).stdout.splitlines()
    assert lines[0].split() == [
        "file",
        "episodes",
        "frames",
        "seconds",
        "size",
        "layout",
    ]
    assert lines[1].split()[:3] == ["data/file1.hdf5", "10", "20"]
    assert lines[2].split()[:3] == ["data/file2.hdf5", "15", "30"]
    assert lines[3].startswith("2 files, 25 episodes, 50 frames, ")
    assert lines[4] == f"repacking would make {proposal}"
    assert ("10 episodes would be renamed" in "".join(lines)) == (
        proposal[0] == "1"
    )
    assert sorted(data.rglob("*")) == before


def test_analyze_as_json_and_of_a_ruin(data):
    (data / "data/ruin.h5").write_bytes(b"no HDF5")
    write_aloha(data / "data/fold.hdf5")
    command = (PIPERLINE, "hdf5", "analyze", "data", "--json")
    found = json.loads(run(data, *command, code=3).stdout)
    names = [Path(file["file"]).name for file in found["files"]]
    assert names == ["file1.hdf5", "file2.hdf5", "fold.hdf5", "ruin.h5"]
    assert [file.get("episodes") for file in found["files"]] == [
        10,
        15,
        1,
        None,
    ]
    assert found["files"][2]["layout"] == "aloha"
    assert "problem" in found["files"][3]
    assert (found["episodes"], len(found["proposed"])) == (26, 1)


@pytest.mark.measured
def test_repack(data):
    command = (REPACK, "repack", *REPACKED)
    run(data, *command, "5")
    made = sorted((data / "repacked").iterdir())
    assert [path.name for path in made] == [
        f"repack_000{number}.hdf5" for number in range(5)
    ]
    places = [(path, name) for path in made for name in h5py.File(path)]
    originals = [(1, f"episode_{i}") for i in range(10)] + [
        (2, f"episode_{i}") for i in range(15)
    ]
    for (path, name), (number, original) in zip(places, originals, strict=True):
        assert (
            differs(data / "data" / f"file{number}.hdf5", path, original, name)
            == ""
        )
    assert (
        run(data, *command, "5").stdout.count(
            "kept: output already exists (not changed)"
        )
        == 5
    )
    assert (
        run(data, *command, "5", "--overwrite").stdout.count("  written") == 5
    )
    assert "another repacking" in run(data, *command, "50", code=5).stderr
    run(data, *command, "100", "--prefix", "shard_")
    with h5py.File(data / "repacked" / "shard_0000.hdf5") as file:
        assert len(file) == 25
        assert {"episode_0", "episode_0_2"} <= set(file)
    assert (
        "holds other episodes"
        in run(
            data,
            *command,
            "90",
            "--prefix",
            "shard_",
            "--pattern",
            "file1*",
            code=5,
        ).stderr
    )


def test_repack_does_not_keep_what_was_made_of_other_files(data):
    run(data, REPACK, "repack", "-i", "./data", "-o", "./repacked", "-e", "5")
    (data / "repacked/repack_0001.hdf5").unlink()
    write_piper(
        data / "data/file1.hdf5",
        episodes=10,
        lengths=2,
        first=50,
        names=[f"episode_{i}" for i in range(10)],
    )
    before = (data / "repacked/repack_0000.hdf5").read_bytes()
    for more in ((), ("--dry-run",)):
        failed = run(
            data,
            REPACK,
            "repack",
            "-i",
            "./data",
            "-o",
            "./repacked",
            "-e",
            "5",
            *more,
            code=5,
        )
        assert "made before a source changed" in failed.stderr
    assert (data / "repacked/repack_0000.hdf5").read_bytes() == before
    assert not (data / "repacked/repack_0001.hdf5").exists()


def test_repack_does_not_write_among_its_inputs(data):
    for more in ((), ("--prefix", "x"), ("--dry-run",)):
        failed = run(
            data,
            REPACK,
            "repack",
            "-i",
            "./data",
            "-o",
            "./data",
            *more,
            code=5,
        )
        assert "among the inputs" in failed.stderr
    assert sorted(path.name for path in (data / "data").iterdir()) == [
        "file1.hdf5",
        "file2.hdf5",
    ]


@pytest.mark.parametrize("pattern", ["", "/abs/*"])
def test_what_is_no_pattern(data, pattern):
    failed = run(
        data, REPACK, "repack", "-i", "./data", "--pattern", pattern, code=2
    )
    assert "this is no pattern" in failed.stderr


def test_files_of_several_folders_come_in_their_order_and_are_told_apart(data):
    for number in (10, 2, 1):
        (data / f"days/s{number}").mkdir(parents=True)
        write_piper(
            data / f"days/s{number}/x.hdf5",
            episodes=1,
            lengths=2,
            first=number,
            names=["episode"],
        )
    (data / "days/s1/._x.hdf5").write_bytes(b"what macOS leaves beside a file")
    out = run(
        data,
        REPACK,
        "repack",
        "-i",
        "./days",
        "-o",
        "./repacked",
        "--pattern",
        "*/*.hdf5",
    ).stdout
    told = [line.split("  ")[1:3] for line in out.splitlines()[1:]]
    names = ["s1/x.hdf5", "s2/x.hdf5", "s10/x.hdf5"]
    assert told == [
        [name, f"<- {file}:/episode"]
        for name, file in zip(
            ["episode", "episode_2", "episode_3"], names, strict=True
        )
    ]
    with h5py.File(data / "repacked/repack_0000.hdf5") as file:
        kept = json.loads(file.attrs["piperline_sources"])
    assert [
        kept[name][:2] for name in ("episode", "episode_2", "episode_3")
    ] == [[f, "episode"] for f in names]


def test_repack_refuses_what_it_would_lose(data):
    with h5py.File(data / "data" / "file1.hdf5", "r+") as file:
        file["camera_matrix"] = np.eye(3)
    failed = run(
        data,
        REPACK,
        "repack",
        "-i",
        "./data",
        "-o",
        "./repacked",
        "-e",
        "50",
        code=3,
    )
    assert "camera_matrix" in failed.stderr
    assert not (data / "repacked").exists()


@pytest.mark.measured
def test_what_recorders_say_of_a_file_is_kept(data):
    for number in (1, 2):
        with h5py.File(data / "data" / f"file{number}.hdf5", "r+") as file:
            file.attrs["robot"] = "piper"
            file.attrs["operator"] = f"operator {number}"
            file.attrs["nothing"] = h5py.Empty("f4")
            file.attrs["see"] = file["episode_0"].ref
    run(data, PIPERLINE, "hdf5", "repack", "data", "--episodes-per-file", "100")
    with h5py.File(data / "repack_output" / "repack_0000.hdf5") as file:
        assert file.attrs["robot"] == "piper"
        assert isinstance(file.attrs["nothing"], h5py.Empty)
        assert "operator" not in file.attrs
        assert file["episode_3"].attrs["file:operator"] == "operator 1"
        assert file["episode_3_2"].attrs["file:operator"] == "operator 2"


@pytest.mark.parametrize("build", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_files_are_errors(tmp_path, build):
    path = build(tmp_path)
    failed = run(tmp_path, PIPERLINE, "hdf5", "inspect", path, code=3)
    assert failed.stderr.startswith("error: ")
    assert failed.stdout == ""


def test_a_file_that_another_process_writes_is_an_error(data):
    with h5py.File(data / "data.h5", "r+"):
        failed = subprocess.run(
            [sys.executable, READ, "data.h5"],
            cwd=data,
            capture_output=True,
            text=True,
            check=False,
        )
    assert failed.returncode == 3
    assert "written" in failed.stderr


def test_inputs_that_are_not_there(data):
    failed = run(
        data, REPACK, "repack", "-i", "data", "--pattern", "*.x", code=3
    )
    assert "no file matches" in failed.stderr
    assert (
        "no such file"
        in run(data, REPACK, "repack", "-i", "nowhere", code=3).stderr
    )


def test_files_of_both_endings_are_repacked_where_no_pattern_is_given(data):
    (data / "data/file2.hdf5").rename(data / "data/file2.h5")
    run(data, REPACK, "repack", "-i", "./data", "-o", "./both", "-e", "50")
    run(
        data,
        REPACK,
        "repack",
        "-i",
        "./data",
        "-o",
        "./one",
        "--pattern",
        "*.hdf5",
        "-e",
        "50",
    )
    with h5py.File(data / "both/repack_0000.hdf5") as both:
        assert len(both) == 25
    with h5py.File(data / "one/repack_0000.hdf5") as one:
        assert len(one) == 10


def test_a_full_disk_is_an_error_and_leaves_nothing(data):
    kilobytes = 20
    limited = f"ulimit -f {kilobytes}; exec {sys.executable} {SPLIT} split-hdf5-file -i big.h5"
    with h5py.File(data / "big.h5", "w") as file:
        rows = file.create_dataset("images/x", (50,), h5py.vlen_dtype(np.uint8))
        for place in range(50):
            rows[place] = np.zeros(5000, np.uint8)
        file["raw/x"] = np.ones(50_000)
    for group in ("images", "raw"):
        command = ["bash", "-c", f"{limited} --groups {group}"]
        failed = subprocess.run(
            command,
            cwd=data,
            env=UNMEASURED,
            capture_output=True,
            text=True,
            check=False,
        )
        assert failed.returncode == 5, failed.stderr
        assert failed.stderr.startswith("error: ")
        assert list((data / "split_output").iterdir()) == []


def test_a_kill_leaves_no_broken_output(data):
    with h5py.File(data / "data.h5", "r+") as file:
        file.create_group("a")["x"] = np.zeros(5_000_000)
    out = data / "split_output"
    for delay in (0.4, 0.7, 0.9):
        process = subprocess.Popen(
            [sys.executable, SPLIT, "split-hdf5-file", "-i", "data.h5"],
            cwd=data,
            env=UNMEASURED,
            start_new_session=True,
        )
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for path in out.glob("*.hdf5"):
            assert differs(data / "data.h5", path, path.stem) == ""
    run(data, SPLIT, "split-hdf5-file", "-i", "data.h5")
    assert sorted(path.name for path in out.iterdir()) == [
        "a.hdf5",
        *(f"episode_{number}.hdf5" for number in range(3)),
    ]


def test_the_process_that_writes_dies(data, monkeypatch):
    plan = split_plan(read_top(data / "data.h5"), data)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        copy_workers.Writers() as stopping,
        pytest.raises(OutputError, match="died"),
    ):
        list(stopping.write(plan))
    assert not list(data.glob(".piperline*"))


@pytest.mark.measured
def test_several_processes_write_what_one_writes(data, monkeypatch):
    top = read_top(data / "data/file2.hdf5")
    monkeypatch.setattr(copy_workers, "usable_cpus", lambda: 3)
    for worth, count in ((10**9, 1), (1, 3)):
        monkeypatch.setattr(copy_workers, "_WORTH_A_PROCESS", worth)
        plan = split_plan(top, data / f"of_{count}")
        (data / f"of_{count}").mkdir()
        with copy_workers.Writers() as writers:
            assert list(writers.write(plan)) == plan
            assert len(writers._pool._workers) == count
    for path in (data / "of_1").iterdir():
        assert path.read_bytes() == (data / "of_3" / path.name).read_bytes()


def test_two_at_once_do_not_write_one_file(data):
    new = split_plan(read_top(data / "data.h5"), data)[0]
    with copy._aside(new.path) as (partial, _):
        partial.write_bytes(b"ours")
        with pytest.raises(OutputError, match="another process"):
            copy.write_file(new)
    assert new.path.read_bytes() == b"ours"


@pytest.mark.measured
def test_frames(data):
    frames = (PIPERLINE, "hdf5", "frames", "data.h5")
    said = run(
        data, *frames, "--episode", "episode_1", "--output", "sheet.png"
    ).stdout
    assert said.splitlines()[1] == "episode_1: put it into the bowl"
    with Image.open(data / "sheet.png") as sheet:
        assert f"{sheet.width}x{sheet.height}" in said
        assert read_code(np.asarray(sheet)[32:80, 4:68]) == (1, 0, 0)
    by_index = ("--episode", "1", "--output", "again.png")
    run(data, *frames, *by_index, "--color", "rgb", "--layout", "piper")
    assert (data / "again.png").read_bytes() == (
        data / "sheet.png"
    ).read_bytes()
    assert (
        "already exists (not changed)"
        in run(data, *frames, *by_index, code=5).stderr
    )


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--episode", "1", "--camera", "top"], 3, "no camera top"),
        (["--episode", "1", "--every", "0"], 2, "from 1"),
        (["--episode", "x"], 3, "episode_0, episode_1, episode_2"),
        ([], 2, "add --episode 0"),
    ],
)
def test_frames_that_are_not_there(data, options, code, words):
    failed = run(
        data,
        PIPERLINE,
        "hdf5",
        "frames",
        "data.h5",
        *options,
        "-o",
        "x.png",
        code=code,
    )
    assert words in failed.stderr
    assert not (data / "x.png").exists()


def test_frames_of_the_only_episode_of_another_layout_as_jpeg(data):
    write_aloha(data / "fold.hdf5")
    run(data, PIPERLINE, "hdf5", "frames", "fold.hdf5", "-o", "sheet.jpg")
    with Image.open(data / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
    failed = run(
        data,
        PIPERLINE,
        "hdf5",
        "frames",
        "fold.hdf5",
        "-o",
        "sheet.gif",
        code=2,
    )
    assert "PNG or JPEG" in failed.stderr


def test_of_a_damaged_image_there_is_one_error_and_no_word_of_ffmpeg(tmp_path):
    path = write_piper(tmp_path / "in.hdf5", episodes=1, lengths=2)
    with h5py.File(path, "r+") as file:
        rows = file["episode_0/image_mid"]
        arithmetic = rows[1].tobytes().replace(b"\xff\xc0", b"\xff\xc9", 1)
        rows[1] = np.frombuffer(arithmetic, np.uint8)
    failed = subprocess.run(
        [PIPERLINE, "hdf5", "frames", path, "--output", tmp_path / "a.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 3
    first, *others = failed.stderr.splitlines()
    assert first == "error: an image is damaged"
    assert "unsupported coding type" in others[2]


def test_a_picture_that_finds_no_room_leaves_nothing(data):
    words = [
        "hdf5",
        "frames",
        data / "data.h5",
        "--episode",
        "episode_1",
        "--output",
        data / "sheet.png",
    ]
    script = 'ulimit -f 1; exec "$@"'
    failed = subprocess.run(
        ["bash", "-c", script, "bash", PIPERLINE, *words],
        capture_output=True,
        text=True,
        check=False,
        env=UNMEASURED,
    )
    assert failed.returncode == 5
    assert "sheet.png" in failed.stderr
    assert sorted(path.name for path in data.iterdir()) == ["data", "data.h5"]


@pytest.mark.measured
def test_shell_from_a_pipe(data):
    lines = "cd episode_1\npwd\n\nls\nfly\npreview action[1:2]\nexit\npwd\n"
    done = run(data, READ, "data.h5", "--interactive", text=lines, code=1)
    assert done.stdout.startswith("/episode_1\naction ")
    assert "[[1.35874" in done.stdout
    assert done.stdout.count("/episode_1\n") == 1
    assert "there is no such command" in done.stderr
    assert "preview" in done.stderr
    assert (
        run(data, READ, "data.h5", "-i", text="ls").stdout.count("members") == 3
    )


def heed_interrupts():
    """What a shell starts in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.measured
def test_shell_on_a_terminal(data):
    with h5py.File(data / "data.h5", "r+") as file:
        file["a b/c d"] = 1
    environment = {**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null"}
    shell = pexpect.spawn(
        sys.executable,
        [str(PIPERLINE), "hdf5", "shell", "data.h5"],
        cwd=data,
        env=environment,
        timeout=30,
        encoding="utf-8",
        preexec_fn=heed_interrupts,
    )
    shell.setecho(False)
    shell.expect_exact("/> ")
    shell.send("cd epi\t1\r")  # completes as far as the names agree
    shell.expect_exact("/episode_1> ")
    shell.send("prev\timage_m\t[2]\r")
    shell.expect("\x1b\\[38;2;[0-9;]+m")  # the picture, in colours
    shell.expect_exact("/episode_1> ")
    shell.send("pw\x03")  # Ctrl-C gives up the line
    shell.expect_exact("/episode_1> ")
    shell.send("cd ../a\t\r")
    shell.expect_exact("/a b> ")
    shell.send("info c\t\r")
    shell.expect("scalar int64")
    shell.expect_exact("/a b> ")
    shell.send("\x1b[A" * 3 + "\r")  # `preview image_mid[2]`, from the history
    shell.expect_exact("there is nothing of this name")
    shell.expect_exact("/a b> ")
    shell.send("\x04")  # Ctrl-D
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0


@pytest.mark.measured
def test_read_on_a_terminal_has_colours(data):
    shown = pexpect.run(
        f"{PIPERLINE} hdf5 inspect data.h5",
        cwd=data,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
        encoding="utf-8",
    )
    assert "\x1b[" in shown
    assert "episode_2" in shown


@pytest.mark.parametrize(
    "command",
    ["inspect", "shell", "frames", "groups", "split", "repack", "analyze"],
)
def test_help_has_an_example(data, command):
    shown = run(data, PIPERLINE, "hdf5", command, "--help").stdout
    assert f"piperline hdf5 {command} " in shown.split("Example")[1]

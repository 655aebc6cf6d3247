"""Files that crash HDF5, make it hang or fill the memory: one clear error, and the rest goes on."""

import ctypes
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import pytest

from piperline.cli.app import app, run
from piperline.convert import pool
from piperline.errors import BadEpisode, Place
from piperline.recordings.reader import Reader, reading_at
from tests.helpers.fatal import MID, crashing, make_hang
from tests.helpers.recordings import write_piper

pytestmark = pytest.mark.measured

PIPERLINE = Path(sys.executable).with_name("piperline")


@pytest.fixture
def crash(tmp_path):
    """The second of three episodes crashes HDF5 when it is read."""
    path = write_piper(tmp_path / "crash.hdf5", episodes=3, lengths=4)
    with h5py.File(path, "r+") as file:
        crashing(file, "episode_1")
    return path


@pytest.fixture
def hang(tmp_path, monkeypatch):
    """HDF5 reads its first image for ever."""
    monkeypatch.setattr("piperline.recordings.reader.READER_SECONDS", 4)
    path = write_piper(tmp_path / "hang.hdf5", episodes=1, lengths=4)
    make_hang(path)
    return path


@pytest.fixture
def in_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(capsys, *words: object) -> tuple[int, str, str]:
    code = run(app, [str(word) for word in words])
    return code, *capsys.readouterr()


def assert_told(err: str, path: Path, found: str, episode: str | None) -> None:
    """The error of four lines names the file, and the episode where it is known."""
    where = f"where:    file {path}"
    lines = err[err.index("error: ") :].splitlines()
    assert lines[0] == "error: reading this crashes or hangs"
    assert lines[1] == where + (f", episode {episode}" if episode else "")
    assert lines[2].startswith("expected: ")
    assert lines[3] == f"found:    {found}"
    assert lines[4].startswith("next:     ")


SEGV = "a crash (SIGSEGV)"


def test_inspect_tells_the_other_episodes(capsys, crash):
    code, out, _ = command(capsys, "hdf5", "inspect", crash)
    assert code == 3
    table = out.partition("crash.hdf5: ")[0].splitlines()
    rows = [
        line.split()[0] for line in table if "pick" in line or "put" in line
    ]
    assert rows == ["episode_0", "episode_2"]
    wrong = " ".join("".join(table).split())
    assert "episode_1 does not fit: reading this crashes or hangs" in wrong
    assert "1 object cannot be read" in out
    assert f"reading this crashes or hangs: {SEGV}" in out


def test_layout_check_tells_the_other_episodes(capsys, crash):
    code, out, err = command(capsys, "layout", "check", "piper", crash)
    assert (code, err) == (3, "")
    assert out.startswith("2 of 3 episodes fit\n")
    assert "does not fit: episode_1: reading this crashes or hangs" in out
    assert f"  found: {SEGV}\n" in out


@pytest.mark.usefixtures("crash")
def test_analyze_tells_the_other_files(capsys, tmp_path):
    write_piper(tmp_path / "fine.hdf5", episodes=2, lengths=5)
    code, out, _ = command(capsys, "hdf5", "analyze", "-i", tmp_path, "--json")
    assert code == 3
    found = json.loads(out)
    assert [file["episodes"] for file in found["files"]] == [2, 2]
    assert found["frames"] == 18
    assert found["files"][0]["problem"].startswith("episode_1: reading this")


def test_frames_names_the_episode(capsys, crash, tmp_path):
    words = ["hdf5", "frames", crash, "-o", tmp_path / "sheet.png"]
    code, out, err = command(capsys, *words, "--episode", "1")
    assert (code, out) == (3, "")
    assert_told(err, crash, SEGV, "episode_1")
    assert not (tmp_path / "sheet.png").exists()
    assert command(capsys, *words, "--episode", "2")[0] == 0


@pytest.mark.parametrize(
    ("words", "episode"),
    [
        (["hdf5", "inspect"], None),
        (["layout", "draft"], None),
        (["hdf5", "frames", "-o", "sheet.png"], "episode_0"),
    ],
    ids=["inspect", "draft", "frames"],
)
@pytest.mark.usefixtures("in_folder")
def test_a_hang_ends(capsys, hang, words, episode):
    if words[0] == "layout":
        with h5py.File(hang, "r+") as file:  # else a built-in one fits
            del file["episode_0/action"]
    code, _, err = command(capsys, *words, hang)
    assert code == 3
    assert_told(err, hang, "nothing for 4 seconds", episode)


def test_split_does_not_hang(capsys, hang, tmp_path, monkeypatch):
    monkeypatch.setattr("piperline.hdf5.copy_workers.READER_SECONDS", 4)
    code, _, err = command(
        capsys, "hdf5", "split", "-i", hang, "-o", tmp_path / "out"
    )
    assert code in {3, 5}
    assert "hang.hdf5" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_the_shell_lives_on(crash):
    lines = "cd episode_1\npreview image_mid[1]\npwd\nls ../episode_0\nexit\n"
    done = subprocess.run(
        [PIPERLINE, "hdf5", "shell", crash],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert_told(done.stderr, crash, SEGV, None)
    assert done.stdout.startswith("/episode_1\naction ")


def bomb(path: Path) -> None:
    """A chunk that claims 256 bytes, and is 256 MB of zeros, compressed to 256 kB."""
    squeeze = zlib.compressobj(9)
    block = b"\0" * (1 << 24)
    data = [squeeze.compress(block) for _ in range(16)]
    with h5py.File(path, "r+") as file:
        group = file["episode_0"]
        del group[MID]
        images = group.create_dataset(
            MID, shape=(4, 64), chunks=(4, 64), dtype="u1", compression=9
        )
        images.id.write_direct_chunk(
            (0, 0), b"".join([*data, squeeze.flush()]), 0
        )


def test_a_bomb_is_not_unfolded(capsys, tmp_path):
    path = write_piper(tmp_path / "bomb.hdf5", episodes=1, lengths=4)
    bomb(path)
    code, _, err = command(
        capsys,
        *("hdf5", "frames", path, "--layout", "piper"),
        *("-o", tmp_path / "sheet.png"),
    )
    assert code == 3
    assert "error: a compressed chunk is larger than what it claims" in err
    assert f"where:    file {path}, HDF5 path /episode_0/image_mid" in err


def fall(path: Path, name: str) -> None:
    """Reads a file of several episodes, and dies over the second."""
    reading_at(Place(file=path, episode=name))
    ctypes.string_at(0)


def test_a_reader_starts_anew_after_a_crash(tmp_path):
    path = tmp_path / "any"
    with Reader() as read:
        with pytest.raises(BadEpisode, match="crashes or hangs") as caught:
            read(path, fall, path, "two")
        assert caught.value.place == Place(file=path, episode="two")
        assert read(path, max, 1, 2) == 2
        first, second = read.later(path, min, 1, 2), read.later(path, max, 1, 2)
        assert (second(), first()) == (2, 1)
        with pytest.raises(RuntimeError, match="a fault in piperline"):
            read(path, divmod, 1, 0)
        with pytest.raises(FileNotFoundError):
            read(path, shutil.copy, tmp_path / "none", path)


@pytest.mark.usefixtures("hang")
def test_a_conversion_finds_its_layout_apart(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "LOOK_SECONDS", 4)
    write_piper(tmp_path / "later.hdf5", episodes=1, lengths=4)
    words = ["convert", tmp_path, "--dry-run", "--json", "-o", tmp_path / "out"]
    code, out, err = command(capsys, *words, "--skip-bad")
    assert code == 0, err
    (episode,) = json.loads(out)["episodes"]
    assert episode["source"].endswith("/later.hdf5")

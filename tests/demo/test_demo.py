"""The demo: recordings of our own, converted, opened, counted."""

import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from piperline.cli.app import app, run
from piperline.demo import make_demo, write_recordings
from piperline.errors import OutputExists
from piperline.video.images import decode_image

quick = partial(
    write_recordings, files=1, episodes=2, frames=(9, 4), size=(48, 64)
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("made") / "demo", record=quick)


def test_every_row_has_its_frame_in_every_camera(made):
    assert [episode.rows for episode in made.summary.episodes] == [9, 4]
    assert all(
        set(episode.frames.values()) == {episode.rows}
        for episode in made.summary.episodes
    )
    assert list(made.summary.episodes[0].frames) == [
        f"observation.images.{name}"
        for name in ("left_wrist", "mid", "right_wrist")
    ]
    assert made.summary.head.num_rows == 3
    assert len({episode.instruction for episode in made.summary.episodes}) == 2


def test_the_contact_sheet_has_eight_frames_of_each_camera(made):
    assert decode_image(made.summary.sheet.read_bytes()).shape == (
        3 * 48 + 4 * 4,
        8 * 64 + 9 * 4,
        3,
    )


@pytest.mark.usefixtures("workers_in_threads")
def test_an_earlier_demo_is_made_anew(tmp_path, made):
    said: list[str] = []
    folder = tmp_path / "demo"
    shutil.copytree(made.folder, folder)
    (folder / "dataset" / "README.md").unlink()
    again = make_demo(folder, record=quick, note=said.append)
    assert (folder / "dataset" / "README.md").is_file()
    assert again.summary.episodes == made.summary.episodes
    assert len(said) == 3


def test_what_is_not_ours_is_kept(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("finished")
    for taken in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(OutputExists, match="already exists"):
            make_demo(taken, record=quick)
        assert run(app, ["demo", str(taken)]) == 5
        assert f"where:    file {taken}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "finished"


def test_a_limit_of_file_size(tmp_path):
    script = 'ulimit -f 100; exec "$0" -m piperline demo "$1"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert done.stderr.splitlines()[1:] == [
        "error: the file size limit is reached",
        f"where:    file {tmp_path}/demo",
        "expected: a limit of file size within which the output fits",
        "found:    [Errno 27] File too large",
        "next:     raise the limit, `ulimit -f unlimited`, and run the same command again",
    ]
    assert not list((tmp_path / "demo/recordings").iterdir())


@pytest.mark.usefixtures("workers_in_threads")
def test_what_the_command_prints(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a look"
    monkeypatch.setattr(
        "piperline.demo.make_demo", partial(make_demo, record=quick)
    )
    assert run(app, ["demo", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder}/"
    assert any(line.split()[0] == "modality.json" for line in lines if line)
    assert "2 episodes, 13 frames, 3 cameras, 2 tasks in" in "\n".join(lines)
    assert [
        line.split()[:6] for line in lines if line.startswith("  episode ")
    ] == [
        ["episode", "0", "9", "9", "9", "9"],
        ["episode", "1", "4", "4", "4", "4"],
    ]
    assert (
        f"contact sheet, a row for each camera: {folder / 'contact_sheet.png'}"
        in lines
    )
    commands = [shlex.split(line) for line in lines[lines.index("next:") + 1 :]]
    assert len(commands) == 3
    assert [program for program, *_ in commands] == ["piperline"] * 3
    # Preflight finds that 9 and 4 frames are shorter than an action chunk.
    assert [run(app, arguments) for _, *arguments in commands] == [0, 0, 1]
    assert "[horizon-too-long]" in capsys.readouterr().out


@pytest.mark.slow
def test_the_real_command(tmp_path):
    command = [
        Path(sys.executable).with_name("piperline"),
        "demo",
        tmp_path / "look",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "9 episodes, 603 frames, 3 cameras, 2 tasks" in done.stdout
    assert "(9 files in all)" in done.stdout
    assert (
        "  episode 8                66          66          66          66  put the red cube"
        in done.stdout
    )
    assert (
        decode_image(
            (tmp_path / "look" / "contact_sheet.png").read_bytes()
        ).shape[1]
        > 1400
    )

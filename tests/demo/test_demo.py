"""The demo: recordings of our own, converted, opened, counted."""

import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from piperline.cli.app import app, run
from piperline.demo import make_demo, write_recordings
from piperline.errors import OutputExists
from piperline.stills import decode_image

quick = partial(write_recordings, files=1, episodes=2, frames=(9, 4), size=(48, 64))


def test_every_row_has_its_frame_in_every_camera(tmp_path):
    said: list[str] = []
    made = make_demo(tmp_path / "demo", record=quick, note=said.append)
    assert [episode.rows for episode in made.look.episodes] == [9, 4]
    assert all(set(episode.frames.values()) == {episode.rows} for episode in made.look.episodes)
    assert list(made.look.episodes[0].frames) == [
        f"observation.images.{name}" for name in ("left_wrist", "mid", "right_wrist")
    ]
    assert made.look.head.num_rows == 3
    assert len({episode.task for episode in made.look.episodes}) == 2
    assert len(said) == 3


def test_the_contact_sheet_has_eight_frames_of_each_camera(tmp_path):
    made = make_demo(tmp_path / "demo", record=quick)
    assert decode_image(made.look.sheet.read_bytes()).shape == (3 * 48 + 4 * 4, 8 * 64 + 9 * 4, 3)


def test_an_earlier_demo_is_made_anew(tmp_path):
    before = make_demo(tmp_path / "demo", record=quick)
    (before.result.output / "README.md").unlink()
    again = make_demo(tmp_path / "demo", record=quick)
    assert (again.result.output / "README.md").is_file()
    assert again.look.episodes == before.look.episodes


def test_what_is_not_ours_is_kept(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("finished")
    for taken in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(OutputExists, match="something else"):
            make_demo(taken, record=quick)
        assert run(app, ["demo", str(taken)]) == 5
        assert f"where:    file {taken}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "finished"


@pytest.mark.slow
def test_the_command(tmp_path):
    folder = tmp_path / "a look"
    command = [Path(sys.executable).with_name("piperline"), "demo", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"{folder}/"
    assert any("modality.json" in line for line in lines)
    assert sum(line.startswith("  episode ") for line in lines) == 9
    assert "  episode 1                75          75          75          75  pass the red cube" in done.stdout
    assert "9 episodes, 603 frames, 3 cameras, 2 tasks" in done.stdout
    assert f"contact sheet, a row for each camera: {folder / 'contact_sheet.png'}" in lines
    assert decode_image((folder / "contact_sheet.png").read_bytes()).shape[1] > 1400
    commands = [shlex.split(line) for line in lines[lines.index("next:") + 1 :]]
    assert len(commands) == 3
    for program, *arguments in commands:
        assert program == "piperline"
        assert run(app, arguments) == 0

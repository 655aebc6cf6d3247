"""What the HDF5 tools found, laid out for a terminal."""

import h5py
import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from piperline.cli.hdf5_tables import analysis_lines, episode_lines, group_lines
from piperline.cli.hdf5_text import report_lines, values_lines
from piperline.cli.prompt import answer_lines, image_lines
from piperline.hdf5.analysis import analyze
from piperline.hdf5.episode_table import episode_table
from piperline.hdf5.inspect import inspect
from piperline.hdf5.shell import Shell
from piperline.hdf5.top_level import read_top
from piperline.hdf5.values import preview
from tests.helpers.recordings import write_aloha, write_piper

LONG = (
    "把红色方块放到盘子里然后再拿回来放好 and then pick up the blue one, please"
)


def table_of(path):
    table = episode_table(path)
    assert table is not None
    return table


def console(width=80):
    return Console(width=width, markup=False)


def shown(path, width=80):
    lines = episode_lines(table_of(path), console(width))
    return [
        *lines,
        *report_lines(inspect(path, attrs=True, previews=True), width),
    ]


def test_the_tree_of_a_recording(tmp_path):
    lines = shown(write_piper(tmp_path / "data.h5", episodes=2))
    assert lines[0] == (
        "recording, layout piper: 2 episodes, 10 frames, 0.3 s at 30 frames a second"
    )
    assert "  camera mid: jpeg 64x48" in lines
    assert any(line.startswith("  episode_0/  5 members") for line in lines)
    assert "    action  (5, 14) float32  contiguous  280 B" in lines
    assert any("JPEG 64x48 quality ~90 4:2:0" in line for line in lines)


def test_one_of_a_kind_is_singular(tmp_path):
    lines = shown(write_aloha(tmp_path / "fold.h5"))
    assert "1 episode, 5 frames" in lines[0]


def test_an_instruction_is_never_cut(tmp_path):
    path = write_piper(tmp_path / "data.h5", episodes=1, tasks=[LONG])
    wide = list(episode_lines(table_of(path), console(200)))
    assert wide[-1].endswith(f"  {LONG}")
    *_, heading, first, second, third, _ = episode_lines(
        table_of(path), console(80)
    )
    column = heading.index("instruction")
    wrapped = "".join(row.split("  ")[-1] for row in (first, second, third))
    assert column < 70
    assert LONG.replace(" ", "").startswith(wrapped.replace(" ", ""))


def test_a_narrow_terminal_cuts_nothing(tmp_path):
    path = write_piper(
        tmp_path / "data.h5", episodes=1, tasks=["pick up the cube"]
    )
    *_, heading, row = episode_lines(table_of(path), console(40))
    assert heading.split() == [
        "episode",
        "frames",
        "seconds",
        "state",
        "action",
        "instruction",
    ]
    assert row.endswith("0.15 .. 1.09  pick up the cube")


@pytest.mark.parametrize("width", [80, 132])
def test_lines_keep_to_the_width_also_in_chinese(tmp_path, width):
    path = write_piper(
        tmp_path / "红色方块.hdf5", episodes=2, tasks=(LONG, "pick")
    )
    with h5py.File(path, "r+") as file:
        group = file.create_group("episode_0/一/二/三/四/五")
        group["位置"] = np.random.default_rng(0).random((9, 40))
        group.attrs["说明"] = "很长的说明" * 20
        del file["episode_1/action"]
    lines = shown(path, width)
    assert max(map(cell_len, lines)) <= width
    assert any("位置" in line for line in lines)
    assert "".join("".join(lines).split()).count("很长的说明") == 20


def test_what_does_not_fit_is_told(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=3)
    with h5py.File(path, "r+") as file:
        del file["episode_1/image_mid"]
    lines = list(episode_lines(table_of(path), console()))
    text = " ".join(" ".join(lines).split())
    assert (
        "episode_1 does not fit: a dataset is missing: /episode_1/image_mid"
        in text
    )
    assert lines[-1] == "  1 of 3 episodes do not fit"


def test_cameras_that_differ_are_told(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1)
    write_piper(tmp_path / "other.h5", episodes=1, first=1, size=(96, 128))
    with (
        h5py.File(path, "r+") as file,
        h5py.File(tmp_path / "other.h5") as other,
    ):
        other.copy("episode_1", file)
    expected = "  camera mid: jpeg 64x48 in 1 episode, jpeg 128x96 in 1 episode"
    assert expected in list(episode_lines(table_of(path), console()))


def values_of(tmp_path, data, selection="", width=76):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["it"] = data
        return list(values_lines(preview(file["it"].id, selection), width))


def test_values_that_are_left_out_have_a_sign(tmp_path):
    lines = values_of(tmp_path, np.arange(140).reshape(10, 14))
    assert lines[0] == "[[ 0  1  2  3  4  5  6  7]"
    assert lines[-1] == "… 3 x 8 of 10 x 14 values"
    assert values_of(tmp_path, np.arange(7))[-1] == "… 6 of 7 values"
    assert values_of(tmp_path, ["a"] * 7)[-1] == "… 6 of 7 values"
    assert values_of(tmp_path, np.arange(6)) == ["[0 1 2 3 4 5]"]
    assert values_of(tmp_path, np.arange(140), "0:3") == ["[0 1 2]"]


def test_timestamps_show_their_differences(tmp_path):
    times = 1.7e9 + np.arange(4) / 30
    (line,) = values_of(tmp_path, times, width=200)
    assert [float(word) for word in line.strip("[]").split()] == times.tolist()
    assert values_of(tmp_path, np.array([0.1497512, 0.5])) == [
        "[0.14975 0.5    ]"
    ]


def test_a_long_text_is_cut_with_a_sign_and_whole_in_the_shell(tmp_path):
    (line,) = values_of(tmp_path, "x" * 500)
    assert line.endswith("…  (500 characters)")
    assert len(line) == 76
    with h5py.File(tmp_path / "in.h5") as file:
        assert list(answer_lines(Shell(file).run("preview it"), 80)) == [
            "x" * 500
        ]


def test_a_long_attribute_is_cut_with_a_sign_and_whole_in_the_shell(tmp_path):
    text = '{"fx": 1.5,\n "lens": "' + "x" * 2000 + '"}'
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file.attrs["calibration"] = text
        file.attrs["table"] = np.arange(300)
    lines = list(report_lines(inspect(tmp_path / "in.h5", attrs=True), 80))
    text_shown = " ".join(" ".join(lines).split())
    assert f"… ({len(text):,} characters in all)" in text_shown
    assert "(300 numbers)" in text_shown
    with h5py.File(tmp_path / "in.h5") as file:
        shell = Shell(file)
        said = list(answer_lines(shell.run("attrs"), 80))
        assert "\n".join(said[:2]) == f"@calibration = {text}"
        assert said[2].split() == [
            "@table",
            "=",
            "[",
            *map(str, range(299)),
            "299]",
        ]
        assert "x" * 60 in "".join(answer_lines(shell.run("info /"), 80))


def test_answers_of_the_shell(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["scalar/it"] = 3.5
        file["soft_link/it target"] = 5
        file["soft_link/it"] = h5py.SoftLink("it target")
        shell = Shell(file)
        assert list(answer_lines(shell.run("pwd"), 80)) == ["/"]
        assert list(answer_lines(shell.run(""), 80)) == []
        assert list(answer_lines(shell.run("attrs scalar/it"), 80)) == [
            "no attributes"
        ]
        ls = list(answer_lines(shell.run("ls soft_link"), 80))
        assert ls == [
            "it          -> it target",
            "it target   scalar int64  contiguous  8 B",
        ]
        assert "  it  scalar float64  contiguous  8 B" in answer_lines(
            shell.run("tree scalar"), 80
        )
        info = list(answer_lines(shell.run("info scalar/it"), 80))
        assert info == [
            "/scalar/it",
            "it  scalar float64  contiguous  8 B",
            "    | 3.5",
        ]
        assert any(
            line.startswith("cd NAME ")
            for line in answer_lines(shell.run("help"), 80)
        )


def test_an_image_is_drawn_in_colours():
    image = np.zeros((4, 2, 3), np.uint8)
    image[0] = [255, 0, 9]
    first, _ = image_lines(image, 80)
    assert first == "\x1b[38;2;255;0;9m\x1b[48;2;0;0;0m▀" * 2 + "\x1b[0m"


def test_groups_and_analysis(tmp_path):
    path = write_piper(
        tmp_path / "data.hdf5", episodes=3, names=["红", "episode_1", "e"]
    )
    lines = list(group_lines(read_top(path).groups))
    assert len({cell_len(line) for line in lines}) == 1
    assert "5 members" in lines[0]
    write_aloha(tmp_path / "fold.h5")
    (tmp_path / "ruin.h5").write_bytes(b"")
    lines = list(analysis_lines(analyze(tmp_path, per_file=2), console(200)))
    words = [line.split() for line in lines]
    assert words[0] == [
        "file",
        "episodes",
        "frames",
        "seconds",
        "size",
        "layout",
    ]
    assert words[1][1:4] == ["3", "15", "0.5"]
    assert words[2][1:4] == ["1", "5", "0.1"]
    assert any(line.startswith("ruin.h5: ") for line in lines)
    assert "1 file of one episode each: " in "\n".join(lines)
    assert (
        lines[-1]
        == "repacking would make 2 files of 2 episodes, the last with 1"
    )

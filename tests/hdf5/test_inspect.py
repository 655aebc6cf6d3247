"""What `inspect`, the shell and the names of files are made of."""

import io
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from piperline.errors import BadEpisode, OutputExists, PiperlineError, RecordingError
from piperline.hdf5.cells import cells
from piperline.hdf5.contact_sheet import frames_sheet
from piperline.hdf5.describe import facts, facts_and_picture, picture_bytes, preview
from piperline.hdf5.episode_table import episode_table, frame_count, table_lines
from piperline.hdf5.file_names import file_stems, unique
from piperline.hdf5.image_text import Picture, read_picture
from piperline.hdf5.inspect import inspect, report_lines
from piperline.hdf5.shell import Shell
from piperline.hdf5.table_process import start_table
from piperline.recordings.layout import load_layout
from piperline.text import natural_key
from tests.hdf5.kinds import KINDS
from tests.helpers.recordings import STORAGES, jpeg, paint, png, read_code, write_aloha, write_piper


def saved(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(paint(0, 0, 0)).convert(str(options.pop("mode", "RGB"))).save(
        file, "JPEG", **options
    )
    return file.getvalue()


def table_of(path: Path) -> Iterator[str]:
    table = episode_table(path)
    assert table is not None
    return table_lines(table)


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 90, 95])
def test_the_quality_of_a_jpeg_is_told(quality):
    found = read_picture(jpeg(paint(0, 0, 0), quality))
    assert found is not None
    assert found.quality == pytest.approx(quality, abs=1)


@pytest.mark.parametrize(("number", "text"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_the_subsampling_of_a_jpeg_is_told(number, text):
    found = read_picture(saved(subsampling=number, quality=80, progressive=True))
    assert found == Picture("JPEG", 64, 48, 80, text)


def test_other_pictures():
    assert str(read_picture(saved(mode="L", quality=60))) == "JPEG 64x48 quality ~60 grey"
    assert str(read_picture(png(paint(0, 0, 0)))) == "PNG 64x48"
    whole = jpeg(paint(0, 0, 0))
    for data in (
        b"",
        b"\x89PNG\r\n\x1a\n",
        whole[:20],
        whole[:160],
        b"\xff\xd8\xff\xdb\0\x02\xff\xc0\0\x02",
        b"text",
    ):
        assert read_picture(data) is None
    no_table = (
        b"\xff\xd8\xff\xdb\0\x43\0" + bytes(64) + b"\xff\xc0\0\x0b\x08\0\x30\0\x40\x01\x01\x11\0"
    )
    assert read_picture(no_table) == Picture("JPEG", 64, 48, None, "grey")
    wide = (
        b"\xff\xd8\xff\xdb\0\x83\x10"
        + b"\0\x39" * 64
        + b"\xff\xc0\0\x0b\x08\0\x30\0\x40\x01\x01\x11\0"
    )
    assert read_picture(wide) == Picture("JPEG", 64, 48, 51, "grey")


@pytest.mark.parametrize("storage", STORAGES)
def test_pictures_are_recognised_in_every_storage(tmp_path, storage):
    path = write_piper(tmp_path / "in.h5", storage=storage, episodes=1)
    expected = {"raw": "raw 64x48", "png-vlen": "PNG 64x48"}.get(
        storage, "JPEG 64x48 quality ~90 4:2:0"
    )
    assert f"camera mid: {expected.split()[0].lower()} 64x48" in "\n".join(table_of(path))
    with h5py.File(path) as file:
        data = file["episode_0/image_mid"].id
        assert str(facts_and_picture(data)[1]) == expected
        assert facts_and_picture(file["episode_0/state"].id)[1] is None
        assert picture_bytes(data, 99) is None
        shell = Shell(file)
        shell.run("cd episode_0")
        output = tmp_path / "out.png"
        assert shell.run(f"preview image_mid[3] {output}") == [f"{output}: 64x48"]
        assert read_code(np.asarray(Image.open(output))) == (0, 1, 3)
        with pytest.raises(OutputExists):
            shell.run(f"preview image_mid[3] {output}")
        with pytest.raises(RecordingError, match="no such picture"):
            shell.run(f"preview image_mid[99] {tmp_path}/x.png")
        with pytest.raises(RecordingError, match="no such picture"):
            shell.run(f"preview action {tmp_path}/x.png")
        assert (
            Shell(file, pictures=True)
            .run("preview episode_0/image_mid[-1]")[0]
            .startswith("\x1b[38;2;")
        )
        assert Shell(file, pictures=True).run("preview episode_0/action[0]")[0].startswith("[")


@pytest.fixture
def zoo(tmp_path):
    path = tmp_path / "zoo.h5"
    with h5py.File(path, "w") as file:
        for kind, build in KINDS.items():
            build(file.create_group(kind), "it")
        file["images many"] = h5py.SoftLink("/images/it")
        file["far"] = h5py.ExternalLink("zoo.h5", "/x")
        file["lost"] = h5py.ExternalLink("none.h5", "/x")
    return path


def test_every_kind_is_described(zoo):
    text = "\n".join(report_lines(inspect(zoo, attrs=True, previews=True)))
    for words in (
        "(12, 5) float32  chunks (3, 5)  shuffle gzip-4",
        "lzf",
        "fletcher32",
        "(cannot be decoded here)",
        "(3,) vlen uint8  contiguous",
        "about ",  # chunked variable-length values are estimated
        "compact",
        "{x: float64, tag: string, pose: float32(3,)}",
        "enum closed/open",
        "bool",
        "string[3]",
        "opaque[3]",
        "scalar float64",
        "empty float64",
        "named type",
        "the same object as /hard_link/it",
        "-> nothing here (broken)",
        "images many  -> /images/it\n",
        "far  -> zoo.h5:/x (another file)",
        "lost  -> none.h5:/x (another file, missing)",
        "reference",
        "region reference",
        "@text = pick the 红 cube",
        "@nothing = empty",
    ):
        assert words in text
    nodes = inspect(zoo).nodes
    assert len({entry.path for entry in nodes}) == len(nodes)


def test_sizes_of_variable_length_values_are_read_not_guessed(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1, lengths=30)
    with h5py.File(path) as file:
        data = file["episode_0/image_mid"]
        found = facts(data.id)
        assert found.logical_bytes == sum(len(row) for row in data[()])
        assert found.stored_bytes == found.logical_bytes + 30 * 16
        assert not found.estimated


def test_a_preview_shows_what_is_asked_for(zoo):
    with h5py.File(zoo) as file:
        numbers = file["contiguous/it"].id
        assert preview(numbers, "2") == ["[10. 11. 12. 13. 14.]"]
        assert preview(numbers, "-1, 3:") == ["[58. 59.]"]
        assert preview(numbers, "::6, 0") == ["[ 0. 30.]"]
        assert preview(file["strings/it"].id) == ["a", "", "böse"]
        assert preview(file["strings/it"].id, "2") == ["böse"]
        assert preview(file["empty/it"].id) == ["empty"]
        assert preview(file["no_rows/it"].id) == ["[]"]
        assert preview(file["scalar/it"].id) == ["3.5"]
        for wrong in ("x", "1:2:3:4", "99", "0,0,0", "1+1", "::0"):
            with pytest.raises(RecordingError):
                preview(numbers, wrong)
        with pytest.raises(RecordingError, match="cannot be read"):
            preview(file["unknown_filter/it"].id)


def test_large_questions_are_refused(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["x"] = np.zeros(5000)
        with pytest.raises(RecordingError, match="too many"):
            preview(file["x"].id, "0:4000")
        file["text"] = "x" * 500
        assert len(preview(file["text"].id)[0]) == 76


def test_the_shell_knows_its_way(zoo):
    with h5py.File(zoo) as file:
        shell = Shell(file)
        assert shell.path == "/"
        assert shell.run("") == []
        shell.run("cd attributes/it")
        assert shell.run("pwd") == ["/attributes/it"]
        assert "@many = a, b, c" in shell.run("attrs")
        assert shell.run("ls") == []
        shell.run("cd ../../soft_link")
        assert [line.split()[0] for line in shell.run("ls")] == ["it", "it"]
        assert shell.run("info it")[1].startswith("it  scalar int64")
        assert shell.run("attrs it") == ["no attributes"]
        assert shell.run("preview 'it target'") == ["5"]
        assert shell.run("preview /images/it[1]")[0].startswith("[  0   1   2")
        assert len(shell.run("tree /")) > len(KINDS)
        assert shell.run("ls /images/it")[0].startswith("it")
        assert any(line.startswith("preview NAME") for line in shell.run("help"))
        shell.run("cd")
        assert shell.path == "/"
        for wrong, words in {
            "cd images/it": "this is not a group",
            "cd nowhere": "one of absolute_soft_link, attributes, blosc",
            "cd far": "leads to nothing in this file",
            "cd broken_soft_link/it": "leads to nothing",
            "preview images": "this is not a dataset",
            "fly": "help, ls, cd",
        }.items():
            with pytest.raises(PiperlineError) as caught:
                shell.run(wrong)
            assert words in str(caught.value)
        shell.run("quit")
        assert shell.closed


def test_the_shell_takes_names_as_they_are(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["a b[5]"] = [1, 2]
        file["new\nline/x"] = 1
        shell = Shell(file)
        assert shell.run("preview a b[5]") == ["[1 2]"]
        assert shell.run("preview 'a b[5]'[1]") == ["2"]
        assert shell.complete("preview a") == ["preview a b[5]"]
        assert shell.complete("cd new\\nline/") == ["cd new\\nline/x"]
        assert shell.complete("cd nowhere/") == []
        assert shell.complete("pre") == ["preview "]
        shell.run("cd new\\nline")
        assert shell.path == "/new\\nline"


def test_an_episode_that_does_not_fit_is_told(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=3, tasks=["a very long instruction " * 5, None])
    with h5py.File(path, "r+") as file:
        del file["episode_1/image_mid"]
        file["episode_2/state"][0, 0] = np.nan
    table = episode_table(path)
    assert table is not None
    assert [row.problem is None for row in table.rows] == [True, False, False]
    text = "\n".join(table_lines(table))
    assert "episode_1 does not fit: a dataset is missing: /episode_1/image_mid" in " ".join(
        text.split()
    )
    assert max(map(len, text.splitlines())) <= 80
    assert "2 of 3 episodes do not fit" in text
    assert frame_count(path) == 10  # the values of state are not looked at for that
    assert "…" in text


def test_cameras_that_differ_between_episodes_are_told(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1)
    write_piper(tmp_path / "other.h5", episodes=1, first=1, size=(96, 128))
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "other.h5") as other:
        other.copy("episode_1", file)
    text = "\n".join(table_of(path))
    assert "camera mid: jpeg 64x48 in 1 episodes, jpeg 128x96 in 1 episodes" in text


def test_other_layouts_and_other_files(tmp_path, zoo):
    table = episode_table(write_aloha(tmp_path / "aloha.h5"))
    assert table is not None
    assert (table.layout, table.fps, table.frames) == ("aloha", 50, 5)
    assert episode_table(zoo) is None
    assert frame_count(zoo) is None


def test_file_names():
    plain = ["episode_0", "a-b.c", "红"]
    assert file_stems(plain) == plain
    assert file_stems(["", ".", "..", "-x", "a b", "\0\n", "a/b"]) == [
        "_",
        "__2",
        "__3",
        "_-x",
        "a_b",
        "__",
        "a_b_2",
    ]
    assert file_stems(["A", "a", "a_2"]) == ["A", "a_3", "a_2"]
    twins = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    assert file_stems(twins) == ["é", "é_2"]
    (long,) = file_stems(["红" * 300])
    assert len(long.encode()) <= 180
    assert unique(["a", "A", "a"], key=str) == ["a", "A", "a_2"]


def test_natural_order():
    names = ["e10", "e2", "e", "e02", "1" * 5000, "e2b"]
    assert sorted(names, key=natural_key) == ["1" * 5000, "e", "e02", "e2", "e2b", "e10"]


def test_a_sheet_of_damaged_or_too_many_frames_is_refused(tmp_path, monkeypatch):
    path, piper = write_piper(tmp_path / "in.h5", episodes=1), load_layout("piper")
    with monkeypatch.context() as patch:
        patch.setattr("piperline.hdf5.contact_sheet._MOST", 3)
        with pytest.raises(RecordingError, match="more than 3 frames"):
            frames_sheet(path, piper, "episode_0", every=1)
    with h5py.File(path, "r+") as file:
        file["episode_0/image_mid"][2] = np.frombuffer(b"no picture", np.uint8)
    assert frames_sheet(path, piper, "episode_0", cameras=["left_wrist"]).shape[2] == 3
    with pytest.raises(BadEpisode) as caught:
        frames_sheet(path, piper, "episode_0", every=2)
    assert "frame 2" in str(caught.value)


def test_what_h5py_cannot_read_is_still_shown(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
        h5py.h5a.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
        file.create_dataset("wide", (2, 70_000_000), "u1", chunks=(1, 1000))
        file.create_dataset("far", (2, 3), "u1", maxshape=(None, 3), chunks=(2, 3))
        file["bytes"] = np.array([b"\xff\xfe", b"ok"])
    text = "\n".join(report_lines(inspect(tmp_path / "in.h5", attrs=True, previews=True)))
    assert "(3,) unknown type" in text
    assert "@time = unreadable" in text
    assert "\\udcff" in text
    with h5py.File(tmp_path / "in.h5") as file, pytest.raises(RecordingError, match="too large"):
        picture_bytes(file["wide"].id)


def test_the_table_of_a_large_file_is_made_beside_the_tree(tmp_path, monkeypatch):
    path = write_piper(tmp_path / "a.hdf5", episodes=2)
    monkeypatch.setattr("piperline.hdf5.table_process._WORTH_A_PROCESS", 0)
    assert start_table(path)() == episode_table(path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert start_table(path)() == episode_table(path)


def test_lines_are_of_eighty_cells_also_in_chinese(tmp_path):
    path = write_piper(
        tmp_path / "红色方块.hdf5",
        episodes=2,
        tasks=("把红色方块放到盘子里然后再拿回来放好", "pick"),
    )
    with h5py.File(path, "r+") as file:
        file.create_group("episode_0/一/二/三/四/五")["位置"] = np.random.default_rng(0).random(
            (9, 40)
        )
        file["episode_0/一/二/三/四/五"].attrs["说明"] = "很长的说明" * 20
    lines = [*table_of(path), *report_lines(inspect(path, attrs=True, previews=True))]
    assert max(cells(line) for line in lines) <= 80
    assert any("位置" in line for line in lines)


def test_an_episode_that_fits_may_come_late(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=6)
    with h5py.File(path, "r+") as file:
        for number in range(4):
            del file[f"episode_{number}/action"]
    table = episode_table(path)
    assert table is not None
    assert [row.frames for row in table.rows] == [None] * 4 + [5, 5]


def test_the_shell_tells_of_links_and_pictures(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    with h5py.File(path, "r+") as file:
        file["type"] = np.dtype("f4")
        links = {"to type": "/type", "to root": "/", "to here": ".", "broken": "/nothing"}
        for name, target in links.items():
            file[f"links/{name}"] = h5py.SoftLink(target)
        file["links/outside"] = h5py.ExternalLink("other.h5", "/x")
    with h5py.File(path) as file:
        shell = Shell(file)
        told = "\n".join(shell.run("ls links"))
        assert told.count("(broken)") == 1
        assert "-> /nothing (broken)" in "\n".join(shell.run("info links/broken"))
        assert "other.h5:/x (another file, missing)" in "\n".join(shell.run("info /links/outside"))
        shell.run("cd 'links/to root'")
        assert "episode_0" in "\n".join(shell.run("ls"))
        shell.run("cd /episode_0")
        assert shell.complete("cd 'image_m") == ["cd 'image_mid"]
        picture = tmp_path / "my picture.png"
        assert shell.run(f'preview image_mid[2] "{picture}"') == [f"{picture}: 64x48"]
        for words, said in (
            (f"preview image_mid[1:3] {tmp_path}/b.png", "of one frame"),
            (f"preview image_mid[1] {tmp_path}/b.jpg", "written as PNG"),
        ):
            with pytest.raises(PiperlineError, match=said):
                shell.run(words)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.hdf5", "my picture.png"]

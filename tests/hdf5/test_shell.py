"""The commands of the interactive shell, without a terminal."""

from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from piperline.errors import OutputExists, PiperlineError, RecordingError
from piperline.hdf5.shell import Shell, WrittenImage
from tests.hdf5.kinds import KINDS
from tests.helpers.recordings import STORAGES, read_code, write_piper


@pytest.fixture
def shell(zoo):
    with h5py.File(zoo) as file:
        yield Shell(file)


def names(listing):
    return [node.name for node in listing.nodes]


def test_it_goes_into_groups_and_out_again(shell):
    assert shell.path == "/"
    assert shell.run("") is None
    shell.run("cd attributes/it")
    assert shell.run("pwd") == "/attributes/it"
    assert names(shell.run("ls")) == []
    shell.run("cd ../../soft_link")
    assert names(shell.run("ls")) == ["it", "it target"]
    shell.run("cd")
    assert shell.path == "/"


def test_it_tells_of_objects(shell):
    assert shell.run("attrs attributes/it")["many"].texts == ("a", "b", "c")
    assert shell.run("attrs scalar/it") == {}
    info = shell.run("info scalar/it")
    assert (info.path, info.facts.dtype, info.preview.to_json()) == (
        "/scalar/it",
        "float64",
        3.5,
    )
    assert shell.run("info /hard_link/it").facts.shape == (12, 5)
    assert len(shell.run("tree /").nodes) > len(KINDS)
    assert names(shell.run("ls /images/it")) == ["it"]
    assert "ls [NAME]" in shell.run("help").commands


def test_it_shows_values(shell):
    assert shell.run("preview 'soft_link/it target'").to_json() == 5
    assert shell.run("preview /contiguous/it[2]").to_json() == [
        10,
        11,
        12,
        13,
        14,
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cd images/it", "this is not a group"),
        ("cd nowhere", "one of absolute_soft_link, attributes, blosc"),
        ("cd far", "leads to nothing in this file"),
        ("cd broken_soft_link/it", "leads to nothing"),
        ("preview images", "this is not a dataset"),
        ("fly", "help, ls, cd"),
    ],
)
def test_what_cannot_be_says_what_can(shell, line, words):
    with pytest.raises(PiperlineError) as caught:
        shell.run(line)
    assert words in str(caught.value)


def test_it_ends(shell):
    assert not shell.closed
    shell.run("quit")
    assert shell.closed


def bug(*_, **__):
    return 1 / 0


def test_a_fault_of_our_own_keeps_its_traceback(shell, monkeypatch):
    monkeypatch.setattr("piperline.hdf5.shell.describe", bug)
    with pytest.raises(ZeroDivisionError):
        shell.run("ls")


def test_it_takes_names_as_they_are(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["a b[5]"] = [1, 2]
        file["new\nline/x"] = 1
        shell: Any = Shell(file)
        assert shell.run("preview a b[5]").to_json() == [1, 2]
        assert shell.run("preview 'a b[5]'[1]").to_json() == 2
        assert shell.complete("preview a") == ["preview a b[5]"]
        assert shell.complete("cd new\\nline/") == ["cd new\\nline/x"]
        assert shell.complete("cd nowhere/") == []
        assert shell.complete("pre") == ["preview "]
        shell.run("cd new\\nline")
        assert shell.path == "/new\\nline"


@pytest.mark.parametrize("storage", STORAGES)
def test_it_writes_images(tmp_path, storage):
    path = write_piper(tmp_path / "in.h5", storage=storage, episodes=1)
    output = tmp_path / "out.png"
    with h5py.File(path) as file:
        shell: Any = Shell(file)
        shell.run("cd episode_0")
        assert shell.run(f"preview image_mid[3] {output}") == WrittenImage(
            output, 64, 48
        )
        assert read_code(np.asarray(Image.open(output))) == (0, 1, 3)
        with pytest.raises(OutputExists):
            shell.run(f"preview image_mid[3] {output}")
        for name in ("image_mid[99]", "action"):
            with pytest.raises(RecordingError, match="no such image"):
                shell.run(f"preview {name} {tmp_path}/x.png")


def test_a_frame_is_an_image_where_images_can_be_shown(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1)
    with h5py.File(path) as file:
        shell: Any = Shell(file, images=True)
        assert read_code(shell.run("preview episode_0/image_mid[-1]")) == (
            0,
            1,
            4,
        )
        assert shell.run("preview episode_0/action[0]").shape == (14,)
        shell = Shell(file)
        assert (
            shell.run("preview episode_0/image_mid[-1]")
            .texts[0]
            .startswith("JPEG")
        )


def test_file_names_of_images(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    picture = tmp_path / "my picture.jpg"
    with h5py.File(path) as file:
        shell: Any = Shell(file)
        shell.run("cd /episode_0")
        shell.run(f'preview image_mid[2] "{picture}"')
        for line, words in (
            (f"preview image_mid[1:3] {tmp_path}/b.png", "of one frame"),
            (f"preview image_mid[1] {tmp_path}/b.gif", "PNG or JPEG"),
        ):
            with pytest.raises(PiperlineError, match=words):
                shell.run(line)
    with Image.open(picture) as written:
        assert (written.format, written.size) == ("JPEG", (64, 48))
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "a.hdf5",
        "my picture.jpg",
    ]


def test_it_tells_of_links(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    with h5py.File(path, "r+") as file:
        file["type"] = np.dtype("f4")
        links = {
            "to type": "/type",
            "to root": "/",
            "to here": ".",
            "broken": "/nothing",
        }
        for name, target in links.items():
            file[f"links/{name}"] = h5py.SoftLink(target)
        file["links/outside"] = h5py.ExternalLink("other.h5", "/x")
    with h5py.File(path) as file:
        shell: Any = Shell(file)
        told = {node.name: node.text for node in shell.run("ls links").nodes}
        assert told["broken"] == "/nothing (broken)"
        assert told["to here"] == "."
        assert shell.run("info links/broken").text == "/nothing (broken)"
        outside = "other.h5:/x (another file, missing)"
        assert shell.run("info /links/outside").text == outside
        shell.run("cd 'links/to root'")
        assert "episode_0" in names(shell.run("ls"))
        assert shell.complete("cd 'episode_0/image_m") == [
            "cd 'episode_0/image_mid"
        ]

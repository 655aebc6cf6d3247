"""Recordings seen through a layout; what is wrong with one is told with its place."""

import dataclasses
import re

import h5py
import numpy as np
import pytest

from piperline.errors import BadEpisode, LayoutMismatch, Place, RecordingError
from piperline.recordings.layout import load_layout
from piperline.recordings.recording import Recording
from piperline.recordings.rules import TaskRule
from piperline.video.images import decode_image
from tests.helpers.recordings import (
    STORAGES,
    read_code,
    write_aloha,
    write_piper,
)

PIPER, ALOHA = load_layout("piper"), load_layout("aloha")


def header_of(path, name="episode_0", layout=PIPER):
    with Recording(path, layout) as recording:
        return recording.episode(name).header()


@pytest.mark.parametrize("storage", STORAGES)
def test_the_storage_of_images_is_seen(tmp_path, storage):
    path = write_piper(
        tmp_path / "a.hdf5", episodes=1, lengths=70, storage=storage
    )
    header = header_of(path)
    assert (header.length, header.task) == (70, "pick up the cube")
    assert list(header.cameras) == ["left_wrist", "mid", "right_wrist"]
    camera = header.cameras["mid"]
    assert (camera.storage, camera.height, camera.width) == (
        storage.split("-")[0],
        48,
        64,
    )
    with Recording(path, PIPER) as recording:
        images = list(recording.episode("episode_0").stream("mid", 70))
    decoded = [
        decode_image(image.rstrip(b"\0")) if isinstance(image, bytes) else image
        for image in images
    ]
    assert [read_code(image) for image in decoded] == [
        (0, 1, frame) for frame in range(70)
    ]


def test_images_in_large_compressed_chunks(tmp_path):
    path = write_piper(
        tmp_path / "a.hdf5", episodes=1, lengths=50, storage="raw"
    )
    with h5py.File(path, "r+") as file:
        pixels = file["episode_0/image_mid"][()]
        del file["episode_0/image_mid"]
        file["episode_0"].create_dataset(
            "image_mid", data=pixels, chunks=(20, 48, 64, 3), compression="gzip"
        )
    with Recording(path, PIPER) as recording:
        images = list(recording.episode("episode_0").stream("mid", 50))
    assert np.array_equal(
        np.stack([image for image in images if not isinstance(image, bytes)]),
        pixels,
    )


def test_true_lengths_of_padded_images_are_used(tmp_path):
    path = write_aloha(tmp_path / "episode_3.hdf5", length=4, compressed=True)
    assert header_of(path, "episode_3", ALOHA).length == 4
    with h5py.File(path, "r+") as file:
        file["compress_len"][:, 2] = 17
    with (
        Recording(path, ALOHA) as recording,
        pytest.raises(BadEpisode, match="true lengths") as caught,
    ):
        list(recording.episode("episode_3").stream("cam_high", 4))
    assert caught.value.place == Place(
        path, "/observations/images/cam_high", "episode_3", "cam_high", 2
    )


def change(path, action):
    with h5py.File(path, "r+") as file:
        action(file["episode_0"])


def replace(group, name, **made):
    del group[name]
    group.create_dataset(name, **made)


BREAKS = {
    "13 joints": (
        lambda g: replace(g, "state", data=np.zeros((5, 13))),
        LayoutMismatch,
        r"14.*\(5, 13\)",
    ),
    "words": (
        lambda g: replace(g, "state", data=np.full((5, 14), b"joint")),
        LayoutMismatch,
        "numbers of shape",
    ),
    "no state": (
        lambda g: g.__delitem__("state"),
        LayoutMismatch,
        "missing.*state",
    ),
    "state is a group": (
        lambda g: (g.__delitem__("state"), g.create_group("state")),
        LayoutMismatch,
        "a group",
    ),
    "too short": (
        lambda g: g.attrs.__setitem__("length", 6),
        BadEpisode,
        "at least 6 rows.*5 rows",
    ),
    "length 0": (
        lambda g: g.attrs.__setitem__("length", 0),
        BadEpisode,
        "no frames",
    ),
    "length of words": (
        lambda g: g.attrs.__setitem__("length", "five"),
        LayoutMismatch,
        "whole number.*five",
    ),
    "no length": (
        lambda g: g.attrs.__delitem__("length"),
        LayoutMismatch,
        "whole number.*no such attribute",
    ),
    "no images": (
        lambda g: replace(g, "image_mid", data=np.zeros((5, 3, 3))),
        LayoutMismatch,
        "does not hold images",
    ),
    "absurd rows": (
        lambda g: replace(
            g, "state", shape=(10**12, 14), dtype="f4", chunks=(1024, 14)
        ),
        BadEpisode,
        "a size that no recording has",
    ),
    "absurd images": (
        lambda g: replace(
            g,
            "image_mid",
            shape=(5, 10**6, 10**6, 3),
            dtype="u1",
            chunks=(1, 64, 64, 3),
        ),
        BadEpisode,
        "a size that no recording has",
    ),
    "soft link to nowhere": (
        lambda g: (
            g.__delitem__("state"),
            g.__setitem__("state", h5py.SoftLink("/nothing/here")),
        ),
        LayoutMismatch,
        "missing",
    ),
    "soft links in a circle": (
        lambda g: (
            g.__delitem__("state"),
            g.__setitem__("state", h5py.SoftLink("/episode_0/state")),
        ),
        BadEpisode,
        "circles",
    ),
    "external link": (
        lambda g: (
            g.__delitem__("state"),
            g.__setitem__("state", h5py.ExternalLink("/etc/passwd", "x")),
        ),
        BadEpisode,
        "leaves the file.*/etc/passwd",
    ),
    "external storage": (
        lambda g: replace(
            g,
            "state",
            shape=(5, 14),
            dtype="f4",
            external=[("/etc/passwd", 0, 280)],
        ),
        BadEpisode,
        "external storage",
    ),
    "PNG cut short": (
        lambda g: replace(
            g, "image_mid", data=np.array([b"\x89PNG\r\n\x1a\n1"] * 5, "S9")
        ),
        BadEpisode,
        "PNG cut short",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_does_not_fit_is_told_with_its_place(tmp_path, what):
    action, kind, words = BREAKS[what]
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    change(path, action)
    with pytest.raises(kind) as caught:
        header_of(path)
    text = " ".join(str(caught.value).splitlines())
    assert re.search(words, text), text
    assert "a.hdf5" in text
    assert "episode_0" in text


def test_soft_links_inside_the_file_are_followed(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)

    def link(group):
        group.move("state", "joints")
        group["state"] = h5py.SoftLink("./joints")

    change(path, link)
    assert header_of(path).length == 5


def test_an_episode_that_is_a_link_out_of_the_file_is_refused(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    with h5py.File(path, "r+") as file:
        file["episode_7"] = h5py.ExternalLink("other.hdf5", "/")
    with Recording(path, PIPER) as recording:
        assert recording.episodes() == ["episode_0", "episode_7"]
        with pytest.raises(BadEpisode, match="leaves the file"):
            recording.episode("episode_7")


def test_an_episode_that_is_no_group_is_refused(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    with h5py.File(path, "r+") as file:
        file["calibration"] = np.zeros(3)
        file["episode_1"] = h5py.SoftLink("/calibration")
    with Recording(path, PIPER) as recording:
        assert recording.episodes() == ["episode_0", "episode_1"]
        with pytest.raises(BadEpisode, match="not a group"):
            recording.episode("episode_1")


def test_a_file_of_another_layout_names_the_one_that_fits(tmp_path):
    path = write_aloha(tmp_path / "episode_0.hdf5", length=3)
    with (
        Recording(path, PIPER) as recording,
        pytest.raises(LayoutMismatch, match="add --layout aloha"),
    ):
        recording.episode(recording.episodes()[0]).header()
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    with pytest.raises(LayoutMismatch, match="add --layout piper"):
        header_of(path, "a", ALOHA)


def test_a_file_without_episodes(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for number in range(12):
            file[f"numbers_{number}"] = np.zeros(3)
    words = r"no episodes[\s\S]*12 in all[\s\S]*layout draft"
    with (
        Recording(tmp_path / "a.hdf5", PIPER) as recording,
        pytest.raises(LayoutMismatch, match=words),
    ):
        recording.episodes()


@pytest.mark.parametrize("instruction", ["", "  ", h5py.Empty("f4"), 3.5])
def test_an_empty_instruction_is_none(tmp_path, instruction):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    change(
        path, lambda group: group.attrs.__setitem__("instruction", instruction)
    )
    assert header_of(path).task is None


def test_an_instruction_of_bytes_is_text(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    change(
        path,
        lambda group: group.attrs.__setitem__(
            "instruction", np.bytes_("把杯子放好".encode())
        ),
    )
    assert header_of(path).task == "把杯子放好"


def test_lengths_of_a_layout_without_length_must_agree(tmp_path):
    path = write_aloha(tmp_path / "episode_0.hdf5", length=3)
    with h5py.File(path, "r+") as file:
        replace(file, "action", data=np.zeros((4, 14), "f4"))
    with pytest.raises(BadEpisode, match="differ in length"):
        header_of(path, "episode_0", ALOHA)


def test_cameras_that_are_no_group(tmp_path):
    path = write_aloha(tmp_path / "episode_0.hdf5", length=3)
    with h5py.File(path, "r+") as file:
        replace(file["observations"], "images", data=np.zeros(3))
    with pytest.raises(LayoutMismatch, match="do not lie in a group"):
        header_of(path, "episode_0", ALOHA)


def test_cameras_come_in_natural_order(tmp_path):
    path = write_aloha(
        tmp_path / "episode_0.hdf5",
        length=3,
        cameras=("cam_10", "cam_2", "cam_1"),
    )
    assert list(header_of(path, "episode_0", ALOHA).cameras) == [
        "cam_1",
        "cam_2",
        "cam_10",
    ]


@pytest.mark.parametrize(
    "text", [np.array(["pick"], dtype=h5py.string_dtype()), np.array([b"pick"])]
)
def test_a_task_text_may_lie_in_an_array_of_one(tmp_path, text):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    with h5py.File(path, "r+") as file:
        file["episode_0"].attrs["instruction"] = text
    assert header_of(path, "episode_0").task == "pick"


def test_a_layout_may_declare_no_cameras(tmp_path):
    path = write_aloha(tmp_path / "episode_0.hdf5", length=3)
    assert (
        header_of(
            path, "episode_0", dataclasses.replace(ALOHA, cameras={})
        ).cameras
        == {}
    )


def test_damage_inside_the_file_is_told_with_its_frame(tmp_path):
    path = write_piper(
        tmp_path / "a.hdf5", episodes=1, lengths=40, storage="raw"
    )
    with h5py.File(path, "r+") as file:
        pixels = file["episode_0/image_mid"][()]
        del file["episode_0/image_mid"]
        made = file["episode_0"].create_dataset(
            "image_mid", data=pixels, chunks=(1, 48, 64, 3), compression="gzip"
        )
        place, size = (
            made.id.get_chunk_info(33).byte_offset,
            made.id.get_chunk_info(33).size,
        )
    raw = bytearray(path.read_bytes())
    raw[place : place + size] = bytes(size)
    path.write_bytes(raw)
    with (
        Recording(path, PIPER) as recording,
        pytest.raises(BadEpisode, match="cannot be read") as caught,
    ):
        list(recording.episode("episode_0").stream("mid", 40))
    assert caught.value.place == Place(
        path, "/episode_0/image_mid", "episode_0", "mid", 33
    )


def test_files_that_are_no_recordings(tmp_path):
    (tmp_path / "text.hdf5").write_text("no HDF5")
    whole = write_piper(tmp_path / "whole.hdf5").read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "lfs.hdf5").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )
    for path, words in [
        (tmp_path / "none.hdf5", "no such file"),
        (tmp_path, "folder"),
        (tmp_path / "text.hdf5", "not an HDF5 file"),
        (tmp_path / "lfs.hdf5", "Git LFS[\\s\\S]*git lfs pull"),
        (tmp_path / "cut.hdf5", "cut short"),
    ]:
        with pytest.raises(RecordingError, match=words):
            Recording(path, PIPER)


def test_of_several_texts_of_an_attribute_the_first_is_taken_and_told(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    texts = np.array(["pick", "put"], dtype=h5py.string_dtype())
    change(path, lambda group: group.attrs.__setitem__("instruction", texts))
    header = header_of(path)
    assert header.task == "pick"
    assert header.notes == (
        "2 instructions in an attribute: the first is taken",
    )


def test_a_dataset_in_place_of_the_attribute_is_told(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, tasks=[None])
    assert header_of(path).no_task.endswith("instruction: not there")
    change(path, lambda group: group.create_dataset("instruction", data="pick"))
    told = header_of(path).no_task
    assert 'the dataset instruction is: text = "instruction"' in told
    layout = dataclasses.replace(PIPER, task=TaskRule(text="instruction"))
    assert header_of(path, "episode_0", layout).task == "pick"

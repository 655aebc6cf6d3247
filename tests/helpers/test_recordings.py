"""The recordings that other tests build on are what they claim to be."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piperline.video.images import decode_image
from tests.helpers.recordings import (
    ALOHA_CAMERAS,
    PIPER_CAMERAS,
    STORAGES,
    actions,
    has_true_colors,
    jpeg,
    paint,
    png,
    read_code,
    states,
    write_aloha,
    write_piper,
)


@given(
    st.integers(0, 255),
    st.integers(0, 15),
    st.integers(0, 4095),
    st.integers(1, 95),
)
def test_a_code_survives_jpeg(episode, camera, frame, quality):
    image = decode_image(jpeg(paint(episode, camera, frame), quality))
    assert read_code(image) == (episode, camera, frame)
    assert has_true_colors(image, tolerance=30 if quality > 30 else 80)


@pytest.mark.parametrize("size", [(24, 32), (50, 70), (240, 320), (480, 640)])
def test_frames_of_any_size_have_a_code(size):
    image = paint(200, 2, 1234, size)
    assert image.shape == (*size, 3)
    assert read_code(image) == (200, 2, 1234)
    assert has_true_colors(image, tolerance=0)


def test_exchanged_colours_are_seen():
    assert not has_true_colors(paint(1, 2, 3)[..., ::-1])
    assert read_code(paint(1, 2, 3)[..., ::-1]) == (1, 2, 3)


def test_a_code_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="block 0 is grey"):
        read_code(np.full((48, 64, 3), 128, np.uint8))


def stored(rows: h5py.Dataset) -> list[bytes]:
    """The images of a camera as a reader gets them, whatever zeros are behind."""
    return [
        bytes(row) if isinstance(row, bytes) else np.asarray(row).tobytes()
        for row in rows[()]
    ]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("color", ["rgb", "bgr", "swapped-jpeg"])
def test_every_storage_holds_the_frames(tmp_path, storage, color):
    path = write_piper(
        tmp_path / "a.hdf5",
        storage=storage,
        color=color,
        first=7,
        lengths=[3, 4],
    )
    with h5py.File(path) as file:
        assert list(file) == ["episode_7", "episode_8"]
        group = file["episode_8"]
        for camera, name in enumerate(PIPER_CAMERAS):
            rows = group[name]
            frames = (
                list(rows[()])
                if storage == "raw"
                else [decode_image(data) for data in stored(rows)]
            )
            assert [read_code(frame) for frame in frames] == [
                (8, camera, place) for place in range(4)
            ]
            exchanged = color == ("bgr" if storage == "raw" else "swapped-jpeg")
            assert all(has_true_colors(frame) != exchanged for frame in frames)


def test_storages_differ_as_they_say(tmp_path):
    shapes = {}
    for storage in STORAGES:
        with h5py.File(
            write_piper(
                tmp_path / f"{storage}.hdf5", storage=storage, lengths=2
            )
        ) as file:
            rows = file["episode_0/image_mid"]
            shapes[storage] = (
                rows.dtype.kind,
                rows.ndim,
                h5py.check_vlen_dtype(rows.dtype),
            )
    assert shapes == {
        "jpeg-vlen": ("O", 1, np.uint8),
        "png-vlen": ("O", 1, np.uint8),
        "jpeg-fixed": ("V", 1, None),
        "jpeg-fixed-stripped": ("S", 1, None),
        "jpeg-padded": ("u", 2, None),
        "raw": ("u", 4, None),
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_vectors_and_attributes(tmp_path, dtype):
    path = write_piper(
        tmp_path / "a.hdf5",
        dtype=dtype,
        lengths=6,
        extra_rows=2,
        tasks=["do it", None],
    )
    with h5py.File(path) as file:
        group = file["episode_0"]
        assert dict(group.attrs) == {"length": 6, "instruction": "do it"}
        assert group["state"].dtype == group["action"].dtype == dtype
        assert np.array_equal(group["state"][:6], states(0, 6).astype(dtype))
        assert np.array_equal(group["action"][:6], actions(0, 6).astype(dtype))
        assert group["state"].shape == (8, 14)
        assert np.isnan(group["state"][6:]).all()
        assert group["image_left"].shape == (8,)
        assert "instruction" not in file["episode_1"].attrs


def test_aloha_raw(tmp_path):
    with h5py.File(
        write_aloha(tmp_path / "episode_3.hdf5", episode=3, length=4)
    ) as file:
        assert (
            file["observations/qpos"].shape == file["action"].shape == (4, 14)
        )
        assert list(file["observations/images"]) == list(ALOHA_CAMERAS)
        frames = file["observations/images/cam_left_wrist"][()]
        assert [read_code(frame) for frame in frames] == [
            (3, 1, place) for place in range(4)
        ]
        assert "compress_len" not in file


def test_aloha_compressed_names_true_lengths_in_another_order(tmp_path):
    with h5py.File(
        write_aloha(tmp_path / "episode_0.hdf5", compressed=True)
    ) as file:
        lengths = file["compress_len"][()]
        for row, name in enumerate(reversed(ALOHA_CAMERAS)):
            images = file["observations/images"][name][()]
            assert lengths[row].tolist() == [
                len(image.tobytes().rstrip(b"\0")) for image in images
            ]
            assert read_code(decode_image(images[2].tobytes())) == (
                0,
                2 - row,
                2,
            )
        assert len({tuple(row) for row in lengths.tolist()}) == 3


def test_png_is_exact():
    assert np.array_equal(decode_image(png(paint(9, 1, 2))), paint(9, 1, 2))

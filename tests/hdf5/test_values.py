"""Values of datasets, read within limits."""

import h5py
import numpy as np
import pytest

from piperline.errors import RecordingError
from piperline.hdf5.values import image_bytes, preview
from tests.helpers.recordings import write_piper


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("2", [10, 11, 12, 13, 14]),
        ("-1, 3:", [58, 59]),
        ("::6, 0", [0, 30]),
        ("0:2, 1:3", [[1, 2], [6, 7]]),
    ],
)
def test_a_preview_shows_what_is_asked_for(zoo, selection, expected):
    with h5py.File(zoo) as file:
        values = preview(file["contiguous/it"].id, selection)
    assert values.to_json() == expected
    assert not values.is_cut


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("strings", ["a", "", "böse"]),
        ("fixed_strings", ["abc", "d"]),
        ("scalar", 3.5),
        ("boolean", [True, False]),
        ("enum", [0, 1, 1]),
        ("empty", None),
        ("no_rows", []),
    ],
)
def test_values_of_other_types(zoo, name, expected):
    with h5py.File(zoo) as file:
        assert preview(file[f"{name}/it"].id).to_json() == expected


def test_what_a_preview_leaves_out_is_known(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["joints"] = np.arange(140.0).reshape(10, 14)
        file["steps"] = np.arange(9)
        file["pictures"] = np.zeros((4, 5, 20), "u1")
        file["few"] = np.arange(6)
        joints, steps = preview(file["joints"].id), preview(file["steps"].id)
        pictures, few = preview(file["pictures"].id), preview(file["few"].id)
    assert (joints.shape, joints.taken, joints.is_cut) == (
        (10, 14),
        (3, 8),
        True,
    )
    assert joints.to_json()[2] == list(range(28, 36))
    assert (steps.shape, steps.taken, steps.is_cut) == ((9,), (6,), True)
    assert (pictures.shape, pictures.taken) == ((4, 5, 20), (1, 3, 8))
    assert not few.is_cut


@pytest.mark.parametrize(
    "wrong", ["x", "1:2:3:4", "99", "0,0,0", "1+1", "::0", "::-1"]
)
def test_what_is_no_selection(zoo, wrong):
    with (
        h5py.File(zoo) as file,
        pytest.raises(RecordingError, match=r"selection|no such part"),
    ):
        preview(file["contiguous/it"].id, wrong)


def test_what_cannot_be_decoded_is_told(zoo):
    with (
        h5py.File(zoo) as file,
        pytest.raises(RecordingError, match="cannot be read"),
    ):
        preview(file["unknown_filter/it"].id)


def test_large_questions_are_refused(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["x"] = np.zeros(5000)
        file.create_dataset("wide", (2, 70_000_000), "u1", chunks=(1, 1000))
        with pytest.raises(RecordingError, match="too many"):
            preview(file["x"].id, "0:4000")
        with pytest.raises(RecordingError, match="too large"):
            image_bytes(file["wide"].id)


def test_images_are_told_by_their_headers(tmp_path):
    path = write_piper(tmp_path / "in.h5", storage="jpeg-padded", episodes=1)
    with h5py.File(path) as file:
        texts = preview(file["episode_0/image_mid"].id, "1:3, 0:450").texts
        assert image_bytes(file["episode_0/image_mid"].id, 99) is None
    assert [text.partition(",")[0] for text in texts] == [
        "JPEG 64x48 quality ~90 4:2:0"
    ] * 2

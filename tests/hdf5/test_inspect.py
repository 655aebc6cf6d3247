"""What is in a file, as data: every object once."""

import json

import h5py
import numpy as np
import pytest

from piperline.hdf5 import objects
from piperline.hdf5.describe import facts
from piperline.hdf5.inspect import inspect
from tests.helpers.recordings import STORAGES, write_piper


@pytest.fixture
def nodes(zoo):
    return {
        node.path: node
        for node in inspect(zoo, attrs=True, previews=True).nodes
    }


def test_every_object_is_there_once(zoo, nodes):
    report = inspect(zoo)
    assert len(nodes) == len(report.nodes)
    assert report.file_bytes == zoo.stat().st_size
    assert nodes["/hard_link/it again"].kind == "again"
    assert nodes["/hard_link/it again"].text == "/hard_link/it"
    assert nodes["/committed_type/it"].kind == "type"
    assert nodes["/soft_link"].members == 2


def test_links_are_told_and_not_followed(nodes):
    assert nodes["/broken_soft_link/it"].text == "nothing here (broken)"
    assert nodes["/images many"].text == "/images/it"
    assert nodes["/far"].text == "zoo.h5:/x (another file)"
    assert nodes["/lost"].text == "none.h5:/x (another file, missing)"


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("images", "vlen uint8"),
        ("compound", "{x: float64, tag: string, pose: float32(3,)}"),
        ("enum", "enum closed/open"),
        ("boolean", "bool"),
        ("strings", "string"),
        ("fixed_strings", "string[3]"),
        ("opaque", "opaque[3]"),
        ("references", "reference"),
    ],
)
def test_types_in_words(nodes, kind, dtype):
    assert nodes[f"/{kind}/it"].facts.dtype == dtype


def test_storage_and_filters(nodes):
    gzip = nodes["/gzip/it"].facts
    assert (gzip.shape, gzip.dtype) == ((12, 5), "float32")
    assert (gzip.storage, gzip.filters) == (
        "chunks (3, 5)",
        ("shuffle", "gzip-4"),
    )
    assert nodes["/compact/it"].facts.storage == "compact"
    assert nodes["/contiguous/it"].facts.storage == "contiguous"
    assert nodes["/lzf/it"].facts.filters == ("lzf",)
    assert nodes["/fletcher32/it"].facts.filters == ("fletcher32",)
    assert (
        "(cannot be decoded here)"
        in nodes["/unknown_filter/it"].facts.filters[0]
    )
    assert nodes["/scalar/it"].facts.shape == ()
    assert nodes["/empty/it"].facts.shape is None


def test_sizes_of_variable_length_values_are_read_not_guessed(tmp_path):
    path = write_piper(tmp_path / "in.h5", episodes=1, lengths=30)
    with h5py.File(path) as file:
        data = file["episode_0/image_mid"]
        found = facts(data.id)
        assert found.logical_bytes == sum(len(row) for row in data[()])
        assert found.stored_bytes == found.logical_bytes + 30 * 16
        assert not found.estimated


def test_sizes_in_chunks_are_estimated(nodes):
    assert nodes["/images_in_chunks/it"].facts.estimated


@pytest.mark.parametrize("storage", STORAGES)
def test_images_are_recognised_in_every_storage(tmp_path, storage):
    path = write_piper(tmp_path / "in.h5", storage=storage, episodes=1)
    others = {"raw": "raw 64x48", "png-vlen": "PNG 64x48"}
    nodes = {node.path: node for node in inspect(path).nodes}
    expected = others.get(storage, "JPEG 64x48 quality ~90 4:2:0")
    assert nodes["/episode_0/image_mid"].image == expected
    assert nodes["/episode_0/state"].image is None


def test_what_h5py_cannot_read_is_still_told(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
        h5py.h5a.create(file.id, b"time", h5py.h5t.UNIX_D32LE, space)
    report = inspect(tmp_path / "in.h5", attrs=True, previews=True)
    root, time = (node.to_dict() for node in report.nodes)
    assert (time["facts"]["dtype"], time["facts"]["shape"]) == (
        "unknown type",
        (3,),
    )
    assert root["attributes"]["time"]["unreadable"].startswith("cannot be read")


def test_a_fault_of_our_own_keeps_its_traceback(zoo, monkeypatch):
    """Only what h5py raises makes an object unreadable."""
    monkeypatch.setattr("piperline.hdf5.inspect.image_in", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inspect(zoo)


def test_json_holds_attributes_and_previews_whole(tmp_path):
    text = '{"fx": 1.5,\n "distortion": "' + "x" * 9000 + '"}'
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["steps"] = np.arange(3)
        file["steps"].attrs["calibration"] = text
        file["steps"].attrs["many"] = np.arange(5000)
        file["steps"].attrs["nan"] = np.array([np.nan, 1.5])
        file["steps"].attrs["names"] = ["a", "b"]
        file["steps"].attrs["latin"] = np.bytes_(b"\xe9")
        file["steps"].attrs["nothing"] = h5py.Empty("f4")
    report = inspect(tmp_path / "in.h5", attrs=True, previews=True).to_dict()
    node = json.loads(json.dumps(report, default=str, allow_nan=False))[
        "nodes"
    ][1]
    assert node["attributes"] == {
        "calibration": text,
        "latin": "\\xe9",
        "many": list(range(5000)),
        "names": ["a", "b"],
        "nan": ["nan", 1.5],
        "nothing": None,
    }
    assert node["preview"] == [0, 1, 2]


def test_attributes_and_groups_are_passed_in_one_step_each(tmp_path):
    """HDF5 takes n steps to find the n-th attribute by its number: 8,000 of them took minutes."""
    with h5py.File(tmp_path / "in.h5", "w") as file:
        many = file.create_group("many", track_order=True)
        for number in range(2000):
            many.attrs[f"a{number}"] = number
        names = objects.attribute_names(many.id, in_order_of_creation=True)
        assert names == [f"a{number}".encode() for number in range(2000)]
    found = (
        inspect(tmp_path / "in.h5", attrs=True).nodes[1].to_dict()["attributes"]
    )
    assert found == {f"a{number}": number for number in range(2000)}

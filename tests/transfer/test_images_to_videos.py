"""Images in the tables become videos, for readers that know no others."""

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from piperline.errors import DatasetError, UnsupportedVersion
from piperline.features import Feature
from piperline.lerobot import WRITERS
from piperline.lerobot.dataset import open_dataset
from piperline.transfer import TransferOptions, aggregate, migrate
from tests.helpers.episodes import (
    codes_of,
    make_episode,
    numbered_frame,
    schema_of,
)

KEY = "observation.images.top"
KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
OPTIONS = TransferOptions(images_to_videos=True)


def encoded(code, kind="PNG", size=(48, 64)):
    file = io.BytesIO()
    Image.fromarray(numbered_frame(code, *size)).save(file, kind, quality=95)
    return file.getvalue()


def image_set(root, version, images):
    """A dataset of one episode a list of encoded images."""
    root.mkdir()
    episodes = []
    for number, stored in enumerate(images):
        made = make_episode(root.parent / "in", number, len(stored))
        cells = pa.array(
            [{"bytes": image, "path": None} for image in stored], KIND
        )
        table = made.table.append_column(KEY, cells)
        episodes.append(replace(made, table=table))
    schema = schema_of(episodes[0])
    feature = Feature("image", (48, 64, 3), ("height", "width", "channels"))
    writer = WRITERS[version](
        root, replace(schema, features={KEY: feature, **schema.features})
    )
    for episode in episodes:
        writer.add(episode)
    writer.finish()
    return root


@pytest.mark.parametrize(
    ("version", "to"), [("v2.1", "v3.0"), ("v3.0", "v2.1")]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images_become_videos(version, to, kind, tmp_path):
    codes = [[1, 2, 3], [700, 701, 702, 703]]
    images = [[encoded(code, kind) for code in some] for some in codes]
    root = image_set(tmp_path / "set", version, images)
    made = migrate(root, to, output=tmp_path / "out", options=OPTIONS).output
    dataset = open_dataset(made)
    feature = dataset.info.features[KEY]
    assert (feature.dtype, feature.shape) == ("video", (48, 64, 3))
    assert (feature.info or {})["video.codec"] == "h264"
    for episode, some in zip(dataset, codes, strict=True):
        assert KEY not in episode.table.column_names
        clip = episode.clips[KEY]
        assert codes_of(clip.path, clip.first, clip.count) == some
        exact = (
            np.mean([numbered_frame(code) for code in some], axis=(0, 1, 2))
            / 255
        )
        stats = episode.camera_stats[KEY]
        assert stats.count == len(some)
        np.testing.assert_allclose(stats.mean.ravel(), exact, atol=0.005)
    info = json.loads((made / "meta/info.json").read_text())
    assert (
        info["features"].keys()
        == {**dict.fromkeys([KEY]), **info["features"]}.keys()
    )


def test_sets_with_images_are_aggregated_as_videos(tmp_path):
    roots = [
        image_set(
            tmp_path / str(number),
            "v2.1",
            [[encoded(number * 10 + i) for i in range(3)]],
        )
        for number in range(2)
    ]
    made = aggregate(roots, tmp_path / "out", options=OPTIONS).output
    found = [
        codes_of(episode.clips[KEY].path) for episode in open_dataset(made)
    ]
    assert found == [[0, 1, 2], [10, 11, 12]]


def deep(value):
    """A PNG of 16 bits."""
    file = io.BytesIO()
    Image.fromarray(np.full((48, 64), value, dtype=np.uint16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"no image", "does not decode"),
        (encoded(1)[:120], "does not decode"),
        (encoded(1, size=(96, 64)), "of two sizes"),
        (encoded(1, size=(47, 64)), "odd"),
        (deep(3071), "more bits"),
    ],
)
def test_images_that_make_no_video(image, said, tmp_path):
    root = image_set(
        tmp_path / "set", "v2.1", [[encoded(0), image, encoded(2)]]
    )
    with pytest.raises(DatasetError, match=said) as caught:
        migrate(root, "v3.0", output=tmp_path / "out", options=OPTIONS)
    assert "frame 1" in str(caught.value)
    assert KEY in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_channels_may_come_first(tmp_path):
    """The dimensions of images are told apart by their names, not by their order."""
    roots = [
        image_set(tmp_path / str(n), "v2.1", [[encoded(n), encoded(9)]])
        for n in range(2)
    ]
    path = roots[1] / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"][KEY].update(
        shape=[3, 48, 64], names=["channel", "height", "width"]
    )
    path.write_text(json.dumps(info))
    made = aggregate(roots, tmp_path / "out", options=OPTIONS).output
    found = [
        codes_of(episode.clips[KEY].path) for episode in open_dataset(made)
    ]
    assert found == [[0, 9], [1, 9]]


def test_a_dataset_of_the_same_version_is_migrated_for_its_images(tmp_path):
    root = image_set(
        tmp_path / "set", "v2.1", [[encoded(code) for code in (1, 2, 3)]]
    )
    with pytest.raises(UnsupportedVersion, match=r"v2\.1 already"):
        migrate(root, "v2.1")
    made = migrate(root, "v2.1", options=OPTIONS)
    assert made.backup == tmp_path / "set_v21"
    (episode,) = open_dataset(root)
    assert codes_of(episode.clips[KEY].path) == [1, 2, 3]
    with pytest.raises(UnsupportedVersion, match=r"v2\.1 already"):
        migrate(root, "v2.1", options=OPTIONS)

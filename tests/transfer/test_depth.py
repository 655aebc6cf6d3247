"""Depth video as lerobot 0.6 writes it: 12 bits of gray, whose meaning stands in the feature."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest

from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.episode import Clip
from piperline.errors import DatasetError, IncompatibleDatasets
from piperline.features import Feature
from piperline.lerobot import WRITERS
from piperline.lerobot.dataset import open_dataset
from piperline.stats import FeatureStats
from piperline.transfer import (
    EditOptions,
    TransferOptions,
    aggregate,
    edit,
    migrate,
)
from piperline.video.decoder import probe
from tests.helpers.episodes import FPS, HEIGHT, WIDTH, make_episode, schema_of

DEPTH = "observation.images.depth"
INFO = {
    "is_depth_map": True,
    "depth_unit": "mm",
    "video.codec": "hevc",
    "video.pix_fmt": "gray12le",
    "video.depth_min": 0.01,
    "video.depth_max": 10.0,
    "video.shift": 3.5,
    "video.use_log": True,
}


def values(number):
    """12 bits of every size."""
    start = number * 40
    return (
        np.arange(start, start + HEIGHT * WIDTH, dtype=np.uint16).reshape(
            HEIGHT, WIDTH
        )
        % 4096
    )


def write_depth(path, numbers, *, key_frames=1, pix_fmt="gray12le"):
    """A lossless video of `values`."""
    with av.open(str(path), "w", format="mp4") as container:
        options = f"lossless=1:bframes=0:keyint={key_frames}:log-level=none"
        stream = container.add_stream(
            "libx265", rate=FPS, options={"x265-params": options}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for number in numbers:
            gray = values(number) % (1 << int(pix_fmt[4:6]))
            frame = av.VideoFrame.from_ndarray(gray, format=pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def values_of(path, first=0, count=None):
    with av.open(str(path)) as container:
        found = [frame.to_ndarray() for frame in container.decode(video=0)]
    return found[first : None if count is None else first + count]


def stats_of(number):
    part = np.full((1, 1, 1), 500.0 + number)
    return FeatureStats(part - 100, part + 100, part, part / 10, 3, {})


def depth_set(
    root,
    numbers,
    version="v3.0",
    info=INFO,
    *,
    with_stats=True,
    key_frames=1,
    pix_fmt="gray12le",
):
    """A dataset of episodes of three frames with a depth camera."""
    root.mkdir()
    episodes = []
    for number in numbers:
        made = make_episode(root.parent / "in", number, 3)
        path = root.parent / "in" / f"depth-{number}.mp4"
        frames = range(number * 3, number * 3 + 3)
        write_depth(path, frames, key_frames=key_frames, pix_fmt=pix_fmt)
        video, _ = probe(path)
        stats = dict(made.camera_stats)
        if with_stats:
            stats[DEPTH] = stats_of(number)
        clips = {**made.clips, DEPTH: Clip(path, 0, 3, video)}
        episodes.append(replace(made, clips=clips, camera_stats=stats))
    schema = schema_of(make_episode(root.parent / "in", 0, 3))
    depth = Feature(
        "video", (HEIGHT, WIDTH, 1), ("height", "width", "channels"), info
    )
    writer = WRITERS[version](
        root, replace(schema, features={**schema.features, DEPTH: depth})
    )
    for episode in episodes:
        writer.add(episode)
    writer.finish()
    return root


def shown(root):
    """The depth of all frames, in order."""
    return [
        frame
        for episode in open_dataset(root)
        for clip in [episode.clips[DEPTH]]
        for frame in values_of(clip.path, clip.first, clip.count)
    ]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_depth_is_copied_bit_by_bit(version, tmp_path):
    one = depth_set(tmp_path / "one", [0, 1])
    other = depth_set(tmp_path / "other", [2], "v2.1")
    made = aggregate([one, other], tmp_path / "out", format=version)
    np.testing.assert_array_equal(
        shown(made.output), [values(number) for number in range(9)]
    )
    feature = open_dataset(made.output).info.features[DEPTH]
    assert feature.info == INFO
    assert feature.shape == (HEIGHT, WIDTH, 1)
    refused = [note for note in made.notes if "lerobot 0.3.3" in note]
    assert (len(made.notes), len(refused)) == (
        (1, 1) if version == "v2.1" else (0, 0)
    )
    for number, episode in enumerate(open_dataset(made.output)):
        stats = episode.camera_stats[DEPTH]
        assert stats.mean.tolist() == [[[500.0 + number]]]
        assert stats.max.tolist() == [[[600.0 + number]]]
    if version == "v3.0":
        stats = json.loads((made.output / "meta/stats.json").read_text())[DEPTH]
        assert np.ravel(stats["mean"]) == pytest.approx([501.0])
        assert (stats["min"], stats["max"]) == ([[[400.0]]], [[[602.0]]])


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_depth_without_statistics_has_none(version, tmp_path):
    one = depth_set(tmp_path / "one", [0, 1])
    other = depth_set(tmp_path / "other", [2], "v2.1", with_stats=False)
    made = aggregate([one, other], tmp_path / "out", format=version).output
    known = [DEPTH in episode.camera_stats for episode in open_dataset(made)]
    assert known == [True, True, False]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("video.depth_max", 5.0),
        ("video.shift", 1.0),
        ("video.use_log", False),
        ("depth_unit", "m"),
        ("video.pix_fmt", "gray10le"),
    ],
)
def test_other_parameters_are_no_common_dataset(name, value, tmp_path):
    one = depth_set(tmp_path / "one", [0])
    other = depth_set(tmp_path / "other", [1], info={**INFO, name: value})
    with pytest.raises(IncompatibleDatasets) as caught:
        aggregate([one, other], tmp_path / "out")
    assert f"{name} {value} instead of {INFO[name]}" in str(caught.value)


def test_depth_and_colour_are_no_common_dataset(tmp_path):
    one = depth_set(tmp_path / "one", [0])
    other = depth_set(tmp_path / "other", [1])
    path = other / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"][DEPTH] = info["features"]["observation.images.mid"]
    path.write_text(json.dumps(info))
    with pytest.raises(IncompatibleDatasets, match="channels 3 instead of 1"):
        aggregate([one, other], tmp_path / "out")


def test_depth_is_not_encoded_again(tmp_path):
    root = depth_set(tmp_path / "set", [0, 1])
    write_depth(
        root / f"videos/{DEPTH}/chunk-000/file-000.mp4", range(6), key_frames=99
    )
    with pytest.raises(DatasetError, match="more than the 8 bits") as caught:
        migrate(
            root,
            "v2.1",
            output=tmp_path / "out",
            options=TransferOptions(reencode=True),
        )
    assert "gray12le" in str(caught.value)
    assert "episode 1" in str(caught.value)


def test_channels_may_come_first(tmp_path):
    """What the dimensions are is told by their names."""
    root = depth_set(tmp_path / "set", [0])
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    first = {
        "shape": [1, HEIGHT, WIDTH],
        "names": ["channels", "height", "width"],
    }
    info["features"][DEPTH].update(first)
    del info["features"][DEPTH]["info"]
    info["features"]["observation.images.mid"].update(
        first, shape=[3, HEIGHT, WIDTH]
    )
    path.write_text(json.dumps(info))
    dataset = open_dataset(root)
    assert dataset.schema.features[DEPTH].camera_size == (HEIGHT, WIDTH, 1)
    assert dataset.schema.features["observation.images.mid"].shape == (
        HEIGHT,
        WIDTH,
        3,
    )
    made = migrate(root, "v2.1", output=tmp_path / "out").output
    np.testing.assert_array_equal(
        shown(made), [values(number) for number in range(3)]
    )


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_depth_is_cut_at_key_frames(version, tmp_path):
    root = depth_set(tmp_path / "set", [0, 1], version)
    trimmed = EditPlan({1: EpisodeEdit(start=Moment(1))})
    result = edit(root, trimmed, output=tmp_path / "out")
    for found, number in zip(
        shown(tmp_path / "out"), [0, 1, 2, 4, 5], strict=True
    ):
        np.testing.assert_array_equal(found, values(number))
    whole, cut = open_dataset(tmp_path / "out")
    np.testing.assert_array_equal(whole.camera_stats[DEPTH].mean, 500.0)
    stats = cut.camera_stats[DEPTH]
    distances = millimetres(np.stack([values(4), values(5)]))
    assert stats.mean.item() == pytest.approx(distances.mean())
    assert stats.std.item() == pytest.approx(distances.std())
    assert (stats.min, stats.max) == (distances.min(), distances.max())
    assert stats.count == 2
    assert any("keep 12 bits" in note for note in result.notes)


def millimetres(codes):
    """Distances of codes, to a millimetre; no reading is 0."""
    metres = np.exp(np.log(3.51) + codes / 4095 * (np.log(13.5) - np.log(3.51)))
    return np.where(codes > 0, np.rint((metres - 3.5) * 1000), 0)


def test_depth_of_no_known_unit_has_no_statistics_when_it_is_cut(tmp_path):
    root = depth_set(
        tmp_path / "set", [0, 1], info={**INFO, "depth_unit": "ft"}
    )
    trimmed = EditPlan({1: EpisodeEdit(start=Moment(1))})
    result = edit(root, trimmed, output=tmp_path / "out")
    whole, cut = open_dataset(tmp_path / "out")
    assert DEPTH in whole.camera_stats
    assert DEPTH not in cut.camera_stats
    assert any("are left out" in note for note in result.notes)


def test_depth_has_the_rate_of_the_dataset(tmp_path):
    info = {**INFO, "video.fps": FPS}
    root = depth_set(tmp_path / "set", [0, 1], info=info)
    plan = EditPlan({}, dataset=DatasetEdit(every=2))
    edit(root, plan, output=tmp_path / "out")
    made = open_dataset(tmp_path / "out").info
    assert made.fps == FPS // 2
    assert made.features[DEPTH].info == {**info, "video.fps": FPS // 2}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("every", [1, 2])
def test_depth_that_is_cut_between_key_frames_keeps_every_bit(
    version, every, tmp_path
):
    root = depth_set(tmp_path / "set", [0, 1], version, key_frames=3)
    cut: dict[int | str, EpisodeEdit] = {1: EpisodeEdit(start=Moment(1))}
    edits = cut if every == 1 else {}
    edit(
        root,
        EditPlan(edits, dataset=DatasetEdit(every=every)),
        output=tmp_path / "out",
        options=EditOptions(reencode=True),
    )
    left = [0, 1, 2, 4, 5] if every == 1 else [0, 2, 3, 5]
    for found, number in zip(shown(tmp_path / "out"), left, strict=True):
        np.testing.assert_array_equal(found, values(number))


@pytest.mark.parametrize("every", [1, 2])
def test_depth_that_would_lose_bits_is_not_cut_between_key_frames(
    every, tmp_path
):
    root = depth_set(tmp_path / "set", [0, 1], key_frames=3, pix_fmt="gray10le")
    cut: dict[int | str, EpisodeEdit] = {1: EpisodeEdit(start=Moment(1))}
    edits = cut if every == 1 else {}
    with pytest.raises(
        DatasetError, match="depth images cannot be cut"
    ) as raised:
        edit(
            root,
            EditPlan(edits, dataset=DatasetEdit(every=every)),
            output=tmp_path / "out",
        )
    assert "--drop-camera depth" in str(raised.value)
    assert not (tmp_path / "out").exists()
    edit(root, EditPlan(keep=(1,)), output=tmp_path / "kept")
    assert len(shown(tmp_path / "kept")) == 3

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.errors import (
    DatasetError,
    IncompatibleDatasets,
    OutputExists,
    UsageError,
)
from piperline.features import Feature
from piperline.lerobot import WRITERS
from piperline.lerobot.dataset import open_dataset
from piperline.output import publish
from piperline.stats import FeatureStats
from piperline.transfer import TransferOptions, aggregate
from piperline.video.images import encode_png
from tests.helpers.datasets import assert_holds, write_dataset
from tests.helpers.episodes import make_episode, schema_of
from tests.helpers.trees import tree

KEY = "observation.images.mid"


@pytest.fixture
def episodes(tmp_path):
    tasks = [["pick"], ["place", "pick"], ["wave"], ["pick", "lift"], ["place"]]
    return [
        make_episode(
            tmp_path / "in", number, 3 + number % 2, tasks=tasks[number]
        )
        for number in range(5)
    ]


def empty_dataset(root, like):
    root.mkdir()
    WRITERS["v2.1"](root, schema_of(like)).finish()
    return root


@pytest.mark.parametrize("cuts", [(1, 3), (2,), (1, 2, 3, 4)])
def test_parts_make_the_whole_byte_for_byte(cuts, tmp_path, episodes):
    whole = write_dataset(tmp_path / "whole", episodes)
    bounds = [0, *cuts, 5]
    parts = [
        write_dataset(tmp_path / f"part{start}", episodes[start:stop])
        for start, stop in itertools.pairwise(bounds)
    ]
    result = aggregate(parts, tmp_path / "out")
    assert (result.episodes, result.frames, result.format) == (5, 17, "v2.1")
    assert tree(tmp_path / "out") == tree(whole)


def test_versions_may_be_mixed(tmp_path, episodes):
    parts = [
        write_dataset(tmp_path / "a", episodes[:2], "v3.0"),
        write_dataset(tmp_path / "b", episodes[2:3], "v2.1"),
        write_dataset(
            tmp_path / "c", episodes[3:], "v3.0", video_mb=1e-6, data_mb=1e-6
        ),
    ]
    for version in ("v2.1", "v3.0"):
        result = aggregate(parts, tmp_path / version, format=version)
        assert result.tasks == ("pick", "place", "wave", "lift")
        assert_holds(open_dataset(tmp_path / version), episodes)
    made, whole = (
        tree(tmp_path / "v2.1"),
        tree(write_dataset(tmp_path / "whole", episodes)),
    )
    record = "meta/piperline.json"  # tells of three datasets, not of one
    assert made | {record: ""} == whole | {record: ""}


def test_v30_stays_v30(tmp_path, episodes):
    parts = [
        write_dataset(tmp_path / "a", episodes[:2], "v3.0"),
        write_dataset(tmp_path / "b", episodes[2:], "v3.0"),
    ]
    assert aggregate(parts, tmp_path / "out").format == "v3.0"
    assert tree(tmp_path / "out") == tree(
        write_dataset(tmp_path / "whole", episodes, "v3.0")
    )


def test_empty_datasets_are_left_out_with_a_word(tmp_path, episodes):
    parts = [
        empty_dataset(tmp_path / "e1", episodes[0]),
        write_dataset(tmp_path / "a", episodes),
        empty_dataset(tmp_path / "e2", episodes[0]),
    ]
    result = aggregate(parts, tmp_path / "out")
    assert result.notes == (
        f"{parts[0]} is empty: left out",
        f"{parts[2]} is empty: left out",
    )
    assert_holds(open_dataset(tmp_path / "out"), episodes)
    with pytest.raises(DatasetError, match="all datasets are empty"):
        aggregate([parts[0]], tmp_path / "none")


def test_datasets_that_lerobot_left_empty_are_left_out(tmp_path, episodes):
    """It makes the tables with the first episode."""
    empty = []
    for version in ("v2.1", "v3.0"):
        root = write_dataset(tmp_path / f"e-{version}", episodes[:1], version)
        info = json.loads((root / "meta/info.json").read_text()) | {
            "total_episodes": 0,
            "total_frames": 0,
        }
        shutil.rmtree(root)
        (root / "meta").mkdir(parents=True)
        (root / "meta/info.json").write_text(json.dumps(info))
        empty.append(root)
    result = aggregate(
        [*empty, write_dataset(tmp_path / "a", episodes)], tmp_path / "out"
    )
    assert len(result.notes) == 2
    assert_holds(open_dataset(tmp_path / "out"), episodes)


def test_all_that_is_wrong_is_told_at_once(tmp_path, episodes):
    good = write_dataset(tmp_path / "good", episodes[:2])
    other = write_dataset(tmp_path / "other", episodes[2:])
    info = json.loads((other / "meta/info.json").read_text()) | {
        "robot_type": "hand"
    }
    (other / "meta/info.json").write_text(json.dumps(info))
    no_videos = write_dataset(tmp_path / "no_videos", episodes[2:])
    shutil.rmtree(no_videos / "videos")
    with pytest.raises(
        DatasetError, match="there is no such dataset"
    ) as caught:
        aggregate(
            [good, tmp_path / "none", no_videos, other, tmp_path / "nor this"],
            tmp_path / "out",
        )
    note = "\n".join(caught.value.__notes__)
    assert "nor this" in note
    assert "cameras that have no videos" in note
    assert "robot 'hand' instead of 'bi_piper'" in note


def test_another_modality_is_found_wherever_it_is(tmp_path, episodes):
    parts = [
        write_dataset(tmp_path / str(number), episodes[number : number + 1])
        for number in range(3)
    ]
    (parts[0] / "meta/modality.json").unlink()
    (parts[2] / "meta/modality.json").write_text(
        '{"state": {"leg": {"start": 0, "end": 14}}}'
    )
    with pytest.raises(
        IncompatibleDatasets, match=r"another meta/modality\.json than"
    ):
        aggregate(parts, tmp_path / "out")
    aggregate(parts[:2], tmp_path / "out")
    assert (tmp_path / "out/meta/modality.json").read_bytes() == (
        parts[1] / "meta/modality.json"
    ).read_bytes()


def test_a_camera_that_is_dropped_leaves_modality_too(tmp_path):
    episodes = [
        make_episode(tmp_path / "in", number, 3, cameras=("mid", "top"))
        for number in range(2)
    ]
    root = write_dataset(tmp_path / "set", episodes)
    named = {
        "mid": {"original_key": KEY},
        "high": {"original_key": "observation.images.top"},
    }
    (root / "meta/modality.json").write_text(
        json.dumps({"state": {}, "video": named})
    )
    shutil.rmtree(root / "videos/chunk-000/observation.images.top")
    aggregate(
        [root],
        tmp_path / "out",
        options=TransferOptions(drop_missing_cameras=True),
    )
    modality = json.loads((tmp_path / "out/meta/modality.json").read_text())
    assert modality == {"state": {}, "video": {"mid": {"original_key": KEY}}}


def test_a_dataset_of_ours_is_replaced_if_asked(
    tmp_path, episodes, monkeypatch
):
    parts = [
        write_dataset(tmp_path / str(number), episodes[number : number + 1])
        for number in range(3)
    ]
    aggregate(parts[:1], tmp_path / "out")
    with pytest.raises(OutputExists, match="--overwrite"):
        aggregate(
            parts, tmp_path / "out", options=TransferOptions(overwrite=False)
        )
    aggregate(
        parts[:2], tmp_path / "out", options=TransferOptions(overwrite=True)
    )
    assert_holds(open_dataset(tmp_path / "out"), episodes[:2])
    monkeypatch.setattr(publish, "_exchange", lambda _one, _other: False)
    aggregate(parts, tmp_path / "out", options=TransferOptions(overwrite=True))
    assert_holds(open_dataset(tmp_path / "out"), episodes[:3])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0",
        "1",
        "2",
        "in",
        "out",
    ]
    (tmp_path / "out/meta/piperline.json").unlink()
    with pytest.raises(OutputExists):
        aggregate(
            parts, tmp_path / "out", options=TransferOptions(overwrite=True)
        )


def test_images_in_columns_get_quantiles_whatever_they_come_from(
    tmp_path, episodes
):
    """Also of more episodes than a row group has, from datasets of both versions."""
    parts = []
    for number, version in enumerate(["v2.1", "v3.0", "v2.1"]):
        root = tmp_path / f"part{number}"
        root.mkdir()
        schema = schema_of(episodes[0])
        picture = Feature("image", (4, 6, 3), ("height", "width", "channels"))
        writer = WRITERS[version](
            root,
            replace(schema, features={**schema.features, "picture": picture}),
        )
        for index in range(33):
            episode = episodes[index % 5]
            pixels = np.random.default_rng(index).integers(
                0, 256, (episode.length, 4, 6, 3), dtype=np.uint8
            )
            cells = [
                {"bytes": encode_png(image), "path": None} for image in pixels
            ]
            cells_type = pa.struct(
                [("bytes", pa.binary()), ("path", pa.string())]
            )
            table = episode.table.append_column(
                "picture", pa.array(cells, cells_type)
            )
            counts = np.stack(
                [
                    np.bincount(pixels[..., c].ravel(), minlength=256)
                    for c in range(3)
                ]
            )
            stats = replace(
                FeatureStats.of_histogram(counts, episode.length),
                histogram=None,
                quantiles={},
            )
            writer.add(
                replace(
                    episode,
                    table=table,
                    camera_stats={**episode.camera_stats, "picture": stats},
                )
            )
        writer.finish()
        parts.append(root)
    aggregate(parts, tmp_path / "out", format="v3.0")
    rows = [
        pq.read_table(path)
        for path in sorted((tmp_path / "out/meta/episodes").rglob("*.parquet"))
    ]
    assert sum(table.num_rows for table in rows) == 99
    assert all(not table["stats/picture/q99"].null_count for table in rows)
    assert (
        "q99"
        in json.loads((tmp_path / "out/meta/stats.json").read_text())["picture"]
    )


def test_codecs_may_differ(tmp_path):
    episodes = [
        make_episode(tmp_path / "in", 0, 3),
        make_episode(tmp_path / "in", 1, 3, mode="av1"),
    ]
    parts = [
        write_dataset(tmp_path / str(number), [episode])
        for number, episode in enumerate(episodes)
    ]
    for version in ("v2.1", "v3.0"):
        aggregate(parts, tmp_path / version, format=version)
        assert_holds(open_dataset(tmp_path / version), episodes)


def test_all_differences_are_named_at_once(tmp_path):
    first = write_dataset(
        tmp_path / "first", [make_episode(tmp_path / "in", 0, 3)]
    )
    second = write_dataset(
        tmp_path / "second",
        [make_episode(tmp_path / "in", 0, 3, cameras=["mid", "top"])],
    )
    third = write_dataset(
        tmp_path / "third", [make_episode(tmp_path / "in", 0, 3)]
    )
    path = third / "meta/info.json"
    info = json.loads(path.read_text())
    del info["features"]["observation.state"]
    info["features"]["action"]["names"][0] = "other"
    info["robot_type"] = "so100"
    path.write_text(json.dumps(info))
    (third / "meta/modality.json").write_text("{}")
    with pytest.raises(IncompatibleDatasets) as caught:
        aggregate([first, second, third], tmp_path / "out")
    said = str(caught.value)
    assert (
        f"{second}: observation.images.top, which is not in the first" in said
    )
    assert f"{third}: robot 'so100' instead of 'bi_piper'" in said
    assert f"{third}: no observation.state" in said
    assert f"{third}: action: names ['other', " in said
    assert f"{third}: another meta/modality.json" in said
    assert not (tmp_path / "out").exists()


def test_rates_and_sizes_are_compared(tmp_path):
    large = make_episode(tmp_path / "in", 0, 3, size=(96, 128))
    parts = [
        write_dataset(
            tmp_path / "small", [make_episode(tmp_path / "in", 0, 3)]
        ),
        write_dataset(tmp_path / "large", [large]),
    ]
    with pytest.raises(
        IncompatibleDatasets, match="mid: size 128x96 instead of 64x48"
    ):
        aggregate(parts, tmp_path / "out")
    bare = [make_episode(tmp_path / "in", 0, 3, cameras=())]
    slow = write_dataset(tmp_path / "slow", bare)
    info = slow / "meta/info.json"
    info.write_text(info.read_text().replace('"fps": 30', '"fps": 15'))
    with pytest.raises(
        IncompatibleDatasets, match="15 frames a second instead of 30"
    ):
        aggregate(
            [write_dataset(tmp_path / "usual", bare), slow], tmp_path / "out"
        )


@pytest.mark.parametrize("damage", ["{", ""])
def test_a_modality_that_is_no_json(damage, tmp_path, episodes):
    parts = [write_dataset(tmp_path / name, episodes[:1]) for name in "ab"]
    (parts[1] / "meta/modality.json").write_text(damage)
    with pytest.raises(DatasetError, match=r"modality\.json is not JSON"):
        aggregate(parts, tmp_path / "out")


def test_what_aggregate_refuses_before_any_work(tmp_path, episodes):
    part = write_dataset(tmp_path / "a", episodes[:1])
    with pytest.raises(UsageError, match="no datasets"):
        aggregate([], tmp_path / "out")
    with pytest.raises(UsageError, match="overlap"):
        aggregate([part], part / "inside")
    with pytest.raises(OutputExists):
        aggregate([part], tmp_path / "in")
    with pytest.raises(DatasetError, match="no such dataset"):
        aggregate([part, tmp_path / "nothing"], tmp_path / "out")


def test_an_empty_folder_is_no_hindrance(tmp_path, episodes):
    (tmp_path / "out").mkdir()
    aggregate([write_dataset(tmp_path / "a", episodes)], tmp_path / "out")
    assert_holds(open_dataset(tmp_path / "out"), episodes)


def test_records_that_differ_are_all_kept(tmp_path, episodes):
    parts = [write_dataset(tmp_path / name, episodes[:1]) for name in "ab"]
    (parts[1] / "meta/piperline.json").write_text(
        json.dumps({"made_by": "another", "episodes": []})
    )
    aggregate(parts, tmp_path / "out")
    record = json.loads((tmp_path / "out/meta/piperline.json").read_text())
    assert record == {
        "made_by": ["tests", "another"],
        "format": "v2.1",
        "episodes": [{"length": 3}],
    }
    (parts[1] / "meta/piperline.json").write_text("no record")
    aggregate(parts, tmp_path / "out2")
    assert not (tmp_path / "out2/meta/piperline.json").exists()

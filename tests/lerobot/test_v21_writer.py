import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from piperline.errors import DatasetError
from piperline.features import Feature
from piperline.lerobot import WriterOptions
from piperline.lerobot.columns import arrow_schema, column_values
from piperline.lerobot.v21 import V21Writer
from tests.helpers.episodes import FPS, codes_of, make_episode, schema_of
from tests.helpers.trees import tree

KEY = "observation.images.mid"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    return root


def write(root, episodes, **options):
    writer = V21Writer(root, schema_of(episodes[0]), WriterOptions(**options))
    for episode in episodes:
        writer.add(episode)
    writer.finish()


def lines(path):
    return [
        json.loads(line)
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def test_files_lie_where_lerobot_looks(root, tmp_path):
    write(root, [make_episode(tmp_path / "in", number) for number in range(2)])
    assert sorted(
        path for path, what in tree(root).items() if what != "folder"
    ) == [
        "README.md",
        "data/chunk-000/episode_000000.parquet",
        "data/chunk-000/episode_000001.parquet",
        "meta/episodes.jsonl",
        "meta/episodes_stats.jsonl",
        "meta/image_histograms.pq",
        "meta/info.json",
        "meta/tasks.jsonl",
        f"videos/chunk-000/{KEY}/episode_000000.mp4",
        f"videos/chunk-000/{KEY}/episode_000001.mp4",
    ]


def test_info_has_all_keys_in_lerobots_order(root, tmp_path):
    write(
        root, [make_episode(tmp_path / "in", number, 4) for number in range(2)]
    )
    text = (root / "meta/info.json").read_text(encoding="utf-8")
    info = json.loads(text)
    assert list(info) == [
        "codebase_version",
        "robot_type",
        "total_episodes",
        "total_frames",
        "total_tasks",
        "total_videos",
        "total_chunks",
        "chunks_size",
        "fps",
        "splits",
        "data_path",
        "video_path",
        "features",
    ]
    assert text == json.dumps(info, indent=4, ensure_ascii=False)
    assert (
        info["codebase_version"],
        info["total_frames"],
        info["total_videos"],
    ) == ("v2.1", 8, 2)
    assert (info["total_chunks"], info["splits"], info["fps"]) == (
        1,
        {"train": "0:2"},
        30,
    )
    assert list(info["features"])[-5:] == [
        "timestamp",
        "frame_index",
        "episode_index",
        "index",
        "task_index",
    ]
    assert info["features"]["timestamp"] == {
        "dtype": "float32",
        "shape": [1],
        "names": None,
    }
    assert info["features"][KEY]["shape"] == [48, 64, 3]
    assert info["features"][KEY]["info"]["video.fps"] == 30


def test_rows_know_their_place(root, tmp_path):
    first = make_episode(tmp_path / "in", 0, 3, tasks=["pick", "place"])
    second = make_episode(tmp_path / "in", 1, 2, tasks=["wave", "pick"])
    write(root, [first, second])
    table = pq.read_table(root / "data/chunk-000/episode_000001.parquet")
    assert table.column_names == [
        "observation.state",
        "action",
        "timestamp",
        "frame_index",
        "episode_index",
        "index",
        "task_index",
    ]
    assert table["index"].to_pylist() == [3, 4]
    assert table["episode_index"].to_pylist() == [1, 1]
    assert table["task_index"].to_pylist() == [2, 0]
    assert lines(root / "meta/tasks.jsonl") == [
        {"task_index": 0, "task": "pick"},
        {"task_index": 1, "task": "place"},
        {"task_index": 2, "task": "wave"},
    ]
    assert lines(root / "meta/episodes.jsonl")[1] == {
        "episode_index": 1,
        "tasks": ["wave", "pick"],
        "length": 2,
    }
    assert (
        table["observation.state"].to_pylist()
        == second.table["observation.state"].to_pylist()
    )


def test_tasks_known_beforehand_keep_their_numbers(root, tmp_path):
    write(
        root,
        [make_episode(tmp_path / "in", 0, 2, tasks=["pick"])],
        tasks=["unused", "pick"],
    )
    assert [row["task"] for row in lines(root / "meta/tasks.jsonl")] == [
        "unused",
        "pick",
    ]
    assert pq.read_table(root / "data/chunk-000/episode_000000.parquet")[
        "task_index"
    ].to_pylist() == [1, 1]


def test_schema_metadata_is_what_datasets_3_reads(root, tmp_path):
    write(root, [make_episode(tmp_path / "in", 0)])
    file = pq.ParquetFile(root / "data/chunk-000/episode_000000.parquet")
    types = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"][
        "features"
    ]
    assert types["action"] == {
        "feature": {"dtype": "float32", "_type": "Value"},
        "length": 14,
        "_type": "Sequence",
    }
    assert types["index"] == {"dtype": "int64", "_type": "Value"}
    assert file.num_row_groups == 1


def test_statistics_are_those_of_the_rows(root, tmp_path):
    episodes = [make_episode(tmp_path / "in", number, 7) for number in range(2)]
    write(root, episodes)
    found = lines(root / "meta/episodes_stats.jsonl")[1]
    assert found["episode_index"] == 1
    stats = found["stats"]
    state = column_values(
        episodes[1].table["observation.state"],
        "state",
        Feature("float32", (14,)),
    )
    exact = state.astype(np.float64)
    np.testing.assert_allclose(
        stats["observation.state"]["mean"], exact.mean(axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(
        stats["observation.state"]["std"], exact.std(axis=0), rtol=1e-12
    )
    assert stats["observation.state"]["min"] == exact.min(axis=0).tolist()
    assert stats["index"]["min"] == [7]
    assert stats["index"]["count"] == [7]
    assert stats["timestamp"]["max"] == [6 / FPS]
    assert np.shape(stats[KEY]["mean"]) == (3, 1, 1)
    assert "q01" not in stats[KEY]
    assert list(stats) == ["observation.state", "action", KEY, *list(stats)[3:]]


def test_videos_are_the_clips(root, tmp_path):
    episode = make_episode(tmp_path / "in", 3, 5)
    write(root, [episode])
    video = root / f"videos/chunk-000/{KEY}/episode_000000.mp4"
    assert video.read_bytes() == episode.clips[KEY].path.read_bytes()
    assert codes_of(video) == [300, 301, 302, 303, 304]
    assert video.stat().st_nlink == 1


def test_own_clips_are_linked(root, tmp_path):
    episode = make_episode(tmp_path / "in", 3, 5)
    write(root, [episode], link=True)
    assert (root / f"videos/chunk-000/{KEY}/episode_000000.mp4").samefile(
        episode.clips[KEY].path
    )


def test_same_episodes_same_bytes(tmp_path):
    episodes = [make_episode(tmp_path / "in", number) for number in range(3)]
    trees = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, episodes)
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1]


def test_bytes_do_not_depend_on_how_the_rows_were_held(tmp_path):
    episode = make_episode(tmp_path / "in", 0, 6)
    table = episode.table
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    trees = []
    for name, rows in (
        ("a", table),
        ("b", pq.read_table(tmp_path / "rows.parquet")),
    ):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [replace(episode, table=rows)])
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1]


def test_a_dataset_without_cameras_has_no_video_path(root, tmp_path):
    write(root, [make_episode(tmp_path / "in", 0, cameras=())])
    assert (
        json.loads((root / "meta/info.json").read_text(encoding="utf-8"))[
            "video_path"
        ]
        is None
    )
    assert not (root / "meta/image_histograms.pq").exists()


def test_an_episode_that_no_v21_reader_opens_is_refused(root, tmp_path):
    episode = make_episode(tmp_path / "in", 0, 1024 * FPS + 1, cameras=())
    with pytest.raises(DatasetError, match="too long") as caught:
        V21Writer(root, schema_of(episode)).add(episode)
    assert "cut it in the recording" in str(caught.value)


def test_a_missing_column_is_named(root, tmp_path):
    episode = make_episode(tmp_path / "in", 0)
    broken = replace(episode, table=episode.table.drop_columns(["action"]))
    with pytest.raises(DatasetError, match="columns are missing: action"):
        V21Writer(root, schema_of(episode)).add(broken)


def test_a_vector_of_another_width_is_refused(root, tmp_path):
    episode = make_episode(tmp_path / "in", 0)
    schema = schema_of(episode)
    narrow = replace(
        schema,
        features={**schema.features, "action": Feature("float32", (13,))},
    )
    with pytest.raises(
        DatasetError, match="values of action are missing or of another shape"
    ):
        V21Writer(root, narrow).add(episode)


def test_card_tells_what_there_is(root, tmp_path):
    write(
        root,
        [
            make_episode(tmp_path / "in", 0, 3, tasks=["pick | <b>"]),
            make_episode(tmp_path / "in", 1, 3),
        ],
    )
    card = (root / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\ntask_categories:\n")
    assert "| episodes | 2 |" in card
    assert "- pick \\| \\<b\\>\n" in card
    assert "| video codec | h264 |" in card
    assert "`observation.images.mid` | video | [48, 64, 3] |" in card


def test_types_of_all_kinds_of_columns(tmp_path):
    schema = replace(
        schema_of(make_episode(tmp_path / "in", 0)),
        features={
            "done": Feature("bool", (1,)),
            "grid": Feature("float32", (2, 3)),
            "note": Feature("string", (1,)),
            "picture": Feature("image", (4, 4, 3)),
        },
    )
    arrow = arrow_schema(schema, "List")
    assert [
        str(arrow.field(name).type) for name in ("done", "grid", "note")
    ] == [
        "bool",
        "list<item: list<item: float>>",
        "string",
    ]
    types = json.loads(arrow.metadata[b"huggingface"])["info"]["features"]
    assert types["grid"] == {
        "shape": [2, 3],
        "dtype": "float32",
        "_type": "Array2D",
    }
    assert types["picture"] == {"_type": "Image"}

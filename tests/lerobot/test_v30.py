import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.episode import Clip
from piperline.errors import DatasetError
from piperline.features import BOOKKEEPING, Feature
from piperline.lerobot import WriterOptions, quantiles
from piperline.lerobot import v30_files as files
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.info import LONGEST_SECONDS
from piperline.lerobot.quantiles import column_quantiles
from piperline.lerobot.v30 import V30Writer
from piperline.stats import merge_stats
from piperline.video.decoder import probe
from tests.helpers.episodes import FPS, codes_of, make_episode, schema_of

KEY = "observation.images.mid"
CAMERAS = ("mid", "left_wrist")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    return root


def write(root, episodes, **options):
    writer = V30Writer(root, schema_of(episodes[0]), WriterOptions(**options))
    for episode in episodes:
        writer.add(episode)
    writer.finish()


def episode_rows(root):
    return pa.concat_tables(
        [
            pq.read_table(path)
            for path in sorted((root / "meta/episodes").glob("*/*"))
        ]
    ).to_pylist()


def same(found, expected):
    assert found.table.to_pydict() == expected.table.to_pydict()
    assert found.tasks == expected.tasks
    for key, clip in expected.clips.items():
        again = found.clips[key]
        assert codes_of(again.path, again.first, again.count) == codes_of(
            clip.path, clip.first, clip.count
        )
        np.testing.assert_array_equal(
            found.camera_stats[key].mean, expected.camera_stats[key].mean
        )


def test_what_was_written_is_read(root, tmp_path):
    episodes = [
        make_episode(
            tmp_path / "in",
            number,
            3 + number,
            cameras=CAMERAS,
            tasks=["pick", f"place {number}"],
        )
        for number in range(4)
    ]
    write(root, episodes)
    dataset = open_dataset(root)
    assert (dataset.version, len(dataset)) == ("v3.0", 4)
    assert list(dataset.tasks) == [
        "pick",
        "place 0",
        "place 1",
        "place 2",
        "place 3",
    ]
    assert dataset.schema == schema_of(episodes[0])
    for found, expected in zip(dataset, episodes, strict=True):
        same(found, expected)
    assert sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file()
    ) == [
        "README.md",
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/image_histograms.pq",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "videos/observation.images.left_wrist/chunk-000/file-000.mp4",
        f"videos/{KEY}/chunk-000/file-000.mp4",
    ]


def test_the_episode_table_has_all_columns(root, tmp_path):
    write(
        root, [make_episode(tmp_path / "in", number, 4) for number in range(2)]
    )
    row = episode_rows(root)[1]
    assert row["tasks"] == ["pick the cup"]
    assert (row["episode_index"], row["length"]) == (1, 4)
    assert (row["dataset_from_index"], row["dataset_to_index"]) == (4, 8)
    assert (
        row[f"videos/{KEY}/from_timestamp"],
        row[f"videos/{KEY}/to_timestamp"],
    ) == (
        4 / FPS,
        8 / FPS,
    )
    for column in (
        "data/chunk_index",
        "data/file_index",
        f"videos/{KEY}/file_index",
        "meta/episodes/file_index",
    ):
        assert row[column] == 0
    for key in ("observation.state", "action", KEY, *BOOKKEEPING):
        for part in (
            "min",
            "max",
            "mean",
            "std",
            "count",
            "q01",
            "q10",
            "q50",
            "q90",
            "q99",
        ):
            shape = (
                (3, 1, 1)
                if key == KEY
                else (1,)
                if key in BOOKKEEPING
                else (14,)
            )
            assert np.shape(row[f"stats/{key}/{part}"]) == (
                (1,) if part == "count" else shape
            )
    assert row["stats/index/min"] == [4.0]
    assert row["stats/timestamp/max"] == [3 / FPS]


def test_tasks_are_the_index_that_pandas_makes(root, tmp_path):
    write(root, [make_episode(tmp_path / "in", 0, 4, tasks=["pick", "place"])])
    table = pq.read_table(root / "meta/tasks.parquet")
    assert table.to_pydict() == {
        "task_index": [0, 1],
        "task": ["pick", "place"],
    }
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == [
        "task"
    ]


def test_info_has_the_keys_of_v30(root, tmp_path):
    write(root, [make_episode(tmp_path / "in", 0, 4)], data_mb=50, video_mb=0.5)
    info = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
    assert info["codebase_version"] == "v3.0"
    assert "total_videos" not in info
    assert (info["data_files_size_in_mb"], info["video_files_size_in_mb"]) == (
        50,
        0.5,
    )
    assert (
        info["data_path"]
        == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    )


def test_each_episode_is_a_row_group_and_vectors_are_lists(root, tmp_path):
    write(
        root, [make_episode(tmp_path / "in", number, 3) for number in range(3)]
    )
    file = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    assert file.num_row_groups == 3
    assert b'"_type": "List"' in file.schema_arrow.metadata[b"huggingface"]


def test_files_are_begun_anew_at_their_limits(root, tmp_path):
    episodes = [
        make_episode(tmp_path / "in", number, 6, cameras=CAMERAS)
        for number in range(5)
    ]
    sizes = [episode.clips[KEY].path.stat().st_size for episode in episodes]
    limit = 2.5 * sizes[0]
    write(root, episodes, data_mb=1e-6, video_mb=limit / 2**20)
    assert len(list((root / "data/chunk-000").iterdir())) == 5
    first, _ = sorted((root / f"videos/{KEY}/chunk-000").iterdir())
    inside = [
        row[f"videos/{KEY}/file_index"] for row in episode_rows(root)
    ].count(0)
    assert first.stat().st_size <= limit < first.stat().st_size + sizes[inside]
    assert [row["data/file_index"] for row in episode_rows(root)] == [
        0,
        1,
        2,
        3,
        4,
    ]
    second = next(
        row
        for row in episode_rows(root)
        if row[f"videos/{KEY}/file_index"] == 1
    )
    assert second[f"videos/{KEY}/from_timestamp"] == 0.0
    for found, expected in zip(open_dataset(root), episodes, strict=True):
        same(found, expected)


def test_a_chunk_folder_that_is_full_is_followed_by_another(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "CHUNKS_SIZE", 3)
    episode = make_episode(tmp_path / "in", 0, 1, cameras=())
    write(root, [episode] * 4, data_mb=1e-9)
    assert [path.name for path in (root / "data/chunk-001").iterdir()] == [
        "file-000.parquet"
    ]
    assert (
        open_dataset(root).episode(3).table.to_pydict()
        == episode.table.to_pydict()
    )


def test_a_video_ends_before_the_seconds_that_float32_can_tell_apart(
    root, tmp_path, monkeypatch
):
    assert LONGEST_SECONDS["v3.0"] == 1000
    monkeypatch.setitem(LONGEST_SECONDS, "v3.0", 1)
    long = make_episode(tmp_path / "in", 0, 14)
    write(root, [long, long, long])
    lengths = [
        probe(path)[1]
        for path in sorted((root / f"videos/{KEY}/chunk-000").iterdir())
    ]
    assert lengths == [28, 14]


def test_clips_that_cannot_share_a_file_get_their_own(root, tmp_path):
    episodes = [
        make_episode(tmp_path / "in", 0, 3),
        make_episode(tmp_path / "in", 1, 3, mode="av1"),
        make_episode(tmp_path / "in", 2, 3),
    ]
    write(root, episodes)
    assert [row[f"videos/{KEY}/file_index"] for row in episode_rows(root)] == [
        0,
        1,
        2,
    ]
    for found, expected in zip(open_dataset(root), episodes, strict=True):
        same(found, expected)


def test_pieces_of_files_are_appended_too(root, tmp_path):
    source = make_episode(tmp_path / "in", 0, 24)
    clip = source.clips[KEY]
    key_frame = 10
    piece = replace(
        source,
        table=source.table.slice(0, 14),
        clips={KEY: Clip(clip.path, key_frame, 14, clip.info, whole=False)},
    )
    write(root, [piece, piece])
    assert (
        codes_of(root / f"videos/{KEY}/chunk-000/file-000.mp4")
        == [*range(key_frame, 24)] * 2
    )


def test_dataset_quantiles_are_those_of_all_rows(root, tmp_path):
    episodes = [
        make_episode(tmp_path / "in", number, length)
        for number, length in ((0, 40), (9, 2), (5, 17))
    ]
    write(root, episodes)
    stats = json.loads((root / "meta/stats.json").read_text(encoding="utf-8"))
    state = np.concatenate(
        [np.array(e.table["observation.state"].to_pylist()) for e in episodes]
    )
    for name, q in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
        np.testing.assert_allclose(
            stats["observation.state"][name],
            np.quantile(state, q, axis=0),
            rtol=1e-12,
        )
    np.testing.assert_allclose(
        stats["observation.state"]["mean"], state.mean(axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(
        stats["observation.state"]["std"], state.std(axis=0), rtol=1e-9
    )
    assert stats["index"]["max"] == [58]
    assert stats["observation.state"]["count"] == [59]
    exact = merge_stats([episode.camera_stats[KEY] for episode in episodes])
    assert exact.histogram is not None
    np.testing.assert_array_equal(stats[KEY]["q10"], exact.quantiles["q10"])
    np.testing.assert_array_equal(stats[KEY]["std"], exact.std)


def test_quantiles_do_not_depend_on_the_memory_they_may_use(
    tmp_path, monkeypatch
):
    rows = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32)
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"x": pa.FixedSizeListArray.from_arrays(rows.ravel(), 5)}),
        path,
        row_group_size=300,
    )
    feature = Feature("float32", (5,))
    whole = column_quantiles([path], {"x": feature}, 1000)["x"]
    monkeypatch.setattr(quantiles, "_MEMORY", 8000)
    pieces = column_quantiles([path], {"x": feature}, 1000)["x"]
    for name, value in whole.items():
        np.testing.assert_array_equal(value, pieces[name])
    np.testing.assert_allclose(
        whole["q90"], np.quantile(rows.astype(np.float64), 0.9, axis=0)
    )


def test_quantiles_hold_one_dimension_where_there_is_room_for_less(
    tmp_path, monkeypatch
):
    rows = np.arange(5000, dtype=np.float64).reshape(1000, 5)
    path = tmp_path / "rows.parquet"
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 5)
    pq.write_table(pa.table({"x": lists}), path)
    passes, read = [], quantiles._batches

    def one_pass(files, keys):
        passes.append(keys)
        return read(files, keys)

    monkeypatch.setattr(quantiles, "_MEMORY", 1000)
    monkeypatch.setattr(quantiles, "_batches", one_pass)
    found = column_quantiles([path], {"x": Feature("float64", (5,))}, 1000)
    assert passes == [["x"]] * 5, "each dimension has a pass of its own"
    np.testing.assert_allclose(found["x"]["q50"], np.median(rows, axis=0))


def test_many_episodes_are_written_in_groups(root, tmp_path):
    episode = make_episode(tmp_path / "in", 0, 2, cameras=("mid",))
    write(root, [episode] * 130)
    dataset = open_dataset(root)
    assert len(dataset) == 130
    same(dataset.episode(129), episode)
    same(dataset.episode(3), episode)


def test_same_episodes_same_bytes(tmp_path):
    episodes = [make_episode(tmp_path / "in", number) for number in range(3)]
    trees = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, episodes)
        trees.append(
            {
                p.relative_to(tmp_path / name): p.read_bytes()
                for p in (tmp_path / name).rglob("*.*")
                if p.is_file()
            }
        )
    assert trees[0] == trees[1]


def rewrite(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def swapped(table):
    return table.take(pa.array([1, 0]))


EPISODES = "meta/episodes/chunk-000/file-000.parquet"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / "meta/tasks.parquet").unlink(), "is missing"),
        (
            lambda root: rewrite(root / "meta/tasks.parquet", swapped),
            "numbered 0, 1, 2",
        ),
        (lambda root: (root / EPISODES).unlink(), "no episode table"),
        (
            lambda root: (root / EPISODES).write_bytes(b"PAR1 no footer"),
            "stopped before it finished",
        ),
        (lambda root: rewrite(root / EPISODES, swapped), "numbered 0, 1, 2"),
        (
            lambda root: rewrite(
                root / EPISODES, lambda t: t.drop_columns(["data/file_index"])
            ),
            "data/file_index",
        ),
        (
            lambda root: (root / "data/chunk-000/file-000.parquet").write_bytes(
                b"PAR1"
            ),
            "cannot be read",
        ),
        (
            lambda root: rewrite(
                root / "data/chunk-000/file-000.parquet",
                lambda t: t.slice(0, 5),
            ),
            "1 rows",
        ),
        (
            lambda root: rewrite(
                root / "data/chunk-000/file-000.parquet",
                lambda t: t.slice(0, 2),
            ),
            "0 rows",
        ),
        (
            lambda root: (
                root / f"videos/{KEY}/chunk-000/file-000.mp4"
            ).unlink(),
            "video is missing",
        ),
    ],
)
def test_damage_is_named(damage, said, root, tmp_path):
    write(
        root,
        [
            make_episode(tmp_path / "in", number, 4, tasks=["pick", "place"])
            for number in range(2)
        ],
    )
    damage(root)
    with pytest.raises(DatasetError) as caught:
        open_dataset(root).episode(1)
    assert said in str(caught.value)


def test_rows_in_one_large_row_group_are_found(root, tmp_path):
    episodes = [
        make_episode(tmp_path / "in", number, 3 + number) for number in range(3)
    ]
    write(root, episodes)
    path = root / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=4)
    for found, expected in zip(open_dataset(root), episodes, strict=True):
        same(found, expected)


def test_whole_numbers_that_float64_does_not_hold(root, tmp_path):
    episode = make_episode(tmp_path, 0)
    stamps = 1_790_000_000_123_456_789 + np.arange(episode.length)
    table = episode.table.append_column("stamp_ns", pa.array(stamps))
    schema = schema_of(episode)
    stamp = {"stamp_ns": Feature("int64", (1,))}
    writer = V30Writer(
        root, replace(schema, features={**schema.features, **stamp})
    )
    writer.add(replace(episode, table=table))
    writer.finish()
    told = json.loads((root / "meta/stats.json").read_text())["stamp_ns"]
    assert (told["min"], told["max"]) == ([stamps[0]], [stamps[-1]])
    (row,) = episode_rows(root)
    assert row["stats/stamp_ns/max"] == [float(stamps[-1])]

import json
import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.errors import DatasetError, UnsupportedVersion
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.v21 import V21Writer
from piperline.video.decoder import probe
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import (
    FPS,
    codes_of,
    make_clip,
    make_episode,
    schema_of,
)

KEY = "observation.images.mid"


def edit_json(path, **changes):
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}),
        encoding="utf-8",
    )


def edit_table(path, **columns):
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(
            table.column_names.index(name), name, [pa.array(values)]
        )
    pq.write_table(table, path)


@pytest.fixture
def episodes(tmp_path):
    return [
        make_episode(tmp_path / "in", 0, 4, tasks=["pick", "place"]),
        make_episode(tmp_path / "in", 1, 3, tasks=["wave"]),
    ]


@pytest.fixture
def root(tmp_path, episodes):
    root = tmp_path / "data set"
    root.mkdir()
    writer = V21Writer(root, schema_of(episodes[0]))
    for episode in episodes:
        writer.add(episode)
    writer.finish()
    return root


NAN = float("nan")


DAMAGES: dict[str, dict[str, Callable[[Path], object]]] = {
    "v2.1": {
        "no length": lambda root: rewrite(
            root / "meta/episodes.jsonl", '"length": 3', '"size": 3'
        ),
        "length in words": lambda root: rewrite(
            root / "meta/episodes.jsonl", '"length": 3', '"length": "abc"'
        ),
        "no tasks": lambda root: rewrite(
            root / "meta/episodes.jsonl", '["pick the cup"]', "null"
        ),
        "tasks that are numbers": lambda root: rewrite(
            root / "meta/episodes.jsonl", '["pick the cup"]', "[7]"
        ),
        "a task that is a number": lambda root: rewrite(
            root / "meta/tasks.jsonl", '"pick the cup"', "7"
        ),
        "length of thousands of digits": lambda root: rewrite(
            root / "meta/episodes.jsonl",
            '"length": 3',
            '"length": ' + "9" * 5000,
        ),
        "statistics that are a list": lambda root: rewrite(
            root / "meta/episodes_stats.jsonl",
            '"stats": {',
            '"stats": [], "others": {',
        ),
        "no number": lambda root: rewrite(
            root / "meta/tasks.jsonl", "task_index", "index"
        ),
        "half a line": lambda root: cut(root / "meta/episodes_stats.jsonl", 40),
        "not UTF-8": lambda root: (root / "meta/tasks.jsonl").write_bytes(
            b'{"task_index": 0, "task": "\xff"}'
        ),
        "no chunks": lambda root: rewrite(
            root / "meta/info.json", '"chunks_size": 1000', '"chunks_size": 0'
        ),
        "odd path": lambda root: rewrite(
            root / "meta/info.json", "{episode_index:06d}", "{nothing}"
        ),
        "odd rate": lambda root: rewrite(
            root / "meta/info.json", '"fps": 30', '"fps": Infinity'
        ),
        "odd type": lambda root: rewrite(
            root / "meta/info.json", '"float32"', '"float99"'
        ),
    },
    "v3.0": {
        "length is null": lambda root: column(
            root / "meta/episodes", "length", [None, 3]
        ),
        "length is nothing": lambda root: column(
            root / "meta/episodes", "length", [0, 3]
        ),
        "time is null": lambda root: column(
            root / "meta/episodes", f"videos/{KEY}/from_timestamp", [None, 0.1]
        ),
        "time is no number": lambda root: column(
            root / "meta/episodes", f"videos/{KEY}/from_timestamp", [NAN, 0.1]
        ),
        "time is below 0": lambda root: column(
            root / "meta/episodes", f"videos/{KEY}/from_timestamp", [-1.0, 0.1]
        ),
        "tasks that are numbers": lambda root: column(
            root / "meta/episodes", "tasks", [[1], [2]]
        ),
        "text for a file": lambda root: column(
            root / "meta/episodes", "data/file_index", ["0", "0"]
        ),
        "a file below 0": lambda root: column(
            root / "meta/episodes", "data/chunk_index", [-1, 0]
        ),
        "no number of a row": lambda root: column(
            root / "meta/episodes", "dataset_from_index", [NAN, 3.0]
        ),
        "text for episodes": lambda root: column(
            root / "data", "episode_index", ["a"] * 6
        ),
        "structs for numbers": lambda root: column(
            root / "data", "action", [{"a": 1}] * 6
        ),
        "NaN for tasks": lambda root: column(
            root / "data", "task_index", [NAN] * 6
        ),
        "nothing for numbers": lambda root: column(
            root / "data", "action", [None] * 6
        ),
        "no numbers of tasks": lambda root: column(
            root / "meta", "task_index", None
        ),
        "text for numbers": lambda root: column(
            root / "data", "action", ["a"] * 6
        ),
        "text for times": lambda root: column(
            root / "data", "timestamp", ["a"] * 6
        ),
    },
}


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def cut(path, size):
    path.write_bytes(path.read_bytes()[:-size])


def column(folder, name, values):
    path = next(
        path
        for path in sorted(folder.rglob("*.parquet"))
        if name in pq.read_schema(path).names
    )
    table = pq.read_table(path)
    place = table.column_names.index(name)
    made = (
        table.remove_column(place)
        if values is None
        else table.set_column(place, name, pa.array(values))
    )
    pq.write_table(made, path)


@pytest.mark.parametrize(
    ("version", "damage"),
    [(version, name) for version, names in DAMAGES.items() for name in names],
)
def test_tables_that_are_not_what_lerobot_writes(tmp_path, version, damage):
    root = write_dataset(
        tmp_path / "set",
        [make_episode(tmp_path / "in", number, 3) for number in range(2)],
        version,
    )
    DAMAGES[version][damage](root)
    with pytest.raises(DatasetError) as caught:
        for _ in open_dataset(root):
            pass
    assert caught.value.place is not None


def test_statistics_may_be_absent(tmp_path):
    episodes = [make_episode(tmp_path / "in", number, 3) for number in range(2)]
    root = write_dataset(tmp_path / "set", episodes, "v3.0")
    (path,) = (root / "meta/episodes").rglob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(
        table.select(
            [
                name
                for name in table.column_names
                if not name.startswith("stats/")
            ]
        ),
        path,
    )
    (root / "meta/image_histograms.pq").unlink()
    assert [episode.camera_stats for episode in open_dataset(root)] == [{}, {}]


def without_deviation(stats):
    del stats["std"]


def with_a_text(stats):
    stats["min"][0][0][0] = "dark"


def with_one_channel(stats):
    stats["mean"] = stats["mean"][:1]


def with_no_number(stats):
    stats["max"][0][0][0] = NAN


@pytest.mark.parametrize(
    "change", [without_deviation, with_a_text, with_one_channel, with_no_number]
)
def test_odd_statistics_of_images_stop_nothing(tmp_path, change):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 3)]
    )
    (root / "meta/image_histograms.pq").unlink()
    path = root / "meta/episodes_stats.jsonl"
    row = json.loads(path.read_text())
    change(row["stats"][KEY])
    path.write_text(json.dumps(row) + "\n")
    assert open_dataset(root).episode(0).camera_stats == {}


def test_statistics_need_no_count(tmp_path):
    """Lerobot 0.3.3 looks at 100 of 130 frames."""
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 130)]
    )
    (root / "meta/image_histograms.pq").unlink()
    path = root / "meta/episodes_stats.jsonl"
    row = json.loads(path.read_text())
    mean = row["stats"][KEY]["mean"]
    del row["stats"][KEY]["count"]
    path.write_text(json.dumps(row) + "\n")
    stats = open_dataset(root).episode(0).camera_stats[KEY]
    assert stats.count == 100
    assert stats.mean.tolist() == mean


def test_a_bug_of_ours_keeps_its_traceback(root, monkeypatch):
    def buggy(*_):
        raise AttributeError("a bug")

    monkeypatch.setattr("piperline.lerobot.dataset.column_values", buggy)
    with pytest.raises(AttributeError, match="a bug"):
        open_dataset(root).episode(0)


def test_numbers_of_tasks_may_have_gaps(root):
    """Lerobot 0.3.3 looks tasks up by number, and the table may lack some."""
    rewrite(
        root / "meta/tasks.jsonl", '{"task_index": 1, "task": "place"}\n', ""
    )
    rewrite(root / "meta/tasks.jsonl", '"task_index": 2', '"task_index": 7')
    path = root / "data/chunk-000/episode_000001.parquet"
    edit_table(path, task_index=[7, 0, 7])
    dataset = open_dataset(root)
    assert list(dataset.tasks) == ["pick", "wave"]
    episode = dataset.episode(1)
    assert episode.tasks == ("wave", "pick")
    assert episode.task_rows is not None
    assert episode.task_rows.tolist() == [0, 1, 0]
    with pytest.raises(DatasetError, match="not in the task table"):
        dataset.episode(0)


def test_a_fragmented_video_is_counted(tmp_path):
    root = write_dataset(
        tmp_path / "set", [make_episode(tmp_path / "in", 0, 5)]
    )
    (path,) = root.rglob("*.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(tmp_path / "f.mp4"), "w", options=FRAGMENTED) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    (tmp_path / "f.mp4").replace(path)
    assert probe(path)[1] == 5
    (episode,) = open_dataset(root)
    assert codes_of(episode.clips[KEY].path) == [0, 1, 2, 3, 4]


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def test_what_was_written_is_read(root, episodes):
    dataset = open_dataset(root)
    assert (dataset.version, len(dataset), list(dataset.tasks)) == (
        "v2.1",
        2,
        ["pick", "place", "wave"],
    )
    assert dataset.schema == schema_of(episodes[0])
    assert [row.length for row in dataset.episodes] == [4, 3]
    for found, expected in zip(dataset, episodes, strict=True):
        assert found.table.to_pydict() == expected.table.to_pydict()
        assert found.tasks == expected.tasks
        assert codes_of(found.clips[KEY].path) == codes_of(
            expected.clips[KEY].path
        )
        assert found.clips[KEY].whole
        found_stats, stats = found.camera_stats[KEY], expected.camera_stats[KEY]
        assert found_stats.histogram is not None
        np.testing.assert_array_equal(found_stats.mean, stats.mean)
    rows = dataset.episode(0).task_rows
    assert rows is not None
    assert rows.tolist() == [0, 0, 1, 1]
    assert dataset.episode(1).task_rows is None
    assert not dataset.notes


def test_statistics_without_histograms_are_those_stored(root, episodes):
    (root / "meta/image_histograms.pq").unlink()
    stats = open_dataset(root).episode(1).camera_stats[KEY]
    np.testing.assert_array_equal(stats.std, episodes[1].camera_stats[KEY].std)
    assert stats.histogram is None


def test_a_dataset_of_v20_has_no_statistics_of_images(root):
    edit_json(root / "meta/info.json", codebase_version="v2.0")
    (root / "meta/episodes_stats.jsonl").unlink()
    assert open_dataset(root).episode(0).camera_stats == {}


def test_a_missing_camera_is_told_and_can_be_left_out(root):
    info = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
    ghost = {
        **info["features"],
        "observation.images.ghost": info["features"][KEY],
    }
    edit_json(root / "meta/info.json", features=ghost)
    dataset = open_dataset(root)
    assert dataset.missing_cameras == ("observation.images.ghost",)
    without = dataset.without(dataset.missing_cameras)
    assert list(without.episode(0).clips) == [KEY]
    assert without.schema.cameras == (KEY,)


def test_columns_that_number_tasks_follow_their_tasks(root):
    info = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
    features = {
        "annotation.human.validity": {"dtype": "int64", "shape": [1]},
        **info["features"],
    }
    edit_json(root / "meta/info.json", features=features)
    for index, length in ((0, 4), (1, 3)):
        path = root / f"data/chunk-000/episode_{index:06d}.parquet"
        table = pq.read_table(path)
        pq.write_table(
            table.append_column(
                "annotation.human.validity", pa.array([1] * length)
            ),
            path,
        )
    episode = open_dataset(root).episode(1)
    assert episode.tasks == ("wave", "place")
    assert episode.table["annotation.human.validity"].to_pylist() == [1, 1, 1]
    assert episode.task_rows is None


def test_odd_times_become_regular_and_are_noted(root):
    path = root / "data/chunk-000/episode_000001.parquet"
    edit_table(path, timestamp=[0.5, 0.6, 0.7])
    dataset = open_dataset(root)
    assert dataset.episode(1).table["timestamp"].to_pylist() == pytest.approx(
        [0, 1 / FPS, 2 / FPS]
    )
    assert "timestamps" in next(iter(dataset.notes))


def test_older_info_is_understood(root):
    info = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
    features = info["features"]
    features[KEY]["video_info"] = features[KEY].pop("info")
    features["action"]["names"] = {"motors": features["action"]["names"]}
    features["observation.state"]["names"] = [["nested"]]
    edit_json(root / "meta/info.json", features=features, fps=30.0)
    schema = open_dataset(root).schema
    assert schema.fps == 30
    assert schema.features["action"].names == tuple(
        f"joint_{number}.pos" for number in range(14)
    )
    assert schema.features["observation.state"].names is None
    assert (schema.features[KEY].info or {})["video.channels"] == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda root: (root / "meta/info.json").unlink(),
            "not a LeRobot dataset",
        ),
        (lambda root: (root / "meta/info.json").write_text("{"), "not JSON"),
        (
            lambda root: (root / "meta/info.json").write_text("[]"),
            "not a JSON object",
        ),
        (
            lambda root: edit_json(root / "meta/info.json", fps=29.97),
            "whole number",
        ),
        (
            lambda root: edit_json(root / "meta/info.json", features=None),
            "not what LeRobot writes",
        ),
        (
            lambda root: edit_json(
                root / "meta/info.json", data_path="../{episode_index}"
            ),
            "leads out",
        ),
        (
            lambda root: edit_json(root / "meta/info.json", total_episodes=3),
            "not written to its end",
        ),
        (
            lambda root: (root / "meta/tasks.jsonl").unlink(),
            "tasks.jsonl is missing",
        ),
        (
            lambda root: (root / "meta/tasks.jsonl").write_text("nonsense\n"),
            "line 1 is not JSON",
        ),
        (
            lambda root: (root / "meta/tasks.jsonl").write_text("\n7\n"),
            "line 2 is not a JSON object",
        ),
        (
            lambda root: (root / "meta/episodes.jsonl").write_text(
                '{"episode_index": 4, "length": 1}\n'
            ),
            "numbered",
        ),
        (
            lambda root: (
                root / "data/chunk-000/episode_000001.parquet"
            ).unlink(),
            "is missing",
        ),
        (
            lambda root: (
                root / "data/chunk-000/episode_000001.parquet"
            ).write_bytes(b"PAR1 half"),
            "cannot be read",
        ),
        (
            lambda root: edit_table(
                root / "data/chunk-000/episode_000001.parquet",
                task_index=[9, 9, 9],
            ),
            "task table",
        ),
        (
            lambda root: edit_table(
                root / "data/chunk-000/episode_000001.parquet",
                episode_index=[0, 1, 1],
            ),
            "episode 0",
        ),
        (
            lambda root: (
                root / f"videos/chunk-000/{KEY}/episode_000001.mp4"
            ).unlink(),
            "video is missing",
        ),
        (
            lambda root: (root / "meta/image_histograms.pq").write_bytes(
                b"PAR1"
            ),
            "remove the file",
        ),
        (
            lambda root: make_clip(
                root / f"videos/chunk-000/{KEY}/episode_000001.mp4", range(2)
            ),
            "does not have the frames",
        ),
        (
            lambda root: pq.write_table(
                pq.read_table(
                    root / "data/chunk-000/episode_000001.parquet"
                ).drop_columns(["action"]),
                root / "data/chunk-000/episode_000001.parquet",
            ),
            "are missing: action",
        ),
        (
            lambda root: pq.write_table(
                pq.read_table(
                    root / "data/chunk-000/episode_000001.parquet"
                ).slice(1),
                root / "data/chunk-000/episode_000001.parquet",
            ),
            "2 rows",
        ),
    ],
)
def test_damage_is_named(damage, said, root):
    damage(root)
    with pytest.raises(DatasetError) as caught:
        open_dataset(root).episode(1)
    assert said in str(caught.value)
    assert str(root) in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="there is no such dataset"):
        open_dataset(tmp_path / "nothing")


def test_an_unknown_version(root):
    edit_json(root / "meta/info.json", codebase_version="v1.6")
    with pytest.raises(UnsupportedVersion, match="not known"):
        open_dataset(root)


def test_a_video_of_another_rate(root):
    edit_json(root / "meta/info.json", fps=15)
    with pytest.raises(DatasetError, match="another frame rate"):
        open_dataset(root).episode(0)


def real_dataset():
    here = Path(__file__).resolve().parents[2]
    named = os.environ.get("PIPERLINE_REAL_DATASET")
    found = (
        Path(named)
        if named
        else here.parent / "shared" / "data" / "robot_sim.PickNPlace"
    )
    if not found.exists():
        pytest.skip(
            "the real v2.0 dataset is not here; PIPERLINE_REAL_DATASET names it"
        )
    return found


def test_the_real_v20_dataset_is_read():
    dataset = open_dataset(real_dataset())
    assert dataset.missing_cameras == ("observation.images.egoview",)
    dataset = dataset.without(dataset.missing_cameras)
    assert sum(episode.length for episode in dataset) == 2096
    assert dataset.episode(4).tasks[1] == "valid"


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("name", ["set", "data", "."])
def test_a_dataset_may_be_named_from_where_one_stands(
    tmp_path, monkeypatch, version, name
):
    episode = make_episode(tmp_path / "in", 0, 3)
    root = write_dataset(tmp_path / "there" / name, [episode], version)
    monkeypatch.chdir(root if name == "." else root.parent)
    (found,) = open_dataset(name)
    clip = found.clips[KEY]
    assert codes_of(clip.path) == [0, 1, 2]
    assert open_dataset(name).missing_cameras == ()

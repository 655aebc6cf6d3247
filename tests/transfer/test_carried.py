"""What datasets hold beside rows and videos comes into the new one, or is named."""

import json
import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.errors import DatasetError, IncompatibleDatasets
from piperline.features import Feature
from piperline.lerobot import WRITERS
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.v30 import text_table
from piperline.transfer import TransferOptions, aggregate, migrate
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import make_episode, schema_of

KEY = "observation.images.mid"


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    return [make_episode(folder, number, 3, cameras=()) for number in range(4)]


def edit_info(root, **changes):
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def info_of(root):
    return json.loads((root / "meta/info.json").read_text())


def there_and_back(root):
    """The dataset after v2.1, v3.0 and v2.1, or v3.0, v2.1 and v3.0, and all notes."""
    first = open_dataset(root).version
    other = "v2.1" if first == "v3.0" else "v3.0"
    there = migrate(root, other, output=root.with_name(f"{root.name} there"))
    back = migrate(
        there.output, first, output=root.with_name(f"{root.name} back")
    )
    return there.output, back.output, (*there.notes, *back.notes)


def add_to_rows(root, version, columns):
    """Add own columns to the episode table."""
    if version == "v2.1":
        path = root / "meta/episodes.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for name, values in columns.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        (path,) = (root / "meta/episodes").rglob("*.parquet")
        table = pq.read_table(path)
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
        pq.write_table(table, path)


OWN = {
    "success": [True, False],
    "operator": ["Ada", None],
    "spans": [[{"from": 0, "to": 2, "name": "reach"}], []],
    "data/camera": ["left", "right"],
}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_own_columns_of_the_episode_table(version, tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes[:2], version)
    add_to_rows(root, version, OWN)
    there, back, notes = there_and_back(root)
    for made in (there, back):
        rows = [row.own for row in open_dataset(made).episodes]
        assert {name: [row[name] for row in rows] for name in OWN} == OWN
    assert notes == ()


def test_own_columns_are_gathered_and_named_where_they_do_not_fit(
    tmp_path, episodes
):
    one = write_dataset(tmp_path / "one", episodes[:2], "v3.0")
    other = write_dataset(tmp_path / "other", episodes[2:], "v3.0")
    add_to_rows(
        one,
        "v3.0",
        {"success": [True, False], "odd": [1, 2], "when": [b"\xff", b"1"]},
    )
    add_to_rows(other, "v3.0", {"odd": ["a", "b"]})
    made = aggregate([one, other], tmp_path / "v30")
    rows = [row.own for row in open_dataset(made.output).episodes]
    assert [row["success"] for row in rows] == [True, False, None, None]
    assert [row["when"] for row in rows] == [b"\xff", b"1", None, None]
    assert made.notes == (
        "columns of the episode table that v3.0 cannot hold: odd",
    )
    made = aggregate([one, other], tmp_path / "v21", format="v2.1")
    assert made.notes == (
        "columns of the episode table that v2.1 cannot hold: when",
    )
    assert [row.own["odd"] for row in open_dataset(made.output).episodes] == [
        1,
        2,
        "a",
        "b",
    ]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_own_keys_of_info_and_features(version, tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes[:2], version)
    features = info_of(root)["features"]
    names = features["action"]["names"]
    features["action"].update(fps=30, names={"motors": names}, unit="rad")
    edit_info(
        root,
        features=features,
        lab={"name": "ours"},
        tools=[{"type": "function"}],
    )
    there, back, notes = there_and_back(root)
    for made in (there, back):
        info = info_of(made)
        assert info["lab"] == {"name": "ours"}
        assert info["tools"] == [{"type": "function"}]
        action = info["features"]["action"]
        assert (action["fps"], action["unit"]) == (30, "rad")
        assert action["names"] == {"motors": names}
    assert notes == ()


def test_own_keys_that_differ_are_named(tmp_path, episodes):
    roots = [
        write_dataset(tmp_path / str(n), episodes[n : n + 1]) for n in range(2)
    ]
    for number, root in enumerate(roots):
        features = info_of(root)["features"]
        features["action"]["fps"] = 30
        if number:
            features["action"]["unit"] = "rad"
        edit_info(root, features=features, lab="ours", room=number)
    made = aggregate(roots, tmp_path / "out")
    info = info_of(made.output)
    assert info["lab"] == "ours"
    assert "room" not in info
    assert info["features"]["action"]["fps"] == 30
    assert "unit" not in info["features"]["action"]
    assert made.notes == (
        "not kept, since the datasets differ in it: info.json: room, action: unit",
    )


def test_splits_are_renumbered(tmp_path, episodes):
    one = write_dataset(tmp_path / "one", episodes[:3])
    other = write_dataset(tmp_path / "other", episodes[3:], "v3.0")
    edit_info(one, splits={"train": "0:2", "val": "2:3"})
    edit_info(other, splits={"val": "0:1"})
    made = aggregate([one, other], tmp_path / "out")
    assert info_of(made.output)["splits"] == {"train": "0:2", "val": "2:4"}
    assert made.notes == ()
    made = aggregate([other, one], tmp_path / "turned")
    assert info_of(made.output)["splits"] == {"val": "0:1,3:4", "train": "1:3"}
    assert "val" in made.notes[0]
    made = aggregate(
        [one, other], tmp_path / "some", options=TransferOptions(episodes="1,3")
    )
    assert info_of(made.output)["splits"] == {"train": "0:1", "val": "1:2"}
    back = migrate(tmp_path / "turned", "v3.0", output=tmp_path / "back").output
    assert info_of(back)["splits"] == {"val": "0:1,3:4", "train": "1:3"}


def test_splits_that_nobody_can_read_are_named(tmp_path, episodes):
    root = write_dataset(tmp_path / "set", episodes[:2])
    edit_info(root, splits={"train": "80%", "val": "1:2"})
    made = migrate(root, "v3.0", output=tmp_path / "out")
    assert info_of(made.output)["splits"] == {"train": "0:1", "val": "1:2"}
    assert made.notes == (
        f"splits of {root} that are no spans of episodes: train",
    )


def test_other_files_of_meta(tmp_path, episodes):
    roots = [
        write_dataset(tmp_path / str(n), episodes[n : n + 1]) for n in range(2)
    ]
    for number, root in enumerate(roots):
        (root / "meta/calibration").mkdir()
        (root / "meta/calibration/cameras.yaml").write_text("mid: 1")
        (root / "meta/notes.txt").write_text(f"day {number}")
        (root / "meta/stats.json").write_text("{}")
        (root / "meta/relative_stats.json").write_text("{}")
        (root / "meta/.hidden").write_text("mine")
    os.mkfifo(roots[1] / "meta/pipe")
    made = aggregate(roots, tmp_path / "out")
    assert (
        made.output / "meta/calibration/cameras.yaml"
    ).read_text() == "mid: 1"
    assert made.notes == (
        "files of meta/ that could not be kept: notes.txt, pipe",
    )
    found = sorted(path.name for path in (made.output / "meta").iterdir())
    assert found == [
        "calibration",
        "episodes.jsonl",
        "episodes_stats.jsonl",
        "info.json",
        "modality.json",
        "piperline.json",
        "piperline_seal.json",
        "tasks.jsonl",
    ]
    back = migrate(roots[0], "v3.0", output=tmp_path / "back")
    assert (back.output / "meta/notes.txt").read_text() == "day 0"
    assert back.notes == ()


# --- columns ---

LANGUAGE = pa.list_(
    pa.struct(
        [
            ("role", pa.string()),
            ("content", pa.string()),
            ("timestamp", pa.float32()),
            ("tool_calls", pa.list_(pa.string())),
        ]
    )
)


def with_columns(root, version, episodes, columns, features):
    """A dataset of `episodes` with further columns: Arrow arrays of all rows."""
    root.mkdir()
    schema = schema_of(episodes[0])
    writer = WRITERS[version](
        root, replace(schema, features={**schema.features, **features})
    )
    start = 0
    for episode in episodes:
        table = episode.table
        for name, values in columns.items():
            table = table.append_column(
                name, values.slice(start, episode.length)
            )
        start += episode.length
        writer.add(replace(episode, table=table))
    writer.finish()
    return root


def column_of(root, name):
    """A column of all rows, in order."""
    found = [
        episode.table[name].combine_chunks() for episode in open_dataset(root)
    ]
    return pa.chunked_array(found).to_pylist()


SAID = {"role": "user", "content": "go", "timestamp": 0.5, "tool_calls": ["{}"]}
COLUMNS = {
    "language": pa.array([[SAID], []] * 3, LANGUAGE),
    "binary": pa.array([b"\xff", b"", b"1"] * 2),
    "timestamp[us]": pa.array([None, *range(5)], pa.timestamp("us")),
    "map": pa.array([[("a", 1)], []] * 3, pa.map_(pa.string(), pa.int8())),
    "dictionary": pa.array(["a", "b", "a"] * 2).dictionary_encode(),
}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("dtype", COLUMNS)
def test_columns_of_any_type(version, dtype, tmp_path, episodes):
    column = COLUMNS[dtype]
    root = with_columns(
        tmp_path / "set",
        version,
        episodes[:2],
        {"extra": column},
        {"extra": Feature(dtype, (1,))},
    )
    there, back, _ = there_and_back(root)
    for made in (root, there, back):
        assert column_of(made, "extra") == column.to_pylist()
        assert info_of(made)["features"]["extra"]["dtype"] == dtype
    again = aggregate([root, back], tmp_path / "both").output
    assert column_of(again, "extra") == column.to_pylist() * 2


def test_types_of_a_column_that_differ(tmp_path, episodes):
    roots = [
        with_columns(
            tmp_path / str(number),
            "v2.1",
            episodes[:1],
            {"extra": pa.array(values)},
            {"extra": Feature("language", (1,))},
        )
        for number, values in enumerate(([[{"a": 1}]] * 3, [[{"b": "x"}]] * 3))
    ]
    with pytest.raises(DatasetError, match="extra is of another type"):
        aggregate(roots, tmp_path / "out")


def with_subtasks(root, version, episodes, numbers, texts):
    """A dataset whose rows number subtasks."""
    column = pa.array(np.array(numbers, dtype=np.int64))
    with_columns(
        root,
        version,
        episodes,
        {"subtask_index": column},
        {"subtask_index": Feature("int64", (1,))},
    )
    if texts and version == "v3.0":
        table = text_table(
            "subtask", {text: number for number, text in enumerate(texts)}
        )
        pq.write_table(table, root / "meta/subtasks.parquet")
    elif texts:
        rows = [
            {"subtask_index": n, "subtask": text}
            for n, text in enumerate(texts)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "meta/subtasks.jsonl").write_text(text)
    return root


def subtasks_of(root):
    """The subtask of each row."""
    found = []
    for episode in open_dataset(root):
        numbers = episode.table["subtask_index"].to_pylist()
        found += [
            episode.subtasks[number] if number >= 0 else None
            for number in numbers
        ]
    return found


def test_subtasks_are_merged_and_renumbered(tmp_path, episodes):
    one = with_subtasks(
        tmp_path / "one",
        "v3.0",
        episodes[:2],
        [0, 1, 1, -1, 2, 0],
        ["reach", "grasp", "lift"],
    )
    other = with_subtasks(
        tmp_path / "other", "v3.0", episodes[2:3], [0, 0, 1], ["lift", "drop"]
    )
    wanted = [
        "reach",
        "grasp",
        "grasp",
        None,
        "lift",
        "reach",
        "lift",
        "lift",
        "drop",
    ]
    made = aggregate([one, other], tmp_path / "both").output
    assert subtasks_of(made) == wanted
    table = pq.read_table(made / "meta/subtasks.parquet")
    assert table.column_names == ["subtask_index", "subtask"]
    assert table["subtask"].to_pylist() == ["reach", "grasp", "lift", "drop"]
    assert b'"index_columns": ["subtask"]' in table.schema.metadata[b"pandas"]
    (rows,) = (made / "data").rglob("*.parquet")
    assert pq.read_table(rows)["subtask_index"].to_pylist() == [
        0,
        1,
        1,
        -1,
        2,
        0,
        2,
        2,
        3,
    ]
    there, back, _ = there_and_back(made)
    assert subtasks_of(there) == subtasks_of(back) == wanted


def test_subtasks_of_v21_in_a_table_of_v30(tmp_path, episodes):
    roots = []
    for number, texts in enumerate((["reach", "grasp"], ["grasp", "lift"])):
        root = with_subtasks(
            tmp_path / str(number),
            "v2.1",
            episodes[number : number + 1],
            [0, 1, 1],
            [],
        )
        table = text_table("subtask", {texts[0]: 0, texts[1]: 1})
        pq.write_table(table, root / "meta/subtasks.parquet")
        roots.append(root)
    made = aggregate(roots, tmp_path / "both").output
    assert open_dataset(made).version == "v2.1"
    wanted = ["reach", "grasp", "grasp", "grasp", "lift", "lift"]
    assert subtasks_of(made) == wanted


def test_subtasks_without_a_table_do_not_mix_with_others(tmp_path, episodes):
    one = with_subtasks(
        tmp_path / "one", "v3.0", episodes[:1], [0, 1, 1], ["reach", "grasp"]
    )
    other = with_subtasks(
        tmp_path / "other", "v3.0", episodes[1:2], [0, 1, 1], []
    )
    with pytest.raises(
        IncompatibleDatasets, match=r"subtask_index.*no meta/subtasks"
    ):
        aggregate([one, other], tmp_path / "out")
    with pytest.raises(DatasetError, match="not in the subtask table"):
        list(
            open_dataset(
                with_subtasks(
                    tmp_path / "x", "v3.0", episodes[:1], [0, 9, 0], ["a"]
                )
            )
        )

"""How episodes are divided among ranks, and when shards may be aggregated."""

import itertools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piperline.cluster.job_folder import JobFolder
from piperline.cluster.shards import (
    MANIFEST,
    Manifest,
    balanced,
    find_shards,
    shard_folder,
    sizes,
)
from piperline.errors import DatasetError

COSTS = st.lists(st.integers(0, 50), max_size=9)


@given(COSTS, st.integers(1, 6))
def test_no_other_division_has_a_cheaper_dearest_part(costs, parts):
    found = balanced(costs, parts)
    assert [item for part in found for item in part] == list(range(len(costs)))
    assert len(found) == parts
    dearest = max(sum(costs[item] for item in part) for part in found)
    cuts = itertools.combinations_with_replacement(
        range(len(costs) + 1), parts - 1
    )
    bounds = ((0, *cut, len(costs)) for cut in cuts)
    best = min(
        max(sum(costs[a:b]) for a, b in itertools.pairwise(bound))
        for bound in bounds
    )
    assert dearest == best


@given(COSTS, st.integers(1, 12))
def test_only_the_last_parts_are_empty_and_only_with_fewer_items(costs, parts):
    filled = [bool(len(part)) for part in balanced(costs, parts)]
    assert filled == sorted(filled, reverse=True)
    assert sum(filled) == min(len(costs), parts)


def make_shard(target: Path, rank: int, **changes: Any) -> Path:
    folder = shard_folder(target, 3, rank)
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/info.json").write_text("{}")
    manifest = Manifest(
        "plan",
        3,
        rank,
        2,
        f"key{rank}",
        "job",
        ("--all", "--repo-id", "a/b c"),
        (),
        sizes(folder),
    )
    replace(manifest, **changes).to_disk(folder)
    return folder


def test_complete_shards_are_found_in_order(tmp_path):
    folders = [make_shard(tmp_path / "x", rank) for rank in (1, 0)]
    found = find_shards(tmp_path / "x", 3)
    assert [folder for folder, _ in found] == folders[::-1]
    assert [manifest.key for _, manifest in found] == ["key0", "key1"]


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path):
    make_shard(tmp_path / "x", 1)
    with pytest.raises(
        DatasetError, match="1 of 3 shards are not ready"
    ) as caught:
        find_shards(tmp_path / "x", 3)
    assert "x_world_3_rank_0: missing" in str(caught.value)
    assert "piperline shards convert --all --repo-id 'a/b c'" in str(
        caught.value
    )


def test_shards_of_two_plans_are_not_mixed(tmp_path):
    make_shard(tmp_path / "x", 2, plan="of yesterday")
    for rank in (0, 1):
        make_shard(tmp_path / "x", rank)
    with pytest.raises(DatasetError, match="rank_2: of another plan"):
        find_shards(tmp_path / "x", 3)


def test_a_damaged_shard_is_named(tmp_path):
    make_shard(tmp_path / "x", 0)
    (make_shard(tmp_path / "x", 1) / "meta/info.json").unlink()
    with pytest.raises(DatasetError, match="rank_1: damaged"):
        find_shards(tmp_path / "x", 3)


def test_many_missing_shards_are_not_all_listed(tmp_path):
    folder = shard_folder(tmp_path / "x", 40, 0)
    (folder / "meta").mkdir(parents=True)
    Manifest("plan", 40, 0, 40, "key", "job", (), (), {}).to_disk(folder)
    with pytest.raises(DatasetError, match="and 19 more"):
        find_shards(tmp_path / "x", 40)


def test_no_shards_at_all(tmp_path):
    with pytest.raises(
        DatasetError, match="there are no shards of 4 workers"
    ) as caught:
        find_shards(tmp_path / "x", 4)
    assert "none at all" in str(caught.value)
    make_shard(tmp_path / "x", 0)
    with pytest.raises(DatasetError, match="x_world_3"):
        find_shards(tmp_path / "x", 4)


def test_shards_that_others_made(tmp_path):
    (shard_folder(tmp_path / "x", 4, 1) / "meta").mkdir(parents=True)
    (shard_folder(tmp_path / "x", 4, 1) / MANIFEST).write_text("[]")
    with pytest.raises(DatasetError, match="not made by") as caught:
        find_shards(tmp_path / "x", 4)
    assert "piperline aggregate" in str(caught.value)


def test_what_is_no_record_is_not_waited_for(tmp_path):
    (tmp_path / "records").mkdir()
    record = tmp_path / "records/00000.json"
    record.write_text("[" * 1_000_000)
    assert JobFolder(tmp_path).record(0) is None
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/shard.json").write_text("[" * 1_000_000)
    assert Manifest.from_disk(tmp_path) is None
    record.unlink()
    os.mkfifo(record)
    with pytest.raises(OSError, match="not a plain file"):
        JobFolder(tmp_path).record(0)

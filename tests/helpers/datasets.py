"""Datasets for tests, written by our own writers from `tests.helpers.episodes`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from piperline.episode import EncodedEpisode
from piperline.lerobot import WRITERS, WriterOptions
from piperline.lerobot.dataset import Dataset
from piperline.seal.seal import write_seal
from tests.helpers.episodes import codes_of, schema_of


def write_dataset(
    root: Path,
    episodes: Sequence[EncodedEpisode],
    version: str = "v2.1",
    **options: Any,
) -> Path:
    """A dataset of `episodes`, with a modality.json.

    A record of its making and a seal as `convert` leaves them.
    """
    root.mkdir(parents=True)
    writer = WRITERS[version](
        root, schema_of(episodes[0]), WriterOptions(**options)
    )
    for episode in episodes:
        writer.add(episode)
    writer.finish()
    (root / "meta/modality.json").write_text(
        '{"state": {"arm": {"start": 0, "end": 14}}}', encoding="utf-8"
    )
    record = {
        "made_by": "tests",
        "format": version,
        "episodes": [{"length": e.length} for e in episodes],
    }
    (root / "meta/piperline.json").write_text(
        json.dumps(record, indent=2) + "\n", encoding="utf-8"
    )
    write_seal(root)
    return root


def assert_holds(dataset: Dataset, episodes: Sequence[EncodedEpisode]) -> None:
    """See that the dataset holds these episodes: rows, tasks, every frame, statistics."""
    assert len(dataset) == len(episodes)
    for found, expected in zip(dataset, episodes, strict=True):
        assert found.table.to_pydict() == expected.table.to_pydict()
        assert found.tasks == expected.tasks
        assert (found.task_rows is None) == (expected.task_rows is None)
        assert list(found.clips) == list(expected.clips)
        for key, clip in expected.clips.items():
            there = found.clips[key]
            assert codes_of(there.path, there.first, there.count) == codes_of(
                clip.path, clip.first, clip.count
            )
            np.testing.assert_array_equal(
                found.camera_stats[key].std, expected.camera_stats[key].std
            )

"""What LeRobot does not know, and was carried over, does not hinder its official readers."""

import json

import pytest

from piperline.lerobot.dataset import open_dataset
from piperline.transfer import aggregate
from tests.conformance.test_matrix import assert_read_as
from tests.helpers.datasets import write_dataset
from tests.helpers.episodes import FPS, make_episode
from tests.helpers.videos import retime

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_own_columns_keys_and_times(version, tmp_path, official_reader):
    episodes = [
        make_episode(tmp_path / "in", number, 12) for number in range(2)
    ]
    root = write_dataset(tmp_path / "set", episodes)
    video = root / "videos/chunk-000/observation.images.mid/episode_000000.mp4"
    retime(video, [0.2 + number / FPS for number in range(12)], 90_000)
    table = root / "meta/episodes.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    rows = [{**row, "success": True, "spans": [{"from": 0}]} for row in rows]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["action"].update(fps=30, unit="rad")
    info.update(lab="ours", splits={"train": "0:1", "val": "1:2"})
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/notes.txt").write_text("sunny")
    made = aggregate([root], tmp_path / "out", format=version).output
    assert open_dataset(made).episodes[1].own["spans"] == [{"from": 0}]
    assert_read_as(official_reader.read(made), episodes)

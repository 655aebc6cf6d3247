"""Writers are found by the name of their format."""

import pytest

from piperline import lerobot
from piperline.lerobot import WRITERS, WriterOptions, open_writer
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.v21 import V21Writer
from tests.helpers.episodes import make_episode, schema_of


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_writer_makes_the_format_that_it_is_asked_for(version, tmp_path):
    episode = make_episode(tmp_path / "in", 0, 3)
    root = tmp_path / "out"
    root.mkdir()
    writer = open_writer(
        version, root, schema_of(episode), WriterOptions(tasks=("first",))
    )
    writer.add(episode)
    writer.finish()
    writer.close()
    dataset = open_dataset(root)
    assert dataset.version == version
    assert list(dataset.tasks) == ["first", *episode.tasks]


def test_a_writer_that_is_added_to_the_dict_is_found(tmp_path, monkeypatch):
    class Other(V21Writer):
        version = "v9"

    monkeypatch.setattr(lerobot, "WRITERS", {**WRITERS, Other.version: Other})
    schema = schema_of(make_episode(tmp_path / "in", 0, 3))
    (tmp_path / "out").mkdir()
    assert isinstance(open_writer("v9", tmp_path / "out", schema), Other)
    with pytest.raises(KeyError):
        open_writer("v8", tmp_path / "out", schema)

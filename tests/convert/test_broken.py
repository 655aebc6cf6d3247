"""The broken recordings are broken in one place only: the rest of the file still opens."""

import pytest

from piperline.recordings.layout import load_layout
from piperline.recordings.recording import Recording
from tests.helpers.broken import EPISODES


@pytest.mark.parametrize("name", EPISODES)
def test_the_episodes_around_the_broken_one_are_whole(tmp_path, name):
    broken = EPISODES[name](tmp_path)
    with Recording(broken.path, load_layout("piper")) as recording:
        names = recording.episodes()
        assert len(names) == 3
        for good in (names[0], names[2]):
            episode = recording.episode(good)
            header = episode.header()
            assert header.length == 4
            assert set(episode.vectors(4)) == {"observation.state", "action"}
            assert all(
                len(list(episode.stream(camera, 4))) == 4
                for camera in header.cameras
            )

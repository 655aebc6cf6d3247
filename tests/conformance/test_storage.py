"""From recordings of every storage to both formats, to the other and back."""

import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from piperline.convert.assemble import assemble
from piperline.convert.job import make_job
from piperline.convert.run import plan_run
from piperline.convert.stage import staging_area
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.layout import load_layout
from piperline.transfer import migrate
from piperline.video.decoder import decode
from tests.helpers.datasets import tree
from tests.helpers.recordings import (
    PIPER_CAMERAS,
    STORAGES,
    Storage,
    actions,
    read_code,
    states,
    write_piper,
)

TASKS = ("pick up the cube", "put it into the bowl")
OTHER = {"v2.1": "v3.0", "v3.0": "v2.1"}


class Case(NamedTuple):
    """A point of the matrix."""

    storage: Storage
    cameras: int
    episodes: int
    tasks: int
    length: int

    def __str__(self):
        size = f"{self.episodes}x{self.length}frames-{self.tasks}tasks"
        return f"{self.storage}-{self.cameras}cameras-{size}"

    def convert(self, folder, version):
        """In this process: what worker processes do is shown elsewhere."""
        path = write_piper(
            folder / "a.hdf5",
            episodes=self.episodes,
            lengths=self.length,
            tasks=TASKS[: self.tasks],
            storage=self.storage,
            cameras=PIPER_CAMERAS[: self.cameras],
        )
        layout = load_layout("piper")
        layout = replace(
            layout, cameras=dict(itertools.islice(layout.cameras.items(), self.cameras))
        )
        job = make_job(layout=layout, format=version)
        plan = plan_run([path], job)
        with staging_area(folder / "set", plan) as staging:
            for episode in plan.episodes:
                staging.stage_episode(episode, job, lambda _frames, _size: None)
            assemble(staging, plan, folder / "set")
        return folder / "set"

    def assert_in(self, root):
        dataset = open_dataset(root)
        assert len(dataset) == self.episodes
        for number, episode in enumerate(dataset):
            assert episode.tasks == (TASKS[number % self.tasks],)
            for key, values in (("observation.state", states), ("action", actions)):
                rows = np.array(episode.table[key].to_pylist(), dtype=np.float32)
                np.testing.assert_array_equal(rows, values(number, self.length).astype(np.float32))
            assert len(episode.clips) == self.cameras
            for camera, clip in enumerate(episode.clips.values()):
                codes = [read_code(frame) for frame in decode(clip.path, clip.first, clip.count)]
                assert codes == [(number, camera, frame) for frame in range(self.length)]


AMOUNTS = [
    (episodes, tasks, length)
    for episodes, tasks, length in itertools.product((1, 3), (1, 2), (1, 2, 61))
    if tasks <= episodes  # an episode has one instruction
]
MATRIX = [
    *(
        Case(storage, cameras, *amount)
        for storage in STORAGES
        for cameras in (1, 3)
        for amount in AMOUNTS
    ),
    *(Case("jpeg-vlen", 0, *amount) for amount in AMOUNTS),
]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_converted_moved_and_moved_back(case, version, tmp_path):
    root = case.convert(tmp_path, version)
    case.assert_in(root)
    migrate(root, OTHER[version], output=tmp_path / "moved")
    case.assert_in(tmp_path / "moved")
    migrate(tmp_path / "moved", version, output=tmp_path / "back")
    assert tree(tmp_path / "back") == tree(root)

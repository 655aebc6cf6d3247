"""From recordings of every storage to both formats, to the other and back."""

import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from piperline.convert.assemble import assemble
from piperline.convert.job import make_job
from piperline.convert.run import plan_run
from piperline.convert.stage import staging_area, work_folder
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.layout import load_layout
from piperline.transfer import migrate
from piperline.video.decoder import decode
from tests.helpers.recordings import (
    PIPER_CAMERAS,
    STORAGES,
    Storage,
    actions,
    read_code,
    states,
    write_piper,
)
from tests.helpers.trees import share, tree
from tests.helpers.videos import clip_packets

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

    def write(self, folder):
        return write_piper(
            folder / "a.hdf5",
            episodes=self.episodes,
            lengths=self.length,
            tasks=TASKS[: self.tasks],
            storage=self.storage,
            cameras=PIPER_CAMERAS[: self.cameras],
        )

    def job(self, version):
        layout = load_layout("piper")
        cameras = dict(itertools.islice(layout.cameras.items(), self.cameras))
        return make_job(layout=replace(layout, cameras=cameras), format=version)

    def assert_in(self, root):
        dataset = open_dataset(root)
        assert len(dataset) == self.episodes
        for number, episode in enumerate(dataset):
            assert episode.tasks == (TASKS[number % self.tasks],)
            for key, values in (
                ("observation.state", states),
                ("action", actions),
            ):
                rows = np.array(
                    episode.table[key].to_pylist(), dtype=np.float32
                )
                np.testing.assert_array_equal(
                    rows, values(number, self.length).astype(np.float32)
                )
            assert len(episode.clips) == self.cameras
            for camera, clip in enumerate(episode.clips.values()):
                codes = [
                    read_code(frame)
                    for frame in decode(clip.path, clip.first, clip.count)
                ]
                assert codes == [
                    (number, camera, frame) for frame in range(self.length)
                ]

    def assert_moved(self, moved, root):
        """See that a dataset holds what another does: the same rows, tasks and packets."""
        for found, expected in zip(
            open_dataset(moved), open_dataset(root), strict=True
        ):
            assert found.table.equals(expected.table)
            assert found.tasks == expected.tasks
            for clip, other in zip(
                found.clips.values(), expected.clips.values(), strict=True
            ):
                assert clip_packets(clip) == clip_packets(other)


def convert_to_both(case, folder):
    """In this process, each frame encoded once: what worker processes do is shown elsewhere."""
    roots = {version: folder / version for version in OTHER}
    path = case.write(folder)
    for version, root in roots.items():
        job = case.job(version)
        plan = plan_run([path], job)
        with staging_area(root, plan) as staging:
            for episode in plan.episodes:
                if version == "v2.1":
                    staging.stage_episode(
                        episode, job, lambda _frames, _size: None
                    )
                assert staging.is_staged(episode)
            if version == "v2.1":
                share(work_folder(root), work_folder(roots["v3.0"]))
            assemble(staging, plan, root)
    return roots


AMOUNTS = [
    (episodes, tasks, length)
    for episodes, tasks, length in itertools.product((1, 3), (1, 2), (1, 2, 61))
    if tasks <= episodes  # an episode has one instruction
]
SOME = [(1, 1, 1), (3, 1, 2), (3, 2, 61)]
"""For the storages beside the first: they end where an episode is encoded."""

MATRIX = [
    *(
        Case("jpeg-vlen", cameras, *amount)
        for cameras in (0, 1, 3)
        for amount in AMOUNTS
    ),
    *(
        Case(storage, cameras, *amount)
        for storage in STORAGES[1:]
        for cameras in (1, 3)
        for amount in SOME
    ),
]


@pytest.mark.unmeasured
@pytest.mark.usefixtures("workers_in_threads")
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_converted_moved_and_moved_back(case, tmp_path):
    for version, root in convert_to_both(case, tmp_path).items():
        case.assert_in(root)
        moved, back = (
            tmp_path / f"{version}-moved",
            tmp_path / f"{version}-back",
        )
        migrate(root, OTHER[version], output=moved)
        case.assert_moved(moved, root)
        migrate(moved, version, output=back)
        assert tree(back) == tree(root)

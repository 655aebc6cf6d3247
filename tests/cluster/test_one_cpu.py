"""A rank of one CPU has a worker process as well: a recording that crashes it is a bad episode."""

import h5py
import numpy as np
import pytest

from piperline.cluster.job_folder import JobFolder
from piperline.cluster.launch import launch, plan_shards
from piperline.cluster.shards import Manifest, shard_folder
from piperline.convert.job import make_job
from piperline.errors import BadEpisode
from piperline.lerobot.dataset import open_dataset
from tests.helpers.fatal import MID
from tests.helpers.recordings import write_piper

pytestmark = pytest.mark.measured


def crash_behind_the_first_image(path, episode):
    """Planning looks at the first; HDF5 falls over the checksum of the second."""
    with h5py.File(path, "r+") as file:
        images = [bytes(image) for image in file[episode][MID][:]]
        del file[episode][MID]
        size = max(map(len, images))
        data = file[episode].create_dataset(
            MID,
            shape=(len(images), size),
            chunks=(1, size),
            dtype="u1",
            fletcher32=True,
        )
        data[0] = np.frombuffer(images[0].ljust(size, b"\0"), "u1")
        for row in range(1, len(images)):
            data.id.write_direct_chunk((row, 0), b"abc", 0)


@pytest.mark.parametrize("skip_bad", [True, False])
def test_a_crash_costs_the_episode(tmp_path, skip_bad):
    path = write_piper(tmp_path / "a.hdf5", episodes=2, lengths=4)
    crash_behind_the_first_image(path, "episode_0")
    folder, target = JobFolder(tmp_path / "logs/job"), tmp_path / "set"
    work = plan_shards(
        [path], target, make_job(), folder, world=1, skip_bad=skip_bad
    )
    if not skip_bad:
        with pytest.raises(BadEpisode, match="crashes or hangs") as caught:
            launch(folder, work)
        assert "episode_0" in str(caught.value)
        return
    assert launch(folder, work).complete
    shard = shard_folder(target, 1, 0)
    assert Manifest.from_disk(shard) is not None
    assert len(open_dataset(shard)) == 1
    record = folder.record(0)
    assert record is not None
    (left,) = record.left_out
    assert "episode_0: reading this crashes or hangs: a crash (SIGSEGV)" in left

"""Planning by several processes: the same plan, whoever looks first."""

import pytest

from piperline.convert.job import make_job
from piperline.convert.pool import WorkerPool
from piperline.convert.run import plan_run
from piperline.errors import RecordingError
from tests.helpers.recordings import write_piper

pytestmark = pytest.mark.usefixtures("workers_in_threads")


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(12):
        write_piper(
            folder / f"day_{number}.hdf5",
            episodes=1 + number % 3,
            first=3 * number,
            lengths=2,
            tasks=("pick up the cube", None if number == 7 else "put it down"),
        )
    (folder / "day_5.hdf5").write_bytes(b"no recording")
    return folder


@pytest.fixture(autouse=True)
def several_look(monkeypatch):
    monkeypatch.setattr("piperline.convert.pool._LOOKS", 1)


def planned(recordings, workers, **options):
    job = make_job(inputs=[recordings])
    with WorkerPool(workers) as pool:
        return plan_run([recordings], job, pool=pool, **options)


@pytest.mark.parametrize("episodes", [None, "3:9"])
def test_the_plan_does_not_depend_on_the_number_of_workers(
    recordings, episodes
):
    options = {"skip_bad": True, "episodes": episodes}
    plan = planned(recordings, 1, **options)
    assert planned(recordings, 4, **options) == plan
    assert len(plan.left_out) >= (2 if episodes is None else 1)


def test_what_is_wrong_is_told_in_the_order_of_the_files(recordings):
    told = []
    for workers in (1, 4):
        with pytest.raises(RecordingError) as caught:
            planned(recordings, workers)
        told.append((str(caught.value), caught.value.__notes__))
    assert told[0] == told[1]

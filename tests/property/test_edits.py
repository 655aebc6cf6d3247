"""The same plan on recordings and on the dataset that was made of them gives the same bytes."""

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert
from piperline.edits.numbers import Moment
from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit
from piperline.recordings.layout import load_layout
from piperline.seal.seal import SEAL
from piperline.transfer import edit
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.usefixtures("workers_in_threads"),
]

TOLD = {"meta/piperline.json", str(SEAL)}
"""What tells how a dataset was made: whether of recordings or of a dataset."""
LENGTHS = [23, 31, 12, 40]
SOURCES: list[int | str] = [
    "a.hdf5:episode_0",
    "a.hdf5:episode_1",
    "b.hdf5:episode_2",
    3,
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_piper(folder / "a.hdf5", episodes=2, lengths=LENGTHS[:2])
    write_piper(folder / "b.hdf5", episodes=2, first=2, lengths=LENGTHS[2:])
    return folder


@pytest.fixture(scope="module")
def whole(recordings, tmp_path_factory):
    """Datasets of all of the recordings, by format and mode, made once."""
    made = {}

    def make(version, mode):
        if (version, mode) not in made:
            output = tmp_path_factory.mktemp("whole") / "set"
            job = make_job(format=version, video=mode)
            convert([recordings], output, job, workers=1)
            made[version, mode] = output
        return made[version, mode]

    return make


def drawn_episode(draw: random.Random, length: int) -> EpisodeEdit:
    """An edit of an episode of so many frames, that leaves some of them."""
    kind = draw.randrange(5)
    if kind == 0:
        return EpisodeEdit(drop=True)
    if kind == 1:
        return EpisodeEdit(instruction=draw.choice(["wave", "fold"]))
    start = draw.randrange(length - 4)
    stop = draw.randrange(start + 3, length + 1)
    if kind == 2:
        return EpisodeEdit(start=Moment(start), stop=Moment(stop))
    cut = draw.randrange(start + 1, stop)
    return EpisodeEdit(
        start=Moment(start), stop=Moment(stop), cuts=(Moment(cut),)
    )


def drawn_plan(seed: int, mode: str) -> EditPlan:
    draw = random.Random(seed)
    chosen = draw.sample(range(len(SOURCES)), 3)
    edits = {SOURCES[n]: drawn_episode(draw, LENGTHS[n]) for n in chosen}
    changes: dict[str, Any] = {
        "drop_cameras": ("left_wrist",),
        "rename_cameras": {"mid": "top"},
        "rename_dimensions": {"left_gripper.pos": "left_hand.pos"},
        "rename_instructions": {"pick up the cube": "take the cube"},
    }
    names = load_layout("piper").vectors["action"].dimension_names
    half = len(names) // 2
    changes["reorder_dimensions"] = {"action": (*names[half:], *names[:half])}
    if mode == "copy":
        changes["every"] = 3
    kinds = draw.sample(sorted(changes), 3)
    dataset = DatasetEdit(**{kind: changes[kind] for kind in kinds})
    return EditPlan(edits, dataset=dataset)


@pytest.mark.parametrize("mode", ["h264", "copy"])
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("seed", [1, 2])
def test_one_plan_two_ways(recordings, whole, version, mode, seed):
    folder = Path(tempfile.mkdtemp())
    plan = drawn_plan(seed, mode)
    edit(whole(version, mode), plan, output=folder / "edited")
    job = make_job(format=version, video=mode)
    convert([recordings], folder / "made", job, workers=1, edits=plan)
    made, edited = tree(folder / "made"), tree(folder / "edited")
    assert {name for name in made if name not in TOLD} == {
        name for name in edited if name not in TOLD
    }
    different = {name for name in made if made[name] != edited[name]}
    assert different <= TOLD
    shutil.rmtree(folder)

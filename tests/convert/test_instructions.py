"""Instructions that change within an episode: a text for each row, in all that is made of it."""

import h5py
import numpy as np
import pytest

from piperline.convert.job import make_job
from piperline.convert.run import convert, plan_run
from piperline.edits.numbers import Moment
from piperline.edits.plan import EditPlan, EpisodeEdit, address
from piperline.errors import Place
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.layout import parse_layout
from piperline.transfer import aggregate, edit, migrate
from piperline.verify import VerifyOptions, verify
from tests.helpers.recordings import paint, states, write_images

pytestmark = pytest.mark.usefixtures("workers_in_threads")

LAYOUT = """name = "mine"
robot_type = "r"
[episodes]
at = "take_*"
[task]
text = "said"
[vectors."observation.state"]
path = "q"
[vectors.action]
path = "q"
[cameras.top]
path = "top"
"""
SAID = (
    ["reach"] * 4 + [""] + ["grasp"] * 3 + ["reach"] * 2,
    ["grasp"] * 10,
    ["lift"] * 9 + ["reach"],
)
TOLD = [["reach"] * 5 + ["grasp"] * 3 + ["reach"] * 2, SAID[1], SAID[2]]


def write(path):
    with h5py.File(path, "w") as file:
        for number, said in enumerate(SAID):
            group = file.create_group(f"take_{number}")
            group["q"] = states(number, len(said), 3)
            group["said"] = np.array(said, h5py.string_dtype())
            frames = [paint(number, 0, t) for t in range(len(said))]
            write_images(group, "top", frames, "jpeg-vlen", "rgb")
    return path


def converted(folder, version="v3.0", **options):
    path = write(folder / "a.hdf5")
    job = make_job(
        layout=parse_layout(LAYOUT, Place()), inputs=[path], format=version
    )
    return convert([path], folder / f"set-{version}", job, workers=1, **options)


def rows_of(dataset):
    """The text of each row of each episode."""
    found = []
    for episode in open_dataset(dataset):
        rows = episode.task_rows
        rows = np.zeros(episode.length, int) if rows is None else rows
        found.append([episode.tasks[row] for row in rows])
    return found


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_each_row_has_the_instruction_of_its_frame(tmp_path, version):
    result = converted(tmp_path, version)
    assert result.tasks == ("reach", "grasp", "lift")
    assert rows_of(result.output) == TOLD
    dataset = open_dataset(result.output)
    assert [row.tasks for row in dataset.episodes] == [
        ("reach", "grasp"),
        ("grasp",),
        ("lift", "reach"),
    ]
    assert not [note for note in result.notes if "instruction" in note]
    source = tmp_path / "a.hdf5"
    report = verify(result.output, VerifyOptions([source]))
    assert (report.verdict, report.looked.instructions) == ("verified", 3)


def test_they_stay_through_aggregate_migrate_and_edit(tmp_path):
    (tmp_path / "one").mkdir()
    one = converted(tmp_path / "one", "v2.1").output
    both = aggregate([one, one], tmp_path / "both", format="v3.0").output
    assert rows_of(both) == [*TOLD, *TOLD]
    back = migrate(both, "v2.1", output=tmp_path / "back").output
    assert rows_of(back) == [*TOLD, *TOLD]
    cut = EditPlan({0: EpisodeEdit(start=Moment(3), stop=Moment(7))})
    made = edit(one, cut, output=tmp_path / "cut").output
    assert rows_of(made)[0] == TOLD[0][3:7]


def test_a_trimmed_conversion_keeps_the_instruction_of_each_frame(tmp_path):
    path = write(tmp_path / "a.hdf5")
    layout = parse_layout(LAYOUT, Place())
    job = make_job(layout=layout, inputs=[path])
    planned = plan_run([path], job).episodes[0]
    where = address(planned.source, planned.name)
    edits = EditPlan({where: EpisodeEdit(start=Moment(6), stop=Moment(9))})
    result = convert([path], tmp_path / "out", job, edits=edits, workers=1)
    assert rows_of(result.output)[0] == TOLD[0][6:9]
    told = EditPlan({where: EpisodeEdit(instruction="go")})
    result = convert([path], tmp_path / "two", job, edits=told, workers=1)
    assert rows_of(result.output)[0] == ["go"] * 10


def test_a_wrong_instruction_of_a_row_is_found(tmp_path):
    result = converted(tmp_path)
    source = tmp_path / "a.hdf5"
    with h5py.File(source, "r+") as file:
        file["take_0/said"][7] = "reach"
    found = verify(result.output, VerifyOptions([source])).findings
    (finding,) = [one for one in found if one.code == "instruction-differs"]
    assert finding.place is not None
    assert (finding.place.episode, finding.place.frame) == ("0", 7)
    assert "'grasp', recorded was 'reach'; 1 rows differ" in finding.message


def test_another_moment_of_change_is_another_episode(tmp_path):
    path = write(tmp_path / "a.hdf5")
    job = make_job(layout=parse_layout(LAYOUT, Place()), inputs=[path])
    before = plan_run([path], job)
    assert before.episodes[0].spans == (
        (0, "reach"),
        (5, "grasp"),
        (8, "reach"),
    )
    assert before.episodes[1].spans == ()

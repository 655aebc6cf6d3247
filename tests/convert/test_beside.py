"""Files beside a recording hold a part of it: a run takes them as they are now."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import h5py
import pytest

from piperline.convert.job import Job, make_job
from piperline.convert.run import convert, plan_run
from piperline.convert.stage import Staging
from piperline.errors import BadEpisode, OutputExists, Place
from piperline.lerobot.dataset import open_dataset
from piperline.recordings.layout import parse_layout
from piperline.video.decoder import decode
from tests.helpers.recorders import LENGTH, RECORDERS
from tests.helpers.recordings import jpeg, paint, read_code, states
from tests.helpers.videos import write_video

pytestmark = pytest.mark.usefixtures("workers_in_threads")

Case: TypeAlias = tuple[Path, Job, Callable[[], object]]
"""Recordings, how they are converted, and what changes a file beside them."""

CAMERA = "observation.images.front"
VIDEO_LAYOUT = """name = "mine"
robot_type = "r"
[episodes]
at = "file"
[task]
text = "said"
[vectors."observation.state"]
path = "q"
[cameras.front]
video = "front.mp4"
"""


def image_files(folder: Path) -> Case:
    source = RECORDERS["agilex-paths"](folder).source
    image = next(source.glob("**/episode1/camera/color/front/*.jpg"))

    def change():
        image.write_bytes(jpeg(paint(9, 9, 9), quality=80))

    return source, make_job(inputs=[source]), change


def video_file(folder: Path) -> Case:
    with h5py.File(folder / "a.hdf5", "w") as file:
        file["q"], file["said"] = states(0, LENGTH, 3), "go"
    write_front(folder, 0)
    layout = parse_layout(VIDEO_LAYOUT, Place())
    job = make_job(layout=layout, inputs=[folder])
    return folder, job, lambda: write_front(folder, 9)


def write_front(folder, episode):
    frames = [paint(episode, 0, t) for t in range(LENGTH)]
    write_video(folder / "front.mp4", frames)


def instruction_file(folder: Path) -> Case:
    source = RECORDERS["control-your-robot-raw"](folder).source
    text = json.dumps({"instructions": ["something else"]})
    beside = source / "instructions.json"
    return (
        source,
        make_job(inputs=[source]),
        lambda: beside.write_text(text),
    )


CASES: Mapping[str, Callable[[Path], Case]] = {
    "images": image_files,
    "video": video_file,
    "instruction": instruction_file,
}


@pytest.mark.parametrize("case", CASES)
def test_a_changed_file_beside_makes_another_episode(tmp_path, case):
    (tmp_path / "in").mkdir()
    source, job, change = CASES[case](tmp_path / "in")
    convert([source], tmp_path / "out", job, workers=1)
    plan = plan_run([source], job)
    again = plan_run([source], job, previous=plan)
    assert keys(again) == keys(plan)
    assert convert([source], tmp_path / "out", job, workers=1).up_to_date
    change()
    changed = plan_run([source], job, previous=plan)
    assert keys(changed)[-1] != keys(plan)[-1]
    with pytest.raises(OutputExists):
        convert([source], tmp_path / "out", job, workers=1)
    result = convert([source], tmp_path / "out", job, workers=1, overwrite=True)
    assert not result.up_to_date
    if case == "instruction":
        assert result.tasks == ("something else",)
        return
    clip = open_dataset(result.output).episode(len(plan.episodes) - 1)
    shown = [
        read_code(frame)[0]
        for frame in decode(clip.clips[CAMERA].path, 0, LENGTH)
    ]
    assert 9 in shown


def keys(plan):
    return [episode.key for episode in plan.episodes]


def test_only_the_episode_whose_files_changed_is_made_again(tmp_path):
    source, job, change = image_files(tmp_path)
    before = keys(plan_run([source], job))
    change()
    after = keys(plan_run([source], job))
    assert (after[0], after[1] != before[1]) == (before[0], True)


def test_a_changed_rate_beside_makes_another_dataset(tmp_path):
    source = RECORDERS["control-your-robot-raw"](tmp_path).source
    before = plan_run([source], make_job(inputs=[source]))
    (source / "config.json").write_text(json.dumps({"save_freq": 20}))
    after = plan_run([source], make_job(inputs=[source]), previous=before)
    assert (before.job.settings.fps, after.job.settings.fps) == (15, 20)
    assert not set(keys(before)) & set(keys(after))


def test_an_instruction_that_is_written_again_as_it_was_changes_nothing(
    tmp_path,
):
    source, job, _ = instruction_file(tmp_path)
    before = keys(plan_run([source], job))
    os.utime(source / "instructions.json", (1, 1))
    assert keys(plan_run([source], job)) == before


def test_files_that_change_while_a_run_is_at_work_are_told(tmp_path):
    source, job, change = image_files(tmp_path)
    episode = plan_run([source], job).episodes[1]
    change()
    (tmp_path / "work").mkdir()
    with pytest.raises(BadEpisode, match="image files beside") as caught:
        Staging(tmp_path / "work").stage_camera(
            episode, job, "front", lambda _frames, _bytes: None
        )
    assert caught.value.place is not None
    assert caught.value.place.episode == episode.name

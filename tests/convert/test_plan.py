"""An episode's key names what its bytes follow from, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piperline.convert.job import Job, make_job
from piperline.convert.plan import Plan
from piperline.convert.run import convert, plan_run
from piperline.convert.stage import Staging, staging_area, work_folder
from piperline.recordings.layout import Layout, load_layout
from piperline.recordings.rules import CameraRule
from piperline.recordings.vector_rules import VectorRule
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree

pytestmark = pytest.mark.usefixtures("workers_in_threads")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return write_piper(
        tmp_path_factory.mktemp("in") / "a.hdf5", episodes=1, lengths=3
    )


def stage(recording: Path, output: Path, job: Job) -> Plan:
    plan = plan_run([recording], job)
    with staging_area(output, plan) as staging:
        for episode in plan.episodes:
            staging.stage_episode(episode, job, lambda _frames, _size: None)
    return plan


def with_layout(**changes: Any) -> Job:
    return make_job(layout=replace(load_layout("piper"), **changes))


def with_vector(change: Callable[[VectorRule], VectorRule]) -> Job:
    vectors = dict(load_layout("piper").vectors)
    vectors["action"] = change(vectors["action"])
    return with_layout(vectors=vectors)


def described(job: Job) -> Job:
    video = replace(job.settings.video, description="in other words")
    return replace(job, settings=replace(job.settings, video=video))


PROSE = {
    "robot type": lambda: make_job(robot_type="another"),
    "robot type of the layout": lambda: with_layout(robot_type="another"),
    "description of the layout": lambda: with_layout(
        description="in other words"
    ),
    "name of the layout": lambda: with_layout(name="another"),
    "description of the video settings": lambda: described(make_job()),
    "groups": lambda: with_vector(
        lambda rule: replace(rule, groups={"all": (0, 14)})
    ),
    "names of dimensions": lambda: with_vector(
        lambda rule: replace(
            rule, names=tuple(f"joint_{name}" for name in rule.names or ())
        )
    ),
    "statistics of GR00T": lambda: make_job(groot=False),
    "version": lambda: make_job(format="v3.0"),
}


@pytest.mark.parametrize("change", PROSE)
def test_an_episode_is_not_encoded_again_for(recording, tmp_path, change):
    job = PROSE[change]()
    stage(recording, tmp_path / "out", make_job())
    result = convert([recording], tmp_path / "out", job, workers=1)
    assert result.reused == 1
    afresh = convert([recording], tmp_path / "afresh", job, workers=1)
    assert afresh.reused == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "afresh")


def other_camera(rule: CameraRule) -> Layout:
    layout = load_layout("piper")
    return replace(layout, cameras={**layout.cameras, "mid": rule})


CONTENT = {
    "fps": lambda: make_job(fps=10),
    "size": lambda: make_job(resize=(32, 24)),
    "codec": lambda: make_job(video="copy"),
    "colours": lambda: make_job(color="swapped-jpeg"),
    "path of a vector": lambda: with_vector(
        lambda rule: replace(rule, path="state")
    ),
    "order of vectors": lambda: with_layout(
        vectors=dict(reversed([*load_layout("piper").vectors.items()]))
    ),
    "path of a camera": lambda: make_job(
        layout=other_camera(load_layout("piper").cameras["left_wrist"])
    ),
}


@pytest.mark.parametrize("change", CONTENT)
def test_an_episode_is_another_with_another(recording, change):
    keys = [
        plan_run([recording], job).episodes[0].key
        for job in (make_job(), CONTENT[change]())
    ]
    assert keys[0] != keys[1]


def test_whether_an_episode_is_staged_is_told_without_its_rows(
    recording, tmp_path
):
    plan = stage(recording, tmp_path / "out", make_job())
    staging, episode = Staging(work_folder(tmp_path / "out")), plan.episodes[0]
    table = next(staging.root.rglob("table.parquet"))
    size = table.stat().st_size
    table.write_bytes(b"\0" * size)  # it cannot be read, and need not be
    assert staging.is_staged(episode)
    assert not staging.is_staged(replace(episode, length=episode.length + 1))
    table.write_bytes(b"\0" * (size - 1))
    assert not staging.is_staged(episode)

"""An episode's key names what its bytes follow from, and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piperline.convert.job import Job, make_job
from piperline.convert.plan import Plan, load_plan
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


@pytest.mark.parametrize(
    "change", [*CONTENT, *PROSE, "sizes of files", "licence"]
)
def test_a_plan_is_read_as_it_was_written(recording, tmp_path, change):
    more = {
        "sizes of files": lambda: make_job(data_mb=0.5, format="v3.0"),
        "licence": lambda: make_job(license="cc-by-4.0", task="räume 上"),
    }
    plan = plan_run([recording], {**CONTENT, **PROSE, **more}[change]())
    assert plan.frames == 3  # what follows from a plan is no part of it
    file = tmp_path / "plan.json"
    file.write_text(plan.to_json())
    found = load_plan(file)
    assert found == plan
    assert found is not None
    assert found.key == plan.key


def test_no_plan_is_read_where_there_is_none(tmp_path):
    assert load_plan(tmp_path / "plan.json") is None
    (tmp_path / "file").write_text("{}")
    assert load_plan(tmp_path / "file") is None
    assert load_plan(tmp_path / "file/plan.json") is None


@pytest.mark.measured
def test_a_conversion_loads_nothing_that_it_does_not_need(recording, tmp_path):
    code = """
import atexit, sys
from piperline.__main__ import main
heavy = {"pydantic", "numpy.ma", "numpy.random"}
loaded = lambda: sys.stderr.write(f"loaded: {heavy & set(sys.modules)}")
atexit.register(loaded)
main()
"""
    words = ["convert", recording, "-o", tmp_path / "out", "--no-review"]
    run = subprocess.run(
        [sys.executable, "-c", code, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (tmp_path / "out/meta/info.json").exists()
    assert run.stderr.endswith("loaded: set()")

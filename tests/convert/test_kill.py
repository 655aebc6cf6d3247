"""A kill at any moment loses no finished work and leaves nothing half-done that looks done."""

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from piperline.convert.job import make_job
from piperline.convert.pool import WorkerPool
from piperline.convert.run import convert, plan_run
from piperline.convert.stage import Staging, staging_area
from piperline.errors import Place, TaskFailed
from piperline.files import make_below
from piperline.output.publish import publish
from piperline.verify.verify import verify
from tests.helpers.recordings import write_piper
from tests.helpers.trees import tree


def start(source: Path, output: Path) -> subprocess.Popen[bytes]:
    start = "import sys; from piperline.cli.app import main; main()"
    command = [
        sys.executable,
        "-c",
        start,
        "convert",
        str(source),
        "--output",
        str(output),
        "--workers",
        "2",
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def session_members(session: int) -> list[int]:
    """The living processes of a session."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, sid = (
                    (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                )
            except (OSError, ValueError):
                continue
            if int(sid) == session and state != "Z":
                members.append(int(entry.name))
    return members


def wait_until_gone(session: int) -> None:
    deadline = time.monotonic() + 20
    while session_members(session):
        assert time.monotonic() < deadline, (
            f"orphans: {session_members(session)}"
        )
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    for number in range(2):
        write_piper(
            tmp_path / f"data{number}.hdf5",
            episodes=3,
            lengths=[60, 20, 40],
            first=3 * number,
            size=(96, 128),
        )
    source = tmp_path
    undisturbed = tmp_path / "undisturbed"
    began = time.monotonic()
    assert start(source, undisturbed).wait() == 0
    seconds = time.monotonic() - began
    rng = random.Random(20)
    output = tmp_path / "out"
    for _ in range(5):
        process = start(source, output)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_gone(process.pid)
        if output.exists():
            break
        assert not list(tmp_path.glob("out/*"))
    assert start(source, output).wait() == 0
    assert tree(output) == tree(undisturbed)
    assert not (tmp_path / "out.work").exists()


def test_a_run_that_is_killed_after_its_last_rename_leaves_nothing(
    tmp_path, monkeypatch
):
    path = write_piper(tmp_path / "a.hdf5", episodes=1)
    monkeypatch.setattr("piperline.convert.assemble.publish", publish_and_end)
    with pytest.raises(KeyboardInterrupt):
        convert([path], tmp_path / "out", make_job(), workers=1)
    monkeypatch.undo()
    assert (tmp_path / "out.work").exists()
    before = tree(tmp_path / "out")
    assert convert([path], tmp_path / "out", make_job(), workers=1).up_to_date
    assert not (tmp_path / "out.work").exists()
    assert tree(tmp_path / "out") == before


def publish_and_end(
    folder: Path, output: Path, *, replaces: str | None, known: Collection[str]
) -> None:
    publish(folder, output, replaces=replaces, known=known)
    raise KeyboardInterrupt


def children(pid: int) -> list[int]:
    return [
        int(child)
        for child in Path(f"/proc/{pid}/task/{pid}/children")
        .read_text()
        .split()
    ]


def test_a_worker_that_dies_costs_only_its_episode(tmp_path):
    path = write_piper(
        tmp_path / "a.hdf5", episodes=4, lengths=[300, 3, 4, 5], size=(96, 128)
    )
    killed: list[int] = []

    def kill_one(progress):
        if progress.phase == "stage" and progress.images_done and not killed:
            victim = children(os.getpid())[-1]
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    with pytest.raises(TaskFailed, match="SIGKILL") as caught:
        convert([path], tmp_path / "out", make_job(), workers=1, watch=kill_one)
    assert caught.value.place == Place(path, episode="episode_0")
    assert "3 of 4 episodes are done and kept" in caught.value.__notes__[0]
    assert not (tmp_path / "out").exists()
    result = convert([path], tmp_path / "out", make_job(), workers=1)
    assert (result.episodes, result.reused) == (4, 3)


def test_cameras_of_an_episode_are_encoded_once(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=6)
    job = make_job()
    planned = plan_run([path], job).episodes[0]
    staging = Staging(tmp_path / "out.work")
    staging.root.mkdir()
    staging.stage_camera(planned, job, "mid", lambda _frames, _size: None)
    video = next((staging.root / "episodes").rglob("mid.mp4"))
    before = (video.stat().st_ino, video.stat().st_mtime_ns)
    assert not staging.is_staged(planned)
    staging.stage_camera(planned, job, "mid", lambda _frames, _size: None)
    assert (video.stat().st_ino, video.stat().st_mtime_ns) == before
    staging.stage_episode(planned, job, lambda _frames, _size: None)
    assert staging.is_staged(planned)
    assert (video.stat().st_ino, video.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    "left",
    [
        (),
        ("lock",),
        ("lock", ".plan.json.tmp-host-1-00000000"),
        ("lock", "published"),
    ],
)
def test_what_a_kill_leaves_of_a_staging_folder_is_ours(tmp_path, left):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=6)
    (tmp_path / "out.work").mkdir()
    for name in left:
        (tmp_path / "out.work" / name).touch()
    convert([path], tmp_path / "out", make_job())
    assert not (tmp_path / "out.work").exists()


def test_a_removal_that_is_killed_is_finished_by_the_next_run(
    tmp_path, monkeypatch
):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=6)
    staging = Staging(tmp_path / "out.work")
    with staging_area(tmp_path / "out", plan_run([path], make_job())):
        (staging.root / "episodes/something").mkdir(parents=True)

    def killed(*_words, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            staging.remove()
    assert not staging.root.exists()
    convert([path], tmp_path / "out", make_job())
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        "a.hdf5",
        "out",
    ]


def test_what_is_removed_is_gone_while_others_write_into_it(tmp_path):
    """On another machine an attempt that was taken for dead may still be at work."""
    staging, ended = Staging(tmp_path / "out.work"), threading.Event()
    staging.root.mkdir()

    begun = threading.Barrier(5)

    def write() -> None:
        for number in itertools.count():
            with contextlib.suppress(FileNotFoundError):
                make_below(staging.root, staging.root / f"episodes/{number}")
            if number == 20:
                begun.wait()
            if ended.is_set():
                return

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write) for _ in range(4)]
        begun.wait()
        staging.remove()
        ended.set()
        for writer in writers:
            writer.result()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_staged_episode_is_made_again(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=6)
    job = make_job()
    planned = plan_run([path], job).episodes[0]
    staging = Staging(tmp_path / "out.work")
    staging.root.mkdir()
    staging.stage_episode(planned, job, lambda _frames, _size: None)
    video = next((staging.root / "episodes").rglob("mid.mp4"))
    whole = video.read_bytes()
    video.write_bytes(whole[:-1])
    assert not staging.is_staged(planned)
    staging.stage_episode(planned, job, lambda _frames, _size: None)
    assert video.read_bytes() == whole


@pytest.mark.parametrize("form", ["v2.1", "v3.0"])
def test_a_staged_video_that_was_changed_is_never_sealed_as_good(
    tmp_path, monkeypatch, form
):
    path = write_piper(tmp_path / "a.hdf5", lengths=6)
    job, output = make_job(format=form), tmp_path / "out"

    def killed(*_words, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("piperline.convert.run.assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            convert([path], output, job)
    video = next((tmp_path / "out.work/episodes").rglob("mid.mp4"))
    whole = video.read_bytes()
    video.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    if (
        form == "v2.1"
    ):  # it is linked, and not read: what was made of it is sealed
        convert([path], output, job)
        found = verify(output).findings
        assert {one.code for one in found} >= {"sealed-video-changed"}
        return
    with pytest.raises(TaskFailed, match="has changed since") as caught:
        convert([path], output, job)
    assert caught.value.place == Place(video, camera="observation.images.mid")
    assert not output.exists()
    assert str(video.parent) in str(caught.value.next_step)
    shutil.rmtree(video.parent)
    assert convert([path], output, job).reused == 1
    assert verify(output).findings == ()


def test_two_runs_on_one_output_do_not_meet(tmp_path):
    path = write_piper(tmp_path / "a.hdf5", episodes=1, lengths=100)
    first = start(path, tmp_path / "out")
    while not (tmp_path / "out.work/plan.json").exists():
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGSTOP)  # it holds the lock until it goes on
    second = subprocess.run(
        [
            sys.executable,
            "-c",
            "from piperline.cli.app import main; main()",
            "convert",
            str(path),
            "-o",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait() == 0
    assert second.returncode == 5
    assert "another process is at work" in second.stderr


def test_workers_end_with_their_pool():
    before = set(children(os.getpid()))
    with WorkerPool(2):
        workers = set(children(os.getpid())) - before
        assert workers
    assert not workers & set(children(os.getpid()))


@pytest.mark.parametrize(
    ("count", "size", "started"),
    [(2, 1 << 30, 2), (2, 1 << 20, 1), (1, 1 << 30, 1), (2, None, 1)],
)
def test_processes_load_while_large_recordings_are_planned(
    count, size, started, tmp_path
):
    path = tmp_path / "a.hdf5"
    if size is not None:
        path.touch()
        os.truncate(path, size)
    before = len(children(os.getpid()))
    with WorkerPool(count) as pool:
        pool.expect([path], make_job(video="copy"))
        assert len(children(os.getpid())) - before == started


@pytest.mark.parametrize(("workers", "most"), [(None, 1), (2, 2), (9, 6)])
def test_no_more_processes_are_started_than_there_is_work(
    workers, most, tmp_path
):
    """Ten images are not worth a process; and a camera is done by one."""
    path = write_piper(tmp_path / "a.hdf5", episodes=2, lengths=[3, 2])
    before = len(children(os.getpid()))
    seen = {0}
    convert(
        [path],
        tmp_path / "out",
        make_job(),
        workers=workers,
        watch=lambda _: seen.add(len(children(os.getpid())) - before),
    )
    assert max(seen) == most

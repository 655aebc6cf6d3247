"""Checks: the columns that number rows and name tasks."""

from collections.abc import Iterator

import numpy as np

from piperline.errors import Place
from piperline.features import frame_times
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject, Values

COLUMNS = ("frame_index", "timestamp", "task_index")
_TIME_TOLERANCE = 0.01


def check_frame_index(subject: Subject) -> Iterator[Finding]:
    """The rows of an episode in order: GR00T takes them as they lie, whatever they say."""
    numbers = subject.rows.columns.get("frame_index")
    if numbers is None:
        return
    for index, (start, stop) in subject.rows.episodes(subject.meta).items():
        found = numbers[start:stop, 0]
        wrong = np.flatnonzero(found != np.arange(len(found)))
        if len(wrong):
            row = int(wrong[0])
            message = (
                f"row {row} of the episode says frame_index "
                f"{found[row]:g}: rows are not in order"
            )
            place = Place(
                subject.meta.data_file(index), episode=str(index), frame=row
            )
            remedy = (
                "sort the rows by frame_index, or convert the episode again"
            )
            yield Finding(
                "frame-index",
                "error",
                message,
                place,
                {"rows": len(wrong)},
                remedy,
            )
            return


def check_timestamps(subject: Subject) -> Iterator[Finding]:
    """N1.5 finds frames by time: frame n must be at n / fps, and not a rounding before it."""
    times = subject.rows.columns.get("timestamp")
    if subject.target.version != "n1.5" or times is None:
        return
    fps = subject.meta.schema.fps
    early = 0
    for index, (start, stop) in subject.rows.episodes(subject.meta).items():
        found = times[start:stop, 0]
        wanted = np.arange(len(found)) / fps
        far = np.flatnonzero(~(np.abs(found - wanted) * fps <= _TIME_TOLERANCE))
        if len(far):
            yield _off_the_grid(subject, index, int(far[0]), found)
            return
        early += int((found.astype(np.float32) < wanted).sum())
    if early:
        message = (
            f"{early} timestamps are rounded to just before their frame: N1.5 with torchcodec "
            "gets the frame before it"
        )
        yield Finding(
            "timestamps-early",
            "warning",
            message,
            Place(file=subject.meta.root),
            {"frames": early},
            subject.anew(),
        )


def _off_the_grid(
    subject: Subject, episode: int, frame: int, found: Values
) -> Finding:
    fps = subject.meta.schema.fps
    wanted = frame_times(np.array([frame]), fps)[0]
    message = (
        f"the timestamp of frame {frame} is {found[frame]:.4f}, "
        f"not {wanted:.4f} ({fps} a second)"
    )
    place = Place(subject.meta.data_file(episode), frame=frame)
    remedy = "convert again: timestamps are frame / fps"
    return Finding("timestamps", "error", message, place, remedy=remedy)


def check_episode_tasks(subject: Subject) -> Iterator[Finding]:
    """The tasks of the rows are those that `episodes.jsonl` names: one of them is wrong."""
    numbers = subject.rows.columns.get("task_index")
    if numbers is None:
        return
    wrong: list[int] = []
    for index, (start, stop) in subject.rows.episodes(subject.meta).items():
        told = subject.meta.episode_tasks.get(index)
        used = {
            subject.meta.tasks.get(number.item())
            for number in np.unique(numbers[start:stop])
        }
        if told is not None and None not in used and not used <= set(told):
            wrong.append(index)
    if wrong:
        message = (
            f"{len(wrong)} episodes have other tasks in their rows than in episodes.jsonl: "
            "GR00T goes by the rows"
        )
        place = Place(
            file=subject.meta.root / "meta/episodes.jsonl",
            episode=str(wrong[0]),
        )
        remedy = "correct task_index in the rows, or tasks in episodes.jsonl"
        yield Finding(
            "task-differs",
            "warning",
            message,
            place,
            {"episodes": wrong},
            remedy,
        )

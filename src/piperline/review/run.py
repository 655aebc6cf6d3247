"""review: find -> measure what is new -> detect -> result and plan."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from piperline.detectors.codes import REMEDIES
from piperline.detectors.detect import detect, notes
from piperline.edits.document import plan_text
from piperline.edits.plan import address
from piperline.errors import (
    PiperlineError,
    Place,
    RecordingError,
    check_workers,
)
from piperline.finding import Finding
from piperline.process import usable_cpus
from piperline.recordings.layout import Layout, load_layout
from piperline.review.folder import ReviewFolder
from piperline.review.pool import MeasuringPool
from piperline.review.proposals import cameras_to_drop, propose
from piperline.review.source import ReviewSubject, ReviewUnit, find_subject
from piperline.review.worker import Setup
from piperline.review.write_page import write_page
from piperline.signals.collection import Collection
from piperline.signals.dataset import is_dataset
from piperline.signals.episode import STATE, EpisodeSignals
from piperline.signals.robot import make_robot

VERSION = 1

_TOLD = 10
"""Findings of a file that are alike, and are told each."""

_PLAN_HEAD = """What `piperline review` proposes. Read it, edit it, then carry it out:
    {command}
What is certain is active; what is doubtful is a comment: remove the # where you agree.
{form}"""
_OF_RECORDINGS = _PLAN_HEAD.format(
    command="piperline convert RECORDINGS --plan plan.toml --output DATASET",
    form="The form: `piperline.edits.plan`. A recording that has changed since is refused.",
)
_OF_A_DATASET = _PLAN_HEAD.format(
    command="piperline edit DATASET --plan plan.toml --output NEW",
    form="The form: `piperline.edits.plan`.",
)


@dataclass(frozen=True)
class Review:
    """What a review found.

    Attributes:
        folder: where everything was written.
        plan: the plan; `plan.new.toml` where somebody has edited the one that was there.
        findings: the gravest first.
        notes: what was not looked for, and why.
        episodes: how many were reviewed.
        frames: how many time steps they have.
        images: how many images were read in this run.
        reused: episodes whose signals an earlier review had kept.
        seconds: how long it took.
        result: the document that `review.json` holds.
    """

    folder: Path
    plan: Path
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    episodes: int
    frames: int
    images: int
    reused: int
    seconds: float
    result: Mapping[str, Any]


def review(
    inputs: Sequence[Path | str],
    output: Path | str = "review",
    *,
    layout: Layout | str | Path | None = None,
    pictures: bool = True,
    videos: bool = True,
    workers: int | None = None,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> Review:
    """See what is wrong with recordings.

    Args:
        inputs: HDF5 files, and folders of them.
        output: the folder to write; what an earlier review measured there is reused.
        layout: what the recordings hold; None finds the built-in layout that fits.
        pictures: look at the images too, each is read once.
        videos: make small videos of them, which the page plays.
        workers: processes; None takes the CPUs that this process may use.
        watch: told how many of how many episodes are measured.

    Raises:
        RecordingError: there are no recordings, or none of them can be read.
        OutputExists: there is something in the folder's place that no review made.
        OutputError: it cannot be written.
        UsageError: there are to be no workers.
    """
    started = time.monotonic()
    check_workers(workers)
    named = load_layout(layout) if isinstance(layout, str | Path) else layout
    with ExitStack() as stack:
        pool = stack.enter_context(MeasuringPool())
        subject, units, unread = find_subject(
            inputs, named, pictures=pictures, read=pool.read
        )
        if not units:
            raise _nothing([one.error for one in unread])
        folder = ReviewFolder(Path(output))
        stack.enter_context(folder.opened())
        films = folder.videos.absolute() if pictures and videos else None
        todo = [unit for unit in units if not folder.has(unit.key, films)]
        done = len(units) - len(todo)
        watch(done, len(units))

        def count(_unit: ReviewUnit) -> None:
            nonlocal done
            done += 1
            watch(done, len(units))

        setup = Setup(
            subject.layout, folder.signals.absolute(), pictures, films
        )
        failed = pool.measure_all(todo, setup, workers or usable_cpus(), count)
        episodes = list(
            _loaded(folder, [unit for unit in units if unit.key not in failed])
        )
        errors = [one.error for one in unread] + [
            failed[u.key] for u in units if u.key in failed
        ]
        if not episodes:
            raise _nothing(errors)
        collection = collected(episodes, subject, pictures=pictures)
        found = [*_unreadable(errors), *detected(collection, subject)]
        findings = sorted(
            found, key=lambda finding: finding.severity != "error"
        )
        sources = _sources(collection.episodes, units)
        edits = propose(findings, collection.episodes, dict(enumerate(sources)))
        dropped = cameras_to_drop(findings)
        head = _OF_RECORDINGS if subject.layout else _OF_A_DATASET
        plan = folder.write_plan(
            plan_text(edits, head, perhaps_drop_cameras=dropped)
        )
        told = [*notes(collection), *subject.notes]
        document = _document(inputs, subject, collection, findings, told)
        folder.write_result(document)
        write_page(folder.root, document, sources, edits, folder.plan)
    new = {unit.key for unit in todo}
    return Review(
        folder=folder.root,
        plan=plan,
        findings=tuple(findings),
        notes=tuple(told),
        episodes=len(collection),
        frames=sum(map(len, collection.episodes)),
        images=sum(
            len(e) * len(e.cameras) for e in collection.episodes if e.key in new
        ),
        reused=len(units) - len(todo),
        seconds=time.monotonic() - started,
        result=document,
    )


def _loaded(
    folder: ReviewFolder, units: Sequence[ReviewUnit]
) -> Iterator[EpisodeSignals]:
    """The signals of all episodes, numbered, without the pictures that only a page shows."""
    for index, unit in enumerate(units):
        signals = folder.load(unit.key)
        if signals is None:
            raise RuntimeError(
                f"the signals of {unit.name} were kept a moment ago"
            )
        folder.show(signals)
        yield numbered(signals, unit, index)


def numbered(
    signals: EpisodeSignals, unit: ReviewUnit, index: int
) -> EpisodeSignals:
    """Kept signals as those of an episode at hand, without what only a page shows."""
    nothing = np.empty((0, 0, 0, 0), np.uint8)
    cameras = {
        name: replace(camera, shown=nothing)
        for name, camera in signals.cameras.items()
    }
    return replace(
        signals,
        index=index,
        session=unit.session,
        file=str(unit.file),
        key=unit.key,
        cameras=cameras,
    )


def _sources(
    episodes: Sequence[EpisodeSignals], units: Sequence[ReviewUnit]
) -> list[tuple[str, str]]:
    """Address and fingerprint of each episode, as a plan names it."""
    by_key = {unit.key: unit for unit in units}
    named = [by_key[episode.key] for episode in episodes]
    return [
        (
            unit.name
            if unit.name.isdecimal() and is_dataset(unit.file)
            else address(unit.source, unit.name),
            unit.made_of,
        )
        for unit in named
    ]


def collected(
    episodes: Sequence[EpisodeSignals],
    subject: ReviewSubject,
    *,
    pictures: bool,
) -> Collection:
    """The episodes as one collection; without a state the first vector is taken for it."""
    robot = make_robot(subject.robot_type, subject.names)
    if subject.state != STATE:
        episodes = [
            replace(
                e,
                vectors={
                    STATE: e.vectors[subject.state],
                    **dict(e.vectors),
                },
            )
            for e in episodes
        ]
    return Collection(tuple(episodes), robot, subject.fps, pictures)


def detected(
    collection: Collection, subject: ReviewSubject
) -> Iterator[Finding]:
    """What detectors find; where a layout has no instruction, `convert --task` gives it."""
    told = subject.has_instructions
    return (
        finding
        for finding in detect(collection)
        if told or finding.code != "text-empty"
    )


def _unreadable(errors: Sequence[PiperlineError]) -> Iterator[Finding]:
    """A finding of each; where a file holds more that are alike, one of all others."""
    alike: dict[tuple[str, str], list[PiperlineError]] = {}
    for error in errors:
        file = str((error.place or Place()).file)
        alike.setdefault((file, error.message), []).append(error)
    for group in alike.values():
        yield from map(_unreadable_one, group[:_TOLD])
        if others := group[_TOLD:]:
            yield _with_others(_unreadable_one(others[0]), others)


def _with_others(finding: Finding, alike: Sequence[PiperlineError]) -> Finding:
    """A finding that stands for some; its numbers name all of them."""
    names = [str((error.place or Place()).episode) for error in alike]
    more = f" (and {len(alike) - 1:,} more like it)" if len(alike) > 1 else ""
    return replace(
        finding,
        message=finding.message + more,
        numbers={**finding.numbers, "names": names},
    )


def _unreadable_one(error: PiperlineError) -> Finding:
    found = f": {error.found}" if error.found else ""
    remedy = error.next_step or REMEDIES["unreadable"]
    numbers: dict[str, Any] = {"scope": "episode", "episodes": []}
    return Finding(
        "unreadable",
        "error",
        error.message + found,
        error.place,
        numbers,
        remedy,
    )


def _nothing(errors: Sequence[PiperlineError]) -> PiperlineError:
    if errors:
        errors[0].add_note(
            f"{len(errors)} episodes or files cannot be read, and no other is there."
        )
        return errors[0]
    return RecordingError(
        "there are no episodes",
        expected="HDF5 recordings, or folders of them",
        found="none",
        next_step="name the recordings",
    )


def _document(
    inputs: Sequence[Path | str],
    subject: ReviewSubject,
    collection: Collection,
    findings: Sequence[Finding],
    told: Sequence[str],
) -> dict[str, Any]:
    episodes = [
        {
            "index": e.index,
            "session": e.session,
            "file": e.file,
            "name": e.name,
            "instruction": e.instruction,
            "frames": len(e),
            "key": e.key,
        }
        for e in collection.episodes
    ]
    return {
        "version": VERSION,
        "inputs": [str(path) for path in inputs],
        "layout": subject.name,
        "robot": {
            "type": subject.robot_type,
            "names": subject.names,
            "fps": subject.fps,
        },
        "cameras": list(collection.cameras),
        "notes": list(told),
        "findings": [finding.document() for finding in findings],
        "episodes": episodes,
    }

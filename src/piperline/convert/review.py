"""The recordings reviewed by the conversion that reads them: the same signals and detectors."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from piperline.convert.plan import Plan, PlannedEpisode
from piperline.convert.stage import Staging, decodes_all
from piperline.detectors.detect import notes
from piperline.edits.plan import NO_EDITS, EditPlan, plan_of
from piperline.finding import Finding
from piperline.forks import call_each
from piperline.process import Child, ChildDied
from piperline.recordings.reader import Crashed
from piperline.review.folder import ReviewFolder
from piperline.review.run import collected, detected, numbered
from piperline.review.source import (
    ReviewUnit,
    layout_text,
    recorded_unit,
    subject_of,
    with_sessions,
)
from piperline.review.worker import signals_file
from piperline.signals.episode import (
    EpisodeSignals,
    part_of,
    save_signals,
)
from piperline.signals.shelf import Packed, Shelf, packed

_MANY, _AT_ONCE = 256, 1024
"""Episodes for which a process is worth its start; those that are read before they are put away."""


@dataclass(frozen=True)
class Reviewed:
    """What a review of the recordings found.

    Attributes:
        findings: the gravest first.
        notes: what was not looked for, and why.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def document(self, command: str) -> dict[str, Any]:
        """For programs; `command` shows all of it."""
        return {
            "findings": [finding.document() for finding in self.findings],
            "notes": list(self.notes),
            "next": command,
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` gave."""
        findings = map(Finding.of_document, document["findings"])
        return cls(tuple(findings), tuple(document["notes"]))


class Reviewer:
    """Reviews the episodes of a plan.

    Args:
        plan: what the run does; what its edits leave of an episode is reviewed.
        folder: where a review may have kept signals; nothing is written where none did.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._pictures = all(decodes_all(e, plan.job) for e in plan.episodes)
        self._kept = ReviewFolder(folder)
        self._units = _units(plan, pictures=self._pictures)
        self._cameras = {
            episode.key: _pictured(episode)
            for episode in plan.episodes
            if self._pictures
        }
        # What an edit changed in the pictures is not what a review would measure.
        asked = plan.asked.edits
        self._edits = plan_of(json.loads(asked)) if asked else NO_EDITS

    def unmeasured(
        self, episodes: Iterable[PlannedEpisode], staging: Staging
    ) -> frozenset[str]:
        """The keys of those of the plan's episodes whose signals are neither kept nor staged."""
        keys = [episode.key for episode in episodes]
        return frozenset(
            key
            for key in keys
            if key in self._units
            and self._load(key, self._units[key], staging) is None
        )

    @contextlib.contextmanager
    def judging(
        self, plan: Plan, staging: Staging
    ) -> Iterator[Callable[[], Reviewed | None]]:
        """What tells what is wrong with the episodes that are left; None where none was measured.

        Of many episodes a process of its own judges, which may fork, while the body goes on. If
        something kills it, as the system does when memory runs out, that costs the review, not the
        run: None as well.

        Args:
            plan: less the episodes that failed.
            staging: where the signals are, until that was asked.
        """
        if len(plan.episodes) < _MANY:
            yield partial(self.judge, plan, staging)
            return
        judge = Child("piperline.convert.judge", forks=True)
        try:
            judge.send((plan, self._kept.root, staging.root))
            yield partial(_told_by, judge)
        finally:
            judge.end(at_once=True)

    def judge(
        self, plan: Plan, staging: Staging, processes: int = 1
    ) -> Reviewed | None:
        """See `judging`.

        Args:
            plan: less the episodes that failed.
            staging: where the signals are.
            processes: see `Collection`.
        """
        episodes = list(self._measured(plan, staging, processes))
        if not episodes:
            return None
        subject = subject_of(plan.job.layout)
        collection = replace(
            collected(episodes, subject, pictures=self._pictures),
            processes=processes,
        )
        told = [*notes(collection), *subject.notes]
        found = {signals.key for signals in episodes}
        if missing := len(plan.episodes) - len(found):
            told.append(f"{missing} episodes could not be looked at")
        return Reviewed(tuple(detected(collection, subject)), tuple(told))

    def _measured(
        self, plan: Plan, staging: Staging, processes: int
    ) -> Iterator[EpisodeSignals]:
        """The signals of the episodes, numbered; those that are new are kept with the review's."""
        shelf, index = Shelf(), 0
        for start in range(0, len(plan.episodes), _AT_ONCE):
            some = plan.episodes[start : start + _AT_ONCE]
            for parts in call_each(
                lambda planned: self._packed(planned, staging), some, processes
            ):
                for part in parts:
                    yield replace(shelf.put(part), index=index)
                    index += 1

    def _packed(
        self, planned: PlannedEpisode, staging: Staging
    ) -> list[Packed]:
        """The signals of what is left of an episode; nothing where there are none."""
        unit = self._units.get(planned.key)
        signals = self._load(planned.key, unit, staging) if unit else None
        if unit is None or signals is None:
            return []
        if not self._pictures:
            signals = replace(signals, cameras={})
        if not self._edits:
            self._keep(replace(signals, key=unit.key))
        parts = _parts(signals, planned, self._edits)
        return [packed(numbered(part, unit, 0)) for part in parts]

    def _load(
        self, key: str, unit: ReviewUnit, staging: Staging
    ) -> EpisodeSignals | None:
        kept = None if self._edits else self._kept.load(unit.key)
        found = staging.signals(key) if kept is None else kept
        wanted = self._cameras.get(key, frozenset())
        if found is None or not wanted <= found.cameras.keys():
            return None
        cameras = {
            name: camera
            for name, camera in found.cameras.items()
            if name in wanted
        }
        return replace(found, cameras=cameras)

    def _keep(self, signals: EpisodeSignals) -> None:
        file = signals_file(self._kept.signals, signals.key)
        if self._kept.is_ours and not file.exists():
            # The dataset does not depend on whether the next review has to measure again.
            with contextlib.suppress(OSError):
                save_signals(file, signals)


def _told_by(judge: Child) -> Reviewed | None:
    """What a process found that judges."""
    try:
        told: Reviewed | Crashed | ChildDied | None = judge.receive()
    except ChildDied as death:
        told = death
    if isinstance(told, Crashed):
        raise told.error()
    if isinstance(told, ChildDied):
        if told.code >= 0:  # it failed by itself, and has said how
            raise told
        return None
    return told


def _parts(
    signals: EpisodeSignals, planned: PlannedEpisode, edits: EditPlan
) -> Iterator[EpisodeSignals]:
    """What a plan leaves of an episode: the whole of it, or pieces; with their instructions."""
    told = signals.instruction
    told = edits.dataset.rename_instructions.get(told, told)
    if not planned.pieces:
        yield replace(signals, instruction=told)
    for piece in planned.pieces:
        part = part_of(signals, piece.start, piece.stop)
        yield replace(part, instruction=piece.instruction or told)


def _pictured(episode: PlannedEpisode) -> frozenset[str]:
    """The cameras of an episode that are measured: those of distances are not."""
    return frozenset(
        name for name, header in episode.cameras.items() if not header.depth
    )


def _units(plan: Plan, *, pictures: bool) -> dict[str, ReviewUnit]:
    """The episodes of a plan as a review names them, by their keys.

    There are none where only every n-th recorded image is read.
    """
    if any(episode.taken for episode in plan.episodes):
        return {}
    layout = plan.job.layout
    text = layout_text(layout)
    found = [
        recorded_unit(
            episode.file,
            (episode.source, episode.size, episode.mtime_ns, episode.name),
            text,
            pictures=pictures,
        )
        for episode in plan.episodes
    ]
    keys = [episode.key for episode in plan.episodes]
    return dict(zip(keys, with_sessions(found, layout), strict=True))

"""What a detector finds, and how it is told: about frames, an episode, a session, or all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from piperline.errors import Place
from piperline.finding import Finding, Severity
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals

_NAMED = 4


@dataclass(frozen=True)
class Fault:
    """One fault in one or more episodes.

    Attributes:
        code: its stable name.
        severity: of the finding.
        episodes: those that have it.
        message: what is wrong, one sentence; it begins with the dimensions, if there are some,
            added by `merged`.
        camera: whose pictures are meant.
        span: half-open frames, in a single episode.
        dimension: the dimension of the state or action that is meant.
        numbers: the measured values, by name.
    """

    code: str
    severity: Severity
    episodes: tuple[EpisodeSignals, ...]
    message: str
    camera: str | None = None
    span: tuple[int, int] | None = None
    dimension: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def indices(self) -> frozenset[int]:
        """The numbers of the episodes."""
        return frozenset(episode.index for episode in self.episodes)


def fault(
    code: str,
    severity: Severity,
    episodes: EpisodeSignals | Sequence[EpisodeSignals],
    message: str,
    *,
    camera: str | None = None,
    span: tuple[int, int] | None = None,
    dimension: str | None = None,
    **numbers: object,
) -> Iterator[Fault]:
    """The fault of some episodes; none, if there are none."""
    found = (
        (episodes,) if isinstance(episodes, EpisodeSignals) else tuple(episodes)
    )
    if found:
        yield Fault(
            code, severity, found, message, camera, span, dimension, numbers
        )


def of_each(
    collection: Collection,
    find: Callable[[EpisodeSignals], Iterator[Fault]],
    episodes: Sequence[EpisodeSignals] | None = None,
) -> Iterator[Fault]:
    """The faults that are found in each episode by itself; of all, or some."""
    some = collection.episodes if episodes is None else episodes
    found = collection.measured(
        # Without the episode, which is here already.
        lambda e: [replace(one, episodes=()) for one in find(e)],
        some,
    )
    for episode in some:
        for one in found[episode.index]:
            yield replace(one, episodes=(episode,))


def with_sessions(
    collection: Collection,
    sure: Sequence[EpisodeSignals],
    against: Sequence[EpisodeSignals],
) -> list[EpisodeSignals]:
    """Those that surely have a fault, and the rest of a session of which at least two have it.

    Args:
        collection: all episodes.
        sure: have it.
        against: surely do not have it; the others cannot tell.
    """
    have = {e.index for e in sure}
    have_not = {e.index for e in against}
    found = []
    for episodes in collection.sessions.values():
        several = sum(e.index in have for e in episodes) >= 2
        found += [
            e
            for e in episodes
            if e.index in have or (several and e.index not in have_not)
        ]
    return found


def merged(faults: Sequence[Fault]) -> Iterator[Fault]:
    """Make one fault of those that differ in the dimension only, and name the dimensions in it."""
    groups: dict[tuple[object, ...], list[Fault]] = {}
    for one in faults:
        key = (
            one.code,
            one.indices,
            one.span if one.dimension is None else None,
        )
        groups.setdefault(
            (*key, one.dimension is None and one.message), []
        ).append(one)
    for group in groups.values():
        first = group[0]
        names = list(
            dict.fromkeys(one.dimension for one in group if one.dimension)
        )
        if not names:
            yield first
            continue
        shown = ", ".join(names[:_NAMED]) + (
            " ..." if len(names) > _NAMED else ""
        )
        yield Fault(
            first.code,
            first.severity,
            first.episodes,
            f"{shown}: {first.message}",
            first.camera,
            first.span,
            None,
            {**first.numbers, "dimensions": names},
        )


def told(
    collection: Collection,
    one: Fault,
    remedy: str,
) -> Iterator[Finding]:
    """The findings of a fault: about all episodes, sessions, episodes, or frames."""
    if len(one.episodes) == len(collection) > 1:
        yield _finding(one, "all", remedy, None, one.episodes)
        return
    by_session: dict[str, list[EpisodeSignals]] = {}
    for episode in sorted(one.episodes, key=lambda episode: episode.index):
        by_session.setdefault(episode.session, []).append(episode)
    for session, episodes in by_session.items():
        if (
            len(episodes) == len(collection.sessions[session]) > 1
            and len(collection.sessions) > 1
        ):
            place = Place(file=_shared_file(episodes), camera=one.camera)
            yield _finding(one, "session", remedy, place, tuple(episodes))
            continue
        for episode in episodes:
            frame = one.span[0] if one.span else None
            place = Place(
                file=episode.file,
                episode=episode.name,
                camera=one.camera,
                frame=frame,
            )
            scope = "frames" if one.span else "episode"
            yield _finding(one, scope, remedy, place, (episode,))


def _shared_file(episodes: Sequence[EpisodeSignals]) -> str:
    """The recording of a session; the folder, where its episodes are files."""
    files = {episode.file for episode in episodes}
    return (
        files.pop() if len(files) == 1 else str(Path(episodes[0].file).parent)
    )


def _finding(
    one: Fault,
    scope: str,
    remedy: str,
    place: Place | None,
    episodes: tuple[EpisodeSignals, ...],
) -> Finding:
    numbers: dict[str, Any] = {"scope": scope, **one.numbers}
    if one.span:
        numbers |= {
            "first_frame": one.span[0],
            "last_frame": one.span[1] - 1,
        }
    if scope != "all":
        numbers["episodes"] = [episode.index for episode in episodes]
    if place is None and one.camera:
        place = Place(camera=one.camera)
    return Finding(
        one.code,
        one.severity,
        one.message,
        place,
        numbers,
        remedy,
    )

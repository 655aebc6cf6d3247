"""All detectors over a collection: one cause, one finding."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from piperline.detectors.codes import CAUSES, REMEDIES
from piperline.detectors.episodes import find_episodes
from piperline.detectors.fault import Fault, told
from piperline.detectors.following import find_following
from piperline.detectors.glitches import find_glitches
from piperline.detectors.pictures import find_pictures
from piperline.detectors.ranges import find_ranges
from piperline.detectors.repeats import find_repeats
from piperline.detectors.synchrony import find_synchrony
from piperline.detectors.texts import find_texts
from piperline.detectors.views import find_views
from piperline.finding import Finding
from piperline.signals.collection import FEW_EPISODES, FEW_SESSIONS, Collection

ROWS_ALSO = frozenset(
    {
        "action-units",
        "action-copy",
        "action-late",
        "action-delta",
        "dropout",
        "wrap",
    }
)
"""What is still looked for in recordings that are beyond the robot's limits."""

_FEWEST = 4


def detect(collection: Collection) -> list[Finding]:
    """What is wrong with the episodes of a collection.

    Recordings whose numbers are beyond the robot's limits are kept out of the others' statistics.

    Returns:
        Errors first, then those about all, sessions, episodes, frames; in the order of the
        episodes.
    """
    findings = [
        finding
        for one in find_faults(collection)
        for finding in told(collection, one, REMEDIES[one.code])
    ]
    scopes = ("all", "session", "episode", "frames")
    return sorted(
        findings,
        key=lambda f: (
            f.severity != "error",
            scopes.index(f.numbers["scope"]),
            min(f.numbers.get("episodes", [-1])),
            f.code,
        ),
    )


def notes(collection: Collection) -> list[str]:
    """What was not looked for, because there is too little to compare."""
    found = []
    if not collection.compares_episodes:
        found.append(
            f"with fewer than {FEW_EPISODES} episodes, an episode's speed and text are not "
            "compared with the others'"
        )
    if not collection.compares_sessions:
        found.append(
            f"with fewer than {FEW_SESSIONS} sessions, a session's zeros and signs are not "
            "compared with the others'"
        )
    if not collection.has_actions:
        found.append(
            "there are no actions of the state's dimensions: how states follow them was not "
            "looked at"
        )
    if not collection.pictures:
        found.append("pictures were not looked at")
    return found


def find_faults(collection: Collection) -> list[Fault]:
    """The faults of a collection, less those that others explain."""
    if not len(collection):
        return []
    found = [*find_repeats(collection), *find_ranges(collection)]
    beyond = {
        e.index: e
        for f in found
        if f.code == "beyond-limits"
        for e in f.episodes
    }
    rest = collection.without(beyond.values())
    if beyond and len(rest) >= _FEWEST:
        outside = replace(collection, episodes=tuple(beyond.values()))
        rows = [*find_following(outside), *find_glitches(outside)]
        found += [one for one in rows if one.code in ROWS_ALSO]
    else:
        rest = collection
    for detector in (
        find_glitches,
        find_following,
        find_synchrony,
        find_episodes,
        find_texts,
    ):
        found += detector(rest)
    found += [*find_pictures(collection), *find_views(collection)]
    return unexplained(found)


def unexplained(found: Sequence[Fault]) -> list[Fault]:
    """Leave out, episode by episode, what another fault of the same episodes explains."""
    causes: dict[str, dict[int, set[str | None]]] = {}
    for one in found:
        for episode in one.episodes:
            for code in CAUSES.get(
                one.code,
                frozenset(),
            ) - {one.code}:
                causes.setdefault(code, {}).setdefault(
                    episode.index, set()
                ).add(_camera_of(one))
    kept = []
    for one in found:
        known = causes.get(one.code, {})
        episodes = tuple(
            e
            for e in one.episodes
            if not _explained(one, known.get(e.index, ()))
        )
        if episodes:
            kept.append(replace(one, episodes=episodes))
    return kept


_ALL_CAMERAS = frozenset(
    {"camera-exchanged", "cameras-same", "pictures-of-another"}
)
"""What a camera has, if it is one of these, shows in the others too."""


def _camera_of(one: Fault) -> str | None:
    return None if one.code in _ALL_CAMERAS else one.camera


def _explained(one: Fault, cameras: Iterable[str | None]) -> bool:
    """Whether a cause is there of no camera, or of the same one."""
    return any(
        camera is None or one.camera in {None, camera} for camera in cameras
    )

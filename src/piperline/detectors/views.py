"""What a camera sees at the start of an episode, against all cameras elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.forks import call_each
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import correlation
from piperline.spill import stacked

Floats = NDArray[np.floating]

_ALIKE, _CLEARLY = 0.6, 0.25
_TURNS: Mapping[str, Callable[[Floats], Floats]] = {
    "upside down": lambda view: view[::-1, ::-1],
    "mirrored": lambda view: view[:, ::-1],
    "flipped from top to bottom": lambda view: view[::-1],
}
_MOST_COMPARED = 12
_WRISTS = ("wrist", "hand", "grip")


def find_views(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    starts = {
        camera: _starts(collection, camera) for camera in collection.cameras
    }
    yield from _exchanged(collection, starts)
    for camera in collection.cameras:
        yield from _turned(collection, camera, starts[camera])


def _starts(collection: Collection, camera: str) -> Floats:
    """What a camera sees at the start of each episode: float32 (N, H, W)."""
    views = (_normal(e.cameras[camera].view[0]) for e in collection.episodes)
    return stacked(views, len(collection))


def _normal(view: Floats) -> Floats:
    even = view - view.mean()
    normal: Floats = even / max(float(even.std()), 1e-6)
    return normal


def _likeness(first: Floats, second: Floats) -> float:
    return float((first * second).mean())


def _exchanged(
    collection: Collection, starts: Mapping[str, Floats]
) -> Iterator[Fault]:
    """A camera that sees what another camera sees in the other episodes."""
    if len(collection) < 3:
        return
    found: dict[tuple[str, str], list[EpisodeSignals]] = {}
    lost: dict[str, set[int]] = {camera: set() for camera in collection.cameras}
    scores = _scores(collection, starts)
    for episode, own in zip(collection.episodes, scores, strict=True):
        for camera, alike in own.items():
            best = max(alike, key=alike.__getitem__)
            if alike[camera] < _ALIKE:
                lost[camera].add(episode.index)
            if (
                best != camera
                and alike[best] > _ALIKE
                and alike[best] - alike[camera] > _CLEARLY
            ):
                found.setdefault((camera, best), []).append(episode)
    for (camera, best), episodes in found.items():
        sure = [
            e
            for e in episodes
            if e.index in lost[best] and _moves_as(collection, e, camera, best)
        ]
        if len(sure) <= len(collection) / 2:
            text = f"the camera sees what {best} sees in the other episodes: cameras are exchanged"
            yield from fault(
                "camera-exchanged", "error", sure, text, camera=camera
            )


def _scores(
    collection: Collection, starts: Mapping[str, Floats]
) -> list[dict[str, dict[str, float]]]:
    """Of each episode and camera how much it sees what each camera sees in other episodes."""
    flat = {name: view.reshape(len(view), -1) for name, view in starts.items()}
    episodes = collection.episodes
    sessions = np.unique([e.session for e in episodes], return_inverse=True)[1]

    def others_of(position: int) -> NDArray[np.intp]:
        others = np.flatnonzero(sessions != sessions[position])
        if not len(others):
            others = np.delete(np.arange(len(episodes)), position)
        return others[:: max(1, len(others) // (2 * _MOST_COMPARED))]

    def scores(position: int) -> dict[str, dict[str, float]]:
        others = others_of(position)
        return {
            camera: {
                name: _high(theirs[others] @ own[position] / own.shape[1])
                for name, theirs in flat.items()
            }
            for camera, own in flat.items()
        }

    return call_each(scores, range(len(episodes)), collection.processes)


def _moves_as(
    collection: Collection, episode: EpisodeSignals, camera: str, best: str
) -> bool:
    """Whether a camera's pictures change where those of another camera do elsewhere."""
    others = [e for e in collection.episodes if e.session != episode.session]
    others = others or [
        e for e in collection.episodes if e.index != episode.index
    ]
    own = _normal(episode.cameras[camera].activity)
    usual = {
        name: _normal(
            np.median(
                [_normal(e.cameras[name].activity) for e in others], axis=0
            )
        )
        for name in (camera, best)
    }
    return _likeness(own, usual[best]) > _likeness(own, usual[camera])


def _high(values: Floats) -> float:
    return float(np.percentile(values, 80)) if len(values) else 0.0


def _turned(
    collection: Collection,
    camera: str,
    starts: Floats,
) -> Iterator[Fault]:
    """Sessions whose view is another one's turned, or moved."""
    if len(collection.sessions) < 2:
        return
    places = {e.index: place for place, e in enumerate(collection.episodes)}
    means = {
        session: _normal(
            np.median(starts[[places[e.index] for e in episodes]], axis=0)
        )
        for session, episodes in collection.sessions.items()
    }
    turned: dict[str, list[tuple[str, str]]] = {}
    flat = np.stack([view.ravel() for view in means.values()])
    for place, (session, own) in enumerate(means.items()):
        alike = np.delete(flat @ own.ravel() / own.size, place).max()
        for other, view in list(means.items())[:_MOST_COMPARED]:
            if other == session:
                continue
            for word, turn in _TURNS.items():
                score = _likeness(turn(own), view)
                if score > _ALIKE and score - alike > 0.3:
                    turned.setdefault(session, []).append((other, word))
    activity = {
        session: _normal(
            np.mean(
                [e.cameras[camera].activity for e in episodes],
                axis=0,
            )
        )
        for session, episodes in collection.sessions.items()
    }
    for session in _odd_ones(turned, activity):
        other, word = turned[session][0]
        text = f"the pictures are {word}, compared with those of {other}"
        yield from fault(
            "view-turned",
            "warning",
            collection.sessions[session],
            text,
            camera=camera,
        )
    if not any(word in camera.lower() for word in _WRISTS) and not _at_an_arm(
        camera
    ):
        yield from _moved(collection, camera, means)


def _at_an_arm(camera: str) -> bool:
    """Whether a camera is at an arm: its name is that of a side."""
    return any(side in camera.lower() for side in ("left", "right"))


def _odd_ones(
    turned: Mapping[str, Sequence[tuple[str, str]]],
    activity: Mapping[str, Floats],
) -> list[str]:
    """Of sessions that are each other's mirror image those that move where the others do not."""

    def gain(session: str) -> float:
        turn = _TURNS[turned[session][0][1]]
        own, others = (
            activity[session],
            [a for name, a in activity.items() if name != session],
        )
        return sum(
            _likeness(turn(own), other) - _likeness(own, other)
            for other in others
        )

    odd: list[str] = []
    for session in sorted(turned, key=gain, reverse=True):
        if not any(other in odd for other, _ in turned[session]):
            odd.append(session)
    return odd


def _moved(
    collection: Collection, camera: str, means: Mapping[str, Floats]
) -> Iterator[Fault]:
    """A session whose camera stands otherwise than in the sessions that see the same."""
    told: list[str] = []
    for session in list(means)[1:]:
        own = means[session]
        before = [
            other
            for other in list(means)
            if other != session and other not in told
        ]
        alike = {
            other: _likeness(own, means[other])
            for other in before[:_MOST_COMPARED]
        }
        if not alike or max(alike.values()) > 0.85:
            continue
        for other, now in alike.items():
            score, down, across, zoom = _best_shift(own, means[other])
            if (
                score > 0.75
                and score - now > 0.15
                and (down or across or zoom != 1)
            ):
                how = f"by {100 * across:+.0f} % across and {100 * down:+.0f} % down"
                how = how if zoom == 1 else f"zoomed by {zoom:g}"
                told.append(session)
                text = f"the camera stands otherwise than in {other}: the picture is moved {how}"
                yield from fault(
                    "view-moved",
                    "warning",
                    collection.sessions[session],
                    text,
                    camera=camera,
                )
                break


def _best_shift(
    first: Floats, second: Floats
) -> tuple[float, float, float, float]:
    """How `second` is moved or zoomed to fit `first` best: likeness, down, across, zoom."""
    best = (-1.0, 0.0, 0.0, 1.0)
    height, width = first.shape
    for zoom in (1.0, 1.25, 1.5, 0.8, 0.67):
        a, b = (
            (first, _zoomed(second, zoom))
            if zoom >= 1
            else (_zoomed(first, 1 / zoom), second)
        )
        for down in range(-6, 7):
            for across in range(-8, 9):
                own = a[
                    max(down, 0) : height + min(down, 0),
                    max(across, 0) : width + min(across, 0),
                ]
                theirs = b[
                    max(-down, 0) : height + min(-down, 0),
                    max(-across, 0) : width + min(-across, 0),
                ]
                score = correlation(own, theirs)
                if score > best[0] + (0.03 if zoom != 1 else 0):
                    best = (score, down / height, across / width, zoom)
    return best


def _zoomed(view: Floats, zoom: float) -> Floats:
    """The middle of a view, enlarged to its size: bilinear."""
    height, width = view.shape
    rows = (height - 1) / 2 + (np.arange(height) - (height - 1) / 2) / zoom
    columns = (width - 1) / 2 + (np.arange(width) - (width - 1) / 2) / zoom
    between = np.stack(
        [
            np.interp(
                columns,
                np.arange(width),
                line,
            )
            for line in view
        ]
    )
    zoomed: Floats = np.stack(
        [
            np.interp(
                rows,
                np.arange(height),
                line,
            )
            for line in between.T
        ],
        axis=1,
    )
    return zoomed

"""Pictures and rows that occur twice.

Frozen and slow cameras, episodes that are there twice, stale first pictures.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.detectors.still import own_joints
from piperline.signals.collection import Collection
from piperline.signals.episode import STATE, EpisodeSignals
from piperline.signals.robust import correlation, runs, steps

Hashes = NDArray[np.uint64]

_FROZEN_FRAMES = 8
_MOVED = 0.06  # radians; a small picture without noise may not show less
_SLOW_SHARE, _SLOW_FEWEST = 0.03, 5
_SAME_SHARE = 0.1
_TWICE_SHARE = 0.3
_FEW_PICTURES = 5
_LAST = 5
_STALE = 4
_MOST_SHARED = 8  # a picture of more episodes than this is of nothing
_FEWEST_ROWS = 20


def find_repeats(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    seen = collection.measured(partial(_seen, collection))
    for camera in collection.cameras:
        for episode in collection.episodes:
            for one in seen[episode.index].frozen[camera]:
                yield replace(one, episodes=(episode,))
    yield from _slow(collection, seen)
    yield from _same_cameras(collection, seen)
    yield from _shared(collection, seen)
    yield from _stale_start(collection, seen)


@dataclass(frozen=True)
class _Seen:
    """What one episode shows.

    Attributes:
        frozen: faults of each camera, without the episode.
        slow: the share of pictures that repeat the one before; nan where that is as it may be.
        same: the share of pictures that two cameras have in common.
        stale: whether most cameras begin with a picture that is unlike the second.
        rows: of those in which the robot moves, a hash of each; uint64.
        pictures: of each camera the hashes of the pictures that it shows once; uint64.
    """

    frozen: Mapping[str, Sequence[Fault]]
    slow: Mapping[str, float]
    same: Mapping[tuple[str, str], float]
    stale: bool
    rows: Hashes
    pictures: Mapping[str, Hashes]


def _seen(collection: Collection, episode: EpisodeSignals) -> _Seen:
    cameras = collection.cameras
    return _Seen(
        {c: _without(_frozen(collection, episode, c)) for c in cameras},
        {c: _slow_share(collection, episode, c) for c in cameras},
        {
            pair: _equal_share(episode, *pair)
            for pair in combinations(cameras, 2)
        },
        _is_stale(collection, episode),
        _moving_rows(collection, episode),
        {c: _own_pictures(episode, c) for c in cameras},
    )


def _without(faults: Iterator[Fault]) -> list[Fault]:
    return [replace(one, episodes=()) for one in faults]


def _repeated(episode: EpisodeSignals, camera: str) -> NDArray[np.bool_]:
    hashes = episode.cameras[camera].hashes
    return np.concatenate(
        [
            [False],
            hashes[1:] == hashes[:-1],
        ]
    )


def _frozen(
    collection: Collection, episode: EpisodeSignals, camera: str
) -> Iterator[Fault]:
    repeated = _repeated(episode, camera)
    if not repeated.any():
        return
    joints = own_joints(collection, camera)
    states = collection.state(episode)[:, joints] / collection.unit[joints]
    for start, stop in runs(repeated):
        count = stop - start + 1
        moved = float(np.ptp(states[start - 1 : stop], axis=0).max())
        if count > _FROZEN_FRAMES and moved > _MOVED:
            seconds = count / collection.fps
            yield from fault(
                "camera-frozen",
                "error",
                episode,
                f"the camera gives the same picture {count} times in a row "
                f"({seconds:.1f} s) "
                f"while the robot moves by {moved:.2f} rad",
                camera=camera,
                span=(start - 1, stop),
                seconds=round(seconds, 2),
            )


def _slow_share(
    collection: Collection, episode: EpisodeSignals, camera: str
) -> float:
    """The share of the pictures that repeat the one before, where a camera is slow; else nan."""
    repeated = _repeated(episode, camera)
    if not repeated.any():
        return np.nan
    for start, stop in runs(repeated):
        if stop - start >= _FROZEN_FRAMES:
            repeated[start:stop] = False
    joints = own_joints(collection, camera)
    moved = steps(collection.state(episode)[:, joints])
    speeds = (moved / collection.unit[joints]).sum(1)
    usual = np.percentile(speeds, 90)
    moving = speeds > 0.2 * usual
    if moving.sum() < _FEWEST_ROWS:
        return np.nan
    share = float(repeated[moving].mean())
    # A slow camera is slow at any speed; small motion may leave a picture as it was.
    at_speed = repeated[speeds > 0.5 * usual]
    enough = max(0.5 * share * len(at_speed), _SLOW_FEWEST)
    slow = share > _SLOW_SHARE and at_speed.sum() >= enough
    return share if slow else np.nan


def _slow(collection: Collection, seen: Mapping[int, _Seen]) -> Iterator[Fault]:
    for camera in collection.cameras:
        shares = {index: own.slow[camera] for index, own in seen.items()}
        found = [
            e for e in collection.episodes if not np.isnan(shares[e.index])
        ]
        if found:
            usual = float(np.median([shares[e.index] for e in found]))
            rate = collection.fps * (1 - usual)
            yield from fault(
                "camera-slow",
                "warning",
                found,
                f"the camera gives about {rate:.0f} pictures a second, not {collection.fps}: "
                f"{100 * usual:.0f} % of the pictures repeat the one before",
                camera=camera,
                pictures_per_second=round(rate, 1),
            )


def _same_cameras(
    collection: Collection, seen: Mapping[int, _Seen]
) -> Iterator[Fault]:
    for first, second in combinations(collection.cameras, 2):
        found = [
            e
            for e in collection.episodes
            if seen[e.index].same[first, second] > _SAME_SHARE
        ]
        yield from fault(
            "cameras-same",
            "error",
            found,
            f"the cameras {first} and {second} show the same pictures",
            camera=second,
        )


def _equal_share(episode: EpisodeSignals, first: str, second: str) -> float:
    one, other = episode.cameras[first].hashes, episode.cameras[second].hashes
    return float(np.mean(one == other)) if len(one) == len(other) else 0.0


def _several(keys: Sequence[Hashes]) -> list[NDArray[np.intp]]:
    """Of each key that several episodes have, which have it, by their positions, in order."""
    owners = np.repeat(np.arange(len(keys)), [len(own) for own in keys])
    values = np.concatenate(keys)
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate([[0], edges])
    stops = np.concatenate([edges, [len(values)]])
    shared = np.flatnonzero(stops - starts > 1)
    return [owners[starts[i] : stops[i]] for i in shared]


def _with_first(keys: Sequence[Hashes]) -> Counter[tuple[int, int]]:
    """How many keys each episode shares with the first one that has them, by their positions."""
    pairs: Counter[tuple[int, int]] = Counter()
    for first, *later in map(np.ndarray.tolist, _several(keys)):
        pairs.update((first, position) for position in later)
    return pairs


def _pairs(keys: Sequence[Hashes]) -> Counter[tuple[int, int]]:
    """How many keys each two episodes share, by their positions."""
    pairs: Counter[tuple[int, int]] = Counter()
    for positions in _several(keys):
        if len(positions) <= _MOST_SHARED:
            pairs.update(combinations(positions.tolist(), 2))
    return pairs


def _moving_rows(collection: Collection, episode: EpisodeSignals) -> Hashes:
    """The rows, as hashes, in which the robot moves: those at rest may be equal by chance."""
    states = np.ascontiguousarray(episode.vectors[STATE])
    steps = np.abs(np.diff(states, axis=0, prepend=states[:1]))
    moving = (steps / collection.unit > 1e-5).sum(axis=1) >= 2
    words = states[moving].view(f"u{states.itemsize}").astype(np.uint64)
    odd = np.random.default_rng(0).integers(
        1 << 63, size=words.shape[1], dtype=np.uint64
    )
    hashes: Hashes = np.unique(words @ (2 * odd + 1))
    return hashes


def _own_pictures(episode: EpisodeSignals, camera: str) -> Hashes:
    """The hashes of the pictures that an episode shows once.

    Where nothing moves and a camera has no noise, as in a simulation, pictures may be equal by
    chance, to each other and to those of other episodes.
    """
    signals = episode.cameras[camera]
    seen = signals.hashes[signals.contrast > 1]
    keys, counts = np.unique(seen, return_counts=True)
    once: Hashes = keys[counts == 1]
    return once


def _shared(
    collection: Collection, seen: Mapping[int, _Seen]
) -> Iterator[Fault]:
    """Rows, or pictures, in two episodes."""
    episodes = collection.episodes
    twice: set[int] = set()
    rows = [seen[episode.index].rows for episode in episodes]
    for (a, b), count in sorted(_with_first(rows).items()):
        share = count / max(1, min(len(rows[a]), len(rows[b])))
        if share > _TWICE_SHARE and b not in twice:
            twice.add(b)
            yield from fault(
                "episode-twice",
                "error",
                episodes[b],
                f"the episode is there twice: {100 * share:.0f} % of its rows are those of "
                f"{episodes[a].session} {episodes[a].name}",
                of=f"{episodes[a].session} {episodes[a].name}",
                share=round(share, 3),
            )
    starts = []
    for (a, b), count in sorted(_shared_pictures(collection, seen).items()):
        if a in twice or b in twice:
            continue
        stale = _begins_with_end(episodes[a], episodes[b]) or _begins_with_end(
            episodes[b], episodes[a]
        )
        if stale and count <= _FEW_PICTURES:
            starts.append(stale)
        elif count > _FEW_PICTURES:
            wrong, right = sorted(
                (episodes[a], episodes[b]),
                key=lambda e: _agreement(collection, e),
            )
            cameras = _with_shared(
                seen[episodes[a].index], seen[episodes[b].index]
            )
            yield from fault(
                "pictures-of-another",
                "error",
                wrong,
                f"{count} of its pictures are those of {right.session} {right.name}, its rows "
                "are not",
                camera=cameras[0] if len(cameras) == 1 else None,
                pictures=count,
            )
    yield from _first_frame(starts)


def _shared_pictures(
    collection: Collection, seen: Mapping[int, _Seen]
) -> Counter[tuple[int, int]]:
    """How many pictures each two episodes share, by their positions."""
    found: Counter[tuple[int, int]] = Counter()
    for camera in collection.cameras:
        found += _pairs(
            [seen[e.index].pictures[camera] for e in collection.episodes]
        )
    return found


def _with_shared(one: _Seen, other: _Seen) -> list[str]:
    """The cameras of which two episodes share pictures."""
    return [
        camera
        for camera, own in one.pictures.items()
        if np.isin(own, other.pictures[camera]).any()
    ]


def _agreement(collection: Collection, episode: EpisodeSignals) -> float:
    """How well the pictures of an episode move when its joints do."""
    speeds = collection.joint_speeds(episode).sum(axis=1)
    return sum(
        correlation(episode.cameras[c].motion, speeds)
        for c in collection.cameras
    )


def _begins_with_end(
    episode: EpisodeSignals, other: EpisodeSignals
) -> EpisodeSignals | None:
    for camera in episode.cameras:
        if camera in other.cameras:
            first = episode.cameras[camera].hashes[0]
            # a camera that stands still sees the same before and after
            stands = _repeated(episode, camera)[1:2].any()
            if not stands and first in other.cameras[camera].hashes[-_LAST:]:
                return episode
    return None


def _is_stale(collection: Collection, episode: EpisodeSignals) -> bool:
    """Whether a first picture is unlike the second, as no later one is unlike the one before."""
    motions = [episode.cameras[camera].motion for camera in collection.cameras]
    stale = [
        len(motion) > _FEWEST_ROWS and motion[1] > _STALE * motion[2:].max() > 0
        for motion in motions
    ]
    return bool(sum(stale) > len(stale) / 2)


def _stale_start(
    collection: Collection, seen: Mapping[int, _Seen]
) -> Iterator[Fault]:
    yield from _first_frame(
        [e for e in collection.episodes if seen[e.index].stale]
    )


def _first_frame(found: Sequence[EpisodeSignals]) -> Iterator[Fault]:
    unique = list({episode.index: episode for episode in found}.values())
    yield from fault(
        "first-frame",
        "warning",
        unique,
        "the first pictures are from before the episode: stale ones of the recorder",
    )

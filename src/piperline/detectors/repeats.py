"""Pictures and rows that occur twice.

Frozen and slow cameras, episodes that are there twice, stale first pictures.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.detectors.still import own_joints
from piperline.signals.collection import Collection
from piperline.signals.episode import STATE, EpisodeSignals
from piperline.signals.robust import correlation, runs, steps

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
    yield from _frozen(collection)
    yield from _slow(collection)
    yield from _same_cameras(collection)
    yield from _shared(collection)
    yield from _stale_start(collection)


def _repeated(episode: EpisodeSignals, camera: str) -> NDArray[np.bool_]:
    hashes = episode.cameras[camera].hashes
    return np.concatenate(
        [
            [False],
            hashes[1:] == hashes[:-1],
        ]
    )


def _frozen(collection: Collection) -> Iterator[Fault]:
    for camera in collection.cameras:
        joints = own_joints(collection, camera)
        for episode in collection.episodes:
            states = (
                collection.state(episode)[:, joints] / collection.unit[joints]
            )
            for start, stop in runs(_repeated(episode, camera)):
                count = stop - start + 1
                moved = float(
                    np.ptp(
                        states[start - 1 : stop],
                        axis=0,
                    ).max()
                )
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


def _slow(collection: Collection) -> Iterator[Fault]:
    for camera in collection.cameras:
        joints = own_joints(collection, camera)
        found: list[EpisodeSignals] = []
        shares: list[float] = []
        for episode in collection.episodes:
            repeated = _repeated(episode, camera)
            for start, stop in runs(repeated):
                if stop - start >= _FROZEN_FRAMES:
                    repeated[start:stop] = False
            speeds = (
                steps(collection.state(episode)[:, joints])
                / collection.unit[joints]
            ).sum(1)
            usual = np.percentile(speeds, 90)
            moving = speeds > 0.2 * usual
            if moving.sum() < _FEWEST_ROWS:
                continue
            share = float(repeated[moving].mean())
            # A slow camera is slow at any speed; small motion may leave a picture as it was.
            at_speed = repeated[speeds > 0.5 * usual]
            enough = max(0.5 * share * len(at_speed), _SLOW_FEWEST)
            if share > _SLOW_SHARE and at_speed.sum() >= enough:
                found.append(episode)
                shares.append(share)
        if found:
            rate = collection.fps * (1 - float(np.median(shares)))
            yield from fault(
                "camera-slow",
                "warning",
                found,
                f"the camera gives about {rate:.0f} pictures a second, not {collection.fps}: "
                f"{100 * np.median(shares):.0f} % of the pictures repeat the one before",
                camera=camera,
                pictures_per_second=round(rate, 1),
            )


def _same_cameras(collection: Collection) -> Iterator[Fault]:
    for first, second in combinations(collection.cameras, 2):
        found = [
            e
            for e in collection.episodes
            if _equal_share(e, first, second) > _SAME_SHARE
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


def _with_first(keys: Sequence[set[object]]) -> Counter[tuple[int, int]]:
    """How many keys each episode shares with the first one that has them, by their positions."""
    first: dict[object, int] = {}
    pairs: Counter[tuple[int, int]] = Counter()
    for position, own in enumerate(keys):
        pairs.update((first[key], position) for key in own if key in first)
        first |= {key: position for key in own if key not in first}
    return pairs


def _pairs(keys: Sequence[set[object]]) -> Counter[tuple[int, int]]:
    """How many keys each two episodes share, by their positions."""
    where: dict[object, list[int]] = defaultdict(list)
    for position, own in enumerate(keys):
        for key in own:
            where[key].append(position)
    pairs: Counter[tuple[int, int]] = Counter()
    for positions in where.values():
        if 1 < len(positions) <= _MOST_SHARED:
            pairs.update(combinations(positions, 2))
    return pairs


def _moving_rows(
    collection: Collection, episode: EpisodeSignals
) -> set[object]:
    """The rows, as bytes, in which the robot moves: those at rest may be equal by chance."""
    states = np.ascontiguousarray(episode.vectors[STATE])
    moving = (
        np.abs(
            np.diff(
                states,
                axis=0,
                prepend=states[:1],
            )
        )
        / collection.unit
        > 1e-5
    )
    return {row.tobytes() for row in states[moving.sum(axis=1) >= 2]}


def _own_pictures(
    collection: Collection, episode: EpisodeSignals
) -> set[object]:
    """The pictures, as camera and hash, that an episode shows once.

    Where nothing moves and a camera has no noise, as in a simulation, pictures may be equal by
    chance, to each other and to those of other episodes.
    """
    own: set[object] = set()
    for camera in collection.cameras:
        signals = episode.cameras[camera]
        seen = signals.hashes[signals.contrast > 1]
        keys, counts = np.unique(seen, return_counts=True)
        own |= {(camera, key) for key in keys[counts == 1].tolist()}
    return own


def _shared(collection: Collection) -> Iterator[Fault]:
    """Rows, or pictures, in two episodes."""
    episodes = collection.episodes
    rows = [_moving_rows(collection, episode) for episode in episodes]
    twice: set[tuple[int, int]] = set()
    for (a, b), count in sorted(_with_first(rows).items()):
        share = count / max(
            1,
            min(len(rows[a]), len(rows[b])),
        )
        if share > _TWICE_SHARE and b not in {later for _, later in twice}:
            twice.add((a, b))
            yield from fault(
                "episode-twice",
                "error",
                episodes[b],
                f"the episode is there twice: {100 * share:.0f} % of its rows are those of "
                f"{episodes[a].session} {episodes[a].name}",
                of=f"{episodes[a].session} {episodes[a].name}",
                share=round(share, 3),
            )
    pictures = [_own_pictures(collection, episode) for episode in episodes]
    starts = []
    for (a, b), count in sorted(_pairs(pictures).items()):
        if {a, b} & {later for _, later in twice}:
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
            cameras = {
                key[0]
                for key in pictures[a] & pictures[b]
                if isinstance(key, tuple)
            }
            yield from fault(
                "pictures-of-another",
                "error",
                wrong,
                f"{count} of its pictures are those of {right.session} {right.name}, its rows "
                "are not",
                camera=cameras.pop() if len(cameras) == 1 else None,
                pictures=count,
            )
    yield from _first_frame(starts)


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


def _stale_start(collection: Collection) -> Iterator[Fault]:
    """A first picture that is unlike the second, as no later one is unlike the one before."""
    found = []
    for episode in collection.episodes:
        motions = [
            episode.cameras[camera].motion for camera in collection.cameras
        ]
        stale = [
            len(motion) > _FEWEST_ROWS
            and motion[1] > _STALE * motion[2:].max() > 0
            for motion in motions
        ]
        if sum(stale) > len(stale) / 2:
            found.append(episode)
    yield from _first_frame(found)


def _first_frame(found: Sequence[EpisodeSignals]) -> Iterator[Fault]:
    unique = list({episode.index: episode for episode in found}.values())
    yield from fault(
        "first-frame",
        "warning",
        unique,
        "the first pictures are from before the episode: stale ones of the recorder",
    )

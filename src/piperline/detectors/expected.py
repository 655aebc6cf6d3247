"""What moves the pictures of a camera: the joints, by weights that all episodes together tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import shifted, smooth

Floats = NDArray[np.float64]

FEWEST_ROWS = 70
"""Of an episode that tells something."""

_ITERATIONS = 150
_COMMON_LAGS = (0, *range(-15, 0, 3), *range(3, 18, 3))


@dataclass(frozen=True)
class Expected:
    """What moves the picture of a camera.

    Non-negative weights of the joints, and what changes without motion.
    """

    weights: Floats
    floor: float

    def of(self, collection: Collection, episode: EpisodeSignals) -> Floats:
        """How much the picture should change in each row, float64 (T,)."""
        expected: Floats = (
            collection.joint_speeds(episode) @ self.weights + self.floor
        )
        return expected


def picture_motion(episode: EpisodeSignals, camera: str) -> Floats:
    """How much the pictures change in each row, (T,), without leaps."""
    motion = smooth(episode.cameras[camera].motion)
    return np.minimum(motion, np.percentile(motion, 98))


def long_episodes(collection: Collection) -> list[EpisodeSignals]:
    """The episodes that tell something."""
    return [e for e in collection.episodes if len(e) >= FEWEST_ROWS]


def fit_cameras(collection: Collection) -> dict[str, Expected]:
    """The weights that fit best, with pictures that may be late in all recordings, by camera."""
    cameras, long = collection.cameras, long_episodes(collection)
    joints = len(collection.robot.joints)
    if not long:
        return dict.fromkeys(cameras, Expected(np.zeros(joints), 0.0))
    motions = collection.measured(
        lambda e: [picture_motion(e, camera) for camera in cameras], long
    )
    floors = [
        float(np.percentile(np.concatenate(own), 5))
        for own in zip(*motions.values(), strict=True)
    ]

    def products(episode: EpisodeSignals) -> Floats:
        wanted = np.maximum(
            np.stack(motions[episode.index], axis=1) - floors, 0
        )
        return _products(collection.joint_speeds(episode), wanted)

    of_each = collection.measured(products, long)
    total = np.add.reduce(list(of_each.values()))
    fits = {}
    for number, camera in enumerate(cameras):
        some = [*range(joints), joints + number, -1]
        fits[camera] = Expected(
            _best_weights(total[:, some][:, :, some]), floors[number]
        )
    return fits


def _products(speeds: Floats, wanted: Floats) -> Floats:
    """What weights follow from: sums of products, which add up over episodes.

    Args:
        speeds: of the joints, (T, joints).
        wanted: by how much pictures change, (T, cameras).

    Returns:
        float64 (lags, n, n), n columns: joints, cameras, and 1.
    """
    found = []
    for lag in _COMMON_LAGS:
        late, early = shifted(wanted, speeds, lag)
        columns = np.concatenate([early, late, np.ones((len(late), 1))], axis=1)
        found.append(columns.T @ columns)
    return np.stack(found)


def _best_weights(products: Floats) -> Floats:
    """The weights of the joints at the delay where they tell most.

    Args:
        products: of all episodes together, see `_products`; of one camera.
    """
    best = (-1.0, np.zeros(products.shape[1] - 2))
    for lag, table in zip(_COMMON_LAGS, products, strict=True):
        weights = _weights(table[:-2, :-2], table[:-2, -2])
        likeness = _told(table, weights)
        if likeness > best[0] + (0.03 if lag else 0):
            best = (likeness, weights)
    return best[1]


def _told(table: Floats, weights: Floats) -> float:
    """The correlation of what weights make of the speeds with what is wanted."""
    count, sums = table[-1, -1], table[-1]
    both = np.zeros((2, len(table)))
    both[0, :-2], both[1, -2] = weights, 1
    products = both @ table @ both.T
    products -= np.outer(both @ sums, both @ sums) / count
    size = float(np.sqrt(max(products[0, 0], 0) * max(products[1, 1], 0)))
    return float(products[0, 1]) / size if size > 1e-12 else 0.0


def _weights(square: Floats, target: Floats) -> Floats:
    """Non-negative least squares by multiplicative updates (Lee and Seung 2001).

    Args:
        square: products of the speeds, (joints, joints).
        target: their products with what is wanted, (joints,).

    Returns:
        float64 (joints,).
    """
    square = square + 1e-6 * np.eye(len(square))
    target = np.maximum(target, 0)
    weights = np.full(len(square), 1e-3)
    for _ in range(_ITERATIONS):
        weights *= target / np.maximum(square @ weights, 1e-12)
    return weights

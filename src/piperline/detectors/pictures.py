"""Light, focus, colour, compression.

The pictures of each camera against the same camera's in other episodes.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.forks import call_each
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import runs, spread
from piperline.spill import room, stacked
from piperline.text import plural

Floats = NDArray[np.float64]

BLACK = 8
"""A picture whose mean is below is black, of 255 levels."""

_WHITE_SHARE = 0.25
_DARK, _DARKEST = 0.4, 45
_QUALITY_LOST, _QUALITY_BAD = 25, 45
_BLUR_LEAST, _BLUR_FLOOR = 1.3, 0.2  # natural logarithm
_GREY = 0.15
_CAST = 0.1
_TELLING = 2  # levels: colours that are fainter tell nothing
_FEWEST_ALIKE = 3
_MOST_COMPARED = 64  # episodes that one is held against at first
_DOUBTFUL = 0.25, 0.75  # shares of them
_AT_ONCE = 256  # episodes whose colours are computed at once
_COVERED_FRAMES = 8


@dataclass(frozen=True)
class _Look:
    """What the pictures of one camera of an episode look like, by themselves.

    Attributes:
        light: their median luma.
        faults: in some of them, without the episode.
    """

    light: float
    faults: Sequence[Fault]


def find_pictures(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    yield from _sizes(collection)
    looks = collection.measured(partial(_looks, collection))
    for camera in collection.cameras:
        light = {index: own[camera].light for index, own in looks.items()}
        black = [e for e in collection.episodes if light[e.index] < BLACK]
        yield from fault(
            "picture-black",
            "error",
            black,
            "the pictures are black",
            camera=camera,
        )
        gone = {e.index for e in black}
        lit = [e for e in collection.episodes if e.index not in gone]
        if not lit:
            continue
        dark = yield from _exposure(lit, camera, light)
        clear = [e for e in lit if e.index not in dark]
        yield from _compression(lit, camera)
        yield from _focus(clear, camera)
        yield from _colors(collection, clear, camera)
        yield from _covered(lit, camera)
        for episode in lit:
            for one in looks[episode.index][camera].faults:
                yield replace(one, episodes=(episode,))
    yield from _damaged(collection)


def _looks(collection: Collection, episode: EpisodeSignals) -> dict[str, _Look]:
    found = {}
    for camera in collection.cameras:
        faults = [
            *_covered_for_a_time(collection, episode, camera),
            *_torn(episode, camera),
        ]
        found[camera] = _Look(
            float(np.median(episode.cameras[camera].mean)),
            [replace(one, episodes=()) for one in faults],
        )
    return found


def _median(
    episodes: Sequence[EpisodeSignals],
    measure: Callable[[EpisodeSignals], float],
) -> float:
    return float(np.median([measure(episode) for episode in episodes]))


def _sizes(collection: Collection) -> Iterator[Fault]:
    for camera in collection.cameras:
        sizes: dict[tuple[int, ...], list[EpisodeSignals]] = {}
        for episode in collection.episodes:
            sizes.setdefault(
                tuple(episode.cameras[camera].size.tolist()), []
            ).append(episode)
        usual = max(sizes, key=lambda size: len(sizes[size]))
        for (height, width), episodes in sizes.items():
            if (height, width) != usual:
                text = f"the pictures have {width}x{height} pixels, elsewhere {usual[1]}x{usual[0]}"
                yield from fault(
                    "picture-size", "error", episodes, text, camera=camera
                )


def _exposure(
    episodes: Sequence[EpisodeSignals],
    camera: str,
    light: Mapping[int, float],
) -> Generator[Fault, None, set[int]]:
    """Too much or too little light; returns the numbers of the episodes that are dark."""
    white = [e for e in episodes if e.cameras[camera].white > _WHITE_SHARE]
    usual_white = _median(episodes, lambda e: e.cameras[camera].white)
    if usual_white < _WHITE_SHARE:
        share = 100 * max(
            (e.cameras[camera].white for e in white),
            default=0,
        )
        text = f"{share:.0f} % of the picture is white: overexposed"
        yield from fault(
            "picture-overexposed", "warning", white, text, camera=camera
        )
    usual = _median(episodes, lambda e: light[e.index])
    dark = [
        e for e in episodes if light[e.index] < min(_DARK * usual, _DARKEST)
    ]
    level = min((light[e.index] for e in dark), default=0)
    text = f"the pictures are dark: {level:.0f} of 255, elsewhere {usual:.0f}"
    yield from fault("picture-dark", "warning", dark, text, camera=camera)
    return {episode.index for episode in dark}


def _compression(
    episodes: Sequence[EpisodeSignals], camera: str
) -> Iterator[Fault]:
    # others are no JPEG
    episodes = [e for e in episodes if np.isfinite(e.cameras[camera].quality)]
    if not episodes:
        return
    usual = _median(episodes, lambda e: e.cameras[camera].quality)
    level = min(usual - _QUALITY_LOST, _QUALITY_BAD)
    bad = [e for e in episodes if e.cameras[camera].quality < level]
    least = min(
        (e.cameras[camera].quality for e in bad),
        default=0,
    )
    text = f"the JPEG quality is about {least:.0f}, elsewhere {usual:.0f}"
    yield from fault("picture-compressed", "warning", bad, text, camera=camera)


def _focus(episodes: Sequence[EpisodeSignals], camera: str) -> Iterator[Fault]:
    values = [e.cameras[camera].sharpness for e in episodes]
    usual, width = (
        float(np.median(values)),
        max(float(spread(values)), _BLUR_FLOOR),
    )
    level = usual - max(5 * width, _BLUR_LEAST)
    blurred = [e for e in episodes if e.cameras[camera].sharpness < level]
    least = min(
        (e.cameras[camera].sharpness for e in blurred),
        default=usual,
    )
    text = (
        "the pictures are out of focus: "
        f"{np.exp((least - usual) / 2):.2f} of the usual sharpness"
    )
    yield from fault("picture-blurred", "warning", blurred, text, camera=camera)


def _colors(
    collection: Collection, episodes: Sequence[EpisodeSignals], camera: str
) -> Iterator[Fault]:
    usual = _median(episodes, lambda e: e.cameras[camera].chroma)
    grey = [e for e in episodes if e.cameras[camera].chroma < _GREY * usual]
    yield from fault(
        "picture-grey",
        "warning",
        grey,
        "the pictures have no colour, elsewhere they have",
        camera=camera,
    )
    gone = {episode.index for episode in grey}
    colored = [e for e in episodes if e.index not in gone]
    swapped = yield from _red_and_blue(colored, camera, collection.processes)
    yield from _casts(
        collection, [e for e in colored if e.index not in swapped], camera
    )


def _red_and_blue(
    episodes: Sequence[EpisodeSignals], camera: str, processes: int
) -> Generator[Fault, None, set[int]]:
    """Sessions, or episodes, whose red is the blue of the others.

    Returns the numbers of the episodes.
    """
    found: list[EpisodeSignals] = []
    if len(episodes) > _FEWEST_ALIKE:
        views = (e.cameras[camera].view for e in episodes)
        votes = exchanged_views(stacked(views, len(episodes)), processes)
        found = [e for e, vote in zip(episodes, votes, strict=True) if vote]
    if len(found) > len(episodes) / 2:
        return set()
    text = "red and blue are exchanged, compared with the other recordings"
    yield from fault("colour-red-blue", "error", found, text, camera=camera)
    return {episode.index for episode in found}


def exchanged_views(
    views: NDArray[np.floating[Any]], processes: int = 1
) -> list[bool]:
    """Whether views, (N, 3, H, W), fit most others much better with red and blue exchanged.

    Those that are too grey to tell are left out.

    Args:
        views: at least one.
        processes: see `Collection`.
    """
    compared = _Colors(views)

    def is_exchanged(own: int) -> bool:
        others = compared.others(own)
        if not compared.telling[own] or len(others) < _FEWEST_ALIKE:
            return False
        share = compared.share(own, _some(others, own))
        # Some tell surely where nearly all say the same.
        if _DOUBTFUL[0] < share < _DOUBTFUL[1]:
            share = compared.share(own, others)
        return share > 0.5

    return call_each(is_exchanged, range(len(views)), processes)


def _some(others: NDArray[np.intp], own: int) -> NDArray[np.intp]:
    """One of each span of the others, by chance: an even step falls in with robots in turn."""
    if len(others) <= _MOST_COMPARED:
        return others
    edges = np.linspace(0, len(others), _MOST_COMPARED + 1)
    within = np.random.default_rng(own).random(_MOST_COMPARED)
    places = edges[:-1] + within * np.diff(edges)
    some: NDArray[np.intp] = others[places.astype(int)]
    return some


class _Colors:
    """The colours of views, (N, 3, H, W), that are held against each other."""

    def __init__(self, views: NDArray[np.floating[Any]]) -> None:
        chroma = views.reshape(len(views), 3, -1)[:, 1:]
        self._differences = room(chroma.shape, chroma.dtype)
        self._balance = room(chroma[:, 0].shape, chroma.dtype)
        self.telling, self._is_even = np.empty((2, len(views)), bool)
        self._size = np.empty(len(views), chroma.dtype)
        for start in range(0, len(views), _AT_ONCE):
            self._take(slice(start, start + _AT_ONCE), chroma)

    def _take(self, some: slice, chroma: NDArray[np.floating[Any]]) -> None:
        """Take some views: of many, what lies between would fill the memory."""
        differences, own = self._differences[some], self._balance[some]
        np.subtract(chroma[some], 128, out=differences)
        means = np.abs(differences).mean(axis=(1, 2))
        self.telling[some] = means >= _TELLING
        balance = 1.402 * differences[:, 1] - 1.772 * differences[:, 0]
        self._is_even[some] = balance.std(axis=1) < _TELLING
        np.subtract(balance, balance.mean(axis=1, keepdims=True), out=own)
        self._size[some] = np.sqrt((own**2).sum(axis=1))

    def others(self, own: int) -> NDArray[np.intp]:
        """The numbers of those that one can be held against."""
        numbers = np.arange(len(self.telling))
        return np.flatnonzero(self.telling & (numbers != own))

    def share(self, own: int, others: NDArray[np.intp]) -> float:
        """The share of others that one fits much better with red and blue exchanged."""
        theirs = self._differences[others]
        straight = np.abs(self._differences[own] - theirs).mean(axis=(1, 2))
        # Exchanged, (R - Y) and (B - Y) change their places: Cr is (R - Y) / 1.402, Cb is (B - Y)
        # / 1.772.
        factors = [[1.402 / 1.772], [1.772 / 1.402]]
        turned = self._differences[own, ::-1] * factors
        crossed = np.abs(turned - theirs).mean(axis=(1, 2))
        # A cast leaves the pattern of colours as it is.
        together = self._balance[others] @ self._balance[own]
        size = self._size[others] * self._size[own]
        pattern = together / np.maximum(size, 1e-12)
        opposite = (pattern < -0.2) | self._is_even[own]
        votes = (crossed < 0.5 * straight) & opposite
        return float(votes.mean())


def _casts(
    collection: Collection, episodes: Sequence[EpisodeSignals], camera: str
) -> Iterator[Fault]:
    """A colour cast of one camera alone: light changes all cameras of an episode."""
    if len(collection.cameras) < 2 or not episodes:
        return
    cameras = list(collection.cameras)
    balances = np.array(
        [_balances(episodes, name) for name in collection.cameras]
    )
    off = balances - np.median(balances, axis=1, keepdims=True)
    own = off[cameras.index(camera)]
    others = np.delete(off, cameras.index(camera), axis=0)
    alone = own - np.median(others, axis=0)
    level = max(6 * max(float(spread(alone)), 0.012), _CAST)
    odd = (np.abs(alone) > level) & (np.abs(own) >= np.abs(off).max(axis=0))
    for word, way in (("red", odd & (alone > 0)), ("blue", odd & (alone <= 0))):
        some = [episodes[position] for position in np.flatnonzero(way).tolist()]
        text = f"the pictures are more {word} than elsewhere, those of the other cameras are not"
        yield from fault("colour-cast", "warning", some, text, camera=camera)


def _balances(episodes: Sequence[EpisodeSignals], camera: str) -> list[float]:
    return [episode.cameras[camera].red_blue for episode in episodes]


def _covered(
    episodes: Sequence[EpisodeSignals], camera: str
) -> Iterator[Fault]:
    """A large part without texture, darker than elsewhere: compared with the same camera."""
    if len(episodes) < 3:
        return
    usual = np.median(
        [e.cameras[camera].texture for e in episodes],
        axis=0,
    )
    dimness = _median(episodes, lambda e: e.cameras[camera].dimness)
    covered = []
    for episode in episodes:
        own = episode.cameras[camera]
        if own.dimness >= 0.75 * dimness:
            continue
        # what is dark has less texture everywhere
        darker = min(1.0, own.dimness / max(dimness, 1.0))
        lost = (own.texture < 0.3 * darker * usual) & (usual > 2)
        if lost.mean() > 0.3:
            covered.append(episode)
    text = "a large part of the picture shows nothing: something is before the camera"
    yield from fault("picture-covered", "warning", covered, text, camera=camera)


def _covered_for_a_time(
    collection: Collection, episode: EpisodeSignals, camera: str
) -> Iterator[Fault]:
    own = episode.cameras[camera]
    low = (own.contrast < 0.35 * np.median(own.contrast)) | (
        own.mean < 0.4 * np.median(own.mean)
    )
    for start, stop in runs(low):
        if _COVERED_FRAMES <= stop - start < 0.9 * len(low):
            seconds = (stop - start) / collection.fps
            code, word = ("picture-covered", "show nothing")
            if own.mean[start:stop].max() < BLACK:
                code, word = ("picture-black", "are black")
            text = f"the pictures {word} for {seconds:.1f} s"
            yield from fault(
                code,
                "warning",
                episode,
                text,
                camera=camera,
                span=(start, stop),
            )


def _torn(episode: EpisodeSignals, camera: str) -> Iterator[Fault]:
    """Single frames of which one half is of another time."""
    tear = episode.cameras[camera].tear.astype(np.float64)
    if tear.shape[1] < 30:
        return
    upper, lower = tear + 0.2
    hits = np.zeros(tear.shape[1], dtype=bool)
    for calm, wild in ((upper, lower), (lower, upper)):
        near, near_calm = _around(wild), _around(calm)
        ratio = wild / calm
        beside = (
            np.maximum(
                np.roll(wild, 1),
                np.roll(wild, -1),
            )
            - near
        )
        # what changes for good stands out of one neighbour only
        single = wild - near > 1.5 * beside
        hits |= single & (
            (calm < 1.6 * near_calm)
            & (wild > 3 * near)
            & (ratio > 3 * np.percentile(ratio, 25))
            & (wild > 2.0)
        )
    if hits.sum() >= max(5, 0.03 * len(hits)):
        text = f"in {hits.sum()} single frames one half of the picture is of another time"
        first = int(np.flatnonzero(hits)[0]) + 1
        yield from fault(
            "picture-torn",
            "warning",
            episode,
            text,
            camera=camera,
            pictures=int(hits.sum()),
            first=first,
        )


def _around(values: Floats) -> Floats:
    """What is usual in the 17 frames around each, float64 (T,).

    It is the lower quartile: every fourth picture may be torn.
    """
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(values, 8, mode="edge"), 17
    )
    near: Floats = np.partition(windows, 4, axis=1)[:, 4]
    return near


def _damaged(collection: Collection) -> Iterator[Fault]:
    for camera in collection.cameras:
        for episode in collection.episodes:
            numbers = episode.cameras[camera].damaged
            if len(numbers):
                first = int(numbers[0])
                text = f"{plural(len(numbers), 'image')} cannot be decoded"
                yield from fault(
                    "picture-damaged",
                    "error",
                    episode,
                    text,
                    camera=camera,
                    span=(first, first + 1),
                )

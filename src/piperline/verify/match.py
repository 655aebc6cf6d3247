"""Which recorded episode each episode was made from: as it is told, else by the rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piperline.errors import DatasetError, RecordingError
from piperline.seal.contents import Contents
from piperline.seal.seal import sources_of
from piperline.verify.recorded import RecordedEpisode, Sources, open_episode
from piperline.verify.rows import numbers

_COMMON = 0.5
"""The share of an episode's rows that are found in a recorded one if it was made from that."""

Hashes = NDArray[np.uint64]


def match(
    contents: Contents, sources: Sources, made: Mapping[str, Any]
) -> list[RecordedEpisode | None]:
    """The recorded episode of each episode; None where there is none among `sources`.

    Args:
        contents: the dataset.
        sources: the recordings.
        made: how the dataset was made; see `seal.provenance`.
    """
    told = sources_of(made, len(contents.episodes))
    found = [_as_told(entry, sources.episodes) for entry in told]
    missing = [
        episode for episode, recorded in enumerate(found) if recorded is None
    ]
    if missing:
        by_rows = _ByRows(contents, sources)
        for episode in missing:
            found[episode] = by_rows.find(episode)
    return found


def left_out(made: Mapping[str, Any], episodes: int) -> frozenset[str]:
    """The file names of the recordings that were left out of a dataset, with all that they hold.

    Args:
        made: how the dataset was made; see `seal.provenance`.
        episodes: how many it has.
    """
    entries = made.get("left_out")
    left = [
        entry.get("source")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    used = [source for source, _ in sources_of(made, episodes)]
    return _file_names(left) - _file_names(used)


def _file_names(sources: Iterable[object]) -> frozenset[str]:
    return frozenset(
        source.rpartition("/")[2]
        for source in sources
        if isinstance(source, str)
    )


def _as_told(
    told: tuple[str | None, str | None], episodes: Sequence[RecordedEpisode]
) -> RecordedEpisode | None:
    """The episode of that name in the recording of that name; folders may have been renamed."""
    source, name = told
    if source is None:
        return None
    named = [entry for entry in episodes if entry.name == name]
    exact = [entry for entry in named if entry.source == source]
    file = source.rpartition("/")[2]
    alike = exact or [entry for entry in named if entry.path.name == file]
    return alike[0] if len(alike) == 1 else None


class _ByRows:
    """Finds recorded episodes by their rows: a number is made of each row, and looked up."""

    def __init__(self, contents: Contents, sources: Sources) -> None:
        self._contents, self._episodes = contents, sources.episodes
        columns = contents.info.schema.columns
        self._keys = [key for key in sources.layout.vectors if key in columns]
        owners: list[NDArray[np.int64]] = []
        hashes: list[Hashes] = []
        for index, episode in enumerate(sources.episodes):
            try:
                with open_episode(sources, episode) as opened:
                    rows = self._hashes(opened.vectors())
            except RecordingError:  # it was not converted either
                continue
            hashes.append(rows)
            owners.append(np.full(len(rows), index))
        every = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
        order = np.argsort(every, kind="stable")
        self._sorted = every[order]
        self._owners = (
            np.concatenate(owners)[order] if owners else np.empty(0, np.int64)
        )

    def find(self, episode: int) -> RecordedEpisode | None:
        """The recorded episode that has the most of an episode's rows, if it has enough of them."""
        if not self._keys or not len(self._sorted):
            return None
        try:
            table = self._contents.rows(episode)
        except DatasetError:
            return None
        features = self._contents.info.features
        values = {
            key: numbers(
                table,
                key,
                features[key],
            )
            for key in self._keys
        }
        known = {
            key: rows.astype(np.float32)
            for key, rows in values.items()
            if rows is not None
        }
        if known.keys() != set(self._keys):
            return None
        rows = self._hashes(known)
        at = np.minimum(
            np.searchsorted(self._sorted, rows), len(self._sorted) - 1
        )
        owners = self._owners[at[self._sorted[at] == rows]]
        most = Counter(owners.tolist()).most_common(1)
        if not most or most[0][1] < _COMMON * len(rows):
            return None
        return self._episodes[most[0][0]]

    def _hashes(
        self,
        vectors: Mapping[str, NDArray[np.float32]],
    ) -> Hashes:
        """A number for each row."""
        rows = np.concatenate(
            [vectors[key] for key in self._keys],
            axis=1,
        )
        bits = np.ascontiguousarray(rows).view(np.uint32).astype(np.uint64)
        weights = np.random.default_rng(0).integers(
            1 << 63, size=bits.shape[1], dtype=np.uint64
        )
        hashes: Hashes = (bits * (2 * weights + 1)).sum(
            axis=1,
            dtype=np.uint64,
        )
        return hashes

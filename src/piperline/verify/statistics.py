"""The statistics of a dataset, computed again from its rows and its image histograms."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from piperline.errors import DatasetError, PiperlineError, Place
from piperline.features import BOOKKEEPING, Feature
from piperline.files import read_json
from piperline.finding import Finding
from piperline.groot.checks.inputs import Subject
from piperline.groot.checks.stats import check_stats
from piperline.groot.loader import read_meta, read_rows
from piperline.groot.modality_config import default_choice
from piperline.groot.settings import Launch
from piperline.groot.stats import STATS_FILE, float_columns
from piperline.groot.versions import DEFAULT_VERSION, target
from piperline.lerobot.columns import is_numeric, stats_document
from piperline.lerobot.folder import DatasetFolder
from piperline.lerobot.histograms import Histograms
from piperline.lerobot.quantiles import column_quantiles
from piperline.seal.contents import Contents
from piperline.stats import QUANTILES, FeatureStats, merge_stats
from piperline.verify.report import Looked
from piperline.verify.rows import numbers

_STALE = frozenset({"stats-stale", "relative-stats-stale", "stats-syntax"})
_TOLERANCE = 1e-3
"""Of a dimension's range: other tools sum in float32."""
_MOMENTS = ("min", "max", "mean", "std", "count")


class StatisticsCheck:
    """Computes the statistics of episode after episode again, and of the dataset at the end.

    Args:
        contents: the dataset.
        ours: piperline made it: its statistics follow exactly.
        looked: counts what is looked at.
    """

    def __init__(
        self, contents: Contents, looked: Looked, *, ours: bool
    ) -> None:
        self._contents, self._looked, self._ours = contents, looked, ours
        self._is_v30 = contents.info.version == "v3.0"
        self._histograms = Histograms(
            DatasetFolder(contents.root),
            {key: contents.info.features[key] for key in contents.cameras},
        )
        self._merged: dict[str, FeatureStats] = {}
        schema = contents.info.schema
        columns = {key: schema.features[key] for key in schema.columns}
        self._numeric = {
            key: feature
            for key, feature in {**columns, **BOOKKEEPING}.items()
            if is_numeric(feature)
        }

    def take(
        self,
        episode: int,
        table: pa.Table,
    ) -> Iterator[Finding]:
        """Compare the statistics of an episode with those of its rows."""
        try:
            told = self._contents.stats(episode)
            computed = self._computed(episode, table, told)
        except DatasetError as error:
            yield Finding(
                "stats-unreadable", "error", str(error.message), error.place
            )
            return
        for key, stats in computed.items():
            before = self._merged.get(key)
            self._merged[key] = (
                merge_stats([before, stats]) if before else stats
            )
        if not told:
            return
        document = stats_document(computed, quantiles=self._is_v30)
        wrong = [
            key
            for key, parts in document.items()
            if self._differ(told.get(key), parts)
        ]
        self._looked.statistics += len(document)
        if wrong:
            name = (
                "meta/episodes" if self._is_v30 else "meta/episodes_stats.jsonl"
            )
            place = Place(
                file=self._contents.root / name,
                episode=str(episode),
            )
            message = f"the statistics of {', '.join(wrong)} are not those of the rows"
            yield Finding(
                "episode-stats-stale",
                "error",
                message,
                place,
                {"features": wrong},
            )

    def _computed(
        self,
        episode: int,
        table: pa.Table,
        told: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, FeatureStats]:
        computed = {}
        contents = self._contents
        for key, feature in self._numeric.items():
            values = numbers(table, key, feature)
            if key == "timestamp" and self._ours:
                values = np.arange(table.num_rows) / self._contents.info.fps
            if values is not None and len(values):
                stats = FeatureStats.of_rows(values, quantiles=self._is_v30)
                computed[key] = _shaped(stats, feature)
        for key, histogram in self._histograms.of(episode).items():
            if key in told:
                steps = contents.info.features[key].histogram_steps
                computed[key] = FeatureStats.of_histogram(
                    histogram, _count(told[key]), steps
                )
        return computed

    def _differ(
        self, told: Mapping[str, Any] | None, computed: Mapping[str, Any]
    ) -> bool:
        if told is None:
            return self._ours
        spread = np.abs(
            np.asarray(computed["max"], float)
            - np.asarray(computed["min"], float)
        )
        allowed = 0 if self._ours else _TOLERANCE * spread + 1e-5
        names = (*_MOMENTS, *QUANTILES) if self._ours else _MOMENTS
        for name in names:
            if name not in computed:
                continue
            old, new = _array(told.get(name)), np.asarray(computed[name], float)
            if old.size != new.size:
                return True
            apart = np.abs(old.reshape(new.shape) - new)
            if not (apart <= (0 if name == "count" else allowed)).all():
                return True
        return False

    def finish(self, data: list[Path]) -> Iterator[Finding]:
        """Compare the statistics of the dataset with those of all rows.

        Args:
            data: the files that hold the rows, in order.
        """
        if not (self._contents.root / STATS_FILE).exists():
            return
        yield from self._of_v30(data) if self._is_v30 else self._of_groot()

    def _of_v30(self, data: list[Path]) -> Iterator[Finding]:
        path = self._contents.root / STATS_FILE
        try:
            told = read_json(path)
            entries = {key: told[key] for key in self._merged if key in told}
        except (OSError, ValueError, TypeError) as error:
            message = f"stats.json cannot be read: {error}"
            yield Finding("stats-syntax", "error", message, Place(file=path))
            return
        rows = sum(row.length for row in self._contents.episodes)
        if self._ours:
            known = {
                key: feature
                for key, feature in self._numeric.items()
                if key in self._merged
            }
            for key, quantiles in column_quantiles(data, known, rows).items():
                self._merged[key] = replace(
                    self._merged[key], quantiles=quantiles
                )
        document = stats_document(self._merged, quantiles=self._ours)
        wrong = [
            key
            for key in document
            if self._differ(entries.get(key), document[key])
        ]
        self._looked.statistics += len(document)
        if wrong:
            message = (
                f"stats.json is not of these rows: {', '.join(sorted(wrong))}"
            )
            yield Finding(
                "stats-stale",
                "error",
                message,
                Place(file=path),
                {"features": wrong},
            )

    def _of_groot(self) -> Iterator[Finding]:
        """GR00T's statistics, as its preflight sees them."""
        found: list[Finding] = []
        meta = read_meta(self._contents.root, found)
        # what modality.json lacks has a finding of its own
        if meta is None or meta.modality is None:
            return
        rows = read_rows(meta, float_columns(meta), found)
        try:
            choice = default_choice(meta)
        except PiperlineError:
            return
        self._looked.statistics += len(float_columns(meta))
        subject = Subject(meta, rows, choice, target(DEFAULT_VERSION), Launch())
        yield from (
            finding
            for finding in check_stats(subject)
            if finding.code in _STALE
        )


def _count(told: Mapping[str, Any]) -> int:
    """From how many frames statistics are said to be; 0 where that is no number."""
    count = _array(told.get("count")).reshape(-1)
    return int(count[0]) if len(count) and np.isfinite(count[0]) else 0


def _array(value: object) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)


def _shaped(stats: FeatureStats, feature: Feature) -> FeatureStats:
    if len(feature.shape) == 1:
        return stats
    parts = {
        name: getattr(stats, name).reshape(feature.shape)
        for name in _MOMENTS[:-1]
    }
    return replace(stats, **parts)

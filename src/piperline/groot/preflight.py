"""Preflight: everything that can be seen from the data before a GPU is rented."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from piperline.errors import PiperlineError, Place
from piperline.finding import Finding, command, fails
from piperline.groot.checks import bookkeeping
from piperline.groot.checks.inputs import Subject
from piperline.groot.checks.modality import (
    check_choice,
    check_modality,
    check_target,
)
from piperline.groot.checks.motion import check_motion, check_rotations
from piperline.groot.checks.reviewed import check_reviewed, unexplained
from piperline.groot.checks.rows import (
    check_language,
    check_lengths,
    check_numbers,
    check_widths,
    language_column,
    used_columns,
)
from piperline.groot.checks.sampling import (
    TrainingForecast,
    check_arithmetic,
    check_writable,
    forecast,
)
from piperline.groot.checks.stats import check_stats
from piperline.groot.checks.videos import check_headers, check_images
from piperline.groot.loader import Meta, read_meta, read_rows
from piperline.groot.modality import MODALITY_FILE
from piperline.groot.modality_config import Choice, default_choice, read_choice
from piperline.groot.settings import Launch
from piperline.groot.stats import float_columns
from piperline.groot.versions import DEFAULT_HORIZON, DEFAULT_VERSION, target

Check = Callable[[Subject], Iterator[Finding]]
TABLE_CHECKS: tuple[Check, ...] = (
    check_lengths,
    check_language,
    check_numbers,
    bookkeeping.check_frame_index,
    bookkeeping.check_timestamps,
    bookkeeping.check_episode_tasks,
    check_arithmetic,
    check_writable,
)
GROUP_CHECKS: tuple[Check, ...] = (
    check_reviewed,
    check_motion,
    check_rotations,
    check_stats,
)
"""Of use only where groups and rows are right: otherwise they would find the same fault again."""
VIDEO_CHECKS: tuple[Check, ...] = (check_headers, check_images)


@dataclass(frozen=True)
class PreflightReport:
    """What a preflight found.

    Attributes:
        findings: errors first.
        forecast: what training will take; None where the dataset could not be read.
    """

    findings: tuple[Finding, ...]
    forecast: TrainingForecast | None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        findings = [finding.document() for finding in self.findings]
        forecast = self.forecast.document() if self.forecast else None
        return {"findings": findings, "forecast": forecast}


def preflight(
    root: Path,
    *,
    version: str = DEFAULT_VERSION,
    horizon: int | None = None,
    config: Path | None = None,
    launch: Launch | None = None,
    videos: bool = True,
) -> PreflightReport:
    """Check a dataset for a training run with GR00T.

    Args:
        root: the dataset folder.
        version: of GR00T.
        horizon: steps of an action chunk; None: those of `config`, or 16.
        config: a modality config `.py`, which is executed; None: what `groot config` would write.
        launch: the settings of the run.
        videos: also open every video and decode frames of some.
    """
    found: list[Finding] = []
    goal = target(version)
    meta = read_meta(root, found)
    choice = _choice(meta, config, horizon, found) if meta else None
    if meta is None or choice is None:
        return PreflightReport(tuple(found), None)
    place = Place(file=config or meta.root / MODALITY_FILE)
    found += [
        *check_choice(meta, choice, place),
        *check_target(meta, choice, goal),
    ]
    columns = [
        *float_columns(meta),
        *used_columns(meta, choice),
        *filter(None, [language_column(meta, choice)]),
        *bookkeeping.COLUMNS,
    ]
    subject = Subject(
        meta,
        read_rows(meta, dict.fromkeys(columns), found),
        choice,
        goal,
        launch or Launch(),
    )
    found += check_widths(subject)
    groups = () if fails(found, "error") else GROUP_CHECKS
    for check in (*TABLE_CHECKS, *groups, *(VIDEO_CHECKS if videos else ())):
        found += check(subject)
    found = unexplained(subject, found)
    found.sort(key=lambda finding: finding.severity)
    return PreflightReport(tuple(_grouped(found)), forecast(subject))


def _grouped(found: Sequence[Finding]) -> list[Finding]:
    """One finding for each cause, camera and dimension, with the episodes that have it.

    A camera that was covered all day is one mistake, not one for each episode.
    """
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for number, finding in enumerate(found):
        place = finding.place
        key: tuple[str, ...] = (str(number),)
        if place and place.episode:
            dimensions = finding.numbers.get("dimensions", ())
            key = (finding.code, place.camera or "", *dimensions)
        groups.setdefault(key, []).append(finding)
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Finding]) -> Finding:
    first = group[0]
    if len(group) == 1:
        return first
    episodes = [
        str(finding.place.episode) for finding in group if finding.place
    ]
    others = len({*episodes}) - 1
    if not others:
        message = f"{first.message} (and {len(group) - 1} times more)"
    else:
        message = f"{first.message} (and in {others} more episodes)"
    return replace(
        first, message=message, numbers={**first.numbers, "episodes": episodes}
    )


def _choice(
    meta: Meta, config: Path | None, horizon: int | None, found: list[Finding]
) -> Choice | None:
    """What training is to use; None, with a finding, where that cannot be said."""
    remedy = command("piperline", "groot", "config", meta.root)
    if meta.modality is None:
        message = "meta/modality.json is missing: GR00T does not know which dimensions are an arm"
        found.append(
            Finding(
                "modality-missing",
                "error",
                message,
                Place(file=meta.root / MODALITY_FILE),
                {},
                remedy,
            )
        )
        return None
    found += check_modality(meta)
    if any(finding.code == "modality-syntax" for finding in found):
        return None
    try:
        steps = DEFAULT_HORIZON if horizon is None else horizon
        return (
            read_choice(config)
            if config
            else default_choice(meta, horizon=steps)
        )
    except PiperlineError as error:
        message = (
            f"{error.message}: {error.found}" if error.found else error.message
        )
        found.append(
            Finding(
                "config-broken",
                "error",
                message,
                error.place,
                {},
                error.next_step,
            )
        )
        return None

"""What can be done about findings, as edits of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piperline.finding import Finding
from piperline.plan import EpisodeEdit
from piperline.signals.episode import EpisodeSignals

SURE_TO_DROP = frozenset(
    {
        "cameras-same",
        "camera-frozen",
        "dropout",
        "episode-twice",
        "label-failure",
        "no-motion",
        "not-following",
        "picture-black",
        "picture-damaged",
        "pictures-of-another",
        "pictures-unrelated",
        "too-short",
    }
)
"""Codes whose episodes are surely worth nothing."""

PERHAPS_TO_DROP = frozenset(
    {
        "action-late",
        "arm-of-camera",
        "arms-exchanged",
        "beyond-limits",
        "camera-exchanged",
        "camera-slow",
        "camera-still",
        "coarse",
        "colour-cast",
        "dimension-still",
        "ends-elsewhere",
        "home-apart",
        "no-command",
        "no-grip",
        "other-speed",
        "picture-blurred",
        "picture-compressed",
        "picture-covered",
        "picture-dark",
        "picture-grey",
        "picture-overexposed",
        "picture-size",
        "picture-torn",
        "pictures-drift",
        "pictures-late",
        "rows-doubled",
        "rows-held",
        "rows-slow",
        "saturated",
        "sign-apart",
        "spike",
        "time-jump",
        "view-moved",
        "view-turned",
        "wrap",
        "zero-apart",
        "action-delta",
        "action-inverted",
        "action-units",
    }
)

_NEW_TEXT = {"text-variant": True, "text-typo": False, "text-motion": False}
"""Codes whose findings propose an instruction, and whether it is certain."""

_WITHOUT_TEXT = ("text-empty", "text-placeholder")
_UNWRITTEN = "WRITE THE INSTRUCTION HERE"


def propose(
    findings: Sequence[Finding],
    episodes: Sequence[EpisodeSignals],
    made_of: Mapping[int, tuple[str, str]],
) -> list[EpisodeEdit]:
    """The edits of a plan: for each episode a certain one, or a doubtful one for each finding.

    Args:
        findings: of a review.
        episodes: that were reviewed.
        made_of: address and fingerprint of each, by the episode's number.
    """
    by_index = {episode.index: episode for episode in episodes}
    certain: dict[int, EpisodeEdit] = {}
    doubtful: dict[tuple[int, str], EpisodeEdit] = {}
    for finding in findings:
        for index in finding.numbers.get("episodes", by_index):
            where = EpisodeEdit(
                *made_of[index], reason=finding.message, finding=finding.code
            )
            edit = _edit(finding, by_index[index], where)
            if edit is None:
                continue
            if edit.certain:
                certain[index] = _joined(certain.get(index), edit)
            else:
                doubtful.setdefault((index, finding.code), edit)
    edits = {(index, ""): edit for index, edit in certain.items()}
    edits |= {
        key: edit
        for key, edit in doubtful.items()
        if not _dropped(certain.get(key[0]))
    }
    return [edits[key] for key in sorted(edits)]


def cameras_to_drop(findings: Sequence[Finding]) -> dict[str, str]:
    """Cameras that are bad in all recordings, and why."""
    return {
        finding.place.camera: f"{finding.message} [{finding.code}]"
        for finding in findings
        if finding.place
        and finding.place.camera
        and finding.numbers["scope"] == "all"
    }


def _dropped(edit: EpisodeEdit | None) -> bool:
    return edit is not None and edit.drop


def _edit(
    finding: Finding, episode: EpisodeSignals, where: EpisodeEdit
) -> EpisodeEdit | None:
    """What a finding proposes for an episode."""
    code, numbers = finding.code, finding.numbers
    camera = finding.place.camera if finding.place else None
    if code in SURE_TO_DROP | PERHAPS_TO_DROP:
        return replace(
            where,
            drop=True,
            certain=code in SURE_TO_DROP and numbers["scope"] != "all",
        )
    if code in {"idle-start", "idle-end", "first-frame"}:
        start, stop = numbers.get("keep", (1, len(episode)))
        return replace(where, trim=(int(start), int(stop)))
    if code in _NEW_TEXT:
        return replace(
            where,
            instruction=str(numbers["instruction"]),
            certain=_NEW_TEXT[code],
        )
    if code in _WITHOUT_TEXT:
        return replace(where, instruction=_UNWRITTEN, certain=False)
    if code != "colour-red-blue" or camera is None or not where.made_of:
        return None  # the videos of a dataset are encoded: its recordings are converted again
    return replace(where, swap_red_blue=(camera,))


def _joined(one: EpisodeEdit | None, other: EpisodeEdit) -> EpisodeEdit:
    """Two certain edits of one episode as one: trims keep what both keep, a drop needs no other."""
    if one is None or one.drop or other.drop:
        return one if one is not None and one.drop else other
    trim = one.trim or other.trim
    if one.trim and other.trim:
        ends = [end for _, end in (one.trim, other.trim) if end is not None]
        trim = (
            max(
                one.trim[0],
                other.trim[0],
            ),
            min(ends),
        )
    return replace(
        one,
        trim=trim,
        instruction=one.instruction or other.instruction,
        swap_red_blue=tuple(
            dict.fromkeys((*one.swap_red_blue, *other.swap_red_blue))
        ),
        reason=f"{one.reason}; {other.reason}",
        finding=f"{one.finding}, {other.finding}",
    )

"""What can be done about findings, as edits of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piperline.edits.document import Proposal
from piperline.edits.numbers import Moment
from piperline.edits.plan import EpisodeEdit
from piperline.finding import Finding
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
) -> list[Proposal]:
    """The edits of a plan: for each episode a certain one, or a doubtful one for each finding.

    Args:
        findings: of a review.
        episodes: that were reviewed.
        made_of: address and fingerprint of each, by the episode's number.
    """
    by_index = {episode.index: episode for episode in episodes}
    certain: dict[int, Proposal] = {}
    doubtful: dict[tuple[int, str], Proposal] = {}
    for finding in findings:
        for index in finding.numbers.get("episodes", by_index):
            proposal = _proposal(finding, by_index[index], *made_of[index])
            if proposal is None:
                continue
            if proposal.certain:
                certain[index] = _joined(certain.get(index), proposal)
            else:
                doubtful.setdefault((index, finding.code), proposal)
    found = {(index, ""): proposal for index, proposal in certain.items()}
    found |= {
        key: proposal
        for key, proposal in doubtful.items()
        if not _dropped(certain.get(key[0]))
    }
    return [found[key] for key in sorted(found)]


def cameras_to_drop(findings: Sequence[Finding]) -> dict[str, str]:
    """Cameras that are bad in all recordings, and why."""
    return {
        finding.place.camera: f"{finding.message} [{finding.code}]"
        for finding in findings
        if finding.place
        and finding.place.camera
        and finding.numbers["scope"] == "all"
    }


def _dropped(proposal: Proposal | None) -> bool:
    return proposal is not None and proposal.edit.drop


def _proposal(
    finding: Finding, episode: EpisodeSignals, where: str, made_of: str
) -> Proposal | None:
    """What a finding proposes for an episode."""
    code, numbers = finding.code, finding.numbers
    camera = finding.place.camera if finding.place else None
    numbered = where.isdecimal()  # of a dataset: recordings are named
    noted = EpisodeEdit(
        made_of=made_of, reason=finding.message, finding=finding.code
    )
    certain = True
    if code in SURE_TO_DROP | PERHAPS_TO_DROP:
        edit = replace(noted, drop=True)
        certain = code in SURE_TO_DROP and numbers["scope"] != "all"
    elif code in {"idle-start", "idle-end", "first-frame"}:
        start, stop = numbers.get("keep", (1, len(episode)))
        edit = replace(noted, start=Moment(int(start)), stop=Moment(int(stop)))
    elif code in _NEW_TEXT:
        edit = replace(noted, instruction=str(numbers["instruction"]))
        certain = _NEW_TEXT[code]
    elif code in _WITHOUT_TEXT:
        edit, certain = replace(noted, instruction=_UNWRITTEN), False
    elif code == "colour-red-blue" and camera is not None and not numbered:
        edit = replace(noted, swap_red_blue=(camera,))
    else:
        return None  # the videos of a dataset are encoded: its recordings are converted again
    return Proposal(int(where) if numbered else where, edit, certain)


def _joined(one: Proposal | None, other: Proposal) -> Proposal:
    """Two certain edits of one episode as one: trims keep what both keep, a drop needs no other."""
    if one is None or one.edit.drop or other.edit.drop:
        return one if one is not None and one.edit.drop else other
    return replace(one, edit=_both(one.edit, other.edit))


def _both(one: EpisodeEdit, other: EpisodeEdit) -> EpisodeEdit:
    starts = [edit.start for edit in (one, other) if edit.start]
    stops = [edit.stop for edit in (one, other) if edit.stop]
    return replace(
        one,
        start=max(starts, key=lambda start: start.value, default=None),
        stop=min(stops, key=lambda stop: stop.value, default=None),
        instruction=one.instruction or other.instruction,
        swap_red_blue=tuple(
            dict.fromkeys((*one.swap_red_blue, *other.swap_red_blue))
        ),
        reason=f"{one.reason}; {other.reason}",
        finding=f"{one.finding}, {other.finding}",
    )

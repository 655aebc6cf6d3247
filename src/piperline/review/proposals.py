"""What can be done about findings, as entries of a plan."""

from collections.abc import Iterator, Mapping, Sequence

from piperline.finding import Finding
from piperline.plan import Entry
from piperline.signals.episode import EpisodeSignals

SURE_TO_DROP = frozenset(
    {
        "cameras-same", "camera-frozen", "dropout", "episode-twice", "label-failure", "no-motion", "not-following",
        "picture-black", "picture-damaged", "pictures-of-another", "pictures-unrelated", "too-short",
    }
)  # fmt: skip
"""Codes whose episodes are surely worth nothing."""

PERHAPS_TO_DROP = frozenset(
    {
        "action-late", "arm-of-camera", "arms-exchanged", "beyond-limits", "camera-exchanged", "camera-slow",
        "camera-still", "coarse", "colour-cast", "dimension-still", "ends-elsewhere", "home-apart", "no-command",
        "no-grip", "other-speed", "picture-blurred", "picture-compressed", "picture-covered", "picture-dark",
        "picture-grey", "picture-overexposed", "picture-size", "picture-torn", "pictures-drift", "pictures-late",
        "rows-doubled", "rows-held", "rows-slow", "saturated", "sign-apart", "spike", "time-jump", "view-moved",
        "view-turned", "wrap", "zero-apart", "action-delta", "action-inverted", "action-units",
    }
)  # fmt: skip

_NEW_TEXT = {"text-variant": True, "text-typo": False, "text-motion": False}
"""Codes whose findings propose an instruction, and whether it is certain."""

_WITHOUT_TEXT = ("text-empty", "text-placeholder")
_UNWRITTEN = "WRITE THE INSTRUCTION HERE"


def propose(
    findings: Sequence[Finding], episodes: Sequence[EpisodeSignals], sources: Mapping[int, str]
) -> list[Entry]:
    """The entries of a plan: certain ones first of each kind; of one episode a kind is certain once only.

    Args:
        findings: of a review.
        episodes: that were reviewed.
        sources: the recording of each, as it is told from others, by the episode's number.
    """
    by_index = {episode.index: episode for episode in episodes}
    entries = [
        entry
        for finding in findings
        for index in finding.numbers.get("episodes", by_index)
        for entry in _entries(finding, by_index[index], sources[index])
    ]
    return _once(_trims_joined(entries))


def _entries(finding: Finding, episode: EpisodeSignals, source: str) -> Iterator[Entry]:
    code, where = finding.code, (source, episode.name, episode.key)
    reason = f"{finding.message} [{code}]"
    everywhere = finding.numbers["scope"] == "all"
    if code in SURE_TO_DROP | PERHAPS_TO_DROP:
        camera = finding.place.camera if finding.place else None
        yield Entry("drop", *where, reason=reason, certain=code in SURE_TO_DROP and not everywhere)
        if camera and everywhere:
            yield Entry("without_camera", camera=camera, reason=reason, certain=False)
    if code in {"idle-start", "idle-end"}:
        first, end = finding.numbers["keep"]
        yield Entry("trim", *where, keep=(first, end), reason=reason)
    if code == "first-frame":
        yield Entry("trim", *where, keep=(1, len(episode)), reason=reason)
    if code in _NEW_TEXT:
        yield Entry(
            "instruction", *where, text=finding.numbers["instruction"], reason=reason, certain=_NEW_TEXT[code]
        )
    if code in _WITHOUT_TEXT:
        yield Entry("instruction", *where, text=_UNWRITTEN, reason=reason, certain=False)
    if code == "colour-red-blue" and finding.place and finding.place.camera:
        yield Entry("color", *where, camera=finding.place.camera, reason=reason)


def _trims_joined(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The trims of one episode as one: what all of them keep."""
    trims: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind != "trim" or entry.keep is None:
            yield entry
            continue
        known = trims.get(entry.key)
        if known is None or known.keep is None:
            trims[entry.key] = entry
            continue
        keep = max(known.keep[0], entry.keep[0]), min(known.keep[1], entry.keep[1])
        trims[entry.key] = Entry(
            "trim", entry.file, entry.episode, entry.key, keep=keep, reason=f"{known.reason}; {entry.reason}"
        )
    yield from (entry for entry in trims.values() if entry.keep and entry.keep[0] < entry.keep[1])


def _once(entries: Iterator[Entry]) -> list[Entry]:
    """Of the entries that do the same to the same episode the first certain one, else the first."""
    found: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        key = (entry.kind, entry.file, entry.episode, entry.camera, "" if entry.certain else entry.reason)
        found.setdefault(key, entry)
    certain = {(e.kind, e.file, e.episode, e.camera) for e in found.values() if e.certain}
    return [
        entry
        for entry in found.values()
        if entry.certain or (entry.kind, entry.file, entry.episode, entry.camera) not in certain
    ]

"""Instructions: empty ones, variants, placeholders, and those that do not fit the motion."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from piperline.detectors.fault import Fault, fault
from piperline.signals.collection import Collection
from piperline.signals.episode import EpisodeSignals
from piperline.signals.robust import smooth

Floats = NDArray[np.float64]

_PLACEHOLDER = re.compile(
    r"\W*(test\w*|task[\W_]*\d*|todo|tbd|none|null|n/?a|unknown|default|untitled|instruction\w*|foo|bar|asdf\w*"
    r"|xxx+|abc|episode[\W_]*\d*|demo[\W_]*\d*|prompt|\d*)\W*",
    re.IGNORECASE,
)
_POINTS, _REACH = 24, 6
_MOST_OF_A_TEXT = 8
_MOST_TEXTS = 60
_SCRIPTS = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}
"""Scripts that are told as another one, by the first word of Unicode's names of letters."""
_NEAR, _NEAR_WORD = 0.88, 0.7


def find_texts(collection: Collection) -> Iterator[Fault]:
    """All faults of this module."""
    texts: dict[str, list[EpisodeSignals]] = {}
    for episode in collection.episodes:
        texts.setdefault(episode.instruction, []).append(episode)
    empty = [
        e
        for text, episodes in texts.items()
        if not text.strip()
        for e in episodes
    ]
    yield from fault(
        "text-empty", "error", empty, "the episode has no instruction"
    )
    told = {text: episodes for text, episodes in texts.items() if text.strip()}
    groups: dict[str, list[str]] = {}
    for text in told:
        groups.setdefault(canonical(text), []).append(text)
    yield from _placeholders(told)
    yield from _variants(told, groups)
    yield from _typos(told, groups)
    yield from _languages(told)
    yield from _motions(collection, told, groups)


def canonical(text: str) -> str:
    """A text without what does not matter: case, spaces, punctuation, forms of characters."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", " ", plain).strip()


def _short(text: str) -> str:
    most = 60
    return repr(text if len(text) <= most else text[:most] + "...")


def _placeholders(
    told: Mapping[str, Sequence[EpisodeSignals]],
) -> Iterator[Fault]:
    for text, episodes in told.items():
        if _PLACEHOLDER.fullmatch(text):
            message = (
                f"the instruction {_short(text)} says nothing: a placeholder"
            )
            yield from fault("text-placeholder", "error", episodes, message)


def _variants(
    told: Mapping[str, Sequence[EpisodeSignals]],
    groups: Mapping[str, Sequence[str]],
) -> Iterator[Fault]:
    for texts in groups.values():
        usual = max(
            texts,
            key=lambda text: (len(told[text]), text == text.strip(), text),
        )
        for text in texts:
            if text != usual:
                message = (
                    f"the instruction {_short(text)} differs from {_short(usual)} in "
                    "case, spaces or punctuation only"
                )
                yield from fault(
                    "text-variant",
                    "warning",
                    told[text],
                    message,
                    instruction=usual,
                )


def _typos(
    told: Mapping[str, Sequence[EpisodeSignals]],
    groups: Mapping[str, Sequence[str]],
) -> Iterator[Fault]:
    """Texts that differ from a commoner one by a misspelt word.

    The rarer text is the one with the rarer word.
    """
    counts = {
        key: sum(len(told[text]) for text in texts)
        for key, texts in groups.items()
    }
    words: dict[str, int] = {}
    for key in groups:
        for word in set(key.split()):
            words[word] = words.get(word, 0) + counts[key]
    for first, second in combinations(
        sorted(groups)[: _MOST_TEXTS * 10],
        2,
    ):
        if abs(len(first) - len(second)) > 3 or not _nearly(first, second):
            continue
        rare, usual = sorted(
            (first, second), key=lambda key: (_rarity(key, words), counts[key])
        )
        if counts[rare] > counts[usual]:
            continue
        text, other = (
            groups[rare][0],
            max(groups[usual], key=lambda t: len(told[t])),
        )
        message = (
            f"the instruction {_short(text)} is nearly {_short(other)}: a typo"
        )
        episodes = [e for t in groups[rare] for e in told[t]]
        yield from fault(
            "text-typo", "warning", episodes, message, instruction=other
        )


def _rarity(key: str, words: Mapping[str, int]) -> int:
    return min(words[word] for word in key.split())


def _nearly(first: str, second: str) -> bool:
    """Whether two texts differ by single letters of a word, and not by a number or a whole word."""
    if set(re.findall(r"\d+", first)) != set(re.findall(r"\d+", second)):
        return False
    if SequenceMatcher(None, first, second).ratio() < _NEAR:
        return False
    own, other = first.split(), second.split()
    if first.replace(" ", "") == second.replace(" ", ""):
        return True
    if len(own) != len(other):
        return False
    unlike = [
        (a, b)
        for a, b in zip(
            own,
            other,
            strict=True,
        )
        if a != b
    ]
    return len(unlike) == 1 and _misspelt(*unlike[0])


def _misspelt(first: str, second: str) -> bool:
    longest = max(len(first), len(second))
    if (
        min(
            len(first),
            len(second),
        )
        < 3
        or abs(len(first) - len(second)) > 2
    ):
        return False
    if {first, second} in (
        {"left", "lift"},
        {"cup", "cap"},
        {"in", "on"},
    ) or first.rstrip("s") == second.rstrip("s"):
        return False
    edits = _edits(first, second)
    return (edits == 1 and longest >= 4) or (edits == 2 and longest >= 6)


def _edits(first: str, second: str) -> int:
    """How many letters must be changed, added, removed or exchanged with the next (Damerau)."""
    rows = [list(range(len(second) + 1))]
    for i, a in enumerate(first, 1):
        row = [i]
        for k, b in enumerate(second, 1):
            best = min(
                rows[-1][k] + 1,
                row[-1] + 1,
                rows[-1][k - 1] + (a != b),
            )
            if i > 1 and k > 1 and a == second[k - 2] and first[i - 2] == b:
                best = min(best, rows[-2][k - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def _languages(told: Mapping[str, Sequence[EpisodeSignals]]) -> Iterator[Fault]:
    scripts: dict[str, list[str]] = {}
    for text in told:
        scripts.setdefault(_script(text), []).append(text)
    scripts.pop("", None)
    if len(scripts) < 2:
        return
    counts = {
        name: sum(len(told[t]) for t in texts)
        for name, texts in scripts.items()
    }
    usual = max(counts, key=lambda name: counts[name])
    for name, texts in scripts.items():
        if name != usual and counts[name] < 0.3 * sum(counts.values()):
            message = f"the instruction {_short(texts[0])} is in another script than the others"
            yield from fault(
                "text-language",
                "warning",
                [e for t in texts for e in told[t]],
                message,
            )


def _script(text: str) -> str:
    """The script of most letters of a text."""
    names = [unicodedata.name(c, "").split()[0] for c in text if c.isalpha()]
    names = [_SCRIPTS.get(name, name) for name in names if name]
    return max(set(names), key=names.count) if names else ""


# --- the text against the motion -----------------------------------------------------------------


def _motions(
    collection: Collection,
    told: Mapping[str, Sequence[EpisodeSignals]],
    groups: Mapping[str, Sequence[str]],
) -> Iterator[Fault]:
    """Episodes that move as those of another text do, and not as those of their own."""
    if not collection.compares_episodes or len(groups) < 2:
        return
    members = {
        key: [e for t in texts for e in told[t] if len(e) >= 2 * _POINTS]
        for key, texts in groups.items()
    }
    members = {key: es for key, es in members.items() if es}
    names = sorted(members, key=lambda key: -len(members[key]))[:_MOST_TEXTS]
    shapes = collection.measured(
        partial(_shape, collection), [e for key in names for e in members[key]]
    )
    sample = {
        key: members[key][
            :: max(
                1,
                len(members[key]) // _MOST_OF_A_TEXT,
            )
        ]
        for key in names
    }
    for key in names:
        moves_as = collection.measured(
            partial(_moves_as, own=key, sample=sample, shapes=shapes),
            members[key],
        )
        for episode in members[key]:
            other = moves_as[episode.index]
            if other is not None:
                usual = max(groups[other], key=lambda t: len(told[t]))
                message = (
                    f"the robot moves as in {_short(usual)}, the instruction is "
                    f"{_short(episode.instruction)}"
                )
                yield from fault(
                    "text-motion", "error", episode, message, instruction=usual
                )


def _moves_as(
    episode: EpisodeSignals,
    own: str,
    sample: Mapping[str, Sequence[EpisodeSignals]],
    shapes: Mapping[int, Floats],
) -> str | None:
    compared = {
        key: episodes
        for key, episodes in sample.items()
        if key == own or len(episodes) >= 2
    }
    distances = _distances(episode, compared, shapes)
    mine = distances.pop(own)
    if len(mine) == 0:
        return None
    level = 0.7 * min(
        float(np.median(mine)),
        float(mine.min()) / 0.95,
    )
    for key, theirs in distances.items():
        if np.median(theirs) < level:
            return key
    return None


def _distances(
    episode: EpisodeSignals,
    sample: Mapping[str, Sequence[EpisodeSignals]],
    shapes: Mapping[int, Floats],
) -> dict[str, Floats]:
    """How unlike the motion of an episode is that of others, by text.

    Of each text float64 (episodes less itself,).
    """
    others = {
        key: [shapes[e.index] for e in episodes if e.index != episode.index]
        for key, episodes in sample.items()
    }
    ends = np.cumsum([len(theirs) for theirs in others.values()])
    if not ends[-1]:
        return dict.fromkeys(others, np.empty(0))
    motions = np.concatenate([m for m in others.values() if m])
    parts = np.split(_warped(shapes[episode.index], motions), ends[:-1])
    return dict(zip(others, parts, strict=True))


def _shape(collection: Collection, episode: EpisodeSignals) -> Floats:
    """The motion of an episode from its first movement to its last, float64 (_POINTS, D)."""
    state = collection.state(episode)
    speed = smooth(collection.travelled(episode), 5)
    moving = np.flatnonzero(speed > 0.1 * np.percentile(speed, 95))
    start, stop = (
        (int(moving[0]), int(moving[-1]) + 2)
        if len(moving) > _POINTS
        else (0, len(state))
    )
    rows = np.linspace(
        start,
        min(stop, len(state)) - 1,
        _POINTS,
    ).astype(int)
    scale = np.maximum(collection.scale, 1e-3 * collection.unit)
    gone = state[rows] - np.median(
        state[:5],
        axis=0,
    )
    shape: Floats = np.clip(gone / scale, -2, 2)
    return shape


def _warped(own: Floats, others: Floats) -> Floats:
    """Dynamic time warping of one motion against N others, in a band: float64 (N,)."""
    count = len(others)
    cost = np.abs(own[None, :, None] - others[:, None]).mean(axis=3)
    total = np.full(
        (count, _POINTS + 1, _POINTS + 1),
        np.inf,
    )
    total[:, 0, 0] = 0
    for i in range(_POINTS):
        for k in range(
            max(0, i - _REACH),
            min(_POINTS, i + _REACH + 1),
        ):
            before = np.minimum(
                np.minimum(
                    total[:, i, k + 1],
                    total[:, i + 1, k],
                ),
                total[:, i, k],
            )
            total[:, i + 1, k + 1] = cost[:, i, k] + before
    return total[:, -1, -1] / _POINTS

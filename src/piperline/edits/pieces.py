"""Which pieces of which episodes a plan leaves, in the order of the new dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from piperline.edits.plan import (
    EditPlan,
    EpisodeEdit,
    address,
    joined_edits,
)
from piperline.episode import Clip
from piperline.errors import UsageError
from piperline.text import plural, printable

_SHOWN = 10


@dataclass(frozen=True)
class KnownEpisode:
    """An episode as a plan addresses it.

    Attributes:
        length: how many frames.
        source: the recording that it is of, as `FOLDER/FILE`; empty where that is not known.
        name: its name there.
    """

    length: int
    source: str = ""
    name: str = ""

    @property
    def addresses(self) -> set[str]:
        """How a plan may name it: with the folder of its recording, and without."""
        if not self.source:
            return set()
        file = self.source.rpartition("/")[2]
        return {address(self.source, self.name), address(file, self.name)}


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of an episode that become an episode.

    Attributes:
        index: the episode's number.
        start, stop: its frames, half-open.
        whole: whether these are all of its frames.
        instruction: its new instruction; None keeps the recorded one.
    """

    index: int
    start: int
    stop: int
    whole: bool
    instruction: str | None = None

    def span(self, clip: Clip) -> Clip:
        """The span of the episode's video that it takes."""
        if self.whole:
            return clip
        count = self.stop - self.start
        return replace(
            clip,
            first=clip.first + self.start,
            count=count,
            whole=False,
            proof=None,
        )


@dataclass(frozen=True)
class Fit:
    """A plan that fits some episodes.

    Attributes:
        pieces: what it leaves of them, in order.
        edits: what it does to each, by the episode's number; those that stay as they are, are not
            among them.
    """

    pieces: tuple[Piece, ...]
    edits: Mapping[int, EpisodeEdit]


def fit(
    plan: EditPlan,
    episodes: Sequence[KnownEpisode],
    *,
    fps: int,
    ignore_unknown: bool = False,
) -> Fit:
    """Find out what a plan leaves of the episodes.

    Args:
        plan: what is to be done.
        episodes: all episodes, in their order.
        fps: frames a second, for times in seconds.
        ignore_unknown: pass over addresses of no episode: it may have gone since the plan was made.

    Raises:
        UsageError: the plan names episodes that are not there, leaves nothing of one, or cuts
            outside of one. All that is wrong is told at once.
    """
    problems: list[str] = []
    edits = _edits_by_index(
        plan, episodes, problems, ignore_unknown=ignore_unknown
    )
    pieces: list[Piece] = []
    for index, episode in enumerate(episodes):
        edit = edits.get(index, EpisodeEdit())
        if not edit.drop:
            pieces += _pieces(index, episode, edit, fps, problems)
    if problems:
        raise _all(problems, episodes)
    if not pieces:
        raise UsageError(
            "the plan leaves no episode",
            expected="an episode that is kept",
            found=f"{plural(len(episodes), 'episode')}, all dropped",
            next_step="keep at least one",
        )
    return Fit(tuple(pieces), edits)


def _edits_by_index(
    plan: EditPlan,
    episodes: Sequence[KnownEpisode],
    problems: list[str],
    *,
    ignore_unknown: bool,
) -> dict[int, EpisodeEdit]:
    by_source = _indices_by_source(episodes)
    edits: dict[int, EpisodeEdit] = {}

    def index_of(name: int | str) -> int | None:
        found = _index(name, len(episodes), by_source)
        if isinstance(found, int):
            return found
        if not (ignore_unknown and found.startswith("there is no")):
            problems.append(found)
        return None

    for name, edit in plan.episodes.items():
        index = index_of(name)
        if index is None:
            continue
        known = edits.get(index)
        try:
            edits[index] = (
                edit if known is None else joined_edits(name, known, edit)
            )
        except UsageError as error:
            problems.append(f"{error.message}: {error.found}")
    if plan.keep is not None:
        _keep_only(
            {index_of(name) for name in plan.keep},
            edits,
            len(episodes),
            problems,
        )
    return edits


def _keep_only(
    kept: set[int | None],
    edits: dict[int, EpisodeEdit],
    count: int,
    problems: list[str],
) -> None:
    for index in range(count):
        if index in kept:
            if index in edits and edits[index].drop:
                problems.append(
                    f"episode {index} is to be kept, and to be dropped"
                )
        elif index in edits and not edits[index].drop:
            problems.append(
                f"episode {index} is changed, but not among those that are kept"
            )
        else:
            edits[index] = EpisodeEdit(drop=True)


def _indices_by_source(
    episodes: Sequence[KnownEpisode],
) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, episode in enumerate(episodes):
        for name in episode.addresses:
            found.setdefault(name, []).append(index)
    return found


def _index(
    given: int | str, count: int, by_source: Mapping[str, list[int]]
) -> int | str:
    """The number of an episode, or what is wrong with its address."""
    if isinstance(given, int):
        return given if given < count else f"there is no episode {given}"
    indices = by_source.get(given, [])
    if len(indices) == 1:
        return indices[0]
    name = printable(given)
    if not indices:
        return f"there is no episode {name}"
    return f"{name} names {len(indices)} episodes: {', '.join(map(str, indices[:_SHOWN]))}"


def _pieces(
    index: int,
    episode: KnownEpisode,
    edit: EpisodeEdit,
    fps: int,
    problems: list[str],
) -> Iterator[Piece]:
    start = edit.start.frame(fps) if edit.start else 0
    stop = (
        min(edit.stop.frame(fps), episode.length)
        if edit.stop
        else episode.length
    )
    if start >= stop:
        problems.append(
            f"episode {index}: nothing is left of its {episode.length} frames by {start}:{stop}"
        )
        return
    cuts = sorted(cut.frame(fps) for cut in edit.cuts)
    outside = [cut for cut in cuts if not start < cut < stop]
    if outside:
        problems.append(
            f"episode {index}: there is nothing to split at frame {outside[0]}"
        )
        return
    bounds = [start, *dict.fromkeys(cuts), stop]
    for first, behind in pairwise(bounds):
        whole = (first, behind) == (0, episode.length)
        yield Piece(index, first, behind, whole, edit.instruction)


def _all(
    problems: Sequence[str], episodes: Sequence[KnownEpisode]
) -> UsageError:
    error = UsageError(
        "the plan does not fit",
        expected=f"episodes from 0 to {len(episodes) - 1}, and frames that they have",
        found=problems[0],
        next_step="mend the plan; nothing was changed",
    )
    if len(problems) > 1:
        more = (
            [f"... and {len(problems) - _SHOWN} more"]
            if len(problems) > _SHOWN
            else []
        )
        error.add_note(
            "\n".join(
                [
                    "and also:",
                    *problems[1:_SHOWN],
                    *more,
                ]
            )
        )
    return error

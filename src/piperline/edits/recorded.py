"""What edits made of recorded episodes: which frames they hold, under which names.

It stands in the record of a dataset (`meta/piperline.json`), in the entry of each episode.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from piperline.edits.schema import SchemaEdit

_NAMED = 3


@dataclass(frozen=True)
class Edited:
    """What was done to an episode after it was recorded, as the dataset's record tells it.

    Attributes:
        first, stop, every: of the recorded frames every n-th of this span; up to the end for None.
        instructions: that it was given; None where it has the recorded one.
        cameras: the recorded feature keys of cameras that have another one now, by that.
        order: by feature key, the recorded offsets of the dimensions in their order now.
        exchanged: names of cameras of which red and blue were put right.
        from_recording: its frames are counted in the recording, not in a dataset of others.
    """

    first: int = 0
    stop: int | None = None
    every: int = 1
    instructions: tuple[str, ...] | None = None
    cameras: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[str, Sequence[int]] = field(default_factory=dict)
    exchanged: frozenset[str] = frozenset()
    from_recording: bool = True

    @property
    def is_cut(self) -> bool:
        """Whether it holds not all of the recorded frames."""
        return bool(self.first or self.stop is not None or self.every > 1)

    def recorded_key(self, key: str) -> str:
        """The key that a camera would have as it was recorded."""
        return self.cameras.get(key, key)


UNEDITED = Edited()


def edits_of(made: Mapping[str, Any], episodes: int) -> list[Edited]:
    """What was done to each of so many episodes.

    Args:
        made: the record; what it does not tell as piperline writes it counts as not done.
        episodes: how many there are.
    """
    entries = made.get("episodes")
    if not isinstance(entries, list) or len(entries) != episodes:
        return [UNEDITED] * episodes
    return [
        edited_of(entry) if isinstance(entry, dict) else UNEDITED
        for entry in entries
    ]


def edited_of(entry: Mapping[str, Any]) -> Edited:
    """What was done to an episode, as its entry in the record tells it."""
    first, stop = 0, None
    frames = entry.get("frames")
    if isinstance(frames, list) and [type(frame) for frame in frames] == [
        int,
        int,
    ]:
        first, stop = max(0, frames[0]), max(0, frames[1])
    changes = entry.get("edited")
    changes = changes if isinstance(changes, dict) else {}
    return Edited(
        first,
        stop,
        _count(entry.get("every")) or 1,
        _texts(changes.get("instructions")),
        _names(changes.get("cameras")),
        _orders(changes.get("order")),
        frozenset(_texts(entry.get("red_and_blue_exchanged")) or ()),
        isinstance(entry.get("source"), str),
    )


def changes_of(
    known: Edited, schema: "SchemaEdit", instructions: Sequence[str] | None
) -> dict[str, Any]:
    """What of an episode is not as it was recorded, beside its frames, after one more edit.

    Args:
        known: what was done to it before.
        schema: what the edit does to features.
        instructions: that the edit gives it; None where it keeps its own.
    """
    changes = {
        "instructions": instructions or known.instructions,
        "cameras": _recorded_names(known.cameras, schema),
        "order": _recorded_order(known.order, schema),
    }
    return {name: change for name, change in changes.items() if change}


def _recorded_names(
    known: Mapping[str, str], schema: "SchemaEdit"
) -> dict[str, str]:
    """The keys under which cameras were recorded, by those that they have now."""
    before = {key: schema.keys[key] for key in schema.schema.cameras}
    recorded = {key: known.get(old, old) for key, old in before.items()}
    return {key: name for key, name in recorded.items() if key != name}


def _recorded_order(
    known: Mapping[str, Sequence[int]], schema: "SchemaEdit"
) -> dict[str, list[int]]:
    """The recorded offsets of dimensions in their order now, by feature key."""
    orders = {key: list(known[key]) for key in known if key in schema.keys}
    for key, order in schema.order.items():
        before = orders.get(key, [])
        if len(before) != len(order):
            before = sorted(order)
        orders[key] = [before[offset] for offset in order]
    return {
        key: order for key, order in orders.items() if order != sorted(order)
    }


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(text for text in value if isinstance(text, str))


def _names(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {new: old for new, old in pairs if isinstance(old, str)}


def _orders(value: object) -> dict[str, list[int]]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {
        key: order
        for key, order in pairs
        if isinstance(order, list) and _is_order(order)
    }


def _is_order(offsets: list[object]) -> bool:
    whole = [offset for offset in offsets if type(offset) is int]
    return sorted(whole) == list(range(len(offsets)))


def told(edits: Sequence[Edited]) -> Iterator[str]:
    """What was done to episodes, one line each kind, for the report."""
    yield from _counted("cut", [edited.is_cut for edited in edits])
    given = [edited.instructions is not None for edited in edits]
    yield from _counted("with another instruction", given)
    exchanged = [bool(edited.exchanged) for edited in edits]
    yield from _counted("with red and blue put right", exchanged)
    renamed = {
        f"{old} is {new} now"
        for edited in edits
        for new, old in edited.cameras.items()
    }
    yield from sorted(renamed)
    ordered = {key for edited in edits for key in edited.order}
    for key in sorted(ordered):
        yield f"the dimensions of {key} are in another order"


def _counted(what: str, which: Sequence[bool]) -> Iterator[str]:
    numbers = [number for number, so in enumerate(which) if so]
    if numbers:
        more = ", ..." if len(numbers) > _NAMED else ""
        listed = ", ".join(map(str, numbers[:_NAMED])) + more
        yield f"{len(numbers)} of {len(which)} episodes {what} ({listed})"

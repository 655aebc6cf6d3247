"""An edit plan: what is to be done to which episodes, and to all of them.

The file that `review` writes, that people edit, and that `convert --plan` and `edit --plan` carry
out:

    keep = [0, "day_1.hdf5:episode_3"]    # if given, all others are left out

    [[episode]]
    episode = "day_1.hdf5:episode_3"      # or its number
    made_of = "5f0c0b8e3a..."             # what was reviewed: other content is refused
    drop = true
    reason = "the episode is there twice"
    finding = "episode-twice"

    [[episode]]
    episode = "day_1.hdf5:episode_4"
    trim = "30:"                          # frames, or seconds: "1s:9.5s"
    split = [120]
    instruction = "put the cup on the tray"
    swap_red_blue = ["mid"]               # of recordings: red and blue are exchanged back
    reason = "stands still for the first second"

    [dataset]
    rename_instructions = { "Put cup" = "put the cup on the tray" }
    drop_cameras = ["mid"]
    rename_cameras = { image_mid = "mid" }
    drop_features = ["observation.effort"]
    rename_dimensions = { "left_joint_1.pos" = "left_waist.pos" }
    reorder_dimensions = { action = ["right_gripper.pos", "left_gripper.pos"] }
    every = 2
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from piperline.edits.numbers import Moment, parse_moment, parse_span
from piperline.errors import BadEpisode, DatasetError, Place, UsageError
from piperline.files import read_plain
from piperline.text import is_utf8, printable

_EPISODE_KEYS = frozenset(
    {
        "episode",
        "made_of",
        "drop",
        "trim",
        "split",
        "instruction",
        "swap_red_blue",
        "reason",
        "finding",
    }
)
_LARGEST_PLAN = 16 * 2**20
"""Bytes: far more than a plan for 100,000 episodes needs."""


@dataclass(frozen=True)
class EpisodeEdit:
    """What is to be done to one episode. Frame numbers are those of the episode as it is now.

    Attributes:
        drop: leave it out.
        start, stop: keep only these frames, half-open; None where nothing is cut off.
        cuts: make several episodes of it; each moment begins a new one.
        instruction: its new instruction.
        swap_red_blue: names of cameras of a recording whose red and blue are exchanged back.
        made_of: `fingerprint` of what was reviewed; empty where nobody looked.
        reason: why, for people.
        finding: the code of what a review found.

    Raises:
        UsageError: the instruction is empty, or not UTF-8.
    """

    drop: bool = False
    start: Moment | None = None
    stop: Moment | None = None
    cuts: tuple[Moment, ...] = ()
    instruction: str | None = None
    swap_red_blue: tuple[str, ...] = ()
    made_of: str = ""
    reason: str = ""
    finding: str = ""

    def __post_init__(self) -> None:
        if self.instruction is not None:
            _check_new_text("an instruction", self.instruction)

    @property
    def keeps_all(self) -> bool:
        """Whether the episode stays one, with all of its frames."""
        return not (self.drop or self.start or self.stop or self.cuts)


@dataclass(frozen=True)
class DatasetEdit:
    """What is to be done to all episodes.

    Attributes:
        rename_instructions: new instructions, by the old ones; equal ones are merged.
        drop_cameras: names of cameras that are left out.
        rename_cameras: new names, by the old ones.
        drop_features: keys of features that are left out.
        rename_dimensions: new names of dimensions, by the old ones, in every vector that has them.
        reorder_dimensions: by feature key: all of its dimensions in their new order.
        every: keep only every n-th frame; the rate becomes fps / n.

    Raises:
        UsageError: a new text is empty, or not UTF-8.
    """

    rename_instructions: Mapping[str, str] = field(default_factory=dict)
    drop_cameras: tuple[str, ...] = ()
    rename_cameras: Mapping[str, str] = field(default_factory=dict)
    drop_features: tuple[str, ...] = ()
    rename_dimensions: Mapping[str, str] = field(default_factory=dict)
    reorder_dimensions: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )
    every: int = 1

    def __post_init__(self) -> None:
        for text in self.rename_instructions.values():
            _check_new_text("an instruction", text)
        for text in self.rename_dimensions.values():
            _check_new_text("the name of a dimension", text)

    def __bool__(self) -> bool:
        return self != DatasetEdit()


def _check_new_text(what: str, text: str) -> None:
    if not text.strip() or not is_utf8(text):
        raise UsageError(
            f"{what} is empty, or not UTF-8",
            expected="words that people read",
            found=printable(text).strip() or "nothing",
            next_step="give it another text; nothing was changed",
        )


@dataclass(frozen=True)
class EditPlan:
    """All that is to be done.

    Attributes:
        episodes: by address: a number in the dataset, or a source (`day_1.hdf5:episode_3`).
        keep: if given, all other episodes are left out.
        dataset: what is done to all of them.
    """

    episodes: Mapping[int | str, EpisodeEdit] = field(default_factory=dict)
    keep: tuple[int | str, ...] | None = None
    dataset: DatasetEdit = field(default=DatasetEdit())

    def __bool__(self) -> bool:
        return bool(self.episodes or self.dataset or self.keep is not None)

    def with_episode(self, address: int | str, edit: EpisodeEdit) -> "EditPlan":
        """The plan with one more edit of an episode.

        Raises:
            UsageError: it contradicts an edit of the same episode.
        """
        known = self.episodes.get(address)
        joined = edit if known is None else joined_edits(address, known, edit)
        return replace(self, episodes={**self.episodes, address: joined})


NO_EDITS = EditPlan()
"""Nothing is to be done."""

_FOR_PEOPLE = {"reason", "finding"}


def address(source: str, name: str) -> str:
    """How a plan names an episode: by its recording, as that is told from others, and its name."""
    return f"{source}:{name}"


def fingerprint(
    source: str,
    size: int,
    mtime_ns: int,
    name: str,
) -> str:
    """What tells whether a recording has changed since.

    Args:
        source: the file as it is told from others.
        size: of the file, in bytes.
        mtime_ns: when the file was changed, in nanoseconds.
        name: of the episode.
    """
    text = json.dumps([source, size, mtime_ns, name])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def refuse_changed(edit: EpisodeEdit, now: str, place: Place) -> None:
    """See that a recording is the one for which an edit was made.

    Args:
        edit: of one of its episodes.
        now: its `fingerprint`.
        place: the recording and the episode.

    Raises:
        BadEpisode: it is another one.
    """
    if edit.made_of and edit.made_of != now:
        raise BadEpisode(
            "the recording has changed since the plan was made",
            place=place,
            expected=f"the file that was reviewed ({edit.made_of})",
            found=f"another size or time of change ({now})",
            next_step="review the recordings again: `piperline review`",
        )


def refuse_other_dataset(edit: EpisodeEdit, now: str, place: Place) -> None:
    """See that a dataset is the one for which an edit was made.

    Args:
        edit: of one of its episodes, which it numbers.
        now: what tells whether the dataset has changed since.
        place: the dataset and the episode.

    Raises:
        DatasetError: it is another one.
    """
    if edit.made_of != now:
        raise DatasetError(
            "the dataset has changed since the plan was made, or the plan is for another one",
            place=place,
            expected=f"the dataset that was reviewed ({edit.made_of})",
            found=f"other contents ({now})",
            next_step="review the dataset again: `piperline review`",
        )


def joined_edits(
    address: int | str, one: EpisodeEdit, other: EpisodeEdit
) -> EpisodeEdit:
    """Two edits of one episode as one.

    Raises:
        UsageError: they contradict each other.
    """
    if one.drop != other.drop:
        raise _contradiction(address, "it is dropped, and changed too")
    changes: dict[str, Any] = {}
    for name in (each.name for each in fields(EpisodeEdit)):
        first, second = getattr(one, name), getattr(other, name)
        other_value = first and second and first != second
        if other_value and name not in _FOR_PEOPLE:
            raise _contradiction(
                address, f"two values for {name}: {first} and {second}"
            )
        changes[name] = first or second
    return EpisodeEdit(**changes)


def _contradiction(address: int | str, what: str) -> UsageError:
    return UsageError(
        f"two changes of episode {printable(str(address))} contradict each other",
        expected="changes that can all be done",
        found=what,
        next_step="say one of them",
    )


def read_plan(path: Path) -> EditPlan:
    """Read a plan from a TOML file.

    Raises:
        UsageError: it is missing, too large, no TOML, or says something that no plan can say.
    """
    place = Place(file=path)
    try:
        text = read_plain(path, _LARGEST_PLAN).decode()
        document = tomllib.loads(text)
    except FileNotFoundError as error:
        raise UsageError(
            "there is no plan",
            place=place,
            expected="a TOML file",
            found="nothing of that name",
            next_step="check the path, or write one with `piperline review`",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            "the plan cannot be read",
            place=place,
            expected="a TOML file",
            found=printable(str(error)),
            next_step="mend it, or write it anew with `piperline review`",
        ) from error
    try:
        return plan_of(document)
    except UsageError as error:
        error.place = error.place or place
        raise


def plan_of(document: dict[str, Any]) -> EditPlan:
    """The plan that a document holds: that of a file, or of a record.

    Raises:
        UsageError: it says something that no plan can say.
    """
    _known(document, {"episode", "dataset", "keep"}, "the plan")
    plan = EditPlan(
        dataset=_dataset(_table(document.get("dataset", {}), "dataset")),
        keep=_addresses(document["keep"]) if "keep" in document else None,
    )
    for entry in _list(document.get("episode", []), "episode"):
        address, edit = _episode(_table(entry, "episode"))
        plan = plan.with_episode(address, edit)
    return plan


def _episode(entry: dict[str, Any]) -> tuple[int | str, EpisodeEdit]:
    _known(entry, _EPISODE_KEYS, "an entry of [[episode]]")
    address = _address(entry.get("episode"))
    start, stop = _trim(entry, address)
    cuts = _list(entry.get("split", []), "split")
    edit = EpisodeEdit(
        drop=_flag(entry.get("drop", False), "drop"),
        start=start,
        stop=stop,
        cuts=tuple(parse_moment(str(cut)) for cut in cuts),
        instruction=_instruction(entry, address),
        swap_red_blue=tuple(
            _texts(entry.get("swap_red_blue", []), "swap_red_blue")
        ),
        made_of=_text(entry.get("made_of", ""), "made_of"),
        reason=_text(entry.get("reason", ""), "reason"),
        finding=_text(entry.get("finding", ""), "finding"),
    )
    if edit.drop and not replace(edit, drop=False).keeps_all:
        raise _contradiction(address, "it is dropped, and cut too")
    return address, edit


def _trim(
    entry: Mapping[str, Any], address: int | str
) -> tuple[Moment | None, Moment | None]:
    if "trim" not in entry:
        return None, None
    start, stop = parse_span(_text(entry["trim"], "trim"))
    if (
        start
        and stop
        and start.in_seconds == stop.in_seconds
        and stop.value <= start.value
    ):
        raise UsageError(
            "a trim leaves nothing of an episode",
            expected="a trim that leaves frames: START:STOP, the end not in it",
            found=f"{start}:{stop} of episode {printable(str(address))}",
            next_step="let the end lie behind the start; to leave the episode out, "
            "write drop = true",
        )
    return start, stop


def _instruction(entry: Mapping[str, Any], address: int | str) -> str | None:
    if "instruction" not in entry:
        return None
    text = _text(entry["instruction"], "instruction")
    if not text.strip():
        raise UsageError(
            "an instruction is empty",
            expected="an instruction that is not empty",
            found=f"none for episode {printable(str(address))}",
            next_step="write what the robot does, or remove `instruction`",
        )
    return text


def _dataset(entry: dict[str, Any]) -> DatasetEdit:
    names = {each.name for each in fields(DatasetEdit)}
    _known(entry, names, "[dataset]")
    reordered = _table(
        entry.get("reorder_dimensions", {}), "reorder_dimensions"
    )
    edit = DatasetEdit(
        rename_instructions=_texts_by_text(entry, "rename_instructions"),
        drop_cameras=tuple(
            _texts(entry.get("drop_cameras", []), "drop_cameras")
        ),
        rename_cameras=_texts_by_text(entry, "rename_cameras"),
        drop_features=tuple(
            _texts(entry.get("drop_features", []), "drop_features")
        ),
        rename_dimensions=_texts_by_text(entry, "rename_dimensions"),
        reorder_dimensions={
            key: tuple(_texts(names, key)) for key, names in reordered.items()
        },
        every=_count(entry.get("every", 1), "every"),
    )
    check_dataset_edit(edit)
    return edit


def check_dataset_edit(edit: DatasetEdit) -> None:
    """See that changes of a whole dataset do not contradict each other.

    Raises:
        UsageError: they do.
    """
    both = sorted(set(edit.drop_cameras) & set(edit.rename_cameras))
    if both:
        raise UsageError(
            "a camera is left out and renamed",
            expected="one of them",
            found=", ".join(map(printable, both)),
            next_step="remove it from what is dropped, or from what is renamed",
        )
    new = [*edit.rename_cameras.values()]
    twice = sorted({name for name in new if new.count(name) > 1})
    if twice:
        raise UsageError(
            "two cameras would have one name",
            expected="a name of its own for each camera",
            found=", ".join(map(printable, twice)),
            next_step="give one of them another name",
        )
    if edit.every < 1:
        raise UsageError(
            "--every needs a number from 1",
            expected="a number that divides the frames a second",
            found=str(edit.every),
            next_step="give --every 2 to keep every second frame, or leave it out",
        )


def _addresses(value: object) -> tuple[int | str, ...]:
    return tuple(_address(item) for item in _list(value, "keep"))


def _address(value: object) -> int | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise UsageError(
        "an entry of the plan names no episode",
        expected='episode = 3, or episode = "day_1.hdf5:episode_3"',
        found=printable(repr(value)),
        next_step="name the episode by its number, or by its source",
    )


def _known(
    entry: Mapping[str, Any],
    names: AbstractSet[str],
    where: str,
) -> None:
    unknown = sorted(set(entry) - names)
    if unknown:
        raise UsageError(
            f"{where} has keys that piperline does not know",
            expected=", ".join(sorted(names)),
            found=", ".join(map(printable, unknown)),
            next_step="correct these keys in the plan, or remove them",
        )


def _wrong(name: str, expected: str, value: object) -> UsageError:
    return UsageError(
        f"{name} in the plan is of another kind",
        expected=expected,
        found=printable(repr(value)),
        next_step=f"correct {name} in the plan, or remove it",
    )


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, "a table", value)
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(name, "a list", value)
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def _texts(value: object, name: str) -> Iterator[str]:
    return (_text(item, name) for item in _list(value, name))


def _texts_by_text(
    entry: Mapping[str, Any],
    name: str,
) -> dict[str, str]:
    return {
        key: _text(item, name)
        for key, item in _table(
            entry.get(name, {}),
            name,
        ).items()
    }


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, "a whole number", value)
    return value

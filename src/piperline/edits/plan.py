"""An edit plan: what is to be done to which episodes, and to all of them.

The file that `review` writes and that `edit --plan` and `convert --plan` carry out:

    [[episode]]
    episode = "day_1.hdf5:episode_3"      # or the number in a dataset
    drop = true

    [[episode]]
    episode = "day_1.hdf5:episode_4"
    trim = "30:"                          # frames, or seconds: "1s:9.5s"
    split = [120]
    instruction = "put the cup on the tray"
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

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from piperline.edits.numbers import Moment, parse_moment, parse_span
from piperline.errors import Place, UsageError
from piperline.text import printable

_OF_REVIEW = {"finding", "made_of"}
"""What review notes: what it found, and the recording that it looked at."""
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
        reason: why, for people.
    """

    drop: bool = False
    start: Moment | None = None
    stop: Moment | None = None
    cuts: tuple[Moment, ...] = ()
    instruction: str | None = None
    reason: str = ""

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

    def __bool__(self) -> bool:
        return self != DatasetEdit()


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
        if first and second and first != second and name != "reason":
            raise _contradiction(
                address, f"two values for {name}: {first} and {second}"
            )
        changes[name] = first or second
    return EpisodeEdit(**changes)


def _contradiction(address: int | str, what: str) -> UsageError:
    return UsageError(
        f"two changes of episode {printable(str(address))} contradict each other",
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
        if not path.is_file() or path.stat().st_size > _LARGEST_PLAN:
            raise UsageError(
                "there is no plan of a sensible size here", place=place
            )
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            "the plan cannot be read", place=place, found=printable(str(error))
        ) from error
    try:
        return _plan(document)
    except UsageError as error:
        error.place = error.place or place
        raise


def _plan(document: dict[str, Any]) -> EditPlan:
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
    names = {
        "episode",
        "drop",
        "trim",
        "split",
        "instruction",
        "reason",
        *_OF_REVIEW,
    }
    _known(entry, names, "an entry of [[episode]]")
    address = _address(entry.get("episode"))
    start, stop = (
        parse_span(_text(entry["trim"], "trim"))
        if "trim" in entry
        else (None, None)
    )
    cuts = tuple(
        parse_moment(str(cut))
        for cut in _list(
            entry.get("split", []),
            "split",
        )
    )
    instruction = entry.get("instruction")
    edit = EpisodeEdit(
        drop=_flag(entry.get("drop", False), "drop"),
        start=start,
        stop=stop,
        cuts=cuts,
        instruction=None
        if instruction is None
        else _text(instruction, "instruction"),
        reason=_text(entry.get("reason", ""), "reason"),
    )
    if edit.drop and not replace(edit, drop=False).keeps_all:
        raise _contradiction(address, "it is dropped, and cut too")
    return address, edit


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
            found=", ".join(map(printable, both)),
        )
    new = [*edit.rename_cameras.values()]
    twice = sorted({name for name in new if new.count(name) > 1})
    if twice:
        raise UsageError(
            "two cameras would have one name",
            found=", ".join(map(printable, twice)),
        )
    if edit.every < 1:
        raise UsageError("--every needs a number from 1", found=str(edit.every))


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
    )


def _known(
    entry: Mapping[str, Any],
    names: set[str],
    where: str,
) -> None:
    unknown = sorted(set(entry) - names)
    if unknown:
        raise UsageError(
            f"{where} has keys that piperline does not know",
            expected=", ".join(sorted(names)),
            found=", ".join(map(printable, unknown)),
        )


def _wrong(name: str, expected: str, value: object) -> UsageError:
    return UsageError(
        f"{name} in the plan is of another kind",
        expected=expected,
        found=printable(repr(value)),
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

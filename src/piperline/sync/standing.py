"""A dataset as it stands: how it was made, of what, and its episodes, taken over as they are."""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from piperline.convert.plan import LeftOut, MadeEpisode, Plan, PlannedEpisode
from piperline.convert.planning import KnownFile
from piperline.convert.provenance import entry_of, provenance, read_recipe
from piperline.convert.verdict import looked_at
from piperline.edits.plan import DatasetEdit, address, fingerprint
from piperline.episode import EncodedEpisode, Proof
from piperline.errors import DatasetError, Place
from piperline.features import CAMERA_PREFIX, Feature
from piperline.files import LARGEST_TABLE, read_json
from piperline.lerobot.dataset import open_dataset
from piperline.lerobot.info import PROVENANCE
from piperline.output.ours import check_rows, state
from piperline.recordings.beside import Beside
from piperline.recordings.images import CameraHeader
from piperline.seal.seal import Seal
from piperline.text import printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_IN_ORDER = json.JSONEncoder(sort_keys=True)
_AGAIN = "piperline convert RECORDINGS --output DATASET --overwrite"
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class StandingEpisode:
    """What the record tells of an episode; see `convert.provenance.entry_of`."""

    source: str
    episode: str
    length: int
    made_of: str
    instructions: tuple[tuple[int, str], ...] = ()
    beside: str = ""

    @property
    def address(self) -> str:
        """The episode as plans name it."""
        return address(self.source, self.episode)


@dataclass(frozen=True)
class LeftEntry:
    """What the record tells of something that was left out."""

    source: str
    episode: str | None
    reason: str
    made_of: str


class StandingDataset:
    """A dataset that a conversion made, and what it was made of.

    Args:
        root: its folder.

    Attributes:
        dataset: it.
        recipe: how it was made.
        entries: what each episode was made of.
        state: tells it from one that comes to have its name.

    Raises:
        DatasetError: there is none, or it does not tell enough.
    """

    def __init__(self, root: Path) -> None:
        self.state = state(root)
        place = Place(file=root / PROVENANCE)
        self._record = _record(root)
        self.recipe = read_recipe(self._record, place)
        self.dataset = open_dataset(root)
        self.entries = _read(StandingEpisode, self._record["episodes"], place)
        self._left: dict[str, list[LeftEntry]] = {}
        for left in _read(LeftEntry, self._record["left_out"], place):
            self._left.setdefault(left.source, []).append(left)
        rows = self.dataset.episodes
        lengths = [row.length for row in rows]
        if lengths != [each.length for each in self.entries] or not all(
            row.tasks for row in rows
        ):
            raise _not_ours(place, "a record of other episodes")
        self._tasks = [row.tasks for row in rows]
        self._numbers: dict[str, list[int]] = {}
        self._places: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            self._numbers.setdefault(entry.source, []).append(number)
            told = _as_text(self._record["episodes"][number])
            self._places.setdefault(told, []).append(number)
        # by identity: episodes cannot be hashed. Each is kept, so that no other gets its identity
        self._found: dict[
            int, tuple[PlannedEpisode, DatasetEdit, list[int | None]]
        ] = {}
        self._proofs = self._read_proofs() if self._is_verified else None

    @property
    def _is_verified(self) -> bool:
        return self.recipe.job.settings.verify

    def _read_proofs(self) -> list[Proof] | None:
        """What was looked at of each episode; None where the seal does not tell."""
        proofs = looked_at(Seal.from_disk(self.dataset.root))
        return proofs if len(proofs or ()) == len(self.entries) else None

    def is_made_by(self, plan: Plan, *, some: bool) -> bool:
        """Whether a conversion by `plan` would make just this dataset.

        Args:
            plan: of the recordings.
            some: whether it is only of some of them: what is left out of others is not known.
        """
        wanted = json.loads(json.dumps(provenance(plan)))
        if some:
            wanted["left_out"] = self._record["left_out"]
        same = self._record == wanted and not self.dataset.missing_cameras
        return same and self._tasks == [made.tasks for made in plan.made]

    def knows(self, path: Path, source: str) -> bool:
        """Whether a recording has not changed since."""
        stat = path.stat()
        found = self.known(path, source, stat.st_size, stat.st_mtime_ns)
        return found is not None

    def known(
        self, path: Path, source: str, size: int, mtime_ns: int
    ) -> KnownFile | None:
        """What is known of a recording that has not changed since; see `convert.plan.Known`."""
        numbers, left = self._numbers.get(source, []), self._left.get(source)
        entries = [self.entries[number] for number in numbers]
        found = [(entry.episode, entry.made_of) for entry in entries]
        found += [(entry.episode or "", entry.made_of) for entry in left or ()]
        if not found or any(
            made_of != fingerprint(source, size, mtime_ns, name)
            for name, made_of in found
        ):
            return None
        if any(entry.beside for entry in entries):
            return None  # the files beside it tell only when looked at
        return KnownFile(
            tuple(
                self._planned(number, path, size, mtime_ns)
                for number in numbers
            ),
            tuple(
                LeftOut(path, entry.episode, entry.reason)
                for entry in left or ()
            ),
        )

    def _planned(
        self, number: int, path: Path, size: int = 0, mtime_ns: int = 0
    ) -> PlannedEpisode:
        entry = self.entries[number]
        return PlannedEpisode(
            path,
            entry.source,
            size,
            mtime_ns,
            entry.episode,
            entry.length,
            self._tasks[number][0],
            self._cameras,
            spans=entry.instructions,
            beside=Beside(entry.beside),
        )

    @cached_property
    def _cameras(self) -> dict[str, CameraHeader]:
        schema = self.dataset.info.schema
        return {
            key.removeprefix(CAMERA_PREFIX): _header(schema.features[key])
            for key in schema.cameras
        }

    def has(self, planned: PlannedEpisode, plan: Plan) -> bool:
        """Whether all that a plan makes of an episode is here, just so."""
        if planned.kept:
            return True
        if not self.recipe.current:
            return False
        if self._is_verified and self._proofs is None:
            return False
        return None not in self._numbers_of(planned, plan)

    def _numbers_of(
        self, planned: PlannedEpisode, plan: Plan
    ) -> list[int | None]:
        """The numbers here of all that a plan makes of an episode; looked up once."""
        known = self._found.get(id(planned))
        if known is None or known[:2] != (planned, plan.edit):
            made = plan.made_of(planned)
            numbers = [self._number_of(each, plan.edit) for each in made]
            known = self._found[id(planned)] = (planned, plan.edit, numbers)
        return known[2]

    def leading(self, plan: Plan) -> tuple[int, int]:
        """How many planned episodes, from the first on, are the first here; how many that makes."""
        count = 0
        for planned, episode in enumerate(plan.episodes):
            wanted = range(count, count + len(episode.made))
            numbers = self._numbers_of(episode, plan)
            if numbers != [*wanted] or not self.has(episode, plan):
                return planned, count
            count = wanted.stop
        return len(plan.episodes), count

    def _number_of(self, made: MadeEpisode, edit: DatasetEdit) -> int | None:
        """The number here of an episode that a plan makes; None where it is not here."""
        entry = entry_of(made, edit, self.recipe.job.layout)
        numbers = self._places.get(_as_text(entry), [])
        # two recordings of one name, size and time cannot be told apart
        if len(numbers) != 1:
            return None
        same = made.planned.kept or self._tasks[numbers[0]] == made.tasks
        return numbers[0] if same else None

    def with_kept(
        self, plan: Plan, held: Collection[str], *, keep_missing: bool
    ) -> Plan:
        """A plan with those episodes of this dataset, too, that stay without being looked at.

        Args:
            plan: of the recordings.
            held: names of recordings that were not looked at.
            keep_missing: whether episodes stay whose recordings are gone.
        """
        planned = {address(each.source, each.name) for each in plan.episodes}
        files = {path: source for path, source, _, _ in plan.asked.files}
        left = {
            address(files[each.file], each.episode or "")
            for each in plan.left_out
            if each.file in files
        }
        behind: dict[str, list[PlannedEpisode]] = {}
        before = ""
        for number, entry in enumerate(self.entries):
            gone = not left & {entry.address, address(entry.source, "")}
            if entry.address in planned:
                before = entry.address
            elif gone and (keep_missing or entry.source in held):
                kept = replace(
                    self._planned(number, Path(entry.source)),
                    kept=_as_text(self._record["episodes"][number]),
                    missing=entry.source not in held,
                    key=f"kept-{number}",
                )
                behind.setdefault(before, []).append(kept)
        episodes = behind.pop("", [])
        for episode in plan.episodes:
            name = address(episode.source, episode.name)
            episodes += [episode, *behind.pop(name, [])]
        return replace(plan, episodes=tuple(episodes))

    # --- taking over -----------------------------------------------------------------------------

    def check(self) -> None:
        """See that the dataset is what was sealed, as far as that can be told without its videos.

        Rows are read, of videos their sizes: packets that are read again are held against the
        seal, and what is not read keeps what was sealed of it.

        Raises:
            OutputExists: it is not, or has no seal.
        """
        check_rows(self.dataset.root)

    def encoded(self, made: MadeEpisode, edit: DatasetEdit) -> EncodedEpisode:
        """An episode, nothing decoded and nothing encoded.

        Args:
            made: of which plan.
            edit: what that does to all episodes.
        """
        number = self._number_of(made, edit)
        if number is None:
            raise AssertionError("only what is here")
        return self._with_proof(self.dataset.episode(number), number)

    def _with_proof(
        self, episode: EncodedEpisode, number: int
    ) -> EncodedEpisode:
        """An episode that tells what was looked at of it when it was encoded, in its first clip."""
        if self._proofs is None or not episode.clips:
            return episode
        key, clip = next(iter(episode.clips.items()))
        proved = replace(clip, proof=self._proofs[number])
        return replace(episode, clips={**episode.clips, key: proved})


def _as_text(entry: dict[str, Any]) -> str:
    """An entry of the record, without what does not tell what the episode is."""
    told = {key: value for key, value in entry.items() if key != "missing"}
    return _IN_ORDER.encode(told)


def _header(feature: Feature) -> CameraHeader:
    height, width, _ = feature.camera_size
    unit = (feature.info or {}).get("depth_unit") if feature.is_depth else None
    return CameraHeader("video", height, width, depth=unit)


def _record(root: Path) -> dict[str, Any]:
    place = Place(file=root / PROVENANCE)
    try:
        found = read_json(root / PROVENANCE, LARGEST_TABLE)
    except FileNotFoundError as error:
        if root.is_dir():
            raise _not_ours(place, "none") from error
        raise DatasetError(
            "there is no dataset to keep in step",
            place=Place(file=root),
            next_step=f"make it first: piperline convert RECORDINGS --output {root}",
            expected="a dataset that `piperline convert` made",
            found="nothing of that name",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _not_ours(place, printable(str(error))[:200]) from error
    if not isinstance(found, dict):
        raise _not_ours(place, "no object")
    edited = found.get("edited") or []
    if not isinstance(edited, list) or any(
        "applied_to" in str(each) for each in edited
    ):
        raise DatasetError(
            "the dataset was edited after it was made: its recordings do not tell that",
            place=place,
            expected="a dataset as `piperline convert` makes it",
            found="one that `piperline edit` changed",
            next_step="convert the recordings with a plan (convert --plan), and sync that",
        )
    return found


def _not_ours(place: Place, found: str) -> DatasetError:
    return DatasetError(
        "the dataset does not tell what it was made of",
        place=place,
        expected="what `piperline convert` notes",
        found=found,
        next_step=f"convert the recordings into a dataset, and sync that: {_AGAIN}",
    )


def _read(kind: type[_Kind], value: object, place: Place) -> list[_Kind]:
    from pydantic import ValidationError

    try:
        found: list[_Kind] = _adapters()[kind].validate_python(value)
    except ValidationError as error:
        raise _not_ours(place, printable(error.errors()[0]["msg"])) from error
    return found


@cache
def _adapters() -> "dict[object, TypeAdapter[Any]]":
    from pydantic import TypeAdapter

    return {
        StandingEpisode: TypeAdapter(list[StandingEpisode]),
        LeftEntry: TypeAdapter(list[LeftEntry]),
    }

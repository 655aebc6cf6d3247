"""What is done in ranks: conversion (into one dataset, or into shards) and the aggregation of shards."""

import hashlib
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from piperline.cluster.diary import Diary
from piperline.cluster.job_folder import FINISH, JobFolder
from piperline.cluster.shards import MANIFEST, Manifest, divide, find_shards, shard_folder, sizes
from piperline.convert.assemble import write_dataset, write_provenance
from piperline.convert.plan import Plan, PlannedEpisode, brief, load_plan
from piperline.convert.pool import Failure, WorkerPool
from piperline.convert.run import without_failures
from piperline.convert.stage import Staging, work_folder
from piperline.errors import (
    OutputError,
    OutputExists,
    PiperlineError,
    Place,
    RecordingError,
    TaskFailed,
    UsageError,
    output_error,
)
from piperline.files import make_below, own_name, write_whole
from piperline.lerobot.info import PROVENANCE
from piperline.output.publish import check_free, publish
from piperline.transfer import Options, aggregate


@dataclass(frozen=True)
class ConvertWork:
    """Recordings into one dataset, or into a dataset for each rank.

    Attributes:
        kind: `convert`: the ranks encode and the last step makes the dataset; `shards`: each rank makes a dataset.
        target: the folder of the dataset; shards lie beside it.
        world: how many ranks.
        plan: what is to be done.
        cpus: how many processes each rank has.
        overwrite: replace a dataset that piperline made.
        command: the options that make all shards again.
    """

    kind: Literal["convert", "shards"]
    target: Path
    world: int
    plan: Plan
    cpus: int = 1
    overwrite: bool = False
    command: tuple[str, ...] = ()

    @cached_property
    def parts(self) -> list[Plan]:
        """What each rank does."""
        return divide(self.plan, self.world)

    @property
    def staging_for(self) -> Path:
        """The output whose staging folder the ranks share."""
        return (
            self.target
            if self.kind == "convert"
            else self.target.with_name(f"{self.target.name}.shards")
        )

    @property
    def staging(self) -> Staging:
        """Where the ranks put their episodes."""
        return Staging(work_folder(self.staging_for))

    @property
    def filled(self) -> int:
        """How many ranks have something to do."""
        return sum(1 for part in self.parts if part.episodes)

    @property
    def images(self) -> int:
        """How many images there are to encode."""
        return sum(episode.length * len(episode.cameras) for episode in self.plan.episodes)

    def key(self, rank: int) -> str:
        """Names what a rank makes."""
        return self.plan.key if rank == FINISH else self.parts[rank].key

    def output(self, rank: int) -> Path:
        """The folder of the dataset that a rank makes, or of the one that all make together."""
        return (
            self.target if self.kind == "convert" else shard_folder(self.target, self.world, rank)
        )

    def size(self, rank: int) -> int:
        """How many episodes are a rank's part."""
        return len(self.parts[rank].episodes)

    def is_empty(self, rank: int) -> bool:
        """Whether there is nothing for a rank to do."""
        return not self.parts[rank].episodes

    def check(self) -> None:
        """See that the outputs can be put where they belong.

        Raises:
            OutputExists: something is in the way.
        """
        if self.kind == "convert":
            check_free(self.target, overwrite=self.overwrite)
            return
        folders = [self.output(rank) for rank in range(self.world)]
        found = {
            rank: manifest
            for rank, path in enumerate(folders)
            if (manifest := Manifest.from_disk(path))
        }
        recorded = set(_recordings(self.plan))
        ours = (
            self.overwrite
            or not found
            or any(recorded & set(there.recordings) for there in found.values())
        )
        for rank, folder in enumerate(folders):
            if rank not in found or not ours:
                _refuse(folder, ours=rank in found)

    def adopt(self, ranks: Collection[int]) -> None:
        """Take shards that were made for another plan, and would be the same now, into this one; remove the others."""
        for rank in range(self.world) if self.kind == "shards" else ():
            there = Manifest.from_disk(self.output(rank))
            if there and self.is_empty(rank):
                shutil.rmtree(self.output(rank))
            elif (
                there
                and rank in ranks
                and (there.plan, there.filled) != (self.plan.key, self.filled)
            ):
                replace(
                    there, plan=self.plan.key, filled=self.filled, command=self.command
                ).to_disk(self.output(rank))

    def done(self, folder: JobFolder) -> frozenset[int]:
        """The ranks that have done their part, as records and outputs say; `FINISH` if the last step is done."""
        finished = self.is_finished(folder)
        last = {FINISH} if finished else set()
        if self.kind == "convert":
            there = self.staging.names() | self._bad().keys()
            parts = enumerate(self.parts)
            return frozenset(
                last
                | {r for r, part in parts if finished or all(e.key in there for e in part.episodes)}
            )
        return frozenset(last | {rank for rank in range(self.world) if self._is_made(rank, folder)})

    def _is_made(self, rank: int, folder: JobFolder) -> bool:
        if self.is_empty(rank):
            return True
        manifest = Manifest.from_disk(self.output(rank))
        if manifest is None or folder.proof(self.key(rank)) is None:
            return False
        same = (manifest.world, manifest.key) == (self.world, self.key(rank))
        return same and manifest.is_whole(self.output(rank))

    def is_finished(self, folder: JobFolder) -> bool:
        """Whether the last step has been done."""
        if self.kind == "shards":
            return not self.staging.root.exists()
        return _is_proved(folder, self.plan.key, self.target)

    def do(self, rank: int, diary: Diary) -> None:
        """Do the part of a rank.

        Raises:
            PiperlineError: some of it cannot be done; the rest is.
        """
        part = self.parts[rank]
        staging = self.staging
        good = self._without_bad(part).episodes
        todo = [episode for episode in good if not staging.is_staged(episode)]
        diary.begin(len(good), len(todo), part.frames)
        failures = self._stage(todo, staging, diary)
        for failure in failures:
            diary.say(f"failed: {failure.episode.place}: {failure.error}")
        self._settle(part, failures)
        diary.left_out(self._without_bad(part).left_out[len(part.left_out) :])
        if self.kind == "shards":
            self._make_shard(rank)
            diary.prove()

    def finish(self, diary: Diary) -> None:
        """The last step: make the dataset of all episodes, or see that all shards are there.

        Raises:
            TaskFailed: an episode is missing.
            DatasetError: a shard is missing.
        """
        if self.kind == "shards":
            find_shards(self.target, self.world)
        elif not self.is_finished(diary.folder):
            folder = self._write(self.plan, "dataset")
            diary.prove(_proof(folder))
            publish(folder, self.target, overwrite=self.overwrite)
        self.staging.remove()

    def tidy(self) -> None:
        """Remove the staging folder of a run that was killed after its dataset had got its name."""
        if self.kind == "convert" and load_plan(self.staging.plan_file) == self.plan:
            self.staging.remove()

    def _stage(
        self, todo: Sequence[PlannedEpisode], staging: Staging, diary: Diary
    ) -> list[Failure]:
        workers = min(self.cpus, sum(max(len(episode.cameras), 1) for episode in todo))
        if workers > 1:
            with WorkerPool(workers) as pool:
                return pool.stage(
                    todo, self.plan.job, staging.root, moved=diary.listener.moved, done=diary.done
                )
        failures = []
        for episode in todo:
            try:
                staging.stage_episode(episode, self.plan.job, diary.listener.moved)
                diary.done(episode)
            except OutputError:
                raise
            except PiperlineError as error:
                failures.append(Failure(episode, error))
            except OSError as error:
                raise output_error(error, staging.root) or error from error
        return failures

    def _settle(self, part: Plan, failures: Sequence[Failure]) -> None:
        """Take down the episodes that are to be left out; raise if they are not."""
        bad = [failure for failure in failures if isinstance(failure.error, RecordingError)]
        if not self.plan.asked.skip_bad or len(bad) < len(failures):
            without_failures(part, failures, skip_bad=False)
        folder = self.staging.root / "bad"
        folder.mkdir(exist_ok=True)
        for failure in bad:
            write_whole(folder / failure.episode.key, brief(failure.error))

    def _bad(self) -> dict[str, str]:
        try:
            return {
                path.name: path.read_text(encoding="utf-8")
                for path in (self.staging.root / "bad").iterdir()
            }
        except FileNotFoundError:
            return {}

    def _without_bad(self, part: Plan) -> Plan:
        bad = self._bad()
        for episode in part.episodes:
            if episode.key in bad:
                part = part.without(episode.key, bad[episode.key])
        return part

    def _write(self, part: Plan, name: str) -> Path:
        """Write the dataset of what is left of a part, into the staging folder."""
        left = self._without_bad(part)
        folder = self.staging.root / f"{name}-{own_name()}"
        if left.episodes:
            write_dataset(self.staging, left, folder)
        elif self.kind == "shards":  # other shards have episodes; this one tells why it has none
            make_below(self.staging.root, (folder / PROVENANCE).parent)
            write_provenance(left, folder)
        else:
            reasons = "\n".join(f"- {item.file.name}: {item.reason}" for item in left.left_out)
            raise TaskFailed("none of the episodes can be converted", found=f"\n{reasons}")
        return folder

    def _manifest(self, rank: int, folder: Path) -> Manifest:
        files = {name: size for name, size in sizes(folder).items() if name != MANIFEST.as_posix()}
        return Manifest(
            self.plan.key,
            self.world,
            rank,
            self.filled,
            self.key(rank),
            self.command,
            _recordings(self.parts[rank]),
            files,
        )

    def _make_shard(self, rank: int) -> None:
        folder = self._write(self.parts[rank], f"shard-{rank}")
        try:
            self._manifest(rank, folder).to_disk(folder)
            publish(folder, self.output(rank), overwrite=True)
        except (OSError, OutputExists):
            there = Manifest.from_disk(self.output(rank))  # another attempt at this rank was faster
            if (
                there is None
                or there.key != self.key(rank)
                or not there.is_whole(self.output(rank))
            ):
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class AggregateWork:
    """Shards into one dataset, by one rank.

    Attributes:
        kind: `aggregate`.
        target: the folder of the repository id that the shards are of.
        shards: how many shards there are.
        dataset: the folder of the dataset that is made.
    """

    kind: Literal["aggregate"]
    target: Path
    shards: int
    dataset: Path
    overwrite: bool = False
    world: int = 1

    def key(self, _rank: int) -> str:
        """Names what is made, and where."""
        keys = [manifest.key for _, manifest in find_shards(self.target, self.shards)]
        return hashlib.sha256("\n".join([str(self.dataset), *keys]).encode()).hexdigest()[:32]

    def output(self, _rank: int) -> Path:
        """The dataset's folder."""
        return self.dataset

    def size(self, _rank: int) -> int:
        """Not known before the shards are read."""
        return 0

    def is_empty(self, _rank: int) -> bool:
        """There is always something to do."""
        return False

    def check(self) -> None:
        """See that all shards are there and the dataset is not.

        Raises:
            DatasetError: shards are missing, damaged, or of different plans.
            OutputExists: something is in the way.
        """
        find_shards(self.target, self.shards)
        check_free(self.dataset, overwrite=self.overwrite)

    def done(self, folder: JobFolder) -> frozenset[int]:
        """Rank 0, if the dataset is there and was made of these shards."""
        return frozenset({0} if _is_proved(folder, self.key(0), self.dataset) else ())

    def is_finished(self, folder: JobFolder) -> bool:
        """There is no last step."""
        return bool(self.done(folder))

    def tidy(self) -> None:
        """There is nothing to remove."""

    def adopt(self, ranks: Collection[int]) -> None:
        """There is one dataset, and no other plan."""

    def do(self, _rank: int, diary: Diary) -> None:
        """Make the dataset.

        Raises:
            DatasetError: shards are missing, damaged, or of different plans.
            OutputExists: something is in the way.
        """
        found = find_shards(self.target, self.shards)
        shards = [folder for folder, manifest in found if manifest.is_dataset]
        diary.say(f"{len(shards)} shards with episodes, {self.shards - len(shards)} empty")
        options = Options(
            overwrite=self.overwrite,
            made_from=tuple(folder for folder, _ in found),
            ready=lambda made: diary.prove(_proof(made)),
        )
        result = aggregate(shards, self.dataset, options=options)
        for note in result.notes:
            diary.say(note)
        diary.say(f"{result.episodes} episodes, {result.frames} frames: {result.output}")


Work = ConvertWork | AggregateWork
_ADAPTER: TypeAdapter[Work] = TypeAdapter(Annotated[Work, Field(discriminator="kind")])


def save_work(folder: JobFolder, work: Work) -> str:
    """Put into the folder of a job what is to be done; gives its digest, by which a rank knows it again."""
    text = _ADAPTER.dump_json(work, indent=1)
    if not folder.run_file.is_file() or folder.run_file.read_bytes() != text:
        write_whole(folder.run_file, text.decode())
    return hashlib.sha256(text).hexdigest()


def load_work(folder: JobFolder, digest: str | None = None) -> Work | None:
    """What is to be done in a job; None where nothing is that this version understands.

    Raises:
        UsageError: it is no longer what `digest` was given for.
    """
    try:
        text = folder.run_file.read_bytes()
        if digest and hashlib.sha256(text).hexdigest() != digest:
            raise UsageError(
                "the job folder tells of another run by now",
                place=Place(file=folder.run_file),
                next_step="run the command again that this was a part of",
            )
        return _ADAPTER.validate_json(text)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


_OURS = (
    "data/**/*",
    "videos/**/*",
    "meta/info.json",
    "meta/tasks*",
    "meta/episodes*",
    "meta/episodes/**/*",
)
"""The files of a dataset that nobody writes anew: training may do so with the rest of `meta`."""


def _proof(dataset: Path) -> str:
    """Names how a dataset was made, and how much of it is there; empty where there is none."""
    try:
        made = hashlib.sha256((dataset / PROVENANCE).read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    sizes = [
        path.stat().st_size for pattern in _OURS for path in dataset.glob(pattern) if path.is_file()
    ]
    return f"{made} {len(sizes)} files {sum(sizes)} bytes"


def _is_proved(folder: JobFolder, key: str, dataset: Path) -> bool:
    """Whether the dataset that was made under `key` is there, with all its files."""
    proof = folder.proof(key)
    return bool(proof) and proof == _proof(dataset)


def _recordings(plan: Plan) -> tuple[str, ...]:
    """The paths of the recordings of a plan."""
    return tuple(sorted({str(episode.file.resolve()) for episode in plan.episodes}))


def _refuse(folder: Path, *, ours: bool) -> None:
    """Raise if there is something in the way at `folder`."""
    if ours:
        raise OutputExists(
            "there is a shard of other recordings at the place of a shard; it is kept",
            place=Place(file=folder),
            next_step="give another --repo-id, or replace it with --overwrite",
        )
    check_free(folder)

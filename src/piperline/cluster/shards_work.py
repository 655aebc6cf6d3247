"""The work of making shards: each rank turns its part of a plan into a dataset of its own."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from piperline.cluster.job_folder import JobFolder
from piperline.cluster.report import RankReport
from piperline.cluster.review import RankReview
from piperline.cluster.shards import (
    MANIFEST,
    Manifest,
    divide,
    shard_folder,
    sizes,
)
from piperline.convert.assemble import write_dataset
from piperline.convert.plan import Plan, PlannedEpisode
from piperline.convert.pool import Failure, WorkerPool
from piperline.convert.problems import brief
from piperline.convert.provenance import write_provenance
from piperline.convert.run import without_failures
from piperline.convert.stage import Staging
from piperline.errors import (
    OutputExists,
    PiperlineError,
    Place,
    RecordingError,
)
from piperline.files import make_below, own_name, sweep_removed
from piperline.lerobot.info import PROVENANCE
from piperline.output.publish import check_free, publish
from piperline.text import printable


@dataclass(frozen=True)
class ShardsWork:
    """Recordings into a dataset for each rank.

    Attributes:
        kind: `shards`.
        target: the shards are `TARGET_world_N_rank_K`.
        staging_root: where the ranks stage their episodes.
        world: how many ranks.
        plan: what is to be converted.
        job_id: the identity of the job's folder: shards of another job are made again.
        cpus: how many processes each rank has.
        overwrite: replace shards of other recordings.
        command: the options that make all shards again.
        review: the review that goes with it, if one is wanted.
    """

    kind: Literal["shards"]
    target: Path
    staging_root: Path
    world: int
    plan: Plan
    job_id: str
    cpus: int = 1
    overwrite: bool = False
    command: tuple[str, ...] = ()
    review: RankReview | None = None

    @cached_property
    def parts(self) -> list[Plan]:
        """What each rank does."""
        return divide(self.plan, self.world)

    @property
    def staging(self) -> Staging:
        """Where the ranks stage their episodes."""
        return Staging(self.staging_root)

    @property
    def filled(self) -> int:
        """How many ranks have something to do."""
        return sum(1 for part in self.parts if part.episodes)

    def key(self, rank: int) -> str:
        """Names what a rank makes."""
        return self.parts[rank].key

    def output(self, rank: int) -> Path:
        """The folder of the shard that a rank makes."""
        return shard_folder(self.target, self.world, rank)

    def episodes(self, rank: int) -> tuple[PlannedEpisode, ...]:
        """The part of a rank; there may be none for the last ones."""
        return self.parts[rank].episodes

    def check(self) -> None:
        """See that the shards can be put where they belong.

        Raises:
            OutputExists: something is in the way.
        """
        folders = [self.output(rank) for rank in range(self.world)]
        manifests = [Manifest.from_disk(folder) for folder in folders]
        recordings = set(_recordings(self.plan))
        existing = [manifest for manifest in manifests if manifest]
        ours = self.overwrite or not existing
        ours = ours or any(
            recordings & set(manifest.recordings) for manifest in existing
        )
        for folder, manifest in zip(folders, manifests, strict=True):
            if manifest is None:
                check_free(folder)
            elif not ours:
                first = next(iter(manifest.recordings), "no recordings")
                raise OutputExists(
                    "a shard of other recordings has this name; it is not changed",
                    place=Place(file=folder),
                    expected="nothing, or a shard of one of these recordings",
                    found=f"a shard of {printable(first)}",
                    next_step="give another --repo-id, or replace it with --overwrite",
                )

    def done(self, folder: JobFolder) -> frozenset[int]:
        """The ranks whose shards are complete, made in this job; those without episodes too."""
        del folder  # the shards themselves tell which job made them
        return frozenset(
            rank for rank in range(self.world) if self._is_made(rank)
        )

    def _is_made(self, rank: int) -> bool:
        if not self.episodes(rank):
            return True
        manifest = Manifest.from_disk(self.output(rank))
        if manifest is None:
            return False
        wanted = (self.world, self.key(rank), self.job_id)
        same = (manifest.world, manifest.key, manifest.job_id) == wanted
        return same and manifest.is_whole(self.output(rank))

    def settle(self, done: Collection[int], folder: JobFolder) -> None:
        """Bring shards of an earlier plan into this one: it has the same episodes for them.

        Args:
            done: the ranks whose shards are kept. Shards of ranks without episodes are removed.
            folder: of the job.
        """
        for rank in range(self.world):
            manifest = Manifest.from_disk(self.output(rank))
            if manifest is None:
                continue
            if not self.episodes(rank):
                shutil.rmtree(self.output(rank))
            elif rank in done:
                self._update(manifest, rank)
        if len(done) == self.world:
            self._end(folder)

    def _update(self, manifest: Manifest, rank: int) -> None:
        if (manifest.plan, manifest.filled) != (self.plan.key, self.filled):
            updated = replace(
                manifest,
                plan=self.plan.key,
                filled=self.filled,
                command=self.command,
            )
            updated.to_disk(self.output(rank))

    def run(self, rank: int, report: RankReport) -> None:
        """Make the shard of a rank. If another attempt has finished it meanwhile, all is well.

        Raises:
            PiperlineError: some of its episodes cannot be converted; the others are staged.
        """
        try:
            self._run(rank, report)
        except (OSError, PiperlineError):
            if not self._is_made(rank):
                raise
            report.say("another attempt has finished this shard")
        if len(self.done(report.folder)) == self.world:
            self._end(report.folder)

    def _run(self, rank: int, report: RankReport) -> None:
        part = self.parts[rank]
        measured = frozenset[str]()
        if self.review:
            measured = self.review.unmeasured(
                part.episodes, self.plan, self.staging
            )
        todo = [
            episode
            for episode in part.episodes
            if episode.key in measured or not self.staging.is_staged(episode)
        ]
        report.begin(len(part.episodes), len(todo), part.frames)
        failures = self._stage(todo, measured, report)
        for failure in failures:
            report.say(f"failed: {failure.episode.place}: {failure.error}")
        left = self._without(part, failures)
        report.left_out(left.left_out[len(part.left_out) :])
        self._make_shard(rank, left)

    def _stage(
        self,
        todo: Sequence[PlannedEpisode],
        measured: frozenset[str],
        report: RankReport,
    ) -> list[Failure]:
        """Stage them by worker processes, be it one: a recording may crash what reads it."""
        if not todo:
            return []
        units = sum(max(len(episode.cameras), 1) for episode in todo)
        with WorkerPool(min(self.cpus, units)) as pool:
            return pool.stage(
                todo,
                self.plan.job,
                self.staging.root,
                moved=report.listener.moved,
                done=report.staged,
                measured=measured,
            )

    def _without(self, part: Plan, failures: Sequence[Failure]) -> Plan:
        """The part less the episodes that are to be left out; a shard may be left with none."""
        all_bad = all(
            isinstance(failure.error, RecordingError) for failure in failures
        )
        if not (self.plan.asked.skip_bad and all_bad):
            return without_failures(part, failures, skip_bad=False)
        for episode, error in failures:
            part = part.without(episode.key, brief(error))
        return part

    def _make_shard(self, rank: int, part: Plan) -> None:
        folder = self.staging.root / f"shard-{rank}-{own_name()}"
        try:
            if part.episodes:
                write_dataset(self.staging, part, folder)
            else:  # other shards have episodes; this one tells why it has none
                make_below(self.staging.root, (folder / PROVENANCE).parent)
                write_provenance(part, folder)
            self._manifest(rank, folder).to_disk(folder)
            output = self.output(rank)
            publish(folder, output, replaces=check_free(output, overwrite=True))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _manifest(self, rank: int, folder: Path) -> Manifest:
        files = {
            name: size
            for name, size in sizes(folder).items()
            if name != MANIFEST.as_posix()
        }
        return Manifest(
            plan=self.plan.key,
            world=self.world,
            rank=rank,
            filled=self.filled,
            key=self.key(rank),
            job_id=self.job_id,
            command=self.command,
            recordings=_recordings(self.parts[rank]),
            files=files,
        )

    def _end(self, folder: JobFolder) -> None:
        """All shards are complete: nothing staged is needed, unless the shards lie with it."""
        if self.staging_root in self.target.parents:
            return
        # Whatever a detector does, the shards are there.
        try:
            if self.review:
                self.review.judge(self.plan, self.staging, folder)
        finally:
            self.staging.remove()
            sweep_removed(self.staging_root)  # of an attempt that was killed


def _recordings(plan: Plan) -> tuple[str, ...]:
    """The paths of the recordings of a plan."""
    return tuple(
        sorted({str(episode.file.resolve()) for episode in plan.episodes})
    )

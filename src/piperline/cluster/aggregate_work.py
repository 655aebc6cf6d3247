"""The work of making one dataset of shards, by one rank."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from piperline.cluster.job_folder import JobFolder
from piperline.cluster.report import RankReport
from piperline.cluster.review import RankReview
from piperline.cluster.shards import find_shards, left_out_of
from piperline.convert.plan import load_plan
from piperline.convert.stage import Staging
from piperline.errors import PiperlineError, TaskFailed
from piperline.files import LARGEST_TABLE, read_plain
from piperline.lerobot.info import PROVENANCE
from piperline.output.publish import check_free
from piperline.transfer import TransferOptions, aggregate

_CONTENT = (
    "data/**/*",
    "videos/**/*",
    "meta/info.json",
    "meta/tasks*",
    "meta/episodes*",
    "meta/episodes/**/*",
)
"""The files of a dataset that nobody writes anew: training may do so with the rest of `meta`."""


@dataclass(frozen=True)
class AggregateWork:
    """Shards into one dataset.

    Attributes:
        kind: `aggregate`.
        target: the shards are `TARGET_world_N_rank_K`.
        shards: how many there are.
        dataset: the folder of the dataset that is made.
        plan: the key of the plan of the shards.
        overwrite: replace a dataset that piperline made.
        own_folder: the staging folder in which the shards lie, where they were made for this
            dataset alone; it is removed when the dataset has its name.
        data_mb, video_mb: v3.0: MiB at which a new data file, or video file of a camera, is begun.
        review: the review that goes with it, where the recordings are staged in `own_folder`.
    """

    kind: Literal["aggregate"]
    target: Path
    shards: int
    dataset: Path
    plan: str
    overwrite: bool = False
    own_folder: Path | None = None
    data_mb: float = 100
    video_mb: float = 200
    world: int = 1
    review: RankReview | None = None

    @classmethod
    def of_shards(
        cls,
        target: Path,
        shards: int,
        dataset: Path,
        *,
        overwrite: bool = False,
    ) -> Self:
        """The work for shards that are complete.

        Raises:
            DatasetError: shards are missing, damaged, or of different plans.
        """
        _, manifest = find_shards(target, shards)[0]
        return cls(
            "aggregate", target, shards, dataset, manifest.plan, overwrite
        )

    def key(self, rank: int) -> str:
        """Names what is made, and where."""
        del rank
        return hashlib.sha256(
            f"{self.dataset}\n{self.plan}".encode()
        ).hexdigest()[:32]

    def output(self, rank: int) -> Path:
        """The dataset's folder."""
        del rank
        return self.dataset

    def check(self) -> None:
        """See that the dataset can get its name.

        Raises:
            OutputExists: something is in the way.
        """
        check_free(self.dataset, overwrite=self.overwrite, thorough=False)

    def done(self, folder: JobFolder) -> frozenset[int]:
        """Rank 0, if the dataset has the content that was made in this job."""
        record = folder.record(0)
        if record is None or record.key != self.key(0) or not record.made:
            return frozenset()
        return frozenset(
            {0} if record.made == fingerprint(self.dataset) else ()
        )

    def settle(self, done: Collection[int], folder: JobFolder) -> None:
        """Remove shards that were made for the dataset alone, once it has its name.

        What is staged with them is reviewed before.
        """
        if not done or self.own_folder is None:
            return
        staging = Staging(self.own_folder)
        plan = load_plan(staging.plan_file)
        # else another run is using the folder
        if plan is None or plan.key != self.plan:
            return
        # Whatever a detector does, the dataset is there.
        try:
            if self.review:
                self.review.judge(plan, staging, folder)
        finally:
            staging.remove()

    def run(self, rank: int, report: RankReport) -> None:
        """Make the dataset. If another attempt has finished it meanwhile, all is well.

        Raises:
            DatasetError: shards are missing, damaged, or of different plans.
            OutputExists: something is in the way.
            TaskFailed: no shard has an episode.
        """
        del rank
        try:
            self._run(report)
        except (OSError, PiperlineError):
            if not self.done(report.folder):
                raise
            report.say("another attempt has made this dataset")
        self.settle({0}, report.folder)

    def _run(self, report: RankReport) -> None:
        shards = find_shards(self.target, self.shards)
        filled = [folder for folder, manifest in shards if manifest.is_dataset]
        report.say(
            f"{len(filled)} shards with episodes, {self.shards - len(filled)} empty"
        )
        if not filled:
            reasons = "\n".join(f"- {line}" for line in left_out_of(shards))
            raise TaskFailed(
                "none of the episodes can be converted",
                expected="a shard with episodes",
                found=f"\n{reasons}",
                next_step="mend the recordings, and make the shards again",
            )
        options = TransferOptions(
            data_mb=self.data_mb,
            video_mb=self.video_mb,
            overwrite=self.overwrite,
            made_from=tuple(folder for folder, _ in shards),
            ready=lambda made: report.made(fingerprint(made)),
        )
        result = aggregate(filled, self.dataset, options=options)
        for note in result.notes:
            report.say(note)
        report.say(
            f"{result.episodes} episodes, {result.frames} frames: {result.output}"
        )


def fingerprint(dataset: Path) -> str:
    """Tells how a dataset was made, and how much of it exists; empty where there is none."""
    try:
        provenance = read_plain(dataset / PROVENANCE, LARGEST_TABLE)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    files = [
        path
        for pattern in _CONTENT
        for path in dataset.glob(pattern)
        if path.is_file()
    ]
    size = sum(path.stat().st_size for path in files)
    return f"{hashlib.sha256(provenance).hexdigest()} {len(files)} files {size} bytes"

"""The recordings reviewed by the ranks that convert them: what was found is kept with the job."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piperline.cluster.job_folder import JobFolder
from piperline.convert.plan import Plan, PlannedEpisode
from piperline.convert.stage import Staging
from piperline.files import read_json, write_whole


@dataclass(frozen=True)
class RankReview:
    """A review that ranks make by the way; the dataset does not depend on it.

    Attributes:
        folder: where a review may have kept signals; see `piperline.convert.run.convert`.
        command: what shows all of it.
    """

    folder: Path
    command: str

    def unmeasured(
        self, episodes: Collection[PlannedEpisode], plan: Plan, staging: Staging
    ) -> frozenset[str]:
        """The keys of the episodes of a rank that are still to be measured."""
        # Detectors take a while to load, and are not always wanted.
        from piperline.convert.review import Reviewer

        return Reviewer(plan, self.folder).unmeasured(episodes, staging)

    def judge(self, plan: Plan, staging: Staging, job: JobFolder) -> None:
        """Write what is wrong with the episodes, once: when all are done, and staged still."""
        if found_in(job, plan.key):
            return
        from piperline.convert.review import Reviewer
        from piperline.review.folder import plain

        with Reviewer(plan, self.folder).judging(plan, staging) as found:
            reviewed = found()
        # Another rank that ended at the same time may have removed what was staged: it has judged.
        if reviewed is None or found_in(job, plan.key):
            return
        document = reviewed.document(self.command)
        text = json.dumps({"plan": plan.key, **document}, default=plain)
        write_whole(job.review_file, text)


def found_in(job: JobFolder, plan: str) -> dict[str, Any] | None:
    """What a review found; None where there was none of the plan of this key."""
    try:
        found: dict[str, Any] = read_json(job.review_file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if found.pop("plan", None) == plan else None

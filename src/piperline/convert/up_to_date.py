"""Whether a dataset is already what a run would make."""

import json
from pathlib import Path
from typing import Any

from piperline.convert.plan import MadeEpisode, Plan
from piperline.convert.provenance import entry_of, provenance
from piperline.errors import DatasetError
from piperline.files import LARGEST_TABLE, read_json
from piperline.lerobot.dataset import Dataset, open_dataset
from piperline.lerobot.info import PROVENANCE


def existing_dataset(plan: Plan, output: Path) -> Dataset | None:
    """The dataset at `output`, if a run of `plan` would make the same one.

    It says that it was made so, by this version, of these episodes, and no recording has changed
    since. Episodes that turned out to be damaged may have been left out, as they would be again.

    Returns:
        The dataset; None if there is none, or another one.
    """
    try:
        recorded = read_json(output / PROVENANCE, LARGEST_TABLE)
        dataset = open_dataset(output)
    except (OSError, ValueError, DatasetError):
        return None
    if dataset.missing_cameras:
        return None
    kept = _kept(plan, recorded)
    told = {
        "episodes": [
            entry_of(made, plan.edit, plan.job.layout) for made in kept
        ],
        "left_out": recorded.get("left_out")
        if isinstance(recorded, dict)
        else None,
    }
    expected = {**provenance(plan), **told}
    if recorded != json.loads(json.dumps(expected)):
        return None
    tasks = [row.tasks for row in dataset.episodes]
    planned = [episode.tasks for episode in kept]
    return dataset if tasks == planned else None


def _kept(plan: Plan, recorded: Any) -> list[MadeEpisode]:  # noqa: ANN401 - JSON
    """The episodes of the plan that were not left out while they were encoded."""
    items = recorded.get("left_out", []) if isinstance(recorded, dict) else []
    if not plan.asked.skip_bad or not isinstance(items, list):
        return list(plan.made)
    gone = {
        (item.get("source"), item.get("episode"))
        for item in items
        if isinstance(item, dict)
    }
    return [
        made
        for made in plan.made
        if (made.planned.source, made.planned.name) not in gone
    ]

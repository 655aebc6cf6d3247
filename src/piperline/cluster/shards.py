"""Shards: a run whose episodes are divided among ranks, and the datasets that the ranks make.

The shard datasets of `REPO` in N ranks are `REPO_world_N_rank_0`, ...: consecutive episodes of the
plan, divided as evenly by frames as can be. `meta/shard.json` in each tells which plan it is of and
every file that it holds. Ranks without an episode have no dataset; they are the last ones.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

from piperline.cluster.job_folder import JobFolder
from piperline.convert.plan import Plan
from piperline.errors import DatasetError, Place
from piperline.files import LARGEST_TABLE, read_json, write_whole
from piperline.lerobot.info import PROVENANCE
from piperline.text import plural

MANIFEST = Path("meta") / "shard.json"
_SHOWN = 20


def shard_folder(target: Path, world: int, rank: int) -> Path:
    """The dataset of a rank; `target` is the folder that the repository id names."""
    return target.with_name(f"{target.name}_world_{world}_rank_{rank}")


def balanced(costs: Sequence[int], parts: int) -> list[range]:
    """Divide consecutive items among parts, so that the most costly part costs as little as can be.

    Args:
        costs: of each item, 0 or more.
        parts: how many; with more parts than items the last ones are empty, otherwise none is.

    Returns:
        The items of each part.
    """
    low, high = max(costs, default=0), sum(costs)
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if _parts_needed(costs, middle) <= parts
            else (middle + 1, high)
        )
    ranges, start = [], 0
    for part in range(parts):
        stop, cost = start, 0
        # as many items are left for the other parts, if there are
        keep = parts - part - 1
        while stop < len(costs) and (
            stop == start
            or (len(costs) - stop > keep and cost + costs[stop] <= low)
        ):
            cost, stop = cost + costs[stop], stop + 1
        ranges.append(range(start, stop))
        start = stop
    return ranges


def _parts_needed(costs: Sequence[int], limit: int) -> int:
    parts, filled = 1, 0
    for cost in costs:
        if filled + cost > limit:
            parts, filled = parts + 1, 0
        filled += cost
    return parts


def divide(plan: Plan, world: int) -> list[Plan]:
    """The part of `plan` that each of `world` ranks does, balanced by frames."""
    parts = balanced([episode.length for episode in plan.episodes], world)
    left_out = [plan.left_out, *[()] * (world - 1)]
    return [
        replace(
            plan, episodes=plan.episodes[part.start : part.stop], left_out=left
        )
        for part, left in zip(parts, left_out, strict=True)
    ]


@dataclass(frozen=True)
class Manifest:
    """What a shard is.

    Attributes:
        plan: the key of the whole plan.
        world, rank: which shard of how many.
        filled: how many of the shards hold episodes.
        key: the key of this shard's part of the plan.
        job_id: the identity of the folder of the job that made it.
        command: the options that make all shards again.
        recordings: the paths of the recordings of its part.
        files: the size of every other file in bytes, by path below the dataset's folder.
    """

    plan: str
    world: int
    rank: int
    filled: int
    key: str
    job_id: str
    command: tuple[str, ...]
    recordings: tuple[str, ...]
    files: dict[str, int]

    @classmethod
    def from_disk(cls, folder: Path) -> Self | None:
        """Read the manifest of the shard in `folder`; None where there is none."""
        try:
            values = read_json(folder / MANIFEST, LARGEST_TABLE)
            for name in ("command", "recordings"):
                values[name] = tuple(values[name])
            return cls(**values)
        except (
            FileNotFoundError,
            NotADirectoryError,
            ValueError,
            TypeError,
            KeyError,
        ):
            return None

    def to_disk(self, folder: Path) -> None:
        """Write it into the dataset in `folder`, and remove what a killed process left of it."""
        for path in (folder / MANIFEST).parent.glob(f".{MANIFEST.name}.tmp-*"):
            path.unlink(missing_ok=True)
        write_whole(
            folder / MANIFEST, json.dumps(asdict(self), indent=1) + "\n"
        )

    def is_whole(self, folder: Path) -> bool:
        """Whether every file is there with its size."""
        try:
            return all(
                (folder / name).stat().st_size == size
                for name, size in self.files.items()
            )
        except (FileNotFoundError, NotADirectoryError):
            return False

    @property
    def is_dataset(self) -> bool:
        """Whether any episode is in it: with --skip-bad all of them may have been left out."""
        return "meta/info.json" in self.files

    @property
    def job(self) -> JobFolder | None:
        """The folder of the job that made it; None where it is not seen from here."""
        given = dict(pairwise(self.command))
        logs, name = given.get("--logs-dir"), given.get("--job-name")
        if not logs or not name:
            return None
        folder = JobFolder(Path(logs, name))
        return folder if folder.has_identity(self.job_id) else None

    @cached_property
    def again(self) -> str:
        """The command that makes what is missing."""
        return f"piperline shards convert {shlex.join(self.command)}"


def sizes(folder: Path) -> dict[str, int]:
    """The size of every file below `folder`, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in files
    }


def find_shards(
    target: Path,
    world: int,
) -> list[tuple[Path, Manifest]]:
    """The shards of `target` in their order, all of one plan and complete.

    Raises:
        DatasetError: there are none, some are missing or damaged, or they are of different plans.
    """
    folders = [shard_folder(target, world, rank) for rank in range(world)]
    found = {
        rank: manifest
        for rank, folder in enumerate(folders)
        if (manifest := Manifest.from_disk(folder))
    }
    if not found:
        raise _no_shards(target, world)
    newest = max(
        found, key=lambda rank: (folders[rank] / MANIFEST).stat().st_mtime_ns
    )
    plan, filled, again = (
        found[newest].plan,
        found[newest].filled,
        found[newest].again,
    )
    wrong = {rank: "missing" for rank in range(filled) if rank not in found}
    wrong |= {
        rank: "of another plan"
        for rank, manifest in found.items()
        if manifest.plan != plan
    }
    damaged = (
        rank
        for rank, manifest in found.items()
        if rank not in wrong and not manifest.is_whole(folders[rank])
    )
    wrong |= dict.fromkeys(damaged, "damaged: files have gone or changed")
    if wrong:
        lines = [
            f"- {folders[rank].name}: {reason}"
            for rank, reason in sorted(wrong.items())
        ]
        more = (
            [f"- ... and {len(lines) - _SHOWN} more"]
            if len(lines) > _SHOWN
            else []
        )
        raise DatasetError(
            f"{len(wrong)} of {world} shards are not ready; nothing is aggregated",
            place=Place(file=target.parent),
            expected=f"{filled} complete shards of one plan",
            found="\n" + "\n".join(lines[:_SHOWN] + more),
            next_step=f"this command makes what is missing: {again}",
        )
    return [(folders[rank], found[rank]) for rank in range(filled)]


def left_out_of(shards: Sequence[tuple[Path, Manifest]]) -> list[str]:
    """What the ranks left out of their shards, and why, a line each."""
    records = [
        read_json(folder / PROVENANCE, LARGEST_TABLE) for folder, _ in shards
    ]
    return [
        f"{item['source']}: {item['reason']}"
        for record in records
        for item in record["left_out"]
    ]


def _no_shards(target: Path, world: int) -> DatasetError:
    others = {
        path.name.rpartition("_rank_")[0]
        for path in target.parent.glob(f"{target.name}_world_*_rank_*")
    }
    if any(shard_folder(target, world, rank).exists() for rank in range(world)):
        message = "the shards were not made by `piperline shards convert`"
        step = "aggregate other datasets with `piperline aggregate`"
    else:
        message = f"there are no shards of {plural(world, 'worker')}"
        step = (
            f"make them first: piperline shards convert --workers {world} ...; "
            "or give another --num-shards"
        )
    return DatasetError(
        message,
        place=Place(file=shard_folder(target, world, 0)),
        found=", ".join(sorted(others)) or "none at all",
        next_step=step,
        expected=f"the folders of {plural(world, 'shard')}, by `piperline shards convert`",
    )

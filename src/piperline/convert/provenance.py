"""How a dataset was made (`meta/piperline.json`): written by a conversion, read back by sync.

It holds what a conversion of the same recordings needs, and what tells whether one of them has
changed. Equal recordings at equal times, equal records.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piperline import __version__
from piperline.convert.encode import EncodeSettings
from piperline.convert.job import Job
from piperline.convert.plan import LeftOut, Plan, PlannedEpisode
from piperline.errors import DatasetError, Place
from piperline.files import write_whole
from piperline.lerobot.info import PROVENANCE
from piperline.plan import NO_EDITS, EditPlan, fingerprint
from piperline.seal.seal import left_out_order
from piperline.text import printable
from piperline.video.encoder import LIBRARY

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_OF_JOB = ("robot_type", "task", "groot", "license")
_LIMITS = ("data_mb", "video_mb")
_OF_SETTINGS = ("video", "fps", "size", "verify")


def provenance(plan: Plan) -> dict[str, Any]:
    """How a dataset is made: what `meta/piperline.json` holds, as JSON."""
    job = asdict(plan.job)
    edits = plan.asked.edits
    return {
        "made_by": f"piperline {__version__}",
        "encoded_by": LIBRARY,
        "format": plan.job.format,
        "layout": job["layout"],
        **{name: job["settings"][name] for name in _OF_SETTINGS},
        **{name: job[name] for name in _OF_JOB},
        **{name: float(job[name]) for name in _LIMITS},
        "chosen": plan.asked.episodes,
        "plan": None if edits == NO_EDITS else _json(EditPlan, edits),
        "episodes": list(map(entry_of, plan.episodes)),
        "left_out": _left_out(plan),
    }


def entry_of(episode: PlannedEpisode) -> dict[str, Any]:
    """What the record tells of an episode."""
    entry: dict[str, Any] = {
        "source": episode.source,
        "episode": episode.name,
        "length": episode.length,
    }
    if episode.first:
        entry["first_frame"] = episode.first
    if episode.swapped:
        entry["red_and_blue_exchanged"] = list(episode.swapped)
    if episode.spans:
        entry["instructions"] = [list(span) for span in episode.spans]
    if episode.beside.fingerprint:
        entry["beside"] = episode.beside.fingerprint
    if episode.missing:
        entry["missing"] = True
    return {**entry, "made_of": episode.made_of}


def _left_out(plan: Plan) -> list[dict[str, Any]]:
    """What is not in the dataset, and why; in an order that does not tell when that was seen."""
    files = {file[0]: file for file in plan.asked.files}
    entries = []
    for left in plan.left_out:
        unknown = (left.file, left.file.name, 0, 0)
        entries.append(_left_entry(left, files.get(left.file, unknown)))
    return sorted(entries, key=left_out_order)


def _left_entry(
    left: LeftOut, file: tuple[Path, str, int, int]
) -> dict[str, Any]:
    _, source, size, mtime_ns = file
    made_of = fingerprint(source, size, mtime_ns, left.episode or "")
    return {
        "source": source,
        "episode": left.episode,
        "reason": left.reason,
        "made_of": made_of,
    }


def write_provenance(plan: Plan, folder: Path) -> None:
    """Record how the dataset in `folder` was made: layout, settings, sources, what was left out."""
    text = json.dumps(provenance(plan), indent=2, ensure_ascii=False)
    write_whole(folder / PROVENANCE, text + "\n")


@dataclass(frozen=True)
class Recipe:
    """How a dataset is made, of whatever recordings.

    Attributes:
        job: what is done.
        edits: what a person's plan does to single episodes.
        chosen: which of the episodes found; see `make_plan`.
        current: whether this version would make the same bytes: by the same FFmpeg, too.
    """

    job: Job
    edits: EditPlan
    chosen: str | None
    current: bool

    @property
    def takes_known(self) -> bool:
        """Whether a recording of the size and time that are known need not be looked at.

        Not so where numbers count the episodes of all recordings, or where something beside them
        tells their instructions or their rate.
        """
        layout = self.job.layout
        folders = any(rule.folder for rule in layout.tasks)
        beside = layout.looks_beside or folders
        return self.current and self.chosen is None and not beside


def read_recipe(document: dict[str, Any], place: Place) -> Recipe:
    """How a dataset was made, by its record.

    Args:
        document: the record.
        place: where it lies, for errors.

    Raises:
        DatasetError: it does not tell, or not all of it.
    """
    try:
        settings = {name: document[name] for name in _OF_SETTINGS}
        job = {
            "layout": document["layout"],
            "settings": _read(EncodeSettings, settings),
            "format": document["format"],
            **{name: document[name] for name in (*_OF_JOB, *_LIMITS)},
        }
        edits = document["plan"]
        made_by = document["made_by"], document["encoded_by"]
        return Recipe(
            _read(Job, job),
            NO_EDITS if edits is None else _read(EditPlan, edits),
            _read(str | None, document["chosen"]),
            made_by == (f"piperline {__version__}", LIBRARY),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            "the dataset does not tell how it was made",
            place=place,
            expected="what `piperline convert` of this version notes",
            found=_brief(error),
            next_step="convert the recordings once more, then sync: "
            "piperline convert RECORDINGS --output DATASET --overwrite",
        ) from error


def _brief(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"nothing about {error.args[0]}"
    return printable(str(error)).partition("\n")[0][:200]


def _json(kind: type, value: object) -> Any:  # noqa: ANN401 - JSON
    return _adapter(kind).dump_python(value, mode="json")


def _read(kind: Any, value: object) -> Any:  # noqa: ANN401 - what the kind says
    return _adapter(kind).validate_python(value)


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":  # noqa: ANN401 - a type
    from pydantic import TypeAdapter

    return TypeAdapter(kind)

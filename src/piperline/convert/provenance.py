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
from piperline.convert.plan import LeftOut, MadeEpisode, Plan
from piperline.edits.plan import DatasetEdit, EditPlan, fingerprint, plan_of
from piperline.errors import DatasetError, Place, UsageError
from piperline.features import camera_key
from piperline.files import write_whole
from piperline.lerobot.info import PROVENANCE
from piperline.recordings.layout import Layout
from piperline.seal.seal import left_out_order
from piperline.text import printable
from piperline.video.encoder import LIBRARY

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_OF_JOB = ("robot_type", "task", "groot", "license")
_LIMITS = ("data_mb", "video_mb")
_OF_SETTINGS = ("video", "size", "verify")


def provenance(plan: Plan) -> dict[str, Any]:
    """How a dataset is made: what `meta/piperline.json` holds, as JSON."""
    job = asdict(plan.job)
    record = {
        "made_by": f"piperline {__version__}",
        "encoded_by": LIBRARY,
        "format": plan.job.format,
        "layout": job["layout"],
        **{name: job["settings"][name] for name in _OF_SETTINGS},
        "fps": plan.fps // plan.edit.every,
        "recorded_fps": plan.job.settings.fps,
        **{name: job[name] for name in _OF_JOB},
        **{name: float(job[name]) for name in _LIMITS},
        "chosen": plan.asked.episodes,
        "episodes": [
            entry_of(made, plan.edit, plan.job.layout) for made in plan.made
        ],
        "left_out": _left_out(plan),
    }
    if plan.asked.edits:
        edited_by = {
            "by": f"piperline {__version__}",
            "plan": json.loads(plan.asked.edits),
        }
        record["edited"] = [edited_by]
    return record


def entry_of(
    made: MadeEpisode, edit: DatasetEdit, layout: Layout
) -> dict[str, Any]:
    """What the record tells of an episode: its recording, and what an edit plan left of it.

    Args:
        made: the episode.
        edit: what was done to all of them.
        layout: of the recordings.
    """
    planned, piece, every = made.planned, made.piece, edit.every
    if planned.kept:
        known: dict[str, Any] = json.loads(planned.kept)
        return {**known, "missing": True} if planned.missing else known
    entry: dict[str, Any] = {
        "source": planned.source,
        "episode": planned.name,
        "length": made.length,
    }
    if planned.swapped:
        entry["red_and_blue_exchanged"] = list(planned.swapped)
    frames = planned.frames[piece.start : piece.stop : every]
    if planned.taken or not piece.whole or every > 1:
        stop = planned.frames.stop if planned.taken else piece.stop
        entry["frames"] = [frames.start, stop]
    if frames.step > 1:
        entry["every"] = frames.step
    if planned.spans:
        entry["instructions"] = [list(span) for span in planned.spans]
    if planned.beside.fingerprint:
        entry["beside"] = planned.beside.fingerprint
    changes = _changes(made, edit, layout)
    if changes:
        entry["edited"] = changes
    return {**entry, "made_of": planned.made_of}


def _changes(
    made: MadeEpisode, edit: DatasetEdit, layout: Layout
) -> dict[str, Any]:
    """What is not as it was recorded, beside the frames; see `edits.recorded`."""
    told = made.planned.tasks
    given = (
        told if made.piece.instruction is None else (made.piece.instruction,)
    )
    names = edit.rename_instructions
    new = list(dict.fromkeys(names.get(text, text) for text in given))
    order = {}
    for key, dimensions in edit.reorder_dimensions.items():
        known = layout.vectors[key].dimension_names
        order[key] = [known.index(name) for name in dimensions]
    changes = {
        "instructions": [] if new == list(told) else new,
        "cameras": {
            camera_key(after): camera_key(before)
            for before, after in edit.rename_cameras.items()
        },
        "order": order,
    }
    return {name: change for name, change in changes.items() if change}


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

        Not so where numbers count the episodes of all recordings, in a plan too, or where something
        beside them tells their instructions or their rate.
        """
        layout = self.job.layout
        folders = any(rule.folder for rule in layout.tasks)
        beside = layout.looks_beside or folders
        some = self.chosen is not None or self.edits
        return self.current and not some and not beside


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
        settings["fps"] = document["recorded_fps"]
        job = {
            "layout": document["layout"],
            "settings": _read(EncodeSettings, settings),
            "format": document["format"],
            **{name: document[name] for name in (*_OF_JOB, *_LIMITS)},
        }
        made_by = document["made_by"], document["encoded_by"]
        (edited,) = document.get("edited") or [{}]
        return Recipe(
            _read(Job, job),
            plan_of(edited.get("plan", {})),
            _read(str | None, document["chosen"]),
            made_by == (f"piperline {__version__}", LIBRARY),
        )
    except (KeyError, TypeError, ValueError, UsageError) as error:
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


def _read(kind: Any, value: object) -> Any:  # noqa: ANN401 - what the kind says
    return _adapter(kind).validate_python(value)


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":  # noqa: ANN401 - a type
    from pydantic import TypeAdapter

    return TypeAdapter(kind)

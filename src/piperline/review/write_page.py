"""The page that shows a review: files of this package, and the review's data as scripts.

It is opened from the disk, where a page may not read files, but may load scripts: `data.js` sets
`window.REVIEW`, and each `episodes/<key>.js` calls `window.CURVES` with the curves of one episode
when the page asks for it. What recordings say is data in them: it stands in strings only, in which
nothing can end a script.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from piperline.edits.document import (
    Proposal,
    entry_lines,
    plan_document,
    value_lines,
)
from piperline.edits.plan import NO_EDITS, EditPlan, EpisodeEdit, read_plan
from piperline.errors import UsageError
from piperline.files import write_whole
from piperline.signals.episode import ACTION, STATE, EpisodeSignals
from piperline.signals.robot import make_robot
from piperline.signals.robust import Floats

INDEX, DATA = "index.html", "data.js"

_PARTS = "page"
_PIPER = "bi_piper"
_ESCAPES = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
}


def script_text(value: object) -> str:
    """A value as an expression of JavaScript, in ASCII; nothing in it can end a script."""
    return json.dumps(value, separators=(",", ":")).translate(_ESCAPES)


def curves_script(signals: EpisodeSignals) -> str:
    """The curves of an episode as a script.

    `state` and `action` are lists of T rows rounded to 4 digits. `cameras` names the episode's
    cameras, in the order of its videos, and `motion` tells of each, in T numbers, how much the
    picture changes.
    """
    curves: dict[str, Any] = {
        name: _rounded(signals.vectors[key])
        for name, key in (("state", STATE), ("action", ACTION))
        if key in signals.vectors
    }
    curves["cameras"] = list(signals.cameras)
    curves["motion"] = [
        _rounded(camera.motion) for camera in signals.cameras.values()
    ]
    return f"CURVES({script_text(signals.key)},{script_text(curves)});\n"


def _rounded(values: Floats) -> Sequence[Any]:
    rounded: Sequence[Any] = values.astype(float).round(4).tolist()
    return rounded


def write_page(
    root: Path,
    document: Mapping[str, Any],
    sources: Sequence[tuple[str, str]],
    edits: Sequence[Proposal],
    plan: Path,
) -> None:
    """Write the page of a review, `index.html` last.

    Args:
        root: the folder of the review.
        document: the result of the review: see `piperline.review`.
        sources: address and fingerprint of each episode, as a plan names them.
        edits: what the review proposes.
        plan: the plan that stands: what it says is what the page begins with.
    """
    data = _data(root, document, sources, edits, _standing(plan))
    data["id"] = hashlib.sha256(script_text(data).encode("ascii")).hexdigest()[
        :16
    ]
    write_whole(root / DATA, f"window.REVIEW = {script_text(data)};\n")
    parts = root / _PARTS
    parts.mkdir(exist_ok=True)
    for name, text in _parts():
        write_whole(root / name if name == INDEX else parts / name, text)


def _parts() -> Iterator[tuple[str, str]]:
    """The files of the page, their names and texts, `index.html` last."""
    folder = files("piperline.review") / _PARTS
    found = [
        *folder.iterdir(),
        *(folder / "vendor").iterdir(),
    ]
    texts = {
        part.name: part.read_text(encoding="utf-8")
        for part in found
        if part.is_file()
    }
    yield from sorted(texts.items(), key=lambda part: part[0] == INDEX)


def _standing(plan: Path) -> EditPlan:
    """The plan that is carried out as things stand; an empty one, if a person has broken it."""
    try:
        return read_plan(plan)
    except UsageError:
        return NO_EDITS


def _data(
    root: Path,
    document: Mapping[str, Any],
    sources: Sequence[tuple[str, str]],
    edits: Sequence[Proposal],
    standing: EditPlan,
) -> dict[str, Any]:
    episodes = document["episodes"]
    sessions, texts = (
        list(dict.fromkeys(episode[name] for episode in episodes))
        for name in ("session", "instruction")
    )
    rows = [
        [
            sessions.index(episode["session"]),
            episode["name"],
            texts.index(episode["instruction"]),
            episode["frames"],
            episode["key"],
            *source,
        ]
        for episode, source in zip(episodes, sources, strict=True)
    ]
    indices = {source: index for index, source in enumerate(sources)}
    certain = [
        Proposal(name, edit)
        for name, edit in standing.episodes.items()
        if (str(name), edit.made_of) in indices
    ]
    fps = int(document["robot"]["fps"])
    robot = document["robot"]
    return {
        "inputs": document["inputs"],
        "layout": document["layout"],
        "robot": {**robot, "arms": _arms(robot)},
        "cameras": document["cameras"],
        "notes": document["notes"],
        "sessions": sessions,
        "texts": texts,
        "episodes": rows,
        "with_videos": [
            int((root / "videos" / e["key"]).is_dir()) for e in episodes
        ],
        "remedies": {f["code"]: f["remedy"] for f in document["findings"]},
        "findings": [_finding(finding) for finding in document["findings"]],
        "edits": [_edit(each, indices, fps) for each in certain],
        "doubtful": [
            _edit(each, indices, fps) for each in edits if not each.certain
        ],
        "drop_cameras": list(standing.dataset.drop_cameras),
        "kept": _kept(standing, indices),
    }


def _kept(
    standing: EditPlan, indices: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    """What the page does not show of a plan, as lines of its file: they are saved as they are."""
    document = plan_document(standing)
    dataset = document.get("dataset", {})
    dataset.pop("drop_cameras", None)
    return {
        "head": value_lines({"keep": document["keep"]})
        if "keep" in document
        else [],
        "episodes": [
            entry_lines(name, edit)
            for name, edit in standing.episodes.items()
            if (str(name), edit.made_of) not in indices
        ],
        "dataset": value_lines(dataset),
    }


def _arms(robot: Mapping[str, Any]) -> list[list[int]]:
    """The dimensions of each arm, six joints and the gripper, if they are Piper's: else none."""
    arms = (
        make_robot(robot["type"], robot["names"]).arms
        if robot["type"] == _PIPER
        else {}
    )
    return [
        [int(d) for d in dimensions]
        for dimensions in arms.values()
        if len(dimensions) == 7  # noqa: PLR2004
    ]


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a finding; where it has episodes, they tell the file."""
    numbers, place = finding["numbers"], finding["place"] or {}
    known = {
        "code": finding["code"],
        "severity": finding["severity"],
        "message": finding["message"],
        "scope": numbers["scope"],
        "episodes": numbers.get("episodes"),
        "camera": place.get("camera"),
        "span": [numbers["first_frame"], numbers["last_frame"]]
        if "first_frame" in numbers
        else None,
    }
    if not known["episodes"]:
        known["place"] = [
            place[name] for name in ("file", "episode") if name in place
        ]
    return {name: value for name, value in known.items() if value is not None}


def _edit(
    proposal: Proposal, indices: Mapping[tuple[str, str], int], fps: int
) -> dict[str, Any]:
    edit = proposal.edit
    known = {
        "episode": indices[str(proposal.episode), edit.made_of],
        "drop": edit.drop or None,
        "trim": _frames(edit, fps),
        "trim_as": f"{edit.start or ''}:{edit.stop or ''}"
        if edit.start or edit.stop
        else None,
        "split": [str(cut) for cut in edit.cuts] or None,
        "instruction": edit.instruction,
        "swap": list(edit.swap_red_blue) or None,
        "reason": edit.reason,
        "finding": edit.finding,
    }
    return {name: value for name, value in known.items() if value is not None}


def _frames(edit: EpisodeEdit, fps: int) -> tuple[int, int | None] | None:
    """The frames that a trim keeps; None where it cuts nothing off."""
    if not (edit.start or edit.stop):
        return None
    start = edit.start.frame(fps) if edit.start else 0
    return start, edit.stop.frame(fps) if edit.stop else None

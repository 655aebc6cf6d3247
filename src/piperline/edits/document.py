"""A plan as a document: what its file says, for a dataset's record of how it was made."""

from dataclasses import fields
from typing import Any

from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit


def plan_document(plan: EditPlan) -> dict[str, Any]:
    """A plan as JSON, with the keys of its file and nothing that it leaves as it is."""
    document: dict[str, Any] = {}
    if plan.keep is not None:
        document["keep"] = list(plan.keep)
    if plan.episodes:
        entries = plan.episodes.items()
        document["episode"] = [
            {"episode": name, **_episode(edit)} for name, edit in entries
        ]
    if plan.dataset:
        document["dataset"] = _dataset(plan.dataset)
    return document


def _episode(edit: EpisodeEdit) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if edit.drop:
        entry["drop"] = True
    if edit.start or edit.stop:
        entry["trim"] = f"{edit.start or ''}:{edit.stop or ''}"
    if edit.cuts:
        entry["split"] = [str(cut) for cut in edit.cuts]
    if edit.instruction is not None:
        entry["instruction"] = edit.instruction
    if edit.reason:
        entry["reason"] = edit.reason
    return entry


def _dataset(edit: DatasetEdit) -> dict[str, Any]:
    usual = DatasetEdit()
    names = [field.name for field in fields(DatasetEdit)]
    return {
        name: getattr(edit, name)
        for name in names
        if getattr(edit, name) != getattr(usual, name)
    }

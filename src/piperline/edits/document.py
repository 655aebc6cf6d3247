"""A plan as a document and as the text of a file: what `read_plan` reads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from piperline.edits.plan import DatasetEdit, EditPlan, EpisodeEdit


@dataclass(frozen=True)
class Proposal:
    """An edit that a review proposes.

    Attributes:
        episode: its address.
        edit: what is to be done.
        certain: whether it is done; the others stand in the file as comments.
    """

    episode: int | str
    edit: EpisodeEdit
    certain: bool = True


def plan_document(plan: EditPlan) -> dict[str, Any]:
    """A plan as JSON, with the keys of its file and nothing that it leaves as it is."""
    document: dict[str, Any] = {}
    if plan.keep is not None:
        document["keep"] = list(plan.keep)
    if plan.episodes:
        entries = plan.episodes.items()
        document["episode"] = [_episode(name, edit) for name, edit in entries]
    if plan.dataset:
        document["dataset"] = _dataset(plan.dataset)
    return document


def _episode(name: int | str, edit: EpisodeEdit) -> dict[str, Any]:
    trimmed = edit.start or edit.stop
    entry = {
        "episode": name,
        "made_of": edit.made_of,
        "drop": edit.drop,
        "trim": f"{edit.start or ''}:{edit.stop or ''}" if trimmed else "",
        "split": [str(cut) for cut in edit.cuts],
        "instruction": edit.instruction,
        "swap_red_blue": list(edit.swap_red_blue),
        "reason": edit.reason,
        "finding": edit.finding,
    }
    return {
        key: value
        for key, value in entry.items()
        if key == "episode" or value not in ("", False, None, [])
    }


def _dataset(edit: DatasetEdit) -> dict[str, Any]:
    usual = DatasetEdit()
    names = [field.name for field in fields(DatasetEdit)]
    return {
        name: getattr(edit, name)
        for name in names
        if getattr(edit, name) != getattr(usual, name)
    }


def plan_text(
    proposals: Iterable[Proposal],
    head: str,
    *,
    perhaps_drop_cameras: Mapping[str, str] | None = None,
) -> str:
    """A plan as TOML; what is not certain as comments.

    Args:
        proposals: in the order in which they are told; of an episode at most one is certain.
        head: a comment at the start.
        perhaps_drop_cameras: cameras that may be left out, and why; comments too.
    """
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    for proposal in proposals:
        mark = "" if proposal.certain else "# "
        lines += ["", *(mark + line for line in _lines(proposal))]
    for camera, reason in (perhaps_drop_cameras or {}).items():
        lines += [
            "",
            f"# {quoted(reason)}",
            "# [dataset]",
            f"# drop_cameras = [{quoted(camera)}]",
        ]
    return "\n".join(lines) + "\n"


def _lines(proposal: Proposal) -> Iterator[str]:
    yield "[[episode]]"
    for key, value in _episode(proposal.episode, proposal.edit).items():
        yield f"{key} = {_value(value)}"


def entry_lines(address: int | str, edit: EpisodeEdit) -> list[str]:
    """The lines of a plan that tell what is done to an episode."""
    return list(_lines(Proposal(address, edit)))


def value_lines(values: Mapping[str, Any]) -> list[str]:
    """Keys of a plan and their values, a line for each."""
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = (f"{quoted(key)} = {_value(own)}" for key, own in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """A TOML string of one line: what is not printable as escapes."""
    # a name from a file need not be UTF-8
    whole = text.encode("utf-8", "replace").decode()
    escaped = whole.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(map(_printed, escaped)) + '"'


def _printed(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"

"""The dataset card: README.md of a dataset, as the Hugging Face Hub shows it."""

import json
from collections.abc import Sequence
from pathlib import Path

from piperline.features import BOOKKEEPING
from piperline.lerobot.info import Info
from piperline.text import printable

_TASKS_SHOWN = 20
_NAMES_SHOWN = 8

_FRONT_MATTER = """---
task_categories:
- robotics
tags:
- LeRobot
- piperline
configs:
- config_name: default
  data_files: data/*/*.parquet
---
"""

_ORIGIN = """This dataset was created with piperline in the format of
[LeRobot](https://github.com/huggingface/lerobot) {version}.
"""

_LOADERS = {
    "v2.0": "lerobot 0.3.3 or older",
    "v2.1": "lerobot 0.3.3",
    "v3.0": "lerobot 0.4.0 or newer",
}


def card_text(info: Info, tasks: Sequence[str]) -> str:
    """The text of README.md: counts, tasks, features and how to load the dataset.

    Args:
        info: of the dataset.
        tasks: its task texts in order.
    """
    parts = [
        _FRONT_MATTER,
        _ORIGIN.format(version=info.version),
        "## Content\n",
        _table(["", ""], _facts(info)),
        "## Tasks\n",
        "".join(f"- {_cell(task)}\n" for task in tasks[:_TASKS_SHOWN])
        + _more(len(tasks)),
        "## Features\n",
        _table(["feature", "type", "shape", "what"], _features(info)),
        "## Loading\n",
        _loading(info),
    ]
    return "\n".join(parts)


def declare_license(card: Path, license_name: str) -> None:
    """Name the licence of the data in the front matter of a dataset card, in place.

    Args:
        card: the README.md.
        license_name: as the Hugging Face Hub names it: `cc-by-4.0`, `apache-2.0`.
    """
    text = card.read_text(encoding="utf-8")
    card.write_text(
        text.replace("---\n", f"---\nlicense: {license_name}\n", 1),
        encoding="utf-8",
    )


def _cell(text: str) -> str:
    """Text from a recording, safe inside a line of Markdown."""
    return printable(text).translate(
        {ord(mark): f"\\{mark}" for mark in "|<>[]`*_"}
    )


def _code(text: str) -> str:
    """A name as code; one that could end the code or the cell is plain text instead."""
    shown = printable(text)
    return _cell(text) if set(shown) & {"`", "|", "\\"} else f"`{shown}`"


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _facts(info: Info) -> list[list[str]]:
    seconds = info.frames / info.fps
    codecs = {
        str(feature.info.get("video.codec"))
        for feature in info.features.values()
        if feature.is_video and feature.info is not None
    }
    return [
        ["robot", _cell(info.robot_type or "not named")],
        ["episodes", str(info.episodes)],
        [
            "frames",
            f"{info.frames} ({seconds:.1f} s at {info.fps} frames a second)",
        ],
        ["tasks", str(info.tasks)],
        [
            "cameras",
            str(sum(feature.is_video for feature in info.features.values())),
        ],
        ["video codec", ", ".join(sorted(codecs)) or "no videos"],
    ]


def _more(tasks: int) -> str:
    return (
        f"- and {tasks - _TASKS_SHOWN} more in the task table\n"
        if tasks > _TASKS_SHOWN
        else ""
    )


def _features(info: Info) -> list[list[str]]:
    rows = []
    for key, feature in {**info.features, **BOOKKEEPING}.items():
        names = [_cell(name) for name in (feature.names or ())]
        shown = ", ".join(names[:_NAMES_SHOWN])
        if len(names) > _NAMES_SHOWN:
            shown += ", ..."
        shape = json.dumps(list(feature.shape))
        rows.append(
            [
                _code(key),
                _cell(feature.dtype),
                shape,
                shown,
            ]
        )
    return rows


def _loading(info: Info) -> str:
    path = "lerobot.datasets.lerobot_dataset"
    return (
        f"With {_LOADERS[info.version]}:\n\n"
        f"```python\nfrom {path} import LeRobotDataset\n\n"
        'dataset = LeRobotDataset("USER/NAME")  # or root="FOLDER" for a local copy\n'
        "print(dataset[0].keys())\n```\n"
    )

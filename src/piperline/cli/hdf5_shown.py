"""What the HDF5 commands show, laid out in the process that reads the file.

Light to import: the process of the command loads neither h5py nor numpy for it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from piperline.errors import PiperlineError
    from piperline.hdf5.plan import FileTop, TopGroup
    from piperline.hdf5.shell import Shell
    from piperline.recordings.layout import Layout
    from piperline.recordings.rules import Color


@dataclass(frozen=True)
class Screen:
    """Where it will be shown: how many columns there are, and whether colours are."""

    width: int
    is_terminal: bool

    def console(self) -> "Console":
        """For rich."""
        from rich.console import Console

        return Console(
            width=self.width,
            force_terminal=self.is_terminal,
            markup=False,
            emoji=False,
        )


@dataclass(frozen=True)
class Shown:
    """What is told of a file.

    Attributes:
        lines: for people.
        document: for programs.
        is_damaged: whether something in the file cannot be read.
    """

    lines: tuple[str, ...]
    document: Any = None
    is_damaged: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is to be told of objects: see `piperline.hdf5.inspect.inspect`."""

    attrs: bool
    previews: bool
    max_level: int | None
    json: bool


def objects(
    path: Path,
    screen: Screen,
    wanted: Wanted,
    bad: "Mapping[str, PiperlineError] | None" = None,
) -> Shown:
    """All objects of a file."""
    from piperline.cli.hdf5_text import report_lines
    from piperline.hdf5.inspect import inspect

    report = inspect(
        path,
        attrs=wanted.attrs,
        previews=wanted.previews,
        max_level=wanted.max_level,
        bad=bad,
    )
    damaged = bool(report.unreadable)
    if wanted.json:
        return Shown((), report.to_dict(), damaged)
    lines = tuple(report_lines(report, screen.width))
    return Shown(lines, is_damaged=damaged)


def episodes(
    path: Path, screen: Screen, bad: "Mapping[str, PiperlineError]"
) -> Shown | None:
    """The episodes of a file; None where no layout fits it."""
    from piperline.cli.hdf5_tables import episode_lines
    from piperline.hdf5.episode_table import episode_table

    table = episode_table(path, bad)
    if table is None:
        return None
    lines = (*episode_lines(table, screen.console()), "")
    return Shown(lines, asdict(table), bool(bad))


def top(path: Path) -> "FileTop":
    """What lies at the top of a file; see `piperline.hdf5.top_level.read_top`."""
    from piperline.hdf5.top_level import read_top

    return read_top(path)


def top_episodes(path: Path, folder: Path | None) -> "list[TopGroup]":
    """Its groups, all episodes; see `piperline.hdf5.top_level.episodes`."""
    from piperline.hdf5.top_level import episodes

    return episodes(path, folder)


def groups(path: Path) -> tuple[Shown, list[str]]:
    """The top-level groups of a file, and the names of what else lies there."""
    from piperline.cli.hdf5_tables import group_lines
    from piperline.cli.hdf5_text import name_text
    from piperline.hdf5.top_level import read_top

    top = read_top(path)
    records = [
        {
            "group": name_text(group.name),
            "members": group.members,
            "stored_bytes": group.stored_bytes,
        }
        for group in top.groups
    ]
    return Shown(tuple(group_lines(top.groups)), records), top.others


def sheet(
    path: Path,
    output: Path,
    layout: "Layout | None",
    episode: str | None,
    *,
    cameras: tuple[str, ...],
    every: int | None,
    color: "Color | None",
) -> Shown:
    """Write a contact sheet; what it shows."""
    from piperline.hdf5.contact_sheet import frames_sheet, write_image
    from piperline.text import printable

    made = frames_sheet(
        path, layout, episode, cameras=cameras, every=every, color=color
    )
    write_image(output, made.image)
    height, width = made.image.shape[:2]
    instruction = printable(made.instruction or "(no instruction)")
    return Shown(
        (
            f"{printable(str(output))}: {width}x{height}, layout {made.layout}",
            f"{printable(made.episode)}: {instruction}",
        )
    )


# --- the shell ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShellAnswer:
    """What the shell answered, and where it is then."""

    lines: tuple[str, ...]
    here: tuple[str, ...]
    closed: bool


@cache
def _shell(path: Path) -> "Shell":
    """The shell of a file that stays open in this process."""
    from piperline.hdf5.shell import Shell
    from piperline.recordings.hdf5 import open_file

    return Shell(open_file(path))


def shell_told(
    path: Path, here: tuple[str, ...], line: str, screen: Screen
) -> ShellAnswer:
    """Do a command of the shell in the group `here`."""
    from piperline.cli.prompt import answer_lines

    shell = _shell(path)
    shell.here, shell.images = here, screen.is_terminal
    lines = tuple(answer_lines(shell.run(line), screen.width))
    return ShellAnswer(lines, shell.here, shell.closed)


def shell_completed(
    path: Path, here: tuple[str, ...], line: str
) -> tuple[str, ...]:
    """The lines that `line` may become in the group `here`."""
    shell = _shell(path)
    shell.here = here
    return tuple(shell.complete(line))

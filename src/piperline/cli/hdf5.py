"""`piperline hdf5`: look into HDF5 files, split them, repack them. The scripts of the same purpose run these, too."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from piperline.cli.console import Output
from piperline.errors import UsageError
from piperline.text import printable, size_text

if TYPE_CHECKING:
    from piperline.hdf5.copy import NewFile
    from piperline.hdf5.copy_workers import Writers
    from piperline.hdf5.split_repack import TopGroup


File = Annotated[Path, Parameter(name="FILE")]
Input = Annotated[Path, Parameter(name=("--input", "-i"))]
Flag = Parameter(negative=())
Names = Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())]
PerFile = Annotated[int, Parameter(name=("--episodes-per-file", "-e"))]


def inspect(
    file: File,
    /,
    *,
    attrs: Annotated[bool, Parameter(name=("--attrs", "-a"), negative=())] = False,
    preview: Annotated[bool, Parameter(name=("--preview", "-p"), negative=())] = False,
    max_level: Annotated[int | None, Parameter(name=("--max-level", "-l"))] = None,
    interactive: Annotated[bool, Parameter(name=("--interactive", "-i"), negative=())] = False,
    json: Annotated[bool, Flag] = False,
) -> int:
    """Show what an HDF5 file holds: the episodes, if it is a recording, and the tree of all objects.

    Args:
        file: the file.
        attrs: show the attributes.
        preview: show the first values of each dataset.
        max_level: show the tree down to this level; the top-level groups are level 1.
        interactive: walk about in the file by commands instead; `help` lists them.
        json: print everything as JSON.
    """
    if interactive:
        return shell(file)
    from piperline.hdf5.table_process import start_table

    begun = start_table(file)
    from piperline.hdf5.episode_table import table_lines
    from piperline.hdf5.inspect import inspect, report_lines

    out = Output(json_wanted=json)
    report = inspect(file, attrs=attrs, previews=preview, max_level=max_level)
    table = begun()
    if table:
        _show(out, table_lines(table))
        out.data("")
    _show(out, report_lines(report))
    if out.json_wanted:  # of many objects, worth the question
        out.document({**report.to_dict(), "recording": asdict(table) if table else None})
    return 3 if report.unreadable else 0


def _show(out: Output, lines: Iterable[str]) -> None:
    """Print lines, with colours on a terminal."""
    if not sys.stdout.isatty():
        for line in lines:
            out.data(line)
        return
    from rich.console import Console

    console = Console()
    for line in lines:
        console.print(line, markup=False, emoji=False, soft_wrap=True)


def shell(file: File, /) -> int:
    """Walk about in an HDF5 file by commands: ls, cd, info, preview, tree and more. Commands may come from a pipe.

    Args:
        file: the file.
    """
    from piperline.cli.prompt import interact

    return interact(file)


def frames(
    file: File,
    /,
    *,
    episode: str,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    camera: Names = None,
    every: int | None = None,
    layout: str | None = None,
) -> None:
    """Write a contact sheet: pictures of an episode, camera by camera.

    Args:
        file: the recording.
        episode: the episode's name.
        output: the PNG file to write; none is overwritten.
        camera: only these cameras.
        every: every so-many-th frame; otherwise eight of the episode.
        layout: a name from `piperline layout list`, or the path of a TOML file; otherwise the built-in one that fits.
    """
    from piperline.hdf5.contact_sheet import frames_sheet, write_picture
    from piperline.recordings.detect import find_layout
    from piperline.recordings.layout import load_layout

    if every is not None and every < 1:
        raise UsageError("--every counts frames, from 1", found=str(every))
    rules = load_layout(layout) if layout else find_layout([file])
    sheet = frames_sheet(file, rules, episode, cameras=camera or (), every=every)
    write_picture(output, sheet)
    Output().data(f"{output}: {sheet.shape[1]}x{sheet.shape[0]}")


def groups(input: Input, *, json: Annotated[bool, Flag] = False) -> None:
    """List the top-level groups of an HDF5 file: what `split` would make files of.

    Args:
        input: the file.
        json: print JSON.
    """
    from piperline.hdf5.split_repack import groups

    out = Output(json_wanted=json)
    found, others = groups(input)
    _list_groups(out, found)
    for name in others:
        out.note(f"not a group: {name}")
    out.document([_group_record(group) for group in found])


def _list_groups(out: Output, found: "list[TopGroup]") -> None:
    width = max(len(_name_text(group.name)) for group in found)
    for group in found:
        out.data(
            f"{_name_text(group.name):{width}}  {group.members:3} members  {size_text(group.stored_bytes):>9}"
        )


def _group_record(group: "TopGroup") -> dict[str, object]:
    return {
        "group": _name_text(group.name),
        "members": group.members,
        "stored_bytes": group.stored_bytes,
    }


def split(
    input: Input,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("split_output"),
    groups: Annotated[
        list[str] | None, Parameter(name=("--groups", "-g"), consume_multiple=True, negative=())
    ] = None,
    prefix: Annotated[str, Parameter(name=("--prefix", "-p"))] = "",
    overwrite: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    allow_external: Annotated[bool, Flag] = False,
    json: Annotated[bool, Flag] = False,
) -> None:
    """Make a file of each top-level group of an HDF5 file: OUTPUT/<prefix><group>.hdf5.

    Args:
        input: the file.
        output: the folder for the new files.
        groups: only these groups.
        prefix: what file names begin with.
        overwrite: replace files that exist; otherwise they are kept.
        dry_run: show what would be written, and write nothing.
        allow_external: copy links and storage that reach outside of a group as they are.
        json: print JSON.
    """
    out = Output(json_wanted=json)
    with _writers(dry_run=dry_run) as writers:
        from piperline.hdf5.split_repack import groups as list_groups
        from piperline.hdf5.split_repack import split_plan

        found, others = list_groups(input)
        for name in others:
            out.note(f"left out, it is not a group: {name}")
        plan = split_plan(found, output, names=groups or (), prefix=prefix)
        _write(
            out, plan, writers, overwrite=overwrite, allow_external=allow_external, same_only=False
        )


def repack(
    input: Input,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path("repack_output"),
    episodes_per_file: PerFile = 50,
    pattern: str = "*.hdf5",
    prefix: Annotated[str, Parameter(name=("--prefix", "-p"))] = "repack_",
    overwrite: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    allow_external: Annotated[bool, Flag] = False,
    json: Annotated[bool, Flag] = False,
) -> None:
    """Put the top-level groups (episodes) of many HDF5 files into files of equally many each.

    Args:
        input: a folder of files, or one file.
        output: the folder for the new files.
        episodes_per_file: how many episodes in a file.
        pattern: which files of the folder.
        prefix: what file names begin with; a number follows.
        overwrite: replace files that exist; otherwise they are kept if they hold what is planned.
        dry_run: show what would be written, and write nothing.
        allow_external: copy links and storage that reach outside of a group as they are.
        json: print JSON.
    """
    out = Output(json_wanted=json)
    with _writers(dry_run=dry_run) as writers:
        from piperline.hdf5.split_repack import check_leftovers, repack_plan

        plan = repack_plan(
            _episodes(input, pattern), output, per_file=episodes_per_file, prefix=prefix
        )
        check_leftovers(plan, output, prefix)
        _write(
            out, plan, writers, overwrite=overwrite, allow_external=allow_external, same_only=True
        )


def _episodes(source: Path, pattern: str) -> "list[TopGroup]":
    from piperline.hdf5.split_repack import episodes, find_files

    folder = source if source.is_dir() else None
    return [group for path in find_files(source, pattern) for group in episodes(path, folder)]


def _writers(*, dry_run: bool) -> "AbstractContextManager[Writers | None]":
    """Processes that write, which load their libraries while this one loads its own; none for a dry run."""
    from piperline.hdf5.copy_workers import Writers

    return nullcontext() if dry_run else Writers()


def _write(
    out: Output,
    plan: "list[NewFile]",
    writers: "Writers | None",
    *,
    overwrite: bool,
    allow_external: bool,
    same_only: bool,
) -> None:
    from piperline.hdf5.split_repack import dry_run, write_plan

    options = {"overwrite": overwrite, "allow_external": allow_external, "same_only": same_only}
    done = (
        dry_run(plan, **options)
        if writers is None
        else write_plan(plan, **options, writers=writers)
    )
    records = []
    for new, outcome in done:
        count = f"{len(new.groups)} group" + ("s" if len(new.groups) > 1 else "")
        out.data(
            f"{printable(str(new.path))}  {count}  {size_text(new.stored_bytes)}  {_OUTCOMES[outcome]}"
        )
        # Where a group came from is told, unless that is plain: a file of one group that bears its name.
        plain = (
            len(new.groups) == 1
            and writers is not None
            and new.path.stem.endswith(_name_text(new.groups[0].group))
        )
        for item in () if plain else new.groups:
            source = f"{printable(item.source.name)}:/{_name_text(item.group)}"
            out.data(f"  {_name_text(item.name)}  <- {source}  {size_text(item.stored_bytes)}")
        records.append({**_file_record(new), "outcome": outcome})
    out.document(records)


_OUTCOMES = {
    "written": "written",
    "kept": "kept: it exists",
    "planned": "would be written",
    "replaced": "would be written, in the place of the file there",
}


def _name_text(name: bytes) -> str:
    return printable(name.decode("utf-8", "surrogateescape"))


def _file_record(new: "NewFile") -> dict[str, object]:
    copies = [
        {
            "group": item.name.decode("utf-8", "backslashreplace"),
            "source": str(item.source.path),
            "source_group": item.group.decode("utf-8", "backslashreplace"),
            "stored_bytes": item.stored_bytes,
        }
        for item in new.groups
    ]
    return {"file": str(new.path), "stored_bytes": new.stored_bytes, "groups": copies}


def analyze(
    input: Input,
    *,
    episodes_per_file: PerFile = 50,
    pattern: str = "*.hdf5",
    json: Annotated[bool, Flag] = False,
) -> None:
    """Tell how many episodes, frames and bytes there are in each file, and what repacking would make of them.

    Args:
        input: a folder of files, or one file.
        episodes_per_file: how many episodes in a repacked file.
        pattern: which files of the folder.
        json: print JSON.
    """
    from piperline.hdf5.episode_table import frame_count
    from piperline.hdf5.split_repack import repack_plan

    out = Output(json_wanted=json)
    found = _episodes(input, pattern)
    files = list(dict.fromkeys(group.file.path for group in found))
    records = []
    for path in files:
        mine = [group for group in found if group.file.path == path]
        count, size = frame_count(path), path.stat().st_size
        known = "? frames" if count is None else f"{count:,} frames"
        out.data(f"{path}  {len(mine)} episodes  {known}  {size_text(size)}")
        records.append({"file": str(path), "episodes": len(mine), "frames": count, "bytes": size})
    plan = repack_plan(found, Path("repack_output"), per_file=episodes_per_file)
    sizes = [len(new.groups) for new in plan]
    even = (
        f"{sizes[0]} episodes"
        if len(set(sizes)) == 1
        else f"{sizes[0]} episodes, the last with {sizes[-1]}"
    )
    out.data(
        f"{len(files)} files, {len(found)} episodes, {size_text(sum(group.stored_bytes for group in found))}"
    )
    out.data(f"repacking would make {len(plan)} files of {even}")
    renamed = [item for new in plan for item in new.groups if item.name != item.group]
    if renamed:
        out.data(f"{len(renamed)} episodes would be renamed: their file has another of that name")
    out.document(
        {"files": records, "episodes": len(found), "proposed": [_file_record(new) for new in plan]}
    )

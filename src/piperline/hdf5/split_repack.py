"""What splitting and repacking would write: found out without writing anything."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py

from piperline.errors import OutputError, OutputExists, Place, RecordingError, UsageError
from piperline.hdf5.copy import (
    GroupCopy,
    NewFile,
    SourceFile,
    group_bytes,
    refuse_leaks,
    sources_text,
)
from piperline.hdf5.copy_workers import Writers
from piperline.hdf5.file_names import file_stems, unique
from piperline.hdf5.objects import FAULTS, Member, members, shown
from piperline.hdf5.root_attributes import SOURCES
from piperline.recordings.hdf5 import listed, open_file, text
from piperline.text import natural_key, printable

Outcome = Literal["written", "kept", "planned", "replaced"]
_SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class TopGroup:
    """A top-level group: an episode, as split and repack see it.

    Attributes:
        file: the file that holds it.
        name: as stored.
        members: how many links it holds.
        stored_bytes: what its datasets take in the file.
    """

    file: SourceFile
    name: bytes
    members: int
    stored_bytes: int


def groups(path: Path, folder: Path | None = None) -> tuple[list[TopGroup], list[str]]:
    """The top-level groups of a file in natural order, and the names of what else lies there.

    Args:
        path: the file.
        folder: where it was found, if not in the folder that it lies in.

    Raises:
        RecordingError: the file cannot be read, or holds no group.
    """
    found, others = [], []
    with open_file(path) as file:
        source = SourceFile.of(path, folder)
        try:
            for member in members(file.id):
                thing = _hard(file, member)
                if isinstance(thing, h5py.h5g.GroupID):
                    found.append(
                        TopGroup(source, member.name, thing.get_num_objs(), group_bytes(thing))
                    )
                else:
                    others.append(shown(member.name))
        except FAULTS as error:
            place = Place(file=path)
            raise RecordingError(
                "the file is damaged", place=place, found=printable(str(error))
            ) from error
    if not found:
        raise RecordingError(
            "the file holds no groups",
            place=Place(file=path),
            expected="a group for each episode",
            found=listed(others),
        )
    return found, others


def _hard(file: h5py.File, member: Member) -> object:
    return (
        h5py.h5o.open(file.id, member.name)
        if member.kind == "hard" and not member.is_path
        else None
    )


def episodes(path: Path, folder: Path | None = None) -> list[TopGroup]:
    """The groups of a file of which every top-level group is an episode; the arguments are those of `groups`.

    Raises:
        RecordingError: there is something else at the top level, which a file of its groups would lack.
    """
    found, others = groups(path, folder)
    if others:
        raise RecordingError(
            "not everything at the top of this file is an episode",
            place=Place(file=path),
            expected="a group for each episode, and nothing else",
            found=listed(others),
            next_step="leave the file out with --pattern; `piperline hdf5 split` copies only its groups",
        )
    return found


def split_plan(
    found: Sequence[TopGroup], output: Path, *, names: Sequence[str] = (), prefix: str = ""
) -> list[NewFile]:
    """A file for each top-level group, named `<prefix><group>.hdf5`, with the group under its own name.

    Args:
        found: the groups of the file to split, from `groups`.
        output: the folder for the new files.
        names: the groups that are wanted; all if empty.
        prefix: what file names begin with.

    Raises:
        RecordingError: the file has no such group.
        UsageError: the prefix is not the beginning of a file name.
        OutputError: an output would be the input.
    """
    _check_prefix(prefix)
    path = found[0].file.path
    there = [shown(group.name) for group in found]
    missing = [name for name in names if name not in there]
    if missing:
        raise RecordingError(
            f"there is no group {listed(missing)}", place=Place(file=path), expected=listed(there)
        )
    plan = [
        NewFile(output / f"{prefix}{stem}.hdf5", [_copied(group, group.name)])
        for group, stem in zip(
            found, file_stems([text(group.name) for group in found]), strict=True
        )
        if not names or shown(group.name) in names
    ]
    _check_outputs(plan, output, [path])
    return plan


def _copied(group: TopGroup, name: bytes) -> GroupCopy:
    return GroupCopy(group.file, group.name, name, group.stored_bytes)


def find_files(source: Path, pattern: str = "*.hdf5") -> list[Path]:
    """The HDF5 files in a folder in natural order of their paths; or the one file that `source` is. None is hidden.

    Raises:
        UsageError: the pattern is none.
        RecordingError: there are none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise RecordingError("there is no such file or folder", place=Place(file=source))
    try:
        paths = [
            path
            for path in source.glob(pattern)
            if path.is_file() and not path.name.startswith(".")
        ]
    except (ValueError, NotImplementedError) as error:
        raise UsageError(
            "this is no pattern for the files of a folder",
            expected="such as *.hdf5, or */*.hdf5",
            found=printable(pattern) or "nothing",
        ) from error
    found = sorted(paths, key=lambda path: natural_key(path.relative_to(source).as_posix()))
    if not found:
        beside = [path.name for path in sorted(source.iterdir())]
        raise RecordingError(
            "no file matches",
            place=Place(file=source),
            expected=pattern,
            found=listed(beside),
            next_step="--pattern",
        )
    return found


def repack_plan(
    found: Sequence[TopGroup], output: Path, *, per_file: int, prefix: str = "repack_"
) -> list[NewFile]:
    """Files of `per_file` groups each, in the order given; the second of two equal names in a file becomes `NAME_2`.

    Args:
        found: the groups of all inputs, from `groups`.
        output: the folder for the new files.
        per_file: groups in a file; the last may have fewer.
        prefix: what file names begin with; a number from 0000 follows.

    Raises:
        UsageError: the prefix is not the beginning of a file name, or there would be no group in a file.
        OutputError: the new files would lie among the inputs.
    """
    _check_prefix(prefix)
    if per_file < 1:
        raise UsageError(
            "there must be at least 1 episode in a file", found=f"--episodes-per-file {per_file}"
        )
    plan = []
    for number, start in enumerate(range(0, len(found), per_file)):
        part = found[start : start + per_file]
        names = unique([text(group.name) for group in part], key=str)
        copies = [
            _copied(g, name.encode("utf-8", "surrogateescape"))
            for g, name in zip(part, names, strict=True)
        ]
        plan.append(NewFile(output / f"{prefix}{number:04}.hdf5", copies))
    sources = sorted({group.file.path for group in found})
    _check_outputs(plan, output, sources)
    return plan


def _check_prefix(prefix: str) -> None:
    if (
        "/" in prefix
        or not prefix.isprintable()
        or prefix.startswith(".")
        or len(prefix.encode()) > 50
    ):
        raise UsageError(
            "the prefix must be the beginning of a file name",
            expected="such as piper_",
            found=printable(prefix),
        )


def _check_outputs(plan: Sequence[NewFile], output: Path, sources: Sequence[Path]) -> None:
    inputs = {source.resolve() for source in sources}
    for new in plan:
        if not new.path.resolve().is_relative_to(output.resolve()):
            raise OutputError("the output would leave its folder", place=Place(file=new.path))
        if new.path.resolve() in inputs:
            raise OutputError(
                "the output would replace an input",
                place=Place(file=new.path),
                next_step="name another --output",
            )


def check_leftovers(plan: Sequence[NewFile], output: Path, prefix: str) -> None:
    """See that no file is taken for what it is not: those of an earlier, different repacking, or new ones for inputs.

    Raises:
        OutputExists: there are files of another repacking.
        OutputError: the new files would lie among the inputs.
    """
    if output.resolve() in {
        item.source.path.resolve().parent for new in plan for item in new.groups
    }:
        raise OutputError(
            "the output would lie among the inputs: the next run would take it for one of them",
            place=Place(file=output),
            next_step="name another --output",
        )
    ours = {new.path.name for new in plan}
    there = sorted(path.name for path in output.glob("*.hdf5")) if output.is_dir() else []
    others = [
        n for n in there if re.fullmatch(re.escape(prefix) + r"\d{4,}\.hdf5", n) and n not in ours
    ]
    if others:
        raise OutputExists(
            "files of another repacking are in the way: their episodes would be there twice",
            place=Place(file=output),
            found=listed(others),
            next_step="name another --output or --prefix, or move them away",
        )


def write_plan(
    plan: Sequence[NewFile],
    *,
    overwrite: bool = False,
    allow_external: bool = False,
    same_only: bool = False,
    writers: Writers | None = None,
) -> Iterator[tuple[NewFile, Outcome]]:
    """Write the files of a plan, several at once, telling of each in order what became of it.

    Args:
        plan: what to write.
        overwrite: replace files that exist; else they are kept.
        allow_external: see `piperline.hdf5.copy.write_file`.
        same_only: refuse to keep a file that holds other groups than planned.
        writers: processes that were started beforehand.

    Raises:
        OutputExists: `same_only`, and a file holds other groups than planned.
        OutputError: there is no room, or no permission.
        RecordingError: a source cannot be copied; the files before it are complete.
    """
    kept = _kept(plan, overwrite=overwrite, same_only=same_only)
    todo = [new for new in plan if new.path not in kept]
    _make_room(todo)
    with ExitStack() as stack:
        if todo and writers is None:
            writers = stack.enter_context(Writers())
        written = writers.write(todo, allow_external=allow_external) if writers else iter(())
        for new in plan:
            yield (new, "kept") if new.path in kept else (next(written), "written")


def dry_run(
    plan: Sequence[NewFile],
    *,
    overwrite: bool = False,
    allow_external: bool = False,
    same_only: bool = False,
) -> Iterator[tuple[NewFile, Outcome]]:
    """What would become of the files of a plan: `kept`, `planned` or `replaced`. Nothing is written.

    The arguments, and what is refused, are those of `write_plan`.
    """
    kept = _kept(plan, overwrite=overwrite, same_only=same_only)
    for new in plan:
        if new.path not in kept and not allow_external:
            refuse_leaks(new.groups)
        yield new, "kept" if new.path in kept else "replaced" if new.path.exists() else "planned"


def _kept(plan: Sequence[NewFile], *, overwrite: bool, same_only: bool) -> set[Path]:
    """The files of a plan that are there and stay as they are."""
    kept = {new.path for new in plan if new.path.exists() and not overwrite}
    for new in plan:
        if same_only and new.path in kept:
            _check_same(new)
    return kept


def _check_same(new: NewFile) -> None:
    with open_file(new.path) as file:
        found = file.attrs.get(SOURCES)
    if found != sources_text(new.groups):
        raise OutputExists(
            "the file that is there holds other episodes than planned, or was made before a source changed",
            place=Place(file=new.path),
            next_step="add --overwrite, or name another --output",
        )


def _make_room(todo: Sequence[NewFile]) -> None:
    if not todo:
        return
    folder, needed = todo[0].path.parent, sum(new.stored_bytes for new in todo)
    sources = {item.source for new in todo for item in new.groups}
    needed = min(needed, sum(source.size for source in sources))  # sizes of groups may be estimates
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError("this is a file, not a folder", place=Place(file=folder)) from None
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            "there is not enough room",
            place=Place(file=folder),
            expected=f"{needed:,} bytes",
            found=f"{free:,} bytes",
        )

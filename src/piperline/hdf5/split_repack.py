"""What splitting and repacking would write: found out without writing anything.

Light to import: what reads a file is loaded by the process that reads it.
"""

import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from piperline.errors import (
    OutputError,
    OutputExists,
    Place,
    RecordingError,
    UsageError,
    output_error,
)
from piperline.finding import command
from piperline.hdf5.copy_workers import Writers
from piperline.hdf5.file_names import file_stems, unique
from piperline.hdf5.plan import (
    FileTop,
    GroupCopy,
    NewFile,
    TopGroup,
    sources_text,
)
from piperline.recordings.find import SUFFIXES
from piperline.recordings.reader import Read, here
from piperline.text import listed, natural_key, printable, shown, text

Outcome = Literal["written", "kept", "planned", "replaced"]

_LONGEST_PREFIX = 50  # bytes
_MOST_IN_A_COMMAND = 8


def split_plan(
    top: FileTop, output: Path, *, names: Sequence[str] = (), prefix: str = ""
) -> list[NewFile]:
    """A file for each top-level group, `<prefix><group>.hdf5`, with the group under its own name.

    Args:
        top: the file to split, from `read_top`.
        output: the folder for the new files.
        names: the groups that are wanted; all if empty.
        prefix: what file names begin with.

    Raises:
        RecordingError: the file has no such group; or all groups are wanted, and something that
            lies beside them would be in no file.
        UsageError: the prefix is not the beginning of a file name.
        OutputError: an output would be the input.
    """
    _check_prefix(prefix)
    known = [shown(group.name) for group in top.groups]
    missing = [name for name in names if name not in known]
    if missing:
        message = f"there is no group {listed(missing)}"
        raise RecordingError(
            message,
            place=Place(file=top.path),
            expected=listed(known),
            next_step="see the groups: "
            f"piperline hdf5 groups {printable(shlex.quote(str(top.path)))}",
        )
    if top.others and not names:
        raise _left_out(top, known)
    stems = file_stems([text(group.name) for group in top.groups])
    plan = [
        NewFile(output / f"{prefix}{stem}.hdf5", [_copied(group, group.name)])
        for group, stem in zip(top.groups, stems, strict=True)
        if not names or shown(group.name) in names
    ]
    _check_outputs(plan, output, [top.path])
    return plan


def _left_out(top: FileTop, known: Sequence[str]) -> RecordingError:
    groups = known if len(known) <= _MOST_IN_A_COMMAND else ["NAME", "..."]
    words = ["piperline", "hdf5", "split", top.path, "--groups", *groups]
    return RecordingError(
        "something lies beside the groups of this file, and would be in none of the new files",
        place=Place(file=top.path),
        expected="groups, and nothing else; a file that is one episode needs no splitting",
        found=listed(top.others),
        next_step=command(*words),
    )


def _copied(group: TopGroup, name: bytes) -> GroupCopy:
    return GroupCopy(group.file, group.name, name, group.stored_bytes)


def find_files(
    source: Path,
    pattern: str | None = None,
) -> list[Path]:
    """The HDF5 files in a folder in natural order of their paths; or the one file that `source` is.

    Args:
        source: the folder or the file.
        pattern: which files of the folder; `*.hdf5` and `*.h5` if None. Hidden files are left out.

    Raises:
        UsageError: the pattern is none.
        RecordingError: there are no such files.
    """
    if not source.exists():
        raise RecordingError(
            "there is no such file or folder",
            place=Place(file=source),
            expected="an HDF5 file, or a folder of them",
            found="nothing of that name",
            next_step="check the path",
        )
    if not source.is_dir():
        return [source]  # what it is shows when it is opened
    patterns = [f"*{suffix}" for suffix in SUFFIXES]
    if pattern is not None:
        patterns = [pattern]
    try:
        matching = {path for each in patterns for path in source.glob(each)}
    except (ValueError, NotImplementedError) as error:
        raise UsageError(
            "this is no pattern for the files of a folder",
            expected="such as *.hdf5, or */*.hdf5",
            found=printable(pattern or "") or "nothing",
            next_step="give --pattern '*.hdf5', or leave it out",
        ) from error
    found = [
        path
        for path in matching
        if path.is_file() and not path.name.startswith(".")
    ]
    if not found:
        beside = [path.name for path in sorted(source.iterdir())]
        raise RecordingError(
            "no file matches",
            place=Place(file=source),
            expected=" or ".join(patterns),
            found=listed(beside),
            next_step="name the folder in which the files lie, or a --pattern such as '*/*.hdf5'",
        )
    return sorted(
        found, key=lambda path: natural_key(path.relative_to(source).as_posix())
    )


def repack_plan(
    found: Sequence[TopGroup],
    output: Path,
    *,
    per_file: int,
    prefix: str = "repack_",
) -> list[NewFile]:
    """Files of `per_file` groups each, in the order given.

    The second of two equal names in a file becomes `NAME_2`.

    Args:
        found: the groups of all inputs, from `episodes`.
        output: the folder for the new files.
        per_file: groups in a file; the last may have fewer.
        prefix: what file names begin with; a number from 0000 follows.

    Raises:
        UsageError: the prefix is not the beginning of a file name, or there would be no group in a
            file.
        OutputError: the new files would lie among the inputs.
    """
    _check_prefix(prefix)
    if per_file < 1:
        message, given = (
            "there must be at least 1 episode in a file",
            f"--episodes-per-file {per_file}",
        )
        raise UsageError(
            message,
            expected="--episodes-per-file 1, or more",
            found=given,
            next_step="give --episodes-per-file 50, for example",
        )
    starts = range(0, len(found), per_file)
    plan = [
        NewFile(
            output / f"{prefix}{number:04}.hdf5",
            _renamed(found[start : start + per_file]),
        )
        for number, start in enumerate(starts)
    ]
    sources = sorted({group.file.path for group in found})
    _check_outputs(plan, output, sources)
    return plan


def _renamed(part: Sequence[TopGroup]) -> list[GroupCopy]:
    names = unique(
        [text(group.name) for group in part],
        key=str,
    )
    stored = [name.encode("utf-8", "surrogateescape") for name in names]
    return [
        _copied(*pair)
        for pair in zip(
            part,
            stored,
            strict=True,
        )
    ]


def _check_prefix(prefix: str) -> None:
    is_hidden = prefix.startswith(".")
    is_long = len(prefix.encode("utf-8", "surrogateescape")) > _LONGEST_PREFIX
    if is_hidden or is_long or "/" in prefix or not prefix.isprintable():
        raise UsageError(
            "the prefix must be the beginning of a file name",
            expected=f"such as piper_, of at most {_LONGEST_PREFIX} bytes",
            found=printable(prefix),
            next_step="give --prefix piper_, for example, and the folder with --output",
        )


def _check_outputs(
    plan: Sequence[NewFile], output: Path, sources: Sequence[Path]
) -> None:
    inputs = {source.resolve() for source in sources}
    folder = output.resolve()
    for new in plan:
        path, place = new.path.resolve(), Place(file=new.path)
        if not path.is_relative_to(folder):
            raise OutputError(
                "the output would leave its folder",
                place=place,
                expected=f"a file in {printable(str(folder))}",
                found=f"a link to {printable(str(path))}",
                next_step="remove the link, or name another --output",
            )
        if path in inputs:
            message, step = (
                "the output would replace an input",
                "name another --output",
            )
            raise OutputError(
                message,
                place=place,
                expected="a name that no input has",
                found=printable(str(path)),
                next_step=step,
            )


def check_leftovers(
    plan: Sequence[NewFile],
    output: Path,
    prefix: str,
) -> None:
    """See that no file is taken for what it is not.

    Neither those of an earlier, different repacking, nor new ones for inputs.

    Raises:
        OutputExists: there are files of another repacking.
        OutputError: the new files would lie among the inputs.
    """
    inputs = {
        item.source.path.resolve().parent for new in plan for item in new.groups
    }
    if output.resolve() in inputs:
        raise OutputError(
            "the output would lie among the inputs: the next run would take it for one of them",
            place=Place(file=output),
            expected="a folder without inputs",
            found="the folder of the inputs",
            next_step="name another --output",
        )
    planned = {new.path.name for new in plan}
    numbered = re.compile(re.escape(prefix) + r"\d{4,}\.hdf5")
    names = sorted(path.name for path in output.glob("*.hdf5"))
    others = [
        name
        for name in names
        if numbered.fullmatch(name) and name not in planned
    ]
    if others:
        raise OutputExists(
            "files of another repacking are in the way: their episodes would be there twice",
            place=Place(file=output),
            expected=f"no files {printable(prefix)}NNNN.hdf5 beside those of this run",
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
    read: Read = here,
) -> Iterator[tuple[NewFile, Outcome]]:
    """Write the files of a plan, several at once, telling of each in order what became of it.

    Args:
        plan: what to write.
        overwrite: replace files that exist; else they are kept.
        allow_external: see `piperline.hdf5.copy.write_file`.
        same_only: refuse to keep a file that holds other groups than planned.
        writers: processes that were started beforehand.
        read: calls what reads a file that is there already.

    Raises:
        OutputExists: `same_only`, and a file holds other groups than planned.
        OutputError: there is no room, or no permission.
        RecordingError: a source cannot be copied; the files before it are complete.
    """
    kept = _kept(plan, read, overwrite=overwrite, same_only=same_only)
    todo = [new for new in plan if new.path not in kept]
    _make_room(todo)
    with ExitStack() as stack:
        if todo and writers is None:
            writers = stack.enter_context(Writers())
        written = (
            writers.write(todo, allow_external=allow_external)
            if writers
            else iter(())
        )
        for new in plan:
            if new.path in kept:
                yield new, "kept"
            else:
                yield next(written), "written"


def dry_run(
    plan: Sequence[NewFile],
    *,
    overwrite: bool = False,
    allow_external: bool = False,
    same_only: bool = False,
    read: Read = here,
) -> Iterator[tuple[NewFile, Outcome]]:
    """What would become of the files of a plan: `kept`, `planned` or `replaced`.

    Nothing is written. The arguments, and what is refused, are those of `write_plan`.
    """
    from piperline.hdf5.copy import refuse_leaks

    kept = _kept(plan, read, overwrite=overwrite, same_only=same_only)
    for new in plan:
        if new.path in kept:
            yield new, "kept"
            continue
        if not allow_external:
            for item in new.groups:
                read(item.source.path, refuse_leaks, [item])
        yield new, "replaced" if new.path.exists() else "planned"


def _kept(
    plan: Sequence[NewFile], read: Read, *, overwrite: bool, same_only: bool
) -> set[Path]:
    """The files of a plan that are there and stay as they are."""
    kept = {new.path for new in plan if new.path.exists() and not overwrite}
    if same_only:
        for new in plan:
            if new.path in kept:
                _check_same(new, read)
    return kept


def _check_same(new: NewFile, read: Read) -> None:
    from piperline.hdf5.top_level import made_of

    if read(new.path, made_of, new.path) != sources_text(new.groups):
        raise OutputExists(
            "output already exists (not changed): it holds other episodes than planned, "
            "or was made before a source changed",
            place=Place(file=new.path),
            expected="no file, or what this run would write",
            found="a file of other sources",
            next_step="add --overwrite, or name another --output",
        )


def _make_room(todo: Sequence[NewFile]) -> None:
    if not todo:
        return
    folder = todo[0].path.parent
    sources = {item.source for new in todo for item in new.groups}
    # sizes of groups may be estimates
    planned = sum(new.stored_bytes for new in todo)
    needed = min(planned, sum(source.size for source in sources))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, folder) or error from error
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            "there is not enough room",
            place=Place(file=folder),
            expected=f"{needed:,} bytes",
            found=f"{free:,} bytes",
            next_step="make room, or name another --output",
        )

"""`piperline hdf5`; the documented scripts of the same purpose run these, too."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from piperline.cli import hdf5_shown
from piperline.cli.console import Output
from piperline.cli.hdf5_shown import Screen, Shown, Wanted
from piperline.errors import BadEpisode
from piperline.recordings.reader import Read, Reader, over_parts
from piperline.text import plural, printable, size_text

if TYPE_CHECKING:
    from rich.console import Console

    from piperline.hdf5.analysis import Analysis, FileSummary
    from piperline.hdf5.copy_workers import Writers
    from piperline.hdf5.plan import NewFile, TopGroup
    from piperline.hdf5.split_repack import Outcome

# Imports inside of functions: `piperline --help` loads none of h5py, numpy and rich's tables.

File = Annotated[Path, Parameter(name="FILE")]
Source = Annotated[Path, Parameter(name=("--input", "-i"))]
Flag = Parameter(negative=())
Names = Annotated[
    list[str] | None, Parameter(consume_multiple=True, negative=())
]
PerFile = Annotated[int, Parameter(name=("--episodes-per-file", "-e"))]
Color = Literal["rgb", "bgr", "swapped-jpeg"]

_DAMAGED = 3  # the exit code of a recording that cannot be read
_WORTH_A_PROCESS = 50_000_000  # bytes


def inspect(
    file: File,
    /,
    *,
    attrs: Annotated[
        bool, Parameter(name=("--attrs", "-a"), negative=())
    ] = False,
    preview: Annotated[
        bool, Parameter(name=("--preview", "-p"), negative=())
    ] = False,
    max_level: Annotated[
        int | None, Parameter(name=("--max-level", "-l"))
    ] = None,
    interactive: Annotated[
        bool, Parameter(name=("--interactive", "-i"), negative=())
    ] = False,
    json: Annotated[bool, Flag] = False,
) -> int:
    """Show what an HDF5 file holds: its episodes, if it is a recording, and all its objects.

    Args:
        file: the file.
        attrs: show the attributes; long ones are cut, but not with --json.
        preview: show the first values of each dataset.
        max_level: show the tree down to this level; the top-level groups are level 1.
        interactive: browse the file by commands instead; `help` lists them.
        json: print everything as JSON.
    """
    if interactive:
        return shell(file)
    out, console = Output(json_wanted=json), _console()
    screen = Screen(console.width, console.is_terminal)
    wanted = Wanted(attrs, preview, max_level, json)
    with Reader(_processes(file)) as read:
        get_objects = read.later(file, hdf5_shown.objects, file, screen, wanted)
        get_episodes = read.later(file, hdf5_shown.episodes, file, screen, {})
        try:
            objects = get_objects()
        except BadEpisode:  # once more, to see where it crashes
            objects = over_parts(
                read, file, hdf5_shown.objects, file, screen, wanted
            )
        episodes, problem = _episodes_told(read, get_episodes, file, screen)
    if json:
        recording = episodes.document if episodes else None
        out.document({**objects.document, "recording": recording})
    else:
        _show(out, (*(episodes.lines if episodes else ()), *objects.lines))
    if problem:
        raise problem
    damaged = objects.is_damaged or (episodes and episodes.is_damaged)
    return _DAMAGED if damaged else 0


def _processes(file: Path) -> int:
    """How many are worth it: one costs a third of a second of CPU."""
    large = file.is_file() and file.stat().st_size > _WORTH_A_PROCESS
    return 2 if large else 1


def _episodes_told(
    read: Reader,
    get: Callable[[], Shown | None],
    file: Path,
    screen: Screen,
) -> tuple[Shown | None, BadEpisode | None]:
    """The episodes of a file, those told aside that crash; or why they cannot be told."""
    try:
        return get(), None
    except BadEpisode:
        pass
    try:
        told = over_parts(read, file, hdf5_shown.episodes, file, screen)
    except BadEpisode as error:
        return None, error
    return told, None


def _console() -> "Console":
    """The terminal, its width and its colours; 80 columns without colours if there is none."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


def _show(out: Output, lines: Iterable[str]) -> None:
    """Print lines, with colours on a terminal."""
    console = _console()
    for line in lines:
        if console.is_terminal and "\x1b" not in line:
            console.print(line, soft_wrap=True)
        else:
            out.data(line)


def shell(file: File, /) -> int:
    """Browse an HDF5 file interactively: ls, cd, info, preview, tree and more.

    Commands may come from a pipe.

    Args:
        file: the file.
    """
    from piperline.cli.prompt import interact

    return interact(file)


def frames(
    file: File,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    episode: str | None = None,
    camera: Names = None,
    every: int | None = None,
    layout: str | None = None,
    color: Color | None = None,
) -> None:
    """Write a contact sheet: images of an episode, with camera, frame number and seconds.

    Args:
        file: the recording.
        output: the file to write, .png or .jpg; none is overwritten.
        episode: the episode's name, or its index from 0; not needed if there is one only.
        camera: only these cameras.
        every: every so-many-th frame; otherwise eight of the episode.
        layout: a name from `piperline layout list`, or the path of a TOML file; otherwise the
            built-in layout that fits.
        color: how the recorded colours are meant, if not as the layout says: rgb, bgr (raw arrays),
            or swapped-jpeg (red and blue exchanged).
    """
    with Reader() as read:
        from piperline.recordings.layout import load_layout

        told = read(
            file,
            hdf5_shown.sheet,
            file,
            output,
            load_layout(layout) if layout else None,
            episode,
            cameras=tuple(camera or ()),
            every=every,
            color=color,
        )
    _show(Output(), told.lines)


def groups(
    source: Source,
    *,
    json: Annotated[bool, Flag] = False,
) -> None:
    """List the top-level groups of an HDF5 file: what `split` would make files of.

    Args:
        source: the file.
        json: print JSON.
    """
    out = Output(json_wanted=json)
    with Reader() as read:
        told, others = read(source, hdf5_shown.groups, source)
    _show(out, told.lines)
    for name in others:
        out.note(f"not a group: {name}")
    out.document(told.document)


def split(
    source: Source,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path(
        "split_output"
    ),
    groups: Annotated[
        list[str] | None,
        Parameter(name=("--groups", "-g"), consume_multiple=True, negative=()),
    ] = None,
    prefix: Annotated[str, Parameter(name=("--prefix", "-p"))] = "",
    overwrite: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    allow_external: Annotated[bool, Flag] = False,
    json: Annotated[bool, Flag] = False,
) -> None:
    """Make a file of each top-level group of an HDF5 file: OUTPUT/<prefix><group>.hdf5.

    Args:
        source: the file.
        output: the folder for the new files.
        groups: only these groups; needed where datasets lie beside the groups, which stay behind.
        prefix: what file names begin with.
        overwrite: replace files that exist; otherwise they are kept.
        dry_run: show what would be written, and write nothing.
        allow_external: copy links and storage that reach outside of a group as they are.
        json: print JSON.
    """
    out = Output(json_wanted=json)
    count = _processes(source)
    with _processes_for(count, dry_run=dry_run) as (read, writers):
        from piperline.hdf5.split_repack import split_plan

        top = read(source, hdf5_shown.top, source)
        plan = split_plan(top, output, names=groups or (), prefix=prefix)
        for name in top.others:
            out.note(f"left out, it is not a group: {name}")
        _write(
            out,
            plan,
            read,
            writers,
            overwrite=overwrite,
            allow_external=allow_external,
            same_only=False,
        )


def repack(
    source: Source,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))] = Path(
        "repack_output"
    ),
    episodes_per_file: PerFile = 50,
    pattern: str | None = None,
    prefix: Annotated[str, Parameter(name=("--prefix", "-p"))] = "repack_",
    overwrite: Annotated[bool, Flag] = False,
    dry_run: Annotated[bool, Flag] = False,
    allow_external: Annotated[bool, Flag] = False,
    json: Annotated[bool, Flag] = False,
) -> None:
    """Put the top-level groups (episodes) of many HDF5 files into files of equally many each.

    Args:
        source: a folder of files, or one file.
        output: the folder for the new files.
        episodes_per_file: how many episodes in a file.
        pattern: which files of the folder; otherwise *.hdf5 and *.h5.
        prefix: what file names begin with; a number follows.
        overwrite: replace files that exist; otherwise they are kept if they hold what is planned.
        dry_run: show what would be written, and write nothing.
        allow_external: copy links and storage that reach outside of a group as they are.
        json: print JSON.
    """
    out = Output(json_wanted=json)
    with _processes_for(1, dry_run=dry_run) as (read, writers):
        from piperline.hdf5.split_repack import (
            check_leftovers,
            repack_plan,
        )

        found = _episodes(source, pattern, read)
        plan = repack_plan(
            found, output, per_file=episodes_per_file, prefix=prefix
        )
        check_leftovers(plan, output, prefix)
        _write(
            out,
            plan,
            read,
            writers,
            overwrite=overwrite,
            allow_external=allow_external,
            same_only=True,
        )


def _episodes(
    source: Path, pattern: str | None, read: Read
) -> "list[TopGroup]":
    from piperline.hdf5.split_repack import find_files

    folder = source if source.is_dir() else None
    return [
        group
        for path in find_files(source, pattern)
        for group in read(path, hdf5_shown.top_episodes, path, folder)
    ]


@contextmanager
def _processes_for(
    count: int, *, dry_run: bool
) -> "Iterator[tuple[Read, Writers | None]]":
    """Processes that read, and `count` that write; there are none of these for a dry run.

    They load their libraries while this one loads its own.
    """
    if dry_run:
        with Reader() as read:
            yield read, None
        return
    from piperline.hdf5.copy_workers import Writers

    with Writers(count) as writers:
        yield writers.read, writers


def _write(
    out: Output,
    plan: "Sequence[NewFile]",
    read: Read,
    writers: "Writers | None",
    *,
    overwrite: bool,
    allow_external: bool,
    same_only: bool,
) -> None:
    """Write a plan, telling of each file when it is done; or tell what would be done."""
    from piperline.hdf5.split_repack import dry_run, write_plan

    options = {
        "overwrite": overwrite,
        "allow_external": allow_external,
        "same_only": same_only,
    }
    if writers is None:
        done = dry_run(plan, **options, read=read)
    else:
        done = write_plan(plan, **options, writers=writers, read=read)
    records = []
    for new, outcome in done:
        _tell(out, new, outcome, is_dry=writers is None)
        records.append({**_file_record(new), "outcome": outcome})
    out.document(records)


_OUTCOMES: "dict[Outcome, str]" = {
    "written": "written",
    "kept": "kept: output already exists (not changed)",
    "planned": "would be written",
    "replaced": "would be written, in the place of the file there",
}


def _tell(
    out: Output, new: "NewFile", outcome: "Outcome", *, is_dry: bool
) -> None:

    count, size = (
        plural(
            len(new.groups),
            "group",
        ),
        size_text(new.stored_bytes),
    )
    out.data(
        f"{printable(str(new.path))}  {count}  {size}  {_OUTCOMES[outcome]}"
    )
    # Where a group came from is told, unless that is plain: the file bears the name of its group.
    is_alone = not is_dry and len(new.groups) == 1
    if is_alone and new.path.stem.endswith(_name_text(new.groups[0].group)):
        return
    for item in new.groups:
        source = f"{printable(item.source.name)}:/{_name_text(item.group)}"
        out.data(
            f"  {_name_text(item.name)}  <- {source}  {size_text(item.stored_bytes)}"
        )


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
    return {
        "file": str(new.path),
        "stored_bytes": new.stored_bytes,
        "groups": copies,
    }


def analyze(
    source: Source,
    *,
    episodes_per_file: PerFile = 50,
    pattern: str | None = None,
    layout: str | None = None,
    json: Annotated[bool, Flag] = False,
) -> int:
    """Show the episodes, frames and bytes of each file, and what repacking would make of them.

    Args:
        source: a folder of files, or one file.
        episodes_per_file: how many episodes in a repacked file.
        pattern: which files of the folder; otherwise *.hdf5 and *.h5.
        layout: a name from `piperline layout list`, or the path of a TOML file; otherwise, for each
            file, the built-in layout that fits.
        json: print JSON.
    """
    out = Output(json_wanted=json)
    with Reader() as read:
        from piperline.cli.hdf5_tables import analysis_lines
        from piperline.hdf5.analysis import analyze
        from piperline.recordings.layout import load_layout

        found = analyze(
            source,
            per_file=episodes_per_file,
            pattern=pattern,
            layout=load_layout(layout) if layout else None,
            read=read,
        )
    _show(out, analysis_lines(found, _console()))
    out.document(_analysis_record(found))
    return 0 if found.is_sound else _DAMAGED


def _analysis_record(found: "Analysis") -> dict[str, object]:
    return {
        "files": [_summary_record(file) for file in found.files],
        "episodes": found.episodes,
        "frames": found.frames,
        "proposed": [_file_record(new) for new in found.plan],
    }


def _summary_record(file: "FileSummary") -> dict[str, object]:
    known = asdict(file.count) if file.count else {}
    record = {
        "file": str(file.path),
        "bytes": file.size,
        **known,
    }
    return record | {"problem": file.problem} if file.problem else record

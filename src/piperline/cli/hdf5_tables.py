"""Episodes, groups and files of the HDF5 tools, laid out as tables."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from piperline.cli.hdf5_text import name_text
from piperline.hdf5.analysis import Analysis, FileSummary
from piperline.hdf5.episode_table import EpisodeSummary, EpisodeTable
from piperline.hdf5.plan import TopGroup
from piperline.text import few_of_each, message_of, plural, printable, size_text

_IN_THE_TABLE = 2  # vectors with a column of their own
_BETWEEN_COLUMNS, _NARROWEST_COLUMN = 2, 16


# --- the episodes ---------------------------------------------------------------------------------


def episode_lines(table: EpisodeTable, console: Console) -> Iterator[str]:
    """What all episodes have in common, a row for each, then those that do not fit."""
    seconds = table.frames / table.fps
    yield (
        f"recording, layout {table.layout}: {plural(len(table.rows), 'episode')}, "
        f"{plural(table.frames, 'frame')}, {seconds:,.1f} s at {table.fps} frames a second"
    )
    yield from _camera_lines(table)
    vectors = list(
        dict.fromkeys(key for row in table.rows for key in row.ranges)
    )
    yield from _vector_lines(table.rows, vectors[_IN_THE_TABLE:])
    fitting = [row for row in table.rows if row.problem is None]
    if fitting:
        rows = _episodes(fitting, table.fps, vectors[:_IN_THE_TABLE])
        yield from _rendered(rows, console, "  ")
    yield from _misfit_lines(table, console.width)
    if table.misfits:
        yield f"  {table.misfits:,} of {plural(len(table.rows), 'episode')} do not fit"
    for note in table.notes:
        yield f"  note: {note}"


def _misfit_lines(table: EpisodeTable, width: int) -> Iterator[str]:
    """The episodes that do not fit; of many that are alike the first ones."""
    misfits = [(r.name, r.problem) for r in table.rows if r.problem is not None]
    few, more = few_of_each(misfits, lambda misfit: message_of(misfit[1]))
    lines = [
        f"{printable(name)} does not fit: {problem}" for name, problem in few
    ]
    lines += [
        f"and {count:,} more like these, which --json names: {message}"
        for message, count in more.items()
    ]
    for line in lines:
        yield from wrap("  " + line, width, subsequent_indent="      ")


def _camera_lines(table: EpisodeTable) -> Iterator[str]:
    """Each camera with its kinds of images; more than one only if episodes differ."""
    for camera, counts in table.camera_kinds().items():
        kinds = list(counts)
        if len(counts) > 1:
            kinds = [
                f"{kind} in {plural(n, 'episode')}"
                for kind, n in counts.items()
            ]
        yield f"  camera {printable(camera)}: {', '.join(kinds)}"


def _vector_lines(
    rows: Sequence[EpisodeSummary], vectors: Sequence[str]
) -> Iterator[str]:
    """The ranges, over all episodes, of vectors that have no column in the table."""
    for key in vectors:
        ranges = [row.ranges[key] for row in rows if key in row.ranges]
        low, high = (
            min(low for low, _ in ranges),
            max(high for _, high in ranges),
        )
        yield f"  {_short(key)}: {_range_text((low, high))}"


def _episodes(
    rows: Sequence[EpisodeSummary], fps: int, vectors: Sequence[str]
) -> Table:
    table = _table()
    table.add_column("episode")
    for name in ("frames", "seconds", *map(_short, vectors)):
        table.add_column(name, justify="right")
    table.add_column("instruction", overflow="fold")
    for row in rows:
        frames = row.frames or 0
        ranges = [_range_text(row.ranges[key]) for key in vectors]
        instruction = printable(row.instruction or "(none)")
        known = [f"{frames:,}", f"{frames / fps:,.1f}", *ranges, instruction]
        table.add_row(
            *map(
                Text,
                [printable(row.name), *known],
            )
        )
    return table


def _short(feature: str) -> str:
    return feature.removeprefix("observation.")


def _range_text(span: tuple[float, float]) -> str:
    low, high = span
    return f"{low:.3g} .. {high:.3g}"


def _table() -> Table:
    return Table(
        box=None,
        pad_edge=False,
        padding=(0, _BETWEEN_COLUMNS, 0, 0),
        header_style="bold",
    )


def _widest(column: Column) -> int:
    return max(
        cell_len(str(cell))
        for cell in [
            column.header,
            *column.cells,
        ]
    )


def _rendered(
    table: Table, console: Console, indent: str = ""
) -> Iterator[str]:
    """The lines of a table, without spaces behind them.

    The last column is wrapped to the console's width; nothing is cut, as rich would do by itself.
    """
    *others, last = table.columns
    taken = len(indent)
    for column in others:
        column.width = _widest(column)
        taken += column.width + _BETWEEN_COLUMNS
    last.width = max(
        min(_widest(last), console.width - taken), _NARROWEST_COLUMN
    )
    wide_enough = Console(
        width=taken + last.width,
        force_terminal=console.is_terminal,
        highlight=False,
    )
    with wide_enough.capture() as capture:
        wide_enough.print(table)
    for line in capture.get().splitlines():
        yield f"{indent}{line}".rstrip()


# --- groups and files -----------------------------------------------------------------------------


def group_lines(groups: Sequence[TopGroup]) -> Iterator[str]:
    """The top-level groups of a file.

    There may be a hundred thousand of them, for which rich's tables take a minute.
    """
    names = [name_text(group.name) for group in groups]
    width = max(map(cell_len, names))
    for group, name in zip(groups, names, strict=True):
        members, size = (
            plural(group.members, "member"),
            size_text(group.stored_bytes),
        )
        yield f"{set_cell_size(name, width)}  {members:>11}  {size:>9}"


def analysis_lines(analysis: Analysis, console: Console) -> Iterator[str]:
    """A row for each file, the sums, and what repacking would make of them."""
    table = _table()
    table.add_column("file")
    for name in ("episodes", "frames", "seconds", "size"):
        table.add_column(name, justify="right")
    table.add_column("layout", overflow="fold")
    for file in analysis.files:
        table.add_row(*map(Text, _file_row(file)))
    yield from _rendered(table, console)
    for file in analysis.files:
        yield from _remarks(file)
    files, episodes = (
        plural(len(analysis.files), "file"),
        plural(analysis.episodes, "episode"),
    )
    frames, size = plural(analysis.frames, "frame"), size_text(analysis.size)
    yield f"{files}, {episodes}, {frames}, {size}"
    yield from _proposal_lines(analysis)


def _file_row(file: FileSummary) -> list[str]:
    count, size = file.count, size_text(file.size)
    path = printable(str(file.path))
    if count is None or count.layout is None:
        return [path, "0", "-", "-", size, "none fits" if count else "-"]
    seconds = f"{count.frames / count.fps:,.1f}"
    return [
        path,
        f"{count.episodes:,}",
        f"{count.frames:,}",
        seconds,
        size,
        count.layout,
    ]


def _remarks(file: FileSummary) -> Iterator[str]:
    name = printable(file.path.name)
    if file.problem:
        yield f"{name}: {file.problem}"
    elif file.count and file.count.misfits:
        misfits = plural(file.count.misfits, "more group")
        yield f"{name}: {misfits} that do not fit the layout, not counted as episodes"
    elif file.count and file.count.layout is None:
        yield f"{name}: no layout fits, so nothing in it is counted as an episode"


def _proposal_lines(analysis: Analysis) -> Iterator[str]:
    if analysis.whole_files:
        files = plural(analysis.whole_files, "file")
        yield f"{files} of one episode each: repacking is for files with a group for each episode"
    sizes = [len(new.groups) for new in analysis.plan]
    if not sizes:
        yield "there is nothing to repack"
        return
    each = plural(sizes[0], "episode")
    if sizes[-1] != sizes[0]:
        each += f", the last with {sizes[-1]:,}"
    yield f"repacking would make {plural(len(sizes), 'file')} of {each}"
    if analysis.renamed:
        renamed = plural(analysis.renamed, "episode")
        yield f"{renamed} would be renamed: their file has another of that name"

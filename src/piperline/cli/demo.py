"""`piperline demo`: what the main command does, on recordings of our own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from piperline.cli.console import Output
from piperline.cli.convert import summary
from piperline.cli.progress import progress_bar
from piperline.text import size_text

if TYPE_CHECKING:
    from piperline.demo import DatasetSummary, Demo


_SHOWN_FILES = 8


def demo(folder: Path = Path("piperline-demo"), /) -> None:
    """Show what the package does, on recordings that it writes itself.

    Args:
        folder: where; replaced if it is an earlier demo; else it must be empty or absent.
    """
    from piperline.demo import make_demo

    out = Output()
    with progress_bar(out) as watch:
        made = make_demo(folder, note=out.note, watch=watch)
    for line in _lines(made):
        out.data(line)


def _lines(made: "Demo") -> Iterator[str]:
    yield f"{made.folder}/"
    yield from _tree(made.folder, "  ")
    yield ""
    yield from summary(made.result)
    yield ""
    yield from _head(made.summary)
    yield ""
    yield from _counts(made.summary)
    yield ""
    yield f"contact sheet, a row for each camera: {made.summary.sheet}"
    yield ""
    yield "next:"
    for command in _commands(made):
        yield f"  piperline {command}"


def _commands(made: "Demo") -> Iterator[str]:
    """What one would type next."""
    recordings, dataset, exact = (
        quote(str(path))
        for path in (
            made.recordings[0].parent,
            made.result.output,
            made.folder / "exact",
        )
    )
    yield f"hdf5 inspect {quote(str(made.recordings[0]))} --preview"
    yield f"convert {recordings} --output {exact} --video copy"
    yield f"groot preflight {dataset}"


def _tree(folder: Path, indent: str) -> Iterator[str]:
    """What lies in a folder; of many files of one kind the first and the last."""
    entries = sorted(
        path for path in folder.iterdir() if not path.name.startswith(".")
    )
    files = [path for path in entries if path.is_file()]
    for path in (path for path in entries if path.is_dir()):
        yield f"{indent}{path.name}/"
        yield from _tree(path, indent + "  ")
    numbered = (
        len(files) > _SHOWN_FILES and len({path.suffix for path in files}) == 1
    )
    shown = [files[0], files[-1]] if numbered else files
    for path in shown:
        yield f"{indent}{path.name:<{44 - len(indent)}}{size_text(path.stat().st_size):>10}"
    if len(shown) < len(files):
        yield f"{indent}({len(files)} files in all)"


def _head(summary: "DatasetSummary") -> Iterator[str]:
    yield f"first rows of episode 0, {summary.episodes[0].instruction!r}:"
    names = ("frame_index", "timestamp", "observation.state", "action")
    yield "  {:>11}  {:>9}  {:42}  {}".format(*names)
    for row in summary.head.select(names).to_pylist():
        state, action = (_short(row[name]) for name in names[2:])
        yield f"  {row['frame_index']:>11}  {row['timestamp']:>9.3f}  {state:42}  {action}"


def _short(values: Sequence[float]) -> str:
    import numpy as np

    return np.array2string(
        np.asarray(values), precision=2, suppress_small=True, threshold=6
    )


def _counts(summary: "DatasetSummary") -> Iterator[str]:
    cameras = list(summary.episodes[0].frames)
    short = [camera.removeprefix("observation.images.") for camera in cameras]
    yield (
        "decoded frames:  "
        + "".join(f"{name:>12}" for name in ("rows", *short))
        + "  task"
    )
    for number, episode in enumerate(summary.episodes):
        counts = (episode.rows, *(episode.frames[camera] for camera in cameras))
        yield (
            f"  episode {number:<7}"
            + "".join(f"{count:>12}" for count in counts)
            + f"  {episode.instruction}"
        )

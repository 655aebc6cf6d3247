"""Which layout recordings have, and what they tell that the layout leaves open."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from piperline.errors import (
    LayoutMismatch,
    PiperlineError,
    Place,
    RecordingError,
)
from piperline.recordings.find import Inputs, find_recordings
from piperline.recordings.layout import Layout, builtin_layouts, load_layout
from piperline.recordings.reader import Read, here
from piperline.recordings.recording import Recording

_FILES_TRIED = 20


def fitting_layouts(path: Path) -> list[Layout]:
    """The built-in layouts that one of a file's first episodes fits; `piper` first.

    Raises:
        RecordingError: the file cannot be opened.
    """
    layouts = [load_layout(name) for name in builtin_layouts()]
    with Recording(path, layouts[0]) as recording:
        return [layout for layout in layouts if recording.fits(layout)]


def find_layout(inputs: Inputs, read: Read = here) -> Layout:
    """The built-in layout of recordings, as it is declared.

    Where no file fits any, the one of which most is there: its errors then tell what is wrong.

    Args:
        inputs: files and folders.
        read: calls what reads a file.

    Raises:
        RecordingError: an input is missing, or several layouts fit.
    """
    paths = [path for path, _ in find_recordings(inputs)][:_FILES_TRIED]
    for path in paths:
        try:
            fitting = read(path, fitting_layouts, path)
        except RecordingError:
            continue  # told when the file is converted
        if len(fitting) > 1:
            raise _several(fitting, path)
        if fitting:
            return fitting[0]
    return _nearest(paths, read)


def _several(fitting: Sequence[Layout], path: Path) -> LayoutMismatch:
    names = [layout.name for layout in fitting]
    return LayoutMismatch(
        "several layouts fit the recording",
        place=Place(file=path),
        expected="one that fits, or --layout",
        found=", ".join(names),
        next_step=f"name the right one: --layout {names[0]}",
    )


def _nearest(paths: Sequence[Path], read: Read) -> Layout:
    """The built-in layout of which most datasets are there; `piper` where none is."""
    layouts = [load_layout(name) for name in builtin_layouts()]
    for path in paths:
        try:
            shares = read(path, _shares, path, layouts)
        except RecordingError:
            continue
        return layouts[shares.index(max(shares))]
    return layouts[0]


def _shares(path: Path, layouts: Sequence[Layout]) -> list[float]:
    with Recording(path, layouts[0]) as recording:
        return [recording.share_of(layout) for layout in layouts]


def settle(layout: Layout, inputs: Inputs, read: Read = here) -> Layout:
    """A layout with what only recordings tell: names of dimensions, optional parts, the rate.

    It follows from the first episode that fits. Where none does, the layout stays as it is: its
    errors are told when the recordings are planned.

    Args:
        layout: as it is declared.
        inputs: files and folders.
        read: calls what reads a file.

    Raises:
        RecordingError: an input is missing.
    """
    for path, _ in find_recordings(inputs, layout.episodes.files):
        try:
            settled = read(path, _settled, path, layout)
        except PiperlineError:
            continue  # told when the file is converted
        if settled is not None:
            return settled
    return layout


def _settled(path: Path, layout: Layout) -> Layout | None:
    """A layout with what the first episode of a file that fits it tells."""
    with Recording(
        path, replace(layout, signs=type(layout.signs)())
    ) as recording:
        episode = recording.first_fitting(recording.layout, None)
        if episode is None:
            return None
        return replace(episode.settled_layout(), signs=layout.signs)
